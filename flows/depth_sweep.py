"""Depth against width at a fixed parameter budget: the tutorial's section 1."""

from __future__ import annotations

from typing import Any

from prefect import flow, tags, unmapped
from prefect.futures import PrefectFuture

from flows.orchestration import Outcome, device_of
from mlp_core.plans import depth_sweep_plans
from mlp_core.settings import DepthSweep, Run, Spirals
from mlp_core.storage import Artifact
from tasks.analysis import map_decisions, plot_decision_maps, plot_losses, plot_results, summarize
from tasks.data import check_batch_size, generate_spirals
from tasks.laboratory import laboratory
from tasks.training import TrainedConfiguration, train_configuration


@flow(name="depth-sweep")
def depth_sweep(run: Run = Run(), spirals: Spirals = Spirals(), sweep: DepthSweep = DepthSweep()) -> str:
    """Train networks of several depths and one parameter budget on the spirals; return the report's path."""
    outcome = Outcome()
    with laboratory(run), tags("depth_sweep"):
        check_depth_sweep(spirals, sweep)
        points = generate_spirals.submit(spirals, run.seed).result()
        trained = outcome.trainings(train_depth_sweep(run, spirals, sweep, points))
        results = publish_depth_sweep(run, spirals, sweep, trained)
        maps = [map_decisions.submit(trained, points)] if trained else []
        return outcome.publish([*results, plot_decision_maps.submit(maps, points)])


def check_depth_sweep(spirals: Spirals, sweep: DepthSweep) -> None:
    """Refuse a batch that the spirals cannot fill."""
    n_points = spirals.arms * spirals.points
    check_batch_size(sweep.batch_size, n_points - int(0.2 * n_points))


def train_depth_sweep(
    run: Run, spirals: Spirals, sweep: DepthSweep, points: Artifact
) -> list[PrefectFuture[TrainedConfiguration]]:
    """Submit one training per depth."""
    training = sweep.model_dump(exclude={"depths", "parameter_budget"})
    plans = depth_sweep_plans(
        sweep.depths, sweep.parameter_budget, spirals.arms, **training, seed=run.seed, device=device_of(run)
    )
    return train_configuration.map(plans, unmapped(points), unmapped(run.seeds))


def publish_depth_sweep(
    run: Run, spirals: Spirals, sweep: DepthSweep, trained: list[TrainedConfiguration]
) -> list[PrefectFuture[Any]]:
    """Submit the result table and its figures."""
    if not trained:
        return []
    settings = {
        "seeds": run.seeds,
        "seed": run.seed,
        **spirals.model_dump(mode="json"),
        **sweep.model_dump(mode="json"),
    }
    table = summarize.submit("depth_sweep", trained, settings)
    return [table, plot_results.submit("depth_sweep", table, spirals.arms), plot_losses.submit(trained)]
