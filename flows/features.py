"""What the first layer sees: the tutorial's question of section 2, as numbers."""

from __future__ import annotations

from typing import Any

from prefect import tags
from prefect.futures import PrefectFuture

from flows.experiment import experiment
from flows.orchestration import (
    Outcome,
    device_of,
    photograph_settings,
    photographs,
    submit_trainings,
    table_settings,
)
from mlp_core.data.sizes import PIXELS
from mlp_core.engine.plans import TrainingPlan, features_plans
from mlp_core.settings import Features, RunOnPhotographs
from tasks.data import ImageTable
from tasks.explanations import measure_features, plot_features, plot_units
from tasks.laboratory import laboratory
from tasks.training import TrainedConfiguration


@experiment("features", "{model.activation}")
def features(model: Features = Features(), run: RunOnPhotographs = RunOnPhotographs()) -> str:
    """Train networks of several depths on photographs and measure their first layers; return the report's path."""
    outcome = Outcome(run)
    with laboratory(run), tags("features"):
        pictures = photographs(run)
        plans = measured_plans(run, model, pictures)
        trained = outcome.trainings(submit_trainings(plans, pictures, run.seeds), plans)
        return outcome.publish(publish_features(run, model, pictures, trained))


def measured_plans(run: RunOnPhotographs, model: Features, pictures: ImageTable) -> dict[TrainingPlan, TrainingPlan]:
    """Return what to train, and under which name to show each."""
    training = model.model_dump(exclude={"depths", "width"})
    device = device_of(run)
    n_classes = len(pictures.classes)
    return features_plans(model.depths, model.width, PIXELS, n_classes, **training, seed=run.seed, device=device)


def publish_features(
    run: RunOnPhotographs, model: Features, pictures: ImageTable, trained: list[TrainedConfiguration]
) -> list[PrefectFuture[Any]]:
    """Submit the table of units and the figures."""
    if not trained:
        return []
    settings = table_settings(run, model, **photograph_settings(run, pictures))
    table = measure_features.submit(trained, pictures, settings)
    return [table, plot_features.submit(table), plot_units.submit(trained, pictures)]
