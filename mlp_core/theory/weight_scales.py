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
    """How large the random weights of each layer are.

    Attributes:
        layer_sizes: Inputs, then the units of each layer.
        deviations: Standard deviation of a weight, one per layer.
    """

    layer_sizes: tuple[int, ...]
    deviations: tuple[float, ...]

    @property
    def forward(self) -> _Array:
        """Factor `fan_in * deviation^2` of each layer, `[layers]`: sigma_w^2 on the way forward."""
        return np.array([n * d**2 for n, d in zip(self.layer_sizes[:-1], self.deviations, strict=True)])

    @property
    def backward(self) -> _Array:
        """Factor `fan_out * deviation^2` of each layer, `[layers]`: in the place of sigma_w^2 on the way back."""
        return np.array([n * d**2 for n, d in zip(self.layer_sizes[1:], self.deviations, strict=True)])


def mean_field_scale(layer_sizes: Sequence[int], sigma_w: float) -> WeightScale:
    """Return weights of standard deviation `sigma_w / sqrt(fan_in)`, the papers' own.

    Example:
        >>> mean_field_scale([100, 100, 25], sigma_w=2.0).backward.round(6).tolist()
        [4.0, 1.0]
    """
    return WeightScale(tuple(layer_sizes), tuple(sigma_w / math.sqrt(n_inputs) for n_inputs in layer_sizes[:-1]))


def xavier_scale(layer_sizes: Sequence[int], gain: float) -> WeightScale:
    """Return weights of standard deviation `gain * sqrt(2 / (fan_in + fan_out))`.

    Where the widths differ, one gain is another sigma_w in each layer, and another again on the way back: forward
    `sigma_w^2 = gain^2 * 2 fan_in / (fan_in + fan_out)`, backward with fan_out above the line.

    Example:
        >>> scale = xavier_scale([3072, 128, 64, 32, 3], gain=1.0)
        >>> scale.forward.round(2).tolist(), scale.backward.round(2).tolist()
        ([1.92, 1.33, 1.33, 1.83], [0.08, 0.67, 0.67, 0.17])

    Source:
        Glorot & Bengio 2010, eq. 10 to 12.
    """
    deviations = (gain * math.sqrt(2 / (n_inputs + n_outputs)) for n_inputs, n_outputs in pairwise(layer_sizes))
    return WeightScale(tuple(layer_sizes), tuple(deviations))
