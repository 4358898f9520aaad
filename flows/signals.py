"""Signals and gradients in random networks, beside what theory predicts: the tutorial's bonus without training."""

from __future__ import annotations

from typing import Any

from prefect import tags, unmapped
from prefect.futures import PrefectFuture

from flows.experiment import experiment
from flows.orchestration import Outcome, photograph_settings, photographs, table_settings
from mlp_core.artifacts.storage import Artifact
from mlp_core.data.sizes import PIXELS
from mlp_core.engine.plans import signal_plans
from mlp_core.errors import InputError
from mlp_core.settings import RunOnPhotographs, Signals
from mlp_core.theory.phases import critical_point
from tasks.data import ImageTable
from tasks.laboratory import laboratory
from tasks.theory import collect_signals, measure_signals, plot_signals


@experiment("signals", "{networks.activation}")
def signals(networks: Signals = Signals(), run: RunOnPhotographs = RunOnPhotographs()) -> str:
    """Measure random networks at an ordered, a critical and a chaotic gain; return the report's path."""
    outcome = Outcome(run)
    with laboratory(run), tags("signals"):
        pictures = photographs(run)
        measured = outcome.gather(measure_networks(run, networks, pictures), "signals")
        return outcome.publish(publish_signals(run, networks, pictures, measured))


def measure_networks(run: RunOnPhotographs, networks: Signals, pictures: ImageTable) -> list[PrefectFuture[Artifact]]:
    """Submit one measurement per gain and kind of input."""
    plans = signal_plans(
        networks.relative_gains,
        _critical_gain(networks),
        networks.width,
        networks.layers,
        PIXELS,
        **networks.model_dump(include={"activation", "distribution", "sigma_b"}),
        seed=run.seed,
    )
    return measure_signals.map(plans, unmapped(pictures), unmapped(run.seeds))


def _critical_gain(networks: Signals) -> float:
    point = critical_point(networks.activation, networks.sigma_b)
    if not point.converged:
        message = f"{networks.activation} must have a critical gain at sigma_b, got none at {networks.sigma_b:g}."
        raise InputError(message)
    return point.sigma_w


def publish_signals(
    run: RunOnPhotographs, networks: Signals, pictures: ImageTable, measured: list[Artifact]
) -> list[PrefectFuture[Any]]:
    """Submit the result table and the figure."""
    if not measured:
        return []
    settings = table_settings(run, networks, **photograph_settings(run, pictures))
    table = collect_signals.submit(measured, settings)
    return [table, plot_signals.submit(table)]
