"""Where the maps of length and correlation come to rest."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from mlp_core.theory.activation_functions import activation_function
from mlp_core.theory.expectations import gaussian_mean, gaussian_pair_mean
from mlp_core.theory.maps import SMALLEST_LENGTH, chi, length_map

TOLERANCE = 1e-10
"""How close to a root, relative to it, and how close to 1 a slope has to be."""
MAX_ITERATIONS = 200
SHORTEST_SEARCHED, LONGEST_SEARCHED = 1e-12, 1e18
"""Lengths between which fixed points are looked for."""

_Array = NDArray[np.float64]


@dataclass(frozen=True)
class FixedPoint:
    """Result of a search for a fixed point, or for a root.

    Attributes:
        value: The fixed point; inf or NaN if there is none.
        converged: Whether the search reached its tolerance within the allowed steps.
        iterations: Steps of the search; 0 if none was needed.
    """

    value: float
    converged: bool
    iterations: int


def length_fixed_point(
    activation: str, sigma_w: float, sigma_b: float, max_iterations: int = MAX_ITERATIONS
) -> FixedPoint:
    """Return q*, the mean square that pre-activations approach in deep layers: the smallest stable fixed point.

    With V the length map it is the first q, on a geometric grid and then refined, from which on V(q) < q. Special
    cases:

    - Without biases and with small weights signals fade: q* = 0. For tanh that is up to sigma_w = 1, included.
    - For relu, leaky_relu, gelu and selu V grows in proportion to large q: from sigma_w^2 = 2 (relu) on there
      is no fixed point, and the value is inf, not converged.
    - At exactly this sigma_w and without biases V(q) = q for relu and leaky_relu at every q; the value is 1.
    - gelu without biases has the stable fixed point 0 or none; the 1 that its forward gain keeps is unstable.

    Args:
        activation: Canonical name of phi.
        sigma_w: Standard deviation of a weight times sqrt(fan_in).
        sigma_b: Standard deviation of a bias.
        max_iterations: Largest number of steps of the search; about 10 are needed.

    Example:
        >>> round(length_fixed_point("relu", sigma_w=1.0, sigma_b=1.0).value, 6)
        2.0
        >>> length_fixed_point("relu", sigma_w=1.5, sigma_b=0.0)
        FixedPoint(value=inf, converged=False, iterations=0)

    Source:
        Poole et al. 2016, eq. 3 and figure 1.
    """
    lowest = length_map(0.0, activation, sigma_w, sigma_b)
    phi = activation_function(activation)

    def excess(q: _Array | float, mean_square: _Array) -> _Array:
        return np.asarray((sigma_w**2 * mean_square + sigma_b**2) / q - 1)

    # V rises, so that no fixed point lies below V(0)
    grid, mean_squares = _searched_lengths(activation, lowest)
    excesses = excess(grid, mean_squares)
    if (abs(excesses) <= TOLERANCE).all():
        return FixedPoint(1.0, True, 0)
    if excesses[0] <= 0:
        return FixedPoint(lowest, True, 0)
    below = np.nonzero(excesses < -TOLERANCE)[0]
    if len(below) == 0:
        return FixedPoint(math.inf, False, 0)
    low, high = grid[below[0] - 1], grid[below[0]]
    return find_root(
        lambda q: float(excess(q, gaussian_mean(lambda u: phi.function(u) ** 2, q))),
        float(low),
        float(high),
        max_iterations,
    )


@lru_cache
def _searched_lengths(activation: str, lowest: float) -> tuple[_Array, _Array]:
    """Return lengths from the lowest on and the mean square of the activations at each: one search for all sigma_w."""
    phi = activation_function(activation)
    grid = np.geomspace(lowest or SHORTEST_SEARCHED, LONGEST_SEARCHED * max(lowest, 1.0), 401)
    return grid, gaussian_mean(lambda u: phi.function(u) ** 2, grid)


def correlation_fixed_point(
    q: float, activation: str, sigma_w: float, sigma_b: float, max_iterations: int = MAX_ITERATIONS
) -> FixedPoint:
    """Return c* in 0 .. 1, the correlation that two inputs' pre-activations approach in deep layers.

    The correlation map is a power series with no negative coefficient, so it is convex on 0 .. 1 and 1 at c = 1: if its
    slope there is at most 1, c* = 1 (order: all inputs become alike), else exactly one other fixed point attracts
    (chaos). It is the root of the growth of `1 - c`, `sigma_w^2 E[(phi(u1) - phi(u2))^2] / (2 V(q) (1 - c)) - 1`, which
    keeps its digits where c is almost 1, has no singularity on the critical line, and falls as 1 - c rises.

    Args:
        q: Mean square of both inputs' pre-activations, as a rule q*. At 0, c* is 1, the limit for small biases.
        activation: Canonical name of phi.
        sigma_w: Standard deviation of a weight times sqrt(fan_in).
        sigma_b: Standard deviation of a bias.
        max_iterations: Largest number of steps of the search; about 10 are needed.

    Example:
        >>> from mlp_core.theory.maps import correlation_map
        >>> q = length_fixed_point("tanh", sigma_w=1.5, sigma_b=0.3).value
        >>> point = correlation_fixed_point(q, "tanh", sigma_w=1.5, sigma_b=0.3)
        >>> round(point.value, 4), abs(correlation_map(point.value, q, "tanh", 1.5, 0.3) - point.value) < 1e-9
        (0.7668, True)

    Source:
        Poole et al. 2016, eq. 5 and section 2.2.
    """
    phi = activation_function(activation)
    q = max(q, SMALLEST_LENGTH)
    next_length = length_map(q, activation, sigma_w, sigma_b)

    @cache  # the search begins at ends that are looked at before
    def growth(decorrelation: float) -> float:
        mean = gaussian_pair_mean(lambda u1, u2: (phi.function(u1) - phi.function(u2)) ** 2, q, q, decorrelation)
        return sigma_w**2 * mean / (2 * next_length * decorrelation) - 1

    smallest = 1e-12
    if chi(q, activation, sigma_w) * q / next_length - 1 <= TOLERANCE or growth(smallest) <= 0:
        return FixedPoint(1.0, True, 0)
    if growth(1.0) >= -TOLERANCE:
        return FixedPoint(0.0, True, 0)
    root = find_root(growth, smallest, 1.0, max_iterations)
    return FixedPoint(1 - root.value, root.converged, root.iterations)


def find_root(excess: Callable[[float], float], low: float, high: float, max_iterations: int) -> FixedPoint:
    """Return the root of a function between `low`, where it is positive, and `high`, where it is not.

    False position on a logarithmic scale; the value at an end that stays twice is halved, so that both ends close in
    (the Illinois rule). About 10 steps as a rule, where bisection takes 40; up to 70 next to the critical line, where
    rounding hides the root. By hand because scipy's `brentq`, with as many steps and the same 12 digits, comes with
    `scipy.optimize`: 0.15 s of imports, also for a run that takes all results from the cache.

    Args:
        excess: Decreasing function whose root is wanted.
        low: Point above 0 where it is positive.
        high: Point above `low` where it is 0 or negative.
        max_iterations: Largest number of steps.

    Returns:
        The root, to a relative tolerance of 1e-10; not converged if the steps did not suffice.

    Example:
        >>> point = find_root(lambda q: 2 - q**2, low=0.1, high=10.0, max_iterations=50)
        >>> round(point.value, 9), point.converged
        (1.414213562, True)
    """
    ends, values, previous = [math.log(low), math.log(high)], [excess(low), excess(high)], -1
    for iteration in range(max_iterations):
        if ends[1] - ends[0] <= TOLERANCE:
            return FixedPoint(math.exp(sum(ends) / 2), True, iteration)
        middle = (ends[0] * values[1] - ends[1] * values[0]) / (values[1] - values[0])
        value = excess(math.exp(middle))
        if value == 0:
            return FixedPoint(math.exp(middle), True, iteration + 1)
        side = 0 if value > 0 else 1
        if side == previous:
            values[1 - side] /= 2
        ends[side], values[side], previous = middle, value, side
    return FixedPoint(math.exp(sum(ends) / 2), False, max_iterations)
