"""Xavier weights at several gains: the tutorial's bonus."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from mlp_core.engine.configs import Column, Labels, TrainConfig, Training, Trial
from mlp_core.experiments.columns import activation_column
from mlp_core.experiments.interface import Experiment, Figure, Setup, Table
from mlp_core.experiments.outputs import loss_figure, result_table
from mlp_core.experiments.signal_propagation.experiment import SignalConfig, signal_outputs
from mlp_core.settings import ActivationName, Gains, OptimizerName, Positive, Rate, Settings, Widths


class GainSweep(Settings):
    """Xavier weights at several gains, one epoch each (bonus)."""

    gains: Gains = tuple(index * ((3.0 - 0.1) / 9) + 0.1 for index in range(9)) + (3.0,)  # noqa: RUF005 - a range and its end
    """Factors on Xavier's standard deviation."""
    distribution: Literal["normal", "uniform"] = "normal"
    """Distribution of the initial weights."""
    hidden_widths: Widths = (128, 64, 32)
    """Units of each hidden layer."""
    activation: ActivationName = "leaky_relu(0.1)"
    """Transfer function of the hidden layers: relu, tanh, sigmoid, gelu, erf, selu or leaky_relu(SLOPE)."""
    optimizer: OptimizerName = "sgd"
    """How the weights are updated: Adam or stochastic gradient descent."""
    learning_rate: Rate = 1e-2
    """Step size."""
    epochs: Positive = 1
    """Passes over the training set."""
    batch_size: Positive = 64
    """Examples per step."""


def gain_sweep_trials(
    gains: Sequence[float],
    distribution: str,
    hidden_widths: Sequence[int],
    n_pixels: int,
    n_classes: int,
    theoretical_gain: float,
    training: Training,
) -> list[Trial]:
    """Return one configuration per gain on Xavier's standard deviation, for networks on images.

    Members with equal numbers differ between gains only in the scale of their initial weights.

    Args:
        gains: Factors on Xavier's standard deviation.
        distribution: `normal` or `uniform`.
        hidden_widths: Units of each hidden layer.
        n_pixels: Numbers per image, such as 3 x 32 x 32.
        n_classes: Classes of the images.
        theoretical_gain: The gain that theory gives, for a column of the table.
        training: How to train.
    """
    trials = []
    for gain in gains:
        sizes, scheme = (n_pixels, *hidden_widths, n_classes), f"xavier_{distribution}"
        name = f"gain={gain:.6g}"
        config = TrainConfig.of(training, name, "gain_sweep", sizes, "shared_augmented", scheme=scheme, gains=(gain,))
        columns = (
            activation_column(config),
            Column("distribution", distribution, "normal|uniform"),
            Column("gain", gain, "factor on Xavier's standard deviation"),
            Column("theoretical_gain", theoretical_gain, "gain that keeps the second moment"),
        )
        trials.append(Trial(config, Labels("gain_sweep", columns), "hidden_widths"))
    return trials


def _trials(setup: Setup) -> list[Trial]:
    from mlp_core.theory.gains import forward_gain

    sweep, data = setup.settings, setup.data
    return gain_sweep_trials(
        sweep.gains,
        sweep.distribution,
        sweep.hidden_widths,
        data.n_inputs,
        data.n_classes,
        forward_gain(sweep.activation),
        setup.training(),
    )


def xavier_signals(setup: Setup) -> SignalConfig:
    """Return the gain sweep's network at the theoretical gain, to measure its signals before training.

    It has no biases, as the theory has none. Inputs are images.
    """
    from mlp_core.theory.gains import forward_gain
    from mlp_core.theory.phases import critical_point

    sweep, data = setup.settings, setup.data
    gain, critical = forward_gain(sweep.activation), critical_point(sweep.activation, sigma_b=0.0).sigma_w
    return SignalConfig(
        activation=sweep.activation,
        distribution=sweep.distribution,
        inputs="images",
        # leaky_relu's two gains are one number, which two ways of computing give with different last digits
        relative_gain=round(gain / critical, 12),
        gain=gain,
        sigma_b=0.0,
        layer_sizes=(data.n_inputs, *sweep.hidden_widths, data.n_classes),
        seed=setup.seed,
    )


def _outputs(setup: Setup, models: Sequence[Any], data: Any) -> Iterator[Table | Figure]:
    n_classes = setup.data.n_classes
    table = result_table("gain_sweep", setup, models, setup.settings)
    yield table
    yield Figure("gain_sweep", "mlp_core.experiments.gain_sweep.figures:gain_sweep_figure", (table, n_classes))
    yield loss_figure("gain_sweep", models)
    start = xavier_signals(setup)
    settings = setup.table_settings(layer_sizes=start.layer_sizes, sigma_b=start.sigma_b)
    yield from signal_outputs("xavier", [start], setup, data, settings)


EXPERIMENT = Experiment(
    name="gain_sweep",
    help="Xavier weights at several gains: order, chaos and the edge (bonus).",
    settings=GainSweep,
    parameter="sweep",
    run_name="{sweep.activation} {sweep.distribution}",
    data=("images",),
    trials=_trials,
    outputs=_outputs,
    smallest=GainSweep(gains=(0.5, 1.4), batch_size=32),
    section="mlp_core.experiments.gain_sweep.section",
    claims="mlp_core.experiments.gain_sweep.claims",
    tutorial=GainSweep(),
)
