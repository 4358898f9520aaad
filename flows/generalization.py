"""Wide against deep outside the training region: where the tutorial's section 1.1 only looks at a map."""

from __future__ import annotations

from typing import Any

from prefect import tags, unmapped
from prefect.futures import PrefectFuture

from flows.experiment import experiment
from flows.orchestration import Outcome, Trainings, device_of, submit_trainings, table_settings
from mlp_core.artifacts.storage import Artifact
from mlp_core.engine.plans import TrainingPlan, generalization_plans
from mlp_core.experiments.generalization.companions import (
    TUNING_RATES,
    is_standardised,
    plans_to_tune,
    shown_as_set,
    tuned_plans,
)
from mlp_core.settings import Generalization, Run, Spirals
from tasks.analysis import map_decisions, plot_decision_maps
from tasks.data import check_batch_size, expand_features, generate_spirals, standardize_inputs
from tasks.explanations import compare_generalization, extrapolate, plot_generalization
from tasks.laboratory import laboratory
from tasks.training import TrainedConfiguration, tune_learning_rate


@experiment("generalization", "{models.activation}")
def generalization(models: Generalization = Generalization(), spirals: Spirals = Spirals(), run: Run = Run()) -> str:
    """Train polynomials and perceptrons, and ask them outside the training region; return the report's path."""
    check_batch_size(models.batch_size, spirals)
    outcome = Outcome(run)
    with laboratory(run), tags("generalization"):
        points = generate_spirals.submit(spirals, run.seed).result()
        plans = compared_plans(run, spirals, models)
        tunings = tune_generalization(plans, points)
        trainings = train_generalization(run, plans, points)
        tuned, shown = train_tuned(run, outcome, tunings, plans)
        plans |= shown
        trained = outcome.trainings(trainings | tuned, plans)
        return outcome.publish(publish_generalization(run, spirals, models, points, trained, plans))


def compared_plans(run: Run, spirals: Spirals, models: Generalization) -> dict[TrainingPlan, TrainingPlan]:
    """Return what to train, and under which name to show each."""
    plans = generalization_plans(
        models.degrees,
        models.depths,
        models.parameter_budgets,
        spirals.arms,
        **models.model_dump(exclude={"degrees", "depths", "parameter_budgets"}),
        seed=run.seed,
        device=device_of(run),
    )
    return shown_as_set(plans)


Tunings = dict[TrainingPlan, tuple[PrefectFuture[Artifact], PrefectFuture[float]]]
"""By plan its standardised examples and its learning rate."""


def tune_generalization(plans: dict[TrainingPlan, TrainingPlan], points: Artifact) -> Tunings:
    """Submit what gives the widest and the deepest model of one size standardised inputs and a tuned learning rate."""
    tunings: Tunings = {}
    for plan in plans_to_tune(plans) if plans else ():
        degree = dict(plan.columns).get("degree")
        examples = points if degree is None else expand_features.submit(points, degree)
        standardised = standardize_inputs.submit(examples)
        tunings[plan] = standardised, tune_learning_rate.submit(plan, standardised, TUNING_RATES)
    return tunings


def train_tuned(
    run: Run, outcome: Outcome, tunings: Tunings, plans: dict[TrainingPlan, TrainingPlan]
) -> tuple[Trainings, dict[TrainingPlan, TrainingPlan]]:
    """Wait for the learning rates and submit the trainings with them; return these, and how to show each."""
    rates = {
        plan: found
        for plan, (_, rate) in tunings.items()
        for found in outcome.gather([rate], "generalization", [f"tuning {plan.configuration}"])
    }
    trainings: Trainings = {}
    shown: dict[TrainingPlan, TrainingPlan] = {}
    for plan, rate in rates.items():
        tuned = tuned_plans({plan: rate}, plans)
        trainings |= submit_trainings(tuned, tunings[plan][0], run.seeds)
        shown |= tuned
    return trainings, shown


def train_generalization(
    run: Run, plans: dict[TrainingPlan, TrainingPlan], points: Artifact, submitted: Trainings | None = None
) -> Trainings:
    """Submit the trainings, the polynomials' with the expansion of their features, but none submitted already."""
    trainings = {}
    for plan in plans:
        if plan.experiment == "polynomial" and plan not in (submitted or {}):
            features = expand_features.submit(points, dict(plan.columns)["degree"])
            trainings |= submit_trainings([plan], features, run.seeds)
    deep = [plan for plan in plans if plan not in trainings]
    trainings |= submit_trainings(deep, points, run.seeds, submitted)
    return {plan: trainings[plan] for plan in plans}


def publish_generalization(
    run: Run,
    spirals: Spirals,
    models: Generalization,
    points: Artifact,
    trained: list[TrainedConfiguration],
    plans: dict[TrainingPlan, TrainingPlan],
) -> list[PrefectFuture[Any]]:
    """Submit what the models answer elsewhere, the table and the figures."""
    if not trained:
        return []
    settings = table_settings(run, spirals, models)
    answers = extrapolate.map(trained, unmapped(points))
    table = compare_generalization.submit(trained, [plans[one.plan] for one in trained], answers, points, settings)
    as_set = [one for one in trained if not is_standardised(one.plan)]
    wide = {dict(one.plan.columns)["degree"]: one for one in as_set if one.plan.experiment == "polynomial"}
    degrees = sorted(wide)
    mapped = [[wide[degree]] for degree in dict.fromkeys(degrees[:1] + [10] * (10 in wide) + degrees[-1:])]
    deep = [one for one in as_set if one.plan.experiment == "depth_sweep"]
    maps = [map_decisions.submit(group, points) for group in (*mapped, deep) if group]
    return [
        table,
        plot_generalization.submit(table, spirals.arms),
        plot_decision_maps.submit(maps, points, "generalization_maps"),
    ]
