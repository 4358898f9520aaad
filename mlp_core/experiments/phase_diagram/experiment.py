"""Which networks can be trained, over gain and depth: the tutorial's bonus as a map."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mlp_core.data.transforms import Subset
from mlp_core.engine.configs import Labels, TrainConfig, Training, Trial
from mlp_core.experiments.columns import activation_column, parameters_column, shape_columns
from mlp_core.experiments.interface import Experiment, Figure, Setup, Table
from mlp_core.experiments.outputs import result_table
from mlp_core.settings import ActivationName, Depths, Gains, OptimizerName, Positive, Rate, Settings


class PhaseDiagramSettings(Settings):
    """Which networks can be trained, over gain and depth (bonus)."""

    examples: Positive = 512
    """Training examples, drawn from the training set once for all; the whole set if it is smaller."""
    depths: Depths = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
    """Numbers of hidden layers."""
    gains: Gains = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.6, 1.8, 2.0, 2.5, 3.0)
    """Factors on Xavier's standard deviation."""
    width: Positive = 64
    """Units of each hidden layer."""
    activation: ActivationName = "tanh"
    """Transfer function of the hidden layers: relu, tanh, sigmoid, gelu, erf, selu or leaky_relu(SLOPE)."""
    optimizer: OptimizerName = "sgd"
    """How the weights are updated: Adam or stochastic gradient descent."""
    learning_rate: Rate = 1.25e-2
    """Step size."""
    epochs: Positive = 32
    """Passes over the training examples."""
    batch_size: Positive = 64
    """Examples per step."""


def phase_diagram_trials(
    depths: Sequence[int],
    gains: Sequence[float],
    width: int,
    n_inputs: int,
    n_classes: int,
    subset: Subset,
    training: Training,
) -> list[Trial]:
    """Return one configuration per depth, each with all gains: its members of all gains train as one ensemble.

    Args:
        depths: Numbers of hidden layers.
        gains: Xavier gains; with equal widths the gain is the sigma_w of every layer between hidden ones.
        width: Units of each hidden layer.
        n_inputs: Features of an example.
        n_classes: Classes of the data.
        subset: Which of the training examples to use.
        training: How to train.

    Example:
        >>> trials = phase_diagram_trials([2, 64], [0.5, 1.0, 2.0], 64, 3072, 3, Subset(512, 2021, "phase"), Training())
        >>> [(trial.config.name, trial.config.gains) for trial in trials]
        [('depth=2 width=64', (0.5, 1.0, 2.0)), ('depth=64 width=64', (0.5, 1.0, 2.0))]
    """
    trials = []
    for depth in depths:
        config = TrainConfig.of(
            training,
            f"depth={depth} width={width}",
            "phase",
            (n_inputs, *[width] * depth, n_classes),
            "shared_order",
            scheme="xavier_normal",
            gains=tuple(gains),
            inputs=(subset,),
        )
        columns = activation_column(config), *shape_columns(config), parameters_column(config)
        own_gains = (
            ("gain", "factor on Xavier's standard deviation"),
            ("sigma_w", "standard deviation of a weight between hidden layers times sqrt(fan_in)"),
        )
        trials.append(Trial(config, Labels("phase_diagram", columns, own_gains), "width"))
    return trials


def _trials(setup: Setup) -> list[Trial]:
    grid, data = setup.settings, setup.data
    return phase_diagram_trials(
        sorted(grid.depths, reverse=True),  # the longest first
        grid.gains,
        grid.width,
        data.n_inputs,
        data.n_classes,
        Subset(grid.examples, setup.seed, "phase"),
        setup.training(),
    )


def _outputs(setup: Setup, models: Sequence[Any], data: Any) -> Iterator[Table | Figure]:
    n_classes = setup.data.n_classes
    source = setup.data.settings.get("data", setup.data.kind)
    table = result_table("phase_diagram", setup, models[::-1], setup.settings, classes=n_classes, data=source)
    yield table
    yield Figure("phase_diagram", "mlp_core.experiments.phase_diagram.figures:phase_diagram_figure", (table, n_classes))


EXPERIMENT = Experiment(
    name="phase_diagram",
    help="Which networks can be trained, over gain and depth, next to what theory predicts (bonus).",
    settings=PhaseDiagramSettings,
    parameter="grid",
    run_name="{grid.activation}",
    data=("images", "spirals", "tables"),
    trials=_trials,
    outputs=_outputs,
    smallest=PhaseDiagramSettings(examples=40, depths=(4, 1), gains=(0.5, 1.0, 3.0), width=8, epochs=2, batch_size=16),
    section="mlp_core.experiments.phase_diagram.section",
    n_seeds=2,
    tutorial=PhaseDiagramSettings(depths=(2, 4, 8, 16, 32), gains=(0.5, 0.7, 0.9, 1.1, 1.3, 1.6, 2.0, 3.0)),
    tutorial_divisor=32,  # a second member of each cell takes 8 % more time of a tutorial of 8 seeds
    beyond=True,
)
