"""Depth against width at a fixed parameter budget: the tutorial's section 1."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo

from mlp_core.engine.architecture import hidden_width
from mlp_core.engine.configs import Labels, TrainConfig, Training, Trial
from mlp_core.experiments.columns import activation_column, parameters_column, shape_columns
from mlp_core.experiments.interface import Experiment, Figure, Setup, Table
from mlp_core.experiments.outputs import decision_map, loss_figure, map_figure, result_table
from mlp_core.settings import ActivationName, Depths, OptimizerName, Positive, Rate, Settings


def _of_xavier_alone(gain: float, others: ValidationInfo) -> float:
    if gain != 1 and others.data.get("start") == "pytorch":
        message = "must be 1 with PyTorch's start, which has no gain; use start xavier_normal or xavier_uniform"
        raise ValueError(message)
    return gain


class DepthSweep(Settings):
    """Depth against width at a fixed parameter budget (section 1)."""

    depths: Depths = (1, 2, 3, 4, 5)
    """Numbers of hidden layers."""
    parameter_budget: Positive = 100
    """Trainable parameters that each network reaches with the smallest equal width."""
    activation: ActivationName = "relu"
    """Transfer function of the hidden layers: relu, tanh, sigmoid, gelu, erf, selu or leaky_relu(SLOPE)."""
    optimizer: OptimizerName = "adam"
    """How the weights are updated: Adam or stochastic gradient descent."""
    learning_rate: Rate = 1e-3
    """Step size."""
    epochs: Positive = 100
    """Passes over the training set."""
    batch_size: Positive = 128
    """Examples per step; the last short batch of an epoch is left out."""
    start: Literal["pytorch", "xavier_normal", "xavier_uniform"] = "pytorch"
    """Initial weights: PyTorch's own, or Xavier's from a normal or uniform distribution."""
    gain: Annotated[float, Field(ge=1e-6, le=1e6, allow_inf_nan=False), AfterValidator(_of_xavier_alone)] = 1.0
    """Factor on Xavier's standard deviation; PyTorch's start has none."""


def depth_sweep_trials(
    depths: Sequence[int],
    parameter_budget: int,
    n_classes: int,
    training: Training,
    experiment: str = "depth_sweep",
    *,
    n_inputs: int = 2,
) -> list[Trial]:
    """Return one configuration per depth, each with the smallest equal width that reaches the parameter budget.

    Args:
        depths: Numbers of hidden layers.
        parameter_budget: Trainable parameters to reach.
        n_classes: Classes of the data.
        training: How to train.
        experiment: Name of the experiment whose tables show the results.
        n_inputs: Features of an example.

    Example:
        >>> [trial.config.name for trial in depth_sweep_trials([1, 3], 100, 4, Training())]
        ['depth=1 width=14', 'depth=3 width=6']
    """
    trials = []
    for depth in depths:
        width = hidden_width(depth, n_inputs=n_inputs, n_outputs=n_classes, min_parameters=parameter_budget)
        sizes = (n_inputs, *[width] * depth, n_classes)
        config = TrainConfig.of(training, f"depth={depth} width={width}", "depth_sweep", sizes, "per_seed_order")
        columns = activation_column(config), *shape_columns(config), parameters_column(config)
        trials.append(Trial(config, Labels(experiment, columns), "parameter_budget"))
    return trials


def _trials(setup: Setup) -> list[Trial]:
    sweep, data = setup.settings, setup.data
    trials = depth_sweep_trials(
        sweep.depths, sweep.parameter_budget, data.n_classes, setup.training(), n_inputs=data.n_inputs
    )
    return trials if sweep.start == "pytorch" else [_from_xavier(trial, sweep) for trial in trials]


def _from_xavier(trial: Trial, sweep: DepthSweep) -> Trial:
    name = f"{trial.config.name} {sweep.start} gain={sweep.gain:.6g}"
    return replace(trial, config=replace(trial.config, name=name, scheme=sweep.start, gains=(sweep.gain,)))


def _outputs(setup: Setup, models: Sequence[Any], data: Any) -> Iterator[Table | Figure]:
    table = result_table("depth_sweep", setup, models, setup.settings)
    yield table
    draw = "mlp_core.experiments.depth_sweep.figures:depth_sweep_figure"
    yield Figure("depth_sweep", draw, (table, setup.data.n_classes))
    members = "mlp_core.experiments.depth_sweep"
    yield Figure(
        "depth_sweep_members",
        f"{members}.figures:member_maps_figure",
        (models, data),
        prepare=f"{members}.measures:member_maps",
    )
    yield loss_figure("depth_sweep", models)
    if setup.data.kind == "spirals":
        yield map_figure([decision_map(models, data, "MLP")], data, panel=1)


EXPERIMENT = Experiment(
    name="depth_sweep",
    help="Depth against width at a fixed parameter budget, on spirals (section 1).",
    settings=DepthSweep,
    parameter="sweep",
    run_name="{sweep.activation}",
    data=("spirals", "tables"),
    trials=_trials,
    outputs=_outputs,
    smallest=DepthSweep(depths=(1, 2), epochs=2, batch_size=32),
    section="mlp_core.experiments.depth_sweep.section",
    claims="mlp_core.experiments.depth_sweep.claims",
    tutorial=DepthSweep(),
    in_playground=True,
)
