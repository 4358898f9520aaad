"""A wide, shallow model on polynomial features: the tutorial's section 1.1."""

from __future__ import annotations

from typing import Any

from prefect import tags
from prefect.futures import PrefectFuture

from flows.experiment import experiment
from flows.orchestration import Outcome, Trainings, device_of, submit_trainings, table_settings
from mlp_core.artifacts.storage import Artifact
from mlp_core.engine.plans import polynomial_plan
from mlp_core.settings import Polynomial, Run, Spirals
from tasks.analysis import map_decisions, plot_decision_maps, plot_losses, summarize
from tasks.data import expand_features, generate_spirals
from tasks.laboratory import laboratory
from tasks.training import TrainedConfiguration


@experiment("polynomial", "degree {model.degree}")
def polynomial(model: Polynomial = Polynomial(), spirals: Spirals = Spirals(), run: Run = Run()) -> str:
    """Train one linear layer on all monomials of the spirals' points; return the report's path."""
    outcome = Outcome(run)
    with laboratory(run), tags("polynomial"):
        points = generate_spirals.submit(spirals, run.seed).result()
        trained = outcome.trainings(train_polynomial(run, spirals, model, points))
        results = publish_polynomial(run, spirals, model, trained)
        if trained:
            maps = [map_decisions.submit(trained, points)]
            results.append(plot_decision_maps.submit(maps, points))
        return outcome.publish(results)


def train_polynomial(run: Run, spirals: Spirals, model: Polynomial, points: Artifact) -> Trainings:
    """Submit the expansion and the training."""
    training = model.model_dump(exclude={"degree"})
    plan = polynomial_plan(model.degree, spirals.arms, **training, seed=run.seed, device=device_of(run))
    features = expand_features.submit(points, model.degree)
    return submit_trainings([plan], features, run.seeds)


def publish_polynomial(
    run: Run, spirals: Spirals, model: Polynomial, trained: list[TrainedConfiguration]
) -> list[PrefectFuture[Any]]:
    """Submit the result table and its figure."""
    if not trained:
        return []
    settings = table_settings(run, spirals, model)
    return [summarize.submit("polynomial", trained, settings), plot_losses.submit(trained)]
