"""Which of many configurations cannot be told from a chosen one, in pairs of equal seeds, corrected for how many."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlp_core.statistics.comparisons import ERROR_RATE

_ALL_FLIPS = 10
"""Seeds up to which every pattern of signs is looked at; with more, so many are drawn."""
_AT_ONCE = 1 << 22
_Floats = NDArray[np.float64]


def behind(values: _Floats, chosen: int, stream: np.random.Generator) -> _Floats:
    """Return for each configuration the p-value of being worse than the chosen one, corrected for all comparisons.

    This is a permutation test with the largest t. The difference to the chosen configuration is taken seed by seed. If
    a configuration is as good, each difference is as likely with the other sign. So the sign of a seed is flipped for
    all configurations together, and the p-value is the share of sign patterns in which the largest t of any
    configuration reaches the observed t. This corrects for the number of configurations and for how similar they are.
    The truly best configuration keeps a p-value above `ERROR_RATE` in at least 95 of 100 sweeps, whichever
    configuration was chosen.

    Args:
        values: `[configurations, seeds]`, all finite; higher is better.
        chosen: Row of the configuration that the others are compared with.
        stream: Generator of the sign patterns. It is used with more than 10 seeds; with fewer, all patterns are tried.

    Returns:
        float64 `[configurations]`; 1 for the chosen one and for each with a mean that is not lower.

    Example:
        >>> stream = np.random.default_rng(0)
        >>> values = 0.01 * stream.normal(size=(3, 8)) + np.array([[0.9], [0.91], [0.5]])
        >>> behind(values, 0, stream).round(3).tolist()
        [1.0, 0.305, 0.004]

    Source:
        Westfall and Young 1993, "Resampling-based multiple testing" (max t); Hsu 1996, "Multiple comparisons", section
        4 (why the best stays).
    """
    differences = values[chosen] - values
    n = differences.shape[1]
    signs = _signs(n, stream)
    largest = np.full(len(signs), -np.inf)
    seen = np.empty(len(values))
    at_once = max(1, _AT_ONCE // len(signs))
    for start in range(0, len(values), at_once):
        t = _t_values(differences[start : start + at_once], signs)
        seen[start : start + at_once] = t[0]
        largest = np.maximum(largest, t.max(1))
    ordered = np.sort(largest)
    probability = 1 - np.searchsorted(ordered, seen * (1 - 1e-9) - 1e-12, "left") / len(ordered)
    probability[chosen] = 1.0
    return np.asarray(np.where(seen > 0, probability, 1.0))


def not_told_apart(values: _Floats, chosen: int, stream: np.random.Generator) -> tuple[NDArray[np.bool_], bool]:
    """Return which configurations are not significantly worse than the chosen one, and whether seeds suffice.

    Args:
        values: As in `behind`.
        chosen: As in `behind`.
        stream: As in `behind`.

    Returns:
        bool `[configurations]`, true where the p-value of `behind` is above 5 %; and whether the test has enough seeds
        (5 or more) to reach 5 % at all.

    Example:
        >>> values = np.array([[0.9, 0.91, 0.92], [0.1, 0.11, 0.12]])
        >>> alike, enough = not_told_apart(values, 0, np.random.default_rng(0))
        >>> alike.tolist(), enough  # three seeds have eight patterns of signs: too few for 5 %
        ([True, True], False)
    """
    return behind(values, chosen, stream) > ERROR_RATE, bool(0.5 ** values.shape[1] <= ERROR_RATE)


def _signs(n: int, stream: np.random.Generator) -> _Floats:
    """Return patterns of signs `[patterns, n]`, the one that changes nothing first."""
    if n <= _ALL_FLIPS:
        numbers = np.arange(2**n)[:, None] >> np.arange(n)
        return np.where(numbers & 1, -1.0, 1.0)
    signs = np.where(stream.integers(2, size=(2**_ALL_FLIPS, n)), -1.0, 1.0)
    signs[0] = 1.0
    return signs


def _t_values(differences: _Floats, signs: _Floats) -> _Floats:
    """Return the t of each configuration with the signs of its differences flipped, `[patterns, configurations]`."""
    n = differences.shape[1]
    means: _Floats = signs @ differences.T / n
    squares = (differences**2).mean(1)  # which flips leave as they are
    spread = (squares - means**2) / max(1, n - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = means / np.sqrt(np.maximum(spread, 0))
    without = spread <= 1e-12 * squares / n  # all of one size
    return np.where(without, np.where(means == 0, 0.0, np.copysign(np.inf, means)), t)


def pareto_front(costs: _Floats, values: _Floats) -> NDArray[np.int64]:
    """Return the rows on the Pareto front, by rising cost: each has a higher value than every row that costs less.

    Of rows with equal costs only the best is kept, and of rows that are equal in both the first.

    Args:
        costs: `[n]`, lower is better.
        values: `[n]`, higher is better.

    Returns:
        int64, row numbers.

    Example:
        >>> pareto_front(np.array([3.0, 1.0, 2.0, 4.0]), np.array([0.9, 0.5, 0.4, 0.9])).tolist()
        [1, 0]
    """
    order = np.lexsort((-values, costs))
    best = np.maximum.accumulate(np.concatenate([[-np.inf], values[order][:-1]]))
    front: NDArray[np.int64] = order[values[order] > best]
    return front
