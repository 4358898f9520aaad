"""Which networks can be trained, over gain and depth: the tutorial's bonus as a map."""

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
from mlp_core.artifacts.storage import Artifact
from mlp_core.data.sizes import PIXELS
from mlp_core.engine.plans import phase_plans
from mlp_core.settings import FewSeeds, Phase, RunOnPhotographs, Spirals
from tasks.analysis import summarize
from tasks.data import ImageTable, generate_spirals
from tasks.laboratory import laboratory
from tasks.theory import choose_examples, plot_phase
from tasks.training import TrainedConfiguration


@experiment("phase", "{grid.activation} {grid.data}")
def phase(grid: Phase = Phase(), spirals: Spirals = Spirals(), run: RunOnPhotographs = FewSeeds()) -> str:
    """Train networks of many depths from many gains; return the report's path."""
    outcome = Outcome(run)
    with laboratory(run), tags("phase"):
        if grid.data == "images":
            data: Artifact | ImageTable = photographs(run)
        else:
            data = generate_spirals.submit(spirals, run.seed).result()
        trained = outcome.trainings(train_phase(run, spirals, grid, data))
        return outcome.publish(publish_phase(run, spirals, grid, data, trained))


def train_phase(run: RunOnPhotographs, spirals: Spirals, grid: Phase, data: Artifact | ImageTable) -> Trainings:
    """Submit one training per depth, the deepest and longest first."""
    training = grid.model_dump(exclude={"data", "examples", "depths", "gains", "width"})
    n_inputs = PIXELS if isinstance(data, ImageTable) else 2
    plans = phase_plans(
        sorted(grid.depths, reverse=True),
        grid.gains,
        grid.width,
        n_inputs,
        _n_classes(spirals, data),
        **training,
        seed=run.seed,
        device=device_of(run),
    )
    examples = choose_examples.submit(data, grid.examples, run.seed)
    return submit_trainings(plans, examples, run.seeds * len(grid.gains))


def publish_phase(
    run: RunOnPhotographs,
    spirals: Spirals,
    grid: Phase,
    data: Artifact | ImageTable,
    trained: list[TrainedConfiguration],
) -> list[PrefectFuture[Any]]:
    """Submit the result table, the shallowest networks first, and the figure."""
    if not trained:
        return []
    n_classes = _n_classes(spirals, data)
    source = photograph_settings(run, data) if isinstance(data, ImageTable) else spirals.model_dump(mode="json")
    settings = table_settings(run, grid, classes=n_classes, **source)
    table = summarize.submit("phase", trained[::-1], settings)
    return [table, plot_phase.submit(table, n_classes)]


def _n_classes(spirals: Spirals, data: Artifact | ImageTable) -> int:
    return len(data.classes) if isinstance(data, ImageTable) else spirals.arms
