"""A multilayer perceptron on photographs: the tutorial's section 2."""

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
from mlp_core.engine.plans import images_plan
from mlp_core.settings import Images, RunOnPhotographs
from tasks.analysis import plot_first_layer, plot_losses, plot_samples, summarize
from tasks.data import ImageTable
from tasks.laboratory import laboratory
from tasks.training import TrainedConfiguration


@experiment("images", "{model.activation}")
def images(model: Images = Images(), run: RunOnPhotographs = RunOnPhotographs()) -> str:
    """Train a network on photographs of animal faces; return the report's path."""
    outcome = Outcome(run)
    with laboratory(run), tags("images"):
        pictures = photographs(run)
        trainings = train_images(run, model, pictures)
        samples = plot_samples.submit(pictures, run.seed)
        trained = outcome.trainings(trainings)
        return outcome.publish([samples, *publish_images(run, model, pictures, trained)])


def train_images(run: RunOnPhotographs, model: Images, pictures: ImageTable) -> Trainings:
    """Submit the training."""
    training = model.model_dump(exclude={"hidden_widths"})
    plan = images_plan(
        model.hidden_widths, PIXELS, len(pictures.classes), **training, seed=run.seed, device=device_of(run)
    )
    return submit_trainings([plan], pictures, run.seeds)


def publish_images(
    run: RunOnPhotographs, model: Images, pictures: ImageTable, trained: list[TrainedConfiguration]
) -> list[PrefectFuture[Any]]:
    """Submit the result table and the figures."""
    if not trained:
        return []
    settings = table_settings(run, model, **photograph_settings(run, pictures))
    table = summarize.submit("images", trained, settings)
    return [table, plot_losses.submit(trained), plot_first_layer.submit(trained[0])]
