"""How large random weights are, layer by layer: the papers' parametrization and Xavier's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

_Array = NDArray[np.float64]


@dataclass(frozen=True)
class WeightScale:
    """Layer sizes and standard deviations of a random network's weights.

    Attributes:
        layer_sizes: Number of inputs, then of the units of each layer.
        deviations: Standard deviation of a weight, one per layer.
    """

    layer_sizes: tuple[int, ...]
    deviations: tuple[float, ...]

    @property
    def forward(self) -> _Array:
        """Return `fan_in * deviation^2` of each layer, float64 `[layers]`: the theory's sigma_w^2 for signals."""
        return np.array([n * d**2 for n, d in zip(self.layer_sizes[:-1], self.deviations, strict=True)])

    @property
    def backward(self) -> _Array:
        """Return `fan_out * deviation^2` of each layer, float64 `[layers]`: it replaces sigma_w^2 for gradients."""
        return np.array([n * d**2 for n, d in zip(self.layer_sizes[1:], self.deviations, strict=True)])


def mean_field_scale(layer_sizes: Sequence[int], sigma_w: float) -> WeightScale:
    """Return the scale of weights with standard deviation `sigma_w / sqrt(fan_in)`, as mean-field papers have them.

    Args:
        layer_sizes: Number of inputs, then of the units of each layer.
        sigma_w: Standard deviation of a weight times sqrt(fan_in).

    Example:
        >>> mean_field_scale([100, 100, 25], sigma_w=2.0).backward.round(6).tolist()
        [4.0, 1.0]
    """
    return WeightScale(tuple(layer_sizes), tuple(sigma_w / math.sqrt(n_inputs) for n_inputs in layer_sizes[:-1]))


def xavier_scale(layer_sizes: Sequence[int], gain: float) -> WeightScale:
    """Return the scale of weights of Xavier's initialization: standard deviation `gain * sqrt(2 / (fan_in + fan_out))`.

    Where the widths differ, one gain means a different sigma_w in each layer: for signals
    `sigma_w^2 = gain^2 * 2 fan_in / (fan_in + fan_out)`, for gradients the same with fan_out in the numerator.

    Args:
        layer_sizes: Number of inputs, then of the units of each layer.
        gain: Factor on Xavier's standard deviation.

    Example:
        >>> scale = xavier_scale([3072, 128, 64, 32, 3], gain=1.0)
        >>> scale.forward.round(2).tolist(), scale.backward.round(2).tolist()
        ([1.92, 1.33, 1.33, 1.83], [0.08, 0.67, 0.67, 0.17])

    Source:
        Glorot & Bengio 2010, eq. 10 to 12.
    """
    deviations = (gain * math.sqrt(2 / (n_inputs + n_outputs)) for n_inputs, n_outputs in pairwise(layer_sizes))
    return WeightScale(tuple(layer_sizes), tuple(deviations))
