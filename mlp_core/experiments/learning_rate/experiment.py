"""The depth sweep's network over learning rates, from two starts: how wide is the range that trains it?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from mlp_core.engine.configs import Column, Labels, Training, Trial
from mlp_core.experiments.columns import activation_column, parameters_column, shape_columns
from mlp_core.experiments.depth_sweep.experiment import DepthSweep, depth_sweep_trials
from mlp_core.experiments.interface import Experiment, Figure, Setup, Table
from mlp_core.experiments.outputs import result_table
from mlp_core.settings import ActivationName, OptimizerName, Positive, Rate, Settings, distinct, list_of_numbers

STARTS = {"pytorch": "PyTorch's start", "xavier at the theoretical gain": "Xavier's start"}
"""Names of the starts in the table, and in words; the first is the one that the second is compared with."""


class LearningRate(Settings):
    """Learning rates of the depth sweep's network, from two starts."""

    learning_rates: Annotated[
        tuple[Rate, ...], Field(min_length=1), BeforeValidator(list_of_numbers), AfterValidator(distinct)
    ] = (1e-4, 2.15e-4, 4.64e-4, 1e-3, 2.15e-3, 4.64e-3, 1e-2, 2.15e-2, 4.64e-2, 0.1, 0.215, 0.464, 1.0)
    """Step sizes, by default three a decade."""
    depth: Annotated[int, Field(ge=1, le=1000)] = 3
    """Number of hidden layers."""
    parameter_budget: Positive = 100
    """Trainable parameters that the network reaches with the smallest equal width."""
    activation: ActivationName = "relu"
    """Transfer function of the hidden layers: relu, tanh, sigmoid, gelu, erf, selu or leaky_relu(SLOPE)."""
    optimizer: OptimizerName = "adam"
    """How the weights are updated: Adam or stochastic gradient descent."""
    epochs: Positive = 100
    """Passes over the training set."""
    batch_size: Positive = 128
    """Examples per step; the last short batch of an epoch is left out."""


def learning_rate_trials(
    learning_rates: Sequence[float],
    depth: int,
    parameter_budget: int,
    n_classes: int,
    theoretical_gain: float,
    training: Training,
    n_inputs: int = 2,
) -> list[Trial]:
    """Return one configuration per start (PyTorch's, then Xavier's at the theoretical gain) and learning rate.

    Both starts are uniform, so that members with equal numbers differ only in the size of their weights. What the depth
    sweep or its ablation trains too is the same configuration here, and is not trained twice.

    Args:
        learning_rates: Step sizes.
        depth: Number of hidden layers.
        parameter_budget: Trainable parameters to reach with the smallest equal width.
        n_classes: Classes of the data.
        theoretical_gain: Theoretical Xavier gain of the activation.
        training: How to train, apart from the learning rate.
        n_inputs: Features of an example.

    Example:
        >>> for trial in learning_rate_trials([0.001, 0.1], 3, 100, 4, 2**0.5, Training()):
        ...     print(trial.config.name, "|", trial.labels.column("initialization"))
        depth=3 width=6 | pytorch
        learning_rate=0.1 depth=3 width=6 | pytorch
        xavier gain=1.41421 depth=3 width=6 | xavier at the theoretical gain
        learning_rate=0.1 xavier gain=1.41421 depth=3 width=6 | xavier at the theoretical gain
    """
    trials = []
    starts = (("pytorch", None, ""), ("xavier_uniform", theoretical_gain, f"xavier gain={theoretical_gain:.6g} "))
    for start, (scheme, gain, change) in zip(STARTS, starts, strict=True):
        for rate in learning_rates:
            at_rate = replace(training, learning_rate=rate)
            (trial,) = depth_sweep_trials(
                [depth], parameter_budget, n_classes, at_rate, "learning_rate", n_inputs=n_inputs
            )
            # the name says what differs from the depth sweep: a run of another command finds what is the same by it
            named = change if rate == DepthSweep().learning_rate else f"learning_rate={rate:.6g} {change}"
            config = replace(trial.config, name=named + trial.config.name, scheme=scheme, gains=(gain or 1.0,))
            columns = (
                activation_column(config),
                Column("initialization", start, "|".join(STARTS)),
                Column("gain", gain, "factor on Xavier's standard deviation; null for PyTorch's start"),
                Column("learning_rate", rate, "step size"),
                *shape_columns(config),
                parameters_column(config),
            )
            trials.append(Trial(config, Labels("learning_rate", columns), "parameter_budget"))
    return trials


def _trials(setup: Setup) -> list[Trial]:
    from mlp_core.theory.gains import forward_gain

    sweep = setup.settings
    return learning_rate_trials(
        sweep.learning_rates,
        sweep.depth,
        sweep.parameter_budget,
        setup.data.n_classes,
        forward_gain(sweep.activation),
        setup.training(),
        setup.data.n_inputs,
    )


def _outputs(setup: Setup, models: Sequence[Any], data: Any) -> Iterator[Table | Figure]:
    table = result_table("learning_rate", setup, models, setup.settings)
    yield table
    draw = "mlp_core.experiments.learning_rate.figures:learning_rate_figure"
    yield Figure("learning_rate", draw, (table, setup.data.n_classes))


EXPERIMENT = Experiment(
    name="learning_rate",
    help="Learning rates of the depth sweep's network, from two starts, on spirals: how wide is the range that trains?",
    settings=LearningRate,
    parameter="sweep",
    run_name="{sweep.activation}",
    data=("spirals", "tables"),
    trials=_trials,
    outputs=_outputs,
    smallest=LearningRate(learning_rates=(1e-3, 1e-2), depth=1, epochs=2, batch_size=32),
    section="mlp_core.experiments.learning_rate.section",
    claims="mlp_core.experiments.learning_rate.claims",
)
