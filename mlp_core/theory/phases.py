"""Order and chaos: fixed points with their depth scales, and the critical line between the two phases."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mlp_core.theory.activation_functions import activation_function
from mlp_core.theory.expectations import gaussian_mean
from mlp_core.theory.fixed_points import (
    LONGEST_SEARCHED,
    MAX_ITERATIONS,
    SHORTEST_SEARCHED,
    TOLERANCE,
    FixedPoint,
    correlation_fixed_point,
    find_root,
    length_fixed_point,
)
from mlp_core.theory.maps import check_ranges, chi, length_map, length_slope

_Array = NDArray[np.float64]

_LARGEST_CRITICAL_LENGTH = 1e6


@dataclass(frozen=True)
class PhasePoint:
    """Fixed points and depth scales of wide random networks, for one activation, sigma_w and sigma_b.

    Attributes:
        q: Fixed point q* of the length map: the mean square of the pre-activations in deep layers.
        c: Fixed point c* of the correlation map; NaN, not converged, if there is no q*.
        chi_1: Slope of the correlation map at c = 1: below 1 order, above 1 chaos. Without a q* it is the
            limit for large q; relu and leaky_relu have one chi_1 for all q.
        chi_c: Slope of the correlation map at c*; NaN if there is no c*.
        xi_q: Number of layers over which the distance from q* falls by the factor e; NaN if there is no q*.
        xi_c: Number of layers over which the distance from c* falls by the factor e; infinite on the critical line,
            NaN if there is no c*.
    """

    q: FixedPoint
    c: FixedPoint
    chi_1: float
    chi_c: float
    xi_q: float
    xi_c: float


@lru_cache(maxsize=1024)  # a figure, its legend and the report ask for the same
def phase_point(activation: str, sigma_w: float, sigma_b: float) -> PhasePoint:
    """Return the fixed points q* and c*, the slopes there and the depth scales of wide random networks.

    `xi_q = -1 / log(V'(q*))` and `xi_c = -1 / log(chi at c*)`, V being the length map; a slope of 1 gives infinity.
    At q* = 0 xi_c is the limit for a small bias: the scale at which signals and gradients fade. The correlation of
    relu and leaky_relu without biases does not depend on lengths, and nears 1 by a power of the depth.

    Args:
        activation: Canonical name.
        sigma_w: Standard deviation of a weight times sqrt(fan_in), above 0.
        sigma_b: Standard deviation of a bias, at least 0.

    Example:
        >>> point = phase_point("tanh", sigma_w=0.9, sigma_b=0.0)  # all lengths fall by 0.9^2 a layer
        >>> point.q.value, point.c.value, round(point.chi_1, 6), round(point.xi_c, 3)
        (0.0, 1.0, 0.81, 4.746)

    Source:
        Schoenholz et al. 2017, eq. 7 to 10.
    """
    q = length_fixed_point(activation, sigma_w, sigma_b)
    if not math.isfinite(q.value):
        chi_1 = chi(LONGEST_SEARCHED, activation, sigma_w)
        return PhasePoint(q, FixedPoint(math.nan, False, 0), chi_1, math.nan, math.nan, math.nan)
    c = correlation_fixed_point(q.value, activation, sigma_w, sigma_b)
    chi_1 = chi(q.value, activation, sigma_w)
    chi_c = chi(q.value, activation, sigma_w, c.value)
    return PhasePoint(q, c, chi_1, chi_c, _depth_scale(length_slope(q.value, activation, sigma_w)), _depth_scale(chi_c))


@dataclass(frozen=True)
class CriticalPoint:
    """A point of the critical line between order and chaos: a sigma_w at which chi_1 is 1.

    Attributes:
        sigma_w: Standard deviation of a weight times sqrt(fan_in); NaN if the search gave none.
        q: Fixed point of the length map there; inf if the mean square grows without bound.
        stable: Whether a mean square slightly above q does not grow in the next layer. False for relu and leaky_relu
            with biases, and for gelu below a sigma_b of about 0.4: there the fixed point repels.
        converged: Whether the search reached its tolerance within the allowed steps.
    """

    sigma_w: float
    q: float
    stable: bool
    converged: bool


@lru_cache
def critical_point(activation: str, sigma_b: float, max_iterations: int = MAX_ITERATIONS) -> CriticalPoint:
    """Return the sigma_w at which random networks are critical, chi_1(q*) = 1, for a given sigma_b.

    For a given q both conditions have a solution, `sigma_w^2 = 1 / E[phi'^2]` and `sigma_b^2 = q - sigma_w^2 E[phi^2]`;
    the search is for the q that gives sigma_b.

    Args:
        activation: Canonical name of phi.
        sigma_b: Standard deviation of a bias, at least 0.
        max_iterations: Largest number of steps of the search; about 10 are needed.

    Returns:
        The critical point; with sigma_w and q NaN and not converged if its q would be above 1e6.

    Example:
        >>> [round(critical_point(name, sigma_b=0.0).sigma_w ** 2, 3) for name in ("tanh", "leaky_relu(0.1)")]
        [1.0, 1.98]

    Source:
        Poole et al. 2016, eq. 6; Schoenholz et al. 2017, figure 1.
    """
    check_ranges(1.0, sigma_b, 0.0)
    phi = activation_function(activation)

    def growth(q: _Array | float) -> _Array:
        square = gaussian_mean(lambda u: phi.function(u) ** 2, q)
        slope_square = gaussian_mean(lambda u: phi.derivative(u) ** 2, q)
        return np.asarray(square / slope_square / q - 1)

    def point(q: float, keeps_length: bool, converged: bool) -> CriticalPoint:
        sigma_w = 1 / math.sqrt(chi(q, activation, 1.0))
        probe = 1.01 * q + 1e-6
        returns = length_map(probe, activation, sigma_w, sigma_b) <= probe * (1 + TOLERANCE)
        return CriticalPoint(sigma_w, q if keeps_length else math.inf, returns, converged)

    grid = np.geomspace(SHORTEST_SEARCHED, _LARGEST_CRITICAL_LENGTH, 401)
    growths = growth(grid)
    if (abs(growths) <= TOLERANCE).all():
        return point(1.0, keeps_length=sigma_b == 0, converged=True)
    if sigma_b == 0 and phi.function(np.zeros(1))[0] == 0:
        return point(0.0, keeps_length=True, converged=True)
    enough = np.nonzero(growths + sigma_b**2 / grid <= 0)[0]
    if len(enough) == 0:
        return CriticalPoint(math.nan, math.nan, False, False)
    low, high = grid[enough[0] - 1], grid[enough[0]]
    root = find_root(lambda q: float(growth(q)) + sigma_b**2 / q, float(low), float(high), max_iterations)
    return point(root.value, keeps_length=True, converged=root.converged)


def _depth_scale(slope: float) -> float:
    if slope >= 1 - TOLERANCE:
        return math.inf
    return -1 / math.log(slope) if slope > 0 else 0.0
