"""A grid of settings: which configuration to choose, what the choice costs, and which settings matter."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from mlp_core.data.transforms import HoldOut
from mlp_core.engine.architecture import hidden_width, parameter_count
from mlp_core.engine.configs import Column, Labels, TrainConfig, Training, Trial
from mlp_core.experiments.interface import Experiment, Figure, Setup, Table
from mlp_core.experiments.sweep.design import MOST_CONFIGURATIONS, sobol_design, whole_product
from mlp_core.seeds import derive_seed
from mlp_core.settings import (
    ActivationName,
    Depths,
    OptimizerName,
    Positive,
    Rate,
    Settings,
    choices_or,
    distinct,
    list_of_integers,
    list_of_names,
    list_of_numbers,
)

FACTORS = {
    "depth": "depths",
    "width": "widths",
    "parameter_budget": "parameter_budgets",
    "activation": "activations",
    "start": "starts",
    "optimizer": "optimizers",
    "learning_rate": "learning_rates",
    "batch_size": "batch_sizes",
    "epochs": "epochs",
    "weight_decay": "weight_decays",
}
"""Columns of the table that the grid spans, and the settings that list their levels."""
_UNITS = {
    "depth": "hidden layers",
    "width": "units per hidden layer",
    "parameter_budget": "trainable parameters to reach",
    "activation": "name",
    "start": "pytorch|xavier:GAIN|theory",
    "optimizer": "name",
    "learning_rate": "step size",
    "batch_size": "examples per step",
    "weight_decay": "share of the weights a step takes away, times the step size",
}


def _start(text: str) -> str:
    """Return the one way to write a start."""
    name, _, gain = text.strip().lower().partition(":")
    if name in ("pytorch", "theory") and not gain:
        return name
    if name == "xavier" and re.fullmatch(r"\d*\.?\d+(e-?\d+)?", gain) and 1e-6 <= float(gain) <= 1e6:
        return f"xavier:{float(gain):.6g}"
    message = "must be pytorch, theory, or xavier:GAIN with a gain from 1e-6 to 1e6, such as xavier:1.4"
    raise ValueError(message)


_Numbers = BeforeValidator(list_of_integers), AfterValidator(distinct)
_Names = BeforeValidator(list_of_names), AfterValidator(distinct)
_Rates = BeforeValidator(list_of_numbers), AfterValidator(distinct)
_Start = Annotated[str, AfterValidator(_start), choices_or("xavier:GAIN", ("pytorch", "theory"))]
_Decay = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]


def _enough_for_the_product(configurations: int, others: ValidationInfo) -> int:
    """Refuse a whole product that is too large."""
    lists = [others.data.get(name, ()) for name in FACTORS.values() if name != "widths"]
    widths = () if others.data.get("parameter_budgets") else others.data.get("widths", ())
    n_whole = prod(max(1, len(values)) for values in (*lists, widths))
    if not configurations and n_whole > MOST_CONFIGURATIONS:
        message = (
            f"must be from 1 to {MOST_CONFIGURATIONS:,} for a product of {n_whole:,} (or shorten the lists, such as "
            "--learning-rates)"
        )
        raise ValueError(message)
    return configurations


class Sweep(Settings):
    """A grid of settings, of which the best configuration is chosen on validation examples."""

    depths: Depths = (1, 2, 3, 4)
    """Numbers of hidden layers."""
    widths: Annotated[tuple[Positive, ...], Field(min_length=1), *_Numbers] = (8, 16, 32)
    """Units of each hidden layer."""
    parameter_budgets: Annotated[tuple[Positive, ...], *_Numbers] = ()
    """Trainable parameters to reach with the smallest equal width, in place of the widths."""
    activations: Annotated[tuple[ActivationName, ...], Field(min_length=1), *_Names] = ("relu", "tanh")
    """Transfer functions of the hidden layers: relu, tanh, sigmoid, gelu, erf, selu or leaky_relu(SLOPE)."""
    starts: Annotated[tuple[_Start, ...], Field(min_length=1), *_Names] = ("pytorch", "theory")
    """Initial weights: pytorch, xavier:GAIN, or theory for Xavier's with the gain that theory asks for."""
    optimizers: Annotated[tuple[OptimizerName, ...], Field(min_length=1), *_Names] = ("adam",)
    """How the weights are updated: adam or sgd."""
    learning_rates: Annotated[tuple[Rate, ...], Field(min_length=1), *_Rates] = (1e-3, 1e-2)
    """Step sizes."""
    batch_sizes: Annotated[tuple[Positive, ...], Field(min_length=1), *_Numbers] = (64,)
    """Examples per step; the last short batch of an epoch is left out."""
    epochs: Annotated[tuple[Positive, ...], Field(min_length=1), *_Numbers] = (30,)
    """Passes over the training set."""
    weight_decays: Annotated[tuple[_Decay, ...], Field(min_length=1), *_Rates] = (0.0,)
    """Shares of the weights that each step takes away, times its size, as AdamW does."""
    configurations: Annotated[
        int, Field(ge=0, le=MOST_CONFIGURATIONS, validate_default=True), AfterValidator(_enough_for_the_product)
    ] = 0
    """How many configurations of the whole product to train, spread by a Sobol sequence; 0 for all."""
    validation_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of each class's training examples that is set aside to choose by."""
    early_stopping: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Epochs without a rise of validation accuracy after which a network stops with its best weights; 0 for none."""
    class_weights: Literal["none", "balanced"] = "none"
    """Whether the loss weighs examples so that all classes count alike."""


def levels_of(settings: Sweep) -> dict[str, tuple[Any, ...]]:
    """Return the values to try of each setting, by column of the table.

    The columns have parameter budgets instead of widths if the settings list any.

    Example:
        >>> list(levels_of(Sweep(parameter_budgets=(100, 1000))))[:3]
        ['depth', 'parameter_budget', 'activation']
    """
    values = dict(settings)
    left_out = "width" if settings.parameter_budgets else "parameter_budget"
    return {column: values[name] for column, name in FACTORS.items() if column != left_out}


def sweep_trials(
    settings: Sweep, n_inputs: int, n_classes: int, gains: Mapping[str, float], training: Training
) -> list[Trial]:
    """Return one configuration per combination of the grid, or only those that a Sobol design chooses.

    All are trained with the same validation examples set aside.

    Args:
        settings: The grid.
        n_inputs: Features of an example.
        n_classes: Classes of the data.
        gains: Theoretical Xavier gain of each activation, by its name.
        training: Gives the root seed and the device.

    Example:
        >>> grid = Sweep(depths=(1, 2), widths=(8,), activations=("relu",), starts=("theory",), learning_rates=(0.01,))
        >>> for trial in sweep_trials(grid, 2, 4, {"relu": 2**0.5}, Training()):
        ...     print(trial.config.name, trial.config.layer_sizes, trial.labels.column("gain"))
        depth=1 width=8 relu theory adam rate=0.01 batch=64 epochs=30 decay=0 (2, 8, 4) 1.4142135623730951
        depth=2 width=8 relu theory adam rate=0.01 batch=64 epochs=30 decay=0 (2, 8, 8, 4) 1.4142135623730951
    """
    levels = levels_of(settings)
    sizes = [len(values) for values in levels.values()]
    design = whole_product(sizes)
    if settings.configurations:
        seed = derive_seed(training.seed, "sweep", "configurations")
        design = sobol_design(sizes, settings.configurations, seed)
    held_out = HoldOut(settings.validation_share, training.seed, "sweep")
    trials = []
    for numbers in design:
        values = {column: levels[column][number] for column, number in zip(levels, numbers, strict=True)}
        trials.append(_trial(values, settings, n_inputs, n_classes, gains, training, held_out))
    return trials


def _trial(
    values: Mapping[str, Any],
    settings: Sweep,
    n_inputs: int,
    n_classes: int,
    gains: Mapping[str, float],
    training: Training,
    held_out: HoldOut,
) -> Trial:
    depth, activation, start = values["depth"], values["activation"], values["start"]
    width = values.get("width") or hidden_width(
        depth, n_inputs=n_inputs, n_outputs=n_classes, min_parameters=values["parameter_budget"]
    )
    gain = gains[activation] if start == "theory" else float(start.partition(":")[2] or 1.0)
    layer_sizes = (n_inputs, *[width] * depth, n_classes)
    config = TrainConfig(
        f"depth={depth} width={width} {activation} {start} {values['optimizer']} rate={values['learning_rate']:.6g} "
        f"batch={values['batch_size']} epochs={values['epochs']} decay={values['weight_decay']:.6g}",
        "sweep",
        layer_sizes,
        "pytorch" if start == "pytorch" else "xavier_uniform",
        (gain,),
        "per_seed_order",
        (held_out,),
        activation,
        values["optimizer"],
        values["learning_rate"],
        values["epochs"],
        values["batch_size"],
        training.seed,
        training.device,
        values["weight_decay"],
        settings.early_stopping,
        settings.class_weights == "balanced",
    )
    numbers = {**values, "width": width}
    columns = (
        *(Column(name, numbers[name], unit) for name, unit in _UNITS.items() if name in numbers),
        Column("gain", None if start == "pytorch" else gain, "factor on Xavier's deviation; null for PyTorch's start"),
        Column("parameters", parameter_count(layer_sizes), "trainable parameters"),
    )
    return Trial(config, Labels("sweep", columns), "widths")


def _trials(setup: Setup) -> list[Trial]:
    from mlp_core.theory.gains import forward_gain

    sweep, data = setup.settings, setup.data
    gains = {activation: forward_gain(activation) for activation in sweep.activations}
    return sweep_trials(sweep, data.n_inputs, data.n_classes, gains, setup.training())


def _yardsticks(setup: Setup, data: Any) -> tuple[Table]:
    sweep = setup.settings
    held_out = HoldOut(sweep.validation_share, setup.seed, "sweep")
    yardsticks = Table(
        "tables/yardsticks",
        "mlp_core.experiments.sweep.yardsticks:yardsticks",
        (data, held_out.share, held_out.seed, held_out.namespace, sweep.class_weights),
        title="train yardsticks",
        prepare="mlp_core.experiments.sweep.yardsticks:examples_to_measure",
    )
    return (yardsticks,)


def _outputs(setup: Setup, models: Sequence[Any], data: Any) -> Iterator[Table | Figure]:
    measures, figures = "mlp_core.experiments.sweep.measures", "mlp_core.experiments.sweep.figures"
    sweep = setup.settings
    (yardsticks,) = _yardsticks(setup, data)
    figure_settings = {
        "class_names": list(setup.data.classes),
        "levels": {name: list(levels) for name, levels in levels_of(sweep).items()},
    }
    settings = setup.table_settings(sweep, **figure_settings)
    classes = Table("results/sweep_classes", f"{measures}:class_table", (models, data), settings, "count confusions")
    inputs = models, yardsticks, classes
    table = Table("results/sweep", f"{measures}:sweep_table", inputs, settings, "summarize sweep")
    yield table
    yield classes
    for name in ("accuracy", "effects", "variance", "pairs", "scales"):
        yield Figure(
            f"sweep_{name}", f"{figures}:{name}_figure", (table, figure_settings), prepare=f"{measures}:with_settings"
        )
    chosen = "mlp_core.experiments.sweep.chosen_figures"
    yield Figure("sweep_epochs", f"{chosen}:epochs_figure", (classes, models), prepare=f"{measures}:chosen_history")
    yield Figure(
        "sweep_classes", f"{chosen}:classes_figure", (classes, figure_settings), prepare=f"{measures}:with_settings"
    )


EXPERIMENT = Experiment(
    name="sweep",
    help="A grid of settings: which configuration to choose on validation examples, and which settings matter?",
    settings=Sweep,
    parameter="sweep",
    run_name="",
    data=("spirals", "tables"),
    trials=_trials,
    outputs=_outputs,
    meanwhile=_yardsticks,
    smallest=Sweep(
        depths=(1, 2),
        widths=(4,),
        activations=("relu",),
        starts=("pytorch", "xavier:2"),
        learning_rates=(1e-2,),
        batch_sizes=(16,),
        epochs=(2,),
    ),
    section="mlp_core.experiments.sweep.section",
    in_helper=("sklearn.ensemble", "mlp_core.experiments.sweep.figures"),
)
