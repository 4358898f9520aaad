"""Signals and gradients in random networks, and what theory predicts: the tutorial's bonus without training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from mlp_core.errors import InputError
from mlp_core.experiments.interface import Experiment, Figure, MemoryEstimate, Setup, Table
from mlp_core.settings import ActivationName, Gains, Settings

_MEASURES = "mlp_core.experiments.signal_propagation.measures"
_BYTES_PER_NETWORK, _BYTES_PER_LAYER = 20_000, 600  # of a random network's measurements, as a table and joined


class SignalPropagation(Settings):
    """Lengths, angles and gradients in random networks, next to what theory predicts (bonus)."""

    activation: ActivationName = "tanh"
    """Transfer function between the layers: relu, tanh, sigmoid, gelu, erf, selu or leaky_relu(SLOPE)."""
    relative_gains: Gains = (0.7, 1.0, 1.5)
    """Gains as multiples of the critical one: order below 1, chaos above."""
    sigma_b: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] = 0.3
    """Standard deviation of a bias; 0.3 is that of Poole et al. 2016, PyTorch's at width 500 is 0.026."""
    distribution: Literal["normal", "uniform"] = "normal"
    """Distribution of weights and biases."""
    width: Annotated[int, Field(ge=2, le=20_000)] = 500
    """Units of each layer."""
    layers: Annotated[int, Field(ge=2, le=1000)] = 20
    """Layers to measure in, the first linear."""


@dataclass(frozen=True)
class SignalConfig:
    """Random networks of one gain, and the kind of input whose signals are measured in them.

    Attributes:
        activation: Name of the activation.
        distribution: `normal` or `uniform`, of weights and biases.
        inputs: `gaussian` or `images`.
        relative_gain: The gain as a multiple of the critical one.
        gain: Xavier's gain; between layers of equal width it is sigma_w.
        sigma_b: Standard deviation of a bias.
        layer_sizes: Number of inputs, then the units of each layer.
        seed: Root seed.
    """

    activation: str
    distribution: Literal["normal", "uniform"]
    inputs: Literal["gaussian", "images"]
    relative_gain: float
    gain: float
    sigma_b: float
    layer_sizes: tuple[int, ...]
    seed: int


def signal_configs(
    relative_gains: Sequence[float], critical_gain: float, width: int, layers: int, n_pixels: int, **networks: Any
) -> list[SignalConfig]:
    """Return one configuration of random networks per kind of input (Gaussian, then images) and gain.

    Args:
        relative_gains: Multiples of the critical gain.
        critical_gain: The gain at which order turns into chaos.
        width: Units of each layer, and features of a Gaussian input.
        layers: Number of layers.
        n_pixels: Numbers per image, such as 3 x 32 x 32.
        **networks: Activation, distribution, sigma_b and seed.

    Example:
        >>> networks = dict(activation="tanh", distribution="normal", sigma_b=0.3, seed=2021)
        >>> configs = signal_configs([1.0, 1.5], 1.4, width=100, layers=3, n_pixels=3072, **networks)
        >>> [(config.inputs, round(config.gain, 1), config.layer_sizes[:2]) for config in configs[1:3]]
        [('gaussian', 2.1, (100, 100)), ('images', 1.4, (3072, 100))]
    """
    kinds: tuple[tuple[Literal["gaussian", "images"], int], ...] = (("gaussian", width), ("images", n_pixels))
    return [
        SignalConfig(
            inputs=inputs,
            relative_gain=relative,
            gain=relative * critical_gain,
            layer_sizes=(n_inputs, *[width] * layers),
            **networks,
        )
        for inputs, n_inputs in kinds
        for relative in relative_gains
    ]


def signal_outputs(
    name: str, configs: Sequence[SignalConfig], setup: Setup, data: Any, settings: Mapping[str, Any]
) -> Iterator[Table | Figure]:
    """Describe the table of signals measured in random networks and the figure of the same name.

    Args:
        name: The table is `results/NAME`.
        configs: The networks.
        setup: What the experiment gets from the run; its `n_seeds` networks are measured for each configuration.
        data: Images, for the configurations that use them.
        settings: For the table's metadata.
    """
    measured = [
        Table(
            "tables/signal_propagation",
            f"{_MEASURES}:signal_table",
            (config, data, setup.n_seeds),
            title=f"measure signals {config.inputs} gain={config.gain:.4g}",
        )
        for config in configs
    ]
    table = Table(f"results/{name}", f"{_MEASURES}:joined_signals", (measured,), settings, f"collect {name}")
    yield table
    yield Figure(name, "mlp_core.report.signal_figure:signal_figure", (table,))


def _outputs(setup: Setup, models: Sequence[Any], data: Any) -> Iterator[Table | Figure]:
    networks = setup.settings
    configs = signal_configs(
        networks.relative_gains,
        _critical_gain(networks),
        networks.width,
        networks.layers,
        setup.data.n_inputs,
        **networks.model_dump(include={"activation", "distribution", "sigma_b"}),
        seed=setup.seed,
    )
    return signal_outputs("signal_propagation", configs, setup, data, setup.table_settings(networks))


def _critical_gain(networks: SignalPropagation) -> float:
    from mlp_core.theory.phases import critical_point

    point = critical_point(networks.activation, networks.sigma_b)
    if not point.converged:
        message = f"{networks.activation} must have a critical gain at sigma_b, got none at {networks.sigma_b:g}."
        raise InputError(message)
    return point.sigma_w


def _extra_memory(setup: Setup, n_workers: int) -> Iterator[MemoryEstimate]:
    networks = setup.settings
    n_weights = networks.width * max(networks.width, setup.data.n_inputs)
    yield MemoryEstimate(n_workers * 13 * n_weights, "random networks", "width", networks.width)
    n_bytes = setup.n_seeds * (_BYTES_PER_NETWORK + networks.layers * _BYTES_PER_LAYER)
    yield MemoryEstimate(n_workers * n_bytes, "the measurements of all members", "seeds", setup.n_seeds)


EXPERIMENT = Experiment(
    name="signal_propagation",
    help="Signals and gradients in random networks, next to what theory predicts (bonus).",
    settings=SignalPropagation,
    parameter="networks",
    run_name="{networks.activation}",
    data=("images",),
    extra_memory=_extra_memory,
    outputs=_outputs,
    smallest=SignalPropagation(width=20, layers=4, relative_gains=(0.5, 1.0)),
    section="mlp_core.experiments.signal_propagation.section",
    tutorial=SignalPropagation(width=300),
    beyond=True,
)
