"""Wide against deep outside the training region: where the tutorial's section 1.1 only looks at a map."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from mlp_core.data.settings import DRAWN_POINTS, RULED_POINTS
from mlp_core.data.transforms import Standardize
from mlp_core.engine.architecture import parameter_count
from mlp_core.engine.configs import Column, Labels, TrainConfig, Training, Trial
from mlp_core.experiments.columns import parameters_column
from mlp_core.experiments.depth_sweep.experiment import depth_sweep_trials
from mlp_core.experiments.generalization.companions import AS_SET, TUNED, TUNING_RATES, alike_in_size
from mlp_core.experiments.interface import Experiment, Figure, Setup, Table, Tuning
from mlp_core.experiments.outputs import decision_map, map_figure
from mlp_core.experiments.polynomial.experiment import polynomial_trial
from mlp_core.settings import (
    ActivationName,
    Depths,
    OptimizerName,
    Positive,
    Rate,
    Settings,
    distinct,
    list_of_integers,
)


class Generalization(Settings):
    """Wide against deep outside the training region (section 1.1)."""

    degrees: Annotated[
        tuple[Annotated[int, Field(ge=1, le=500)], ...],
        Field(min_length=1),
        BeforeValidator(list_of_integers),
        AfterValidator(distinct),
    ] = (1, 2, 5, 10, 20, 50)
    """Highest total degrees of the polynomial models."""
    depths: Depths = (1, 2, 3, 5)
    """Numbers of hidden layers of the multilayer perceptrons."""
    parameter_budgets: Annotated[
        tuple[Positive, ...], Field(min_length=1), BeforeValidator(list_of_integers), AfterValidator(distinct)
    ] = (100, 5304)
    """Trainable parameters to reach; 5304 are those of the polynomial of degree 50 with four arms."""
    activation: ActivationName = "relu"
    """Transfer function of the hidden layers: relu, tanh, sigmoid, gelu, erf, selu or leaky_relu(SLOPE)."""
    optimizer: OptimizerName = "adam"
    """How the weights are updated: Adam or stochastic gradient descent."""
    learning_rate: Rate = 1e-3
    """Step size."""
    epochs: Positive = 100
    """Passes over the training set."""
    batch_size: Positive = 128
    """Examples per step."""


def generalization_trials(
    degrees: Sequence[int],
    depths: Sequence[int],
    parameter_budgets: Sequence[int],
    n_classes: int,
    training: Training,
) -> list[Trial]:
    """Return the wide and deep models of drawn points: one polynomial per degree, one perceptron per budget and depth.

    They are configurations of the polynomial and of the depth sweep, so what those have trained is not trained again.

    Args:
        degrees: Highest total degrees of the polynomial models.
        depths: Numbers of hidden layers of the perceptrons.
        parameter_budgets: Trainable parameters for the perceptrons to reach.
        n_classes: Classes of the points; of the spirals one per arm.
        training: How to train; its activation is the perceptrons', as a polynomial has none.

    Example:
        >>> trials = generalization_trials([10], [3], [100, 5304], 4, Training())
        >>> [(trial.config.seed_namespace, trial.config.name) for trial in trials]
        [('polynomial', 'degree=10'), ('depth_sweep', 'depth=3 width=6'), ('depth_sweep', 'depth=3 width=50')]
    """
    trials = []
    for degree in degrees:
        trial = polynomial_trial(degree, n_classes, replace(training, activation="relu"))
        columns = *trial.labels.columns, parameters_column(trial.config)
        trials.append(_shown(trial.config, ("polynomial", *columns), AS_SET, "degrees"))
    for budget in parameter_budgets:
        for trial in depth_sweep_trials(depths, budget, n_classes, training):
            columns = *trial.labels.columns, Column("parameter_budget", budget, "trainable parameters to reach")
            trials.append(_shown(trial.config, ("mlp", *columns), AS_SET, "parameter_budgets"))
    return trials


def _shown(config: TrainConfig, model_and_columns: tuple[Any, ...], training: str, sized_by: str) -> Trial:
    model, *columns = model_and_columns
    shown_columns = (
        Column("model", model, "polynomial|mlp|nearest neighbour"),
        *columns,
        Column("training", training, "as set|tuned: inputs standardised and the learning rate chosen on validation"),
        Column("learning_rate", config.learning_rate, "step size"),
    )
    return Trial(config, Labels("generalization", shown_columns), sized_by)


def _trials(setup: Setup) -> list[Trial]:
    models = setup.settings
    return generalization_trials(
        models.degrees, models.depths, models.parameter_budgets, setup.data.n_classes, setup.training()
    )


def tunings(trials: Sequence[Trial]) -> list[Tuning]:
    """Return the two models whose learning rate is tuned, for a fair comparison of wide with deep.

    They are the polynomial with the most parameters and, of the perceptrons whose size is within 15 % of it, the
    deepest; only the polynomial if there is no such perceptron.

    Args:
        trials: The configurations of `generalization_trials`; at least one polynomial.

    Example:
        >>> trials = generalization_trials([10, 50], [1, 3], [100, 5304], 4, Training())
        >>> [tuning.trial.config.name for tuning in tunings(trials)]
        ['degree=50', 'depth=3 width=50']
    """
    sizes = {trial: parameter_count(trial.config.layer_sizes) for trial in trials}
    wide = max((trial for trial in sizes if trial.config.inputs), key=sizes.__getitem__)
    deep = [trial for trial in sizes if not trial.config.inputs and alike_in_size(sizes[trial], sizes[wide])]
    deep.sort(key=lambda trial: (-len(trial.config.layer_sizes), abs(sizes[trial] - sizes[wide])))
    return [Tuning(trial, TUNING_RATES) for trial in (wide, *deep[:1])]


def tuned_trial(trial: Trial, rate: float) -> Trial:
    """Return a copy of a configuration with standardised inputs and another learning rate, labelled as tuned.

    Args:
        trial: One of `generalization_trials`.
        rate: The learning rate that was chosen on validation examples.
    """
    config = replace(
        trial.config,
        name=f"{trial.config.name} standardised learning_rate={rate:g}",
        inputs=(*trial.config.inputs, Standardize()),
        learning_rate=rate,
    )
    model, *columns, _, _ = trial.labels.columns
    return _shown(config, (model.value, *columns), TUNED, trial.sized_by)


def _outputs(setup: Setup, models: Sequence[Any], data: Any) -> Iterator[Table | Figure]:
    measures = "mlp_core.experiments.generalization.measures"
    kind = setup.data.settings.get("data", DRAWN_POINTS[0])
    answers = [
        Table(
            "tables/extrapolation",
            f"{measures}:answers_elsewhere",
            (model, data, kind),
            title=f"extrapolate {model.trial.config.name}",
        )
        for model in models
    ]
    settings = setup.table_settings(setup.settings)
    function = f"{measures}:generalization_table"
    table = Table("results/generalization", function, (models, answers, data, kind), settings, "compare generalization")
    yield table
    draw = "mlp_core.experiments.generalization.figures:generalization_figure"
    inputs = table, setup.data.n_classes, kind
    yield Figure("generalization", draw, inputs, prepare=f"{measures}:trained_as_set")
    as_set = [model for model in models if model.trial.labels.column("training") == AS_SET]
    wide = {model.trial.labels.column("degree"): model for model in as_set if model.trial.config.inputs}
    degrees = sorted(wide)
    drawn = dict.fromkeys(degrees[:1] + [10] * (10 in wide) + degrees[-1:])
    maps = [decision_map([wide[degree]], data, "polynomial") for degree in drawn]
    if deep := [model for model in as_set if not model.trial.config.inputs]:
        maps.append(decision_map(deep, data, "MLP"))
    yield map_figure(maps, data, "generalization_maps")


EXPERIMENT = Experiment(
    name="generalization",
    help="Wide and deep models outside their training region, on points whose class is known there (section 1.1).",
    settings=Generalization,
    parameter="models",
    run_name="{models.activation}",
    data=("spirals",),
    points=(DRAWN_POINTS[0], *RULED_POINTS),
    trials=_trials,
    to_tune=lambda _, trials: tunings(trials),
    tuned=lambda _, trial, rate: tuned_trial(trial, rate),
    outputs=_outputs,
    reads_all_weights=True,
    smallest=Generalization(degrees=(3, 6), depths=(1, 2), parameter_budgets=(100, 150), epochs=2, batch_size=32),
    section="mlp_core.experiments.generalization.section",
    claims="mlp_core.experiments.generalization.claims",
    tutorial=Generalization(degrees=(1, 10, 50), depths=(1, 3)),
    beyond=True,
)
