"""Signals and gradients of two inputs, predicted layer by layer for a finite depth and infinite width."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlp_core.theory.maps import chi, correlation_map, correlation_of, length_map
from mlp_core.theory.weight_scales import WeightScale

_Array = NDArray[np.float64]

_NO_LONGER_A_NUMBER = 1e280  # one more layer may be more than a float holds


@dataclass(frozen=True)
class PredictedSignals:
    """Mean squares, correlations and gradients in an infinitely wide random network, float64 `[layers]` each.

    Attributes:
        mean_square: Mean square q of the first input's pre-activations, in each layer.
        correlation: Correlation c of the two inputs' pre-activations.
        gradient_mean_square: Mean square of the gradient with respect to the first input's pre-activations, as a
            multiple of that at the last layer.
    """

    mean_square: _Array
    correlation: _Array
    gradient_mean_square: _Array


def predicted_signals(
    scale: WeightScale, activation: str, sigma_b: float, q_inputs: tuple[float, float], c_inputs: float
) -> PredictedSignals:
    """Predict mean squares and correlation of two inputs' pre-activations, and gradients, in each layer.

    The theory is that of random networks of infinite width. The first layer is linear:
    `q = sigma_w^2 q_input + sigma_b^2`; after it each mean square q is `length_map` of the one before. Backward, a
    gradient's mean square takes the factor `fan_out * deviation^2 * E[phi'(sqrt(q) z)^2]` at each layer. Where mean
    squares grow beyond what a float holds they are inf, and correlations NaN.

    Args:
        scale: Size of the weights, which may differ from layer to layer.
        activation: Canonical name of phi; after every layer but the last.
        sigma_b: Standard deviation of a bias.
        q_inputs: Mean squares of the two inputs' features.
        c_inputs: Cosine of the angle between the two inputs.

    Example:
        >>> from mlp_core.theory.weight_scales import xavier_scale
        >>> scale = xavier_scale([64, 64, 64, 64], gain=2**0.5)
        >>> predicted = predicted_signals(scale, "relu", 0.0, q_inputs=(1.0, 1.0), c_inputs=0.0)
        >>> predicted.mean_square.round(4).tolist(), predicted.correlation.round(4).tolist()
        ([2.0, 2.0, 2.0], [0.0, 0.3183, 0.4937])

    Source:
        Poole et al. 2016, eq. 3 and 5; Schoenholz et al. 2017, on back-propagation.
    """
    sigmas = np.sqrt(scale.forward)
    q_first, q_second = (float(sigmas[0] ** 2 * q + sigma_b**2) for q in q_inputs)
    product = math.sqrt(q_inputs[0] * q_inputs[1]) * c_inputs
    c = correlation_of(float(sigmas[0] ** 2 * product + sigma_b**2), q_first, q_second)
    lengths, correlations = [q_first], [c]
    for sigma_w in sigmas[1:].tolist():
        if max(q_first, q_second) < _NO_LONGER_A_NUMBER:
            c = correlation_map(c, q_first, activation, sigma_w, sigma_b, q_second)
            q_first, q_second = (length_map(q, activation, sigma_w, sigma_b) for q in (q_first, q_second))
        else:
            q_first, q_second, c = math.inf, math.inf, math.nan
        lengths.append(q_first)
        correlations.append(c)
    slopes = [chi(min(q, _NO_LONGER_A_NUMBER), activation, 1.0) for q in lengths[:-1]]
    factors = scale.backward[1:] * np.array(slopes)
    with np.errstate(over="ignore"):
        gradients = np.append(np.cumprod(factors[::-1])[::-1], 1.0)
    return PredictedSignals(np.array(lengths), np.array(correlations), gradients)
