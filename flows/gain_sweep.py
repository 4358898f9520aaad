"""Xavier weights at several gains: the tutorial's bonus."""

from __future__ import annotations

from typing import Any

from prefect import tags
from prefect.futures import PrefectFuture

from flows.experiment import experiment
from flows.orchestration import (
    Outcome,
    Trainings,
    device_of,
    photograph_settings,
    photographs,
    submit_trainings,
    table_settings,
)
from mlp_core.data.sizes import PIXELS
from mlp_core.engine.plans import gain_sweep_plans, xavier_plan
from mlp_core.settings import GainSweep, RunOnPhotographs
from mlp_core.theory.gains import forward_gain
from mlp_core.theory.phases import critical_point
from tasks.analysis import plot_losses, plot_results, summarize
from tasks.data import ImageTable
from tasks.laboratory import laboratory
from tasks.theory import collect_signals, measure_signals, plot_signals
from tasks.training import TrainedConfiguration


@experiment("gain-sweep", "{sweep.activation} {sweep.distribution}")
def gain_sweep(sweep: GainSweep = GainSweep(), run: RunOnPhotographs = RunOnPhotographs()) -> str:
    """Train a network for one epoch from Xavier weights at several gains; return the report's path."""
    outcome = Outcome(run)
    with laboratory(run), tags("gain_sweep"):
        pictures = photographs(run)
        trained = outcome.trainings(train_gain_sweep(run, sweep, pictures))
        return outcome.publish(publish_gain_sweep(run, sweep, pictures, trained))


def train_gain_sweep(run: RunOnPhotographs, sweep: GainSweep, pictures: ImageTable) -> Trainings:
    """Submit the trainings of all gains."""
    training = sweep.model_dump(exclude={"gains", "distribution", "hidden_widths"})
    plans = gain_sweep_plans(
        sweep.gains,
        sweep.distribution,
        sweep.hidden_widths,
        PIXELS,
        len(pictures.classes),
        forward_gain(sweep.activation),
        **training,
        seed=run.seed,
        device=device_of(run),
    )
    return submit_trainings(plans, pictures, run.seeds)


def publish_gain_sweep(
    run: RunOnPhotographs, sweep: GainSweep, pictures: ImageTable, trained: list[TrainedConfiguration]
) -> list[PrefectFuture[Any]]:
    """Submit the result table, the figures, and what the theoretical gain does to signals before training."""
    if not trained:
        return []
    settings = table_settings(run, sweep, **photograph_settings(run, pictures))
    table = summarize.submit("gain_sweep", trained, settings)
    start = xavier_plan(
        sweep.hidden_widths,
        PIXELS,
        len(pictures.classes),
        forward_gain(sweep.activation),
        critical_point(sweep.activation, sigma_b=0.0).sigma_w,
        **sweep.model_dump(include={"activation", "distribution"}),
        seed=run.seed,
    )
    measured = measure_signals.submit(start, pictures, run.seeds)
    shown = photograph_settings(run, pictures)
    settings = table_settings(run, **shown, layer_sizes=start.layer_sizes, sigma_b=start.sigma_b)
    signals = collect_signals.submit([measured], settings, "xavier")
    return [
        table,
        plot_results.submit("gain_sweep", table, len(pictures.classes)),
        plot_losses.submit(trained),
        signals,
        plot_signals.submit(signals, "xavier"),
    ]
