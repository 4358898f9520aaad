"""Depth against width at a fixed parameter budget: the tutorial's section 1."""

from __future__ import annotations

from typing import Any

from prefect import tags
from prefect.futures import PrefectFuture

from flows.experiment import experiment
from flows.orchestration import Outcome, Trainings, device_of, submit_trainings, table_settings
from mlp_core.artifacts.storage import Artifact
from mlp_core.engine.plans import TrainingPlan, depth_sweep_plans, explanation_plans
from mlp_core.settings import DepthSweep, Explanation, Run, Spirals
from mlp_core.theory.gains import forward_gain
from tasks.analysis import map_decisions, plot_decision_maps, plot_losses, plot_results, summarize
from tasks.data import check_batch_size, generate_spirals
from tasks.explanations import explain, plot_explanation
from tasks.laboratory import laboratory
from tasks.training import TrainedConfiguration


@experiment("depth-sweep", "{sweep.activation}")
def depth_sweep(
    sweep: DepthSweep = DepthSweep(),
    explanation: Explanation = Explanation(),
    spirals: Spirals = Spirals(),
    run: Run = Run(),
) -> str:
    """Train networks of several depths and one parameter budget on the spirals; return the report's path."""
    check_batch_size(sweep.batch_size, spirals)
    outcome = Outcome(run)
    with laboratory(run), tags("depth_sweep"):
        points = generate_spirals.submit(spirals, run.seed).result()
        trainings = train_depth_sweep(run, spirals, sweep, points)
        plans = explained_plans(run, spirals, sweep, explanation)
        interventions = submit_trainings(plans, points, run.seeds, trainings)
        trained = outcome.trainings(trainings)
        results = publish_depth_sweep(run, spirals, sweep, trained)
        explained = outcome.trainings(interventions, plans)
        results += publish_explanation(run, spirals, sweep, explanation, points, explained, plans)
        if trained:
            maps = [map_decisions.submit(trained, points)]
            results.append(plot_decision_maps.submit(maps, points))
        return outcome.publish(results)


def train_depth_sweep(run: Run, spirals: Spirals, sweep: DepthSweep, points: Artifact) -> Trainings:
    """Submit one training per depth."""
    training = sweep.model_dump(exclude={"depths", "parameter_budget"})
    plans = depth_sweep_plans(
        sweep.depths, sweep.parameter_budget, spirals.arms, **training, seed=run.seed, device=device_of(run)
    )
    return submit_trainings(plans, points, run.seeds)


def explained_plans(
    run: Run, spirals: Spirals, sweep: DepthSweep, explanation: Explanation
) -> dict[TrainingPlan, TrainingPlan]:
    """Return the interventions to train, and under which name to show each; none unless asked for."""
    if not explanation.explain:
        return {}
    activations = dict.fromkeys((sweep.activation, *explanation.explain_activations))
    return explanation_plans(
        sweep.depths,
        sweep.parameter_budget,
        spirals.arms,
        {name: forward_gain(name) for name in activations},
        explanation.explain_epochs,
        **sweep.model_dump(exclude={"depths", "parameter_budget"}),
        seed=run.seed,
        device=device_of(run),
    )


def publish_explanation(
    run: Run,
    spirals: Spirals,
    sweep: DepthSweep,
    explanation: Explanation,
    points: Artifact,
    trained: list[TrainedConfiguration],
    plans: dict[TrainingPlan, TrainingPlan],
) -> list[PrefectFuture[Any]]:
    """Submit the table of interventions and its figures."""
    if not trained:
        return []
    settings = table_settings(run, spirals, sweep, **explanation.model_dump(mode="json", exclude={"explain"}))
    table = explain.submit(trained, [plans[one.plan] for one in trained], points, settings)
    return [table, *(plot_explanation.submit(name, table, spirals.arms) for name in ("explain", "explain_causes"))]


def publish_depth_sweep(
    run: Run, spirals: Spirals, sweep: DepthSweep, trained: list[TrainedConfiguration]
) -> list[PrefectFuture[Any]]:
    """Submit the result table and its figures."""
    if not trained:
        return []
    settings = table_settings(run, spirals, sweep)
    table = summarize.submit("depth_sweep", trained, settings)
    return [table, plot_results.submit("depth_sweep", table, spirals.arms), plot_losses.submit(trained)]
