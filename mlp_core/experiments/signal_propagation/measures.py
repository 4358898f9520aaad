"""Signals measured in random networks, next to what theory predicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor

from mlp_core.artifacts.units import with_units
from mlp_core.data.augmentation import normalize
from mlp_core.data.datasets import Split
from mlp_core.experiments.signal_propagation.experiment import SignalConfig
from mlp_core.seeds import derive_seed, generator
from mlp_core.theory.predictions import predicted_signals
from mlp_core.theory.random_networks import gaussian_inputs, input_lengths, measure_signals
from mlp_core.theory.weight_scales import xavier_scale

_GAUSSIAN_MEAN_SQUARE, _GAUSSIAN_CORRELATION = 1.0, 0.5
_QUANTITIES = ("mean_square", "correlation", "gradient_mean_square")
_UNITS = {
    "activation": "name",
    "distribution": "normal|uniform",
    "inputs": "gaussian|images",
    "relative_gain": "multiple of the critical gain",
    "gain": "factor on Xavier's standard deviation",
    "layer": "number, from 1 at the inputs",
    "member": "number",
    "seed": "seed of the member's weights",
    "mean_square": "of the pre-activations, over the units",
    "correlation": "cosine between the pre-activations of two inputs; null where all units are dead",
    "gradient_mean_square": "of the gradient at the pre-activations, 1 in the last layer",
    "predicted_mean_square": "the same at infinite width",
    "predicted_correlation": "the same at infinite width",
    "predicted_gradient_mean_square": "the same at infinite width",
    "status": "ok|dead",
}


def signal_table(
    config: SignalConfig, data: Split, n_members: int, checkpoint: Callable[[], None] = lambda: None
) -> pa.Table:
    """Send two inputs forward and a gradient back through random networks, and measure both in every layer.

    Args:
        config: The networks and the kind of input.
        data: Images; for inputs `images`, the first test image of each of two classes is sent.
        n_members: Number of networks.
        checkpoint: Called before each network; it may raise to stop.

    Returns:
        One row per member and layer: mean square, correlation and gradient, each with the value that theory predicts at
        infinite width. The correlation is null where all units are dead.
    """
    inputs = _two_inputs(config, data)
    scale = xavier_scale(config.layer_sizes, config.gain)
    predicted = predicted_signals(scale, config.activation, config.sigma_b, *input_lengths(inputs))
    n_layers = len(config.layer_sizes) - 1
    named = {
        name: pa.array([getattr(config, name)] * n_layers)
        for name in ("activation", "distribution", "inputs", "relative_gain", "gain")
    }
    parts = []
    for member in range(n_members):
        checkpoint()
        seed = derive_seed(config.seed, "signals", member)
        measured = measure_signals(scale, config.activation, config.sigma_b, inputs, [0], seed, config.distribution)
        columns: dict[str, Any] = {**named, "layer": pa.array(range(1, n_layers + 1), pa.int64())}
        columns |= {"member": pa.array([member] * n_layers), "seed": pa.array([seed] * n_layers)}
        for name in _QUANTITIES:
            columns[name] = pa.array(getattr(measured, name)[0].numpy(), from_pandas=True)
        for name in _QUANTITIES:
            columns[f"predicted_{name}"] = pa.array(getattr(predicted, name))
        dead = measured.correlation[0].isnan().tolist()
        parts.append(pa.table({**columns, "status": ["dead" if is_dead else "ok" for is_dead in dead]}))
    return with_units(pa.concat_tables(parts).combine_chunks(), _UNITS)


def _two_inputs(config: SignalConfig, data: Split) -> Tensor:
    """Return two random directions of a set length and angle, or the first test images of two classes."""
    if config.inputs == "gaussian":
        stream = generator(config.seed, "signals", "inputs")
        return gaussian_inputs(config.layer_sizes[0], _GAUSSIAN_MEAN_SQUARE, _GAUSSIAN_CORRELATION, stream)
    first = [int((data.test_labels == label).nonzero()[0]) for label in torch.unique(data.test_labels)[:2]]
    return normalize(data.test_inputs[torch.tensor(first)]).flatten(1)


def joined_signals(measured: Sequence[pa.Table]) -> pa.Table:
    """Return several tables of `signal_table` as one, in the given order."""
    return with_units(pa.concat_tables([table.replace_schema_metadata() for table in measured]), _UNITS)
