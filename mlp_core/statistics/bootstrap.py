"""The bootstrap over seeds: intervals of measures that have no formula."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mlp_core.statistics.by_seed import BySeed
from mlp_core.statistics.intervals import student_t_factor

N_RESAMPLES = 10_000
_WEIGHTS_AT_ONCE = 5_000_000
_Floats = NDArray[np.float64]


def bootstrap_weights(n: int, stream: np.random.Generator, n_resamples: int = N_RESAMPLES) -> _Floats:
    """Return how much each of n seeds weighs in each resample: `weights @ values` are the resampled means.

    Configurations that share seeds are resampled together by one matrix product, which keeps them paired.

    Args:
        n: Seeds, at least 1.
        stream: Where the resamples come from.
        n_resamples: How many of them; two halves one after the other are the whole.

    Returns:
        `[n_resamples, n]`, each row with sum 1.

    Example:
        >>> weights = bootstrap_weights(8, np.random.default_rng(0))
        >>> weights.shape, bool(np.allclose(weights.sum(1), 1))
        ((10000, 8), True)

    Source:
        Efron 1979, "Bootstrap methods: another look at the jackknife".
    """
    draws = stream.integers(n, size=(n_resamples, n)) + n * np.arange(n_resamples)[:, None]
    return np.bincount(draws.ravel(), minlength=n_resamples * n).reshape(n_resamples, n) / n


def bootstrap_interval(resampled: _Floats, n: int) -> tuple[float, float]:
    """Return the central 95 % of a resampled measure, widened as few seeds require.

    The plain percentiles are too narrow for few seeds, as a normal quantile and a deviation without Bessel's correction
    are: with 8 they cover a mean 89 times in 100. So the tails are not 2.5 % but
    `Phi(-t(n - 1) sqrt(n / (n - 1)))`, with which the interval of a mean is that of Student's t for symmetric data. The
    ends are values that occur, so that the best of a few depths has a depth for an end. A resample in which the
    measure is not defined (NaN) counts as beyond both ends.

    Args:
        resampled: The measure in each resample.
        n: Seeds.

    Returns:
        Lower and upper end; NaN for fewer than 2 seeds.

    Example:
        >>> values = np.random.default_rng(0).normal(size=64)
        >>> low, high = bootstrap_interval(bootstrap_weights(64, np.random.default_rng(1)) @ values, 64)
        >>> from mlp_core.statistics.intervals import mean_interval
        >>> interval = mean_interval(values)
        >>> abs(low - interval.low) < 0.02, abs(high - interval.high) < 0.02
        (True, True)

    Source:
        Hesterberg 2015, "What teachers should know about the bootstrap", section 4.3.2 (expanded percentiles).
    """
    if n < 2:
        return math.nan, math.nan
    tail = math.erfc(student_t_factor(n - 1) * math.sqrt(n / (n - 1) / 2)) / 2
    undefined = np.isnan(resampled)
    low = np.quantile(np.where(undefined, -math.inf, resampled), tail, method="lower")
    high = np.quantile(np.where(undefined, math.inf, resampled), 1 - tail, method="higher")
    return float(low), float(high)


def resampled_means(groups: Sequence[_Floats], stream: np.random.Generator, paired: bool = False) -> list[_Floats]:
    """Return the means `[N_RESAMPLES, levels]` of groups `[levels, seeds]`; paired groups are resampled alike.

    Example:
        >>> (means,) = resampled_means([np.array([[1.0, 2.0], [5.0, 5.0]])], np.random.default_rng(0))
        >>> means.shape, np.unique(means[:, 0]).tolist(), np.unique(means[:, 1]).tolist()
        ((10000, 2), [1.0, 1.5, 2.0], [5.0])
    """
    if not paired:
        return [means for values in groups for means in _means_alike([values], stream)]
    return _means_alike(groups, stream)


def _means_alike(groups: Sequence[_Floats], stream: np.random.Generator) -> list[_Floats]:
    n = groups[0].shape[1]
    if not n:
        return [np.full((N_RESAMPLES, len(values)), math.nan) for values in groups]
    parts: list[list[_Floats]] = [[] for _ in groups]
    at_once = max(1, _WEIGHTS_AT_ONCE // n)  # all weights of 20,000 seeds would take gigabytes
    for start in range(0, N_RESAMPLES, at_once):
        weights = bootstrap_weights(n, stream, min(at_once, N_RESAMPLES - start))
        for part, values in zip(parts, groups, strict=True):
            part.append(weights @ values.T)
    return [np.concatenate(part) for part in parts]


def best_level(
    group: BySeed, fewest_levels: int, stream: np.random.Generator
) -> tuple[int, float, tuple[float, float]]:
    """Return the level of highest mean, chosen anew in each resample.

    Args:
        group: Levels to choose from.
        fewest_levels: With fewer there is nothing to choose.
        stream: Where the resamples come from.

    Returns:
        How many seeds, the level, and the interval of that choice; 0 and NaN if there is nothing to choose.

    Example:
        >>> group = BySeed(np.array([1, 2]), np.arange(8), np.repeat([[0.5], [0.9]], 8, axis=1))
        >>> best_level(group, 2, np.random.default_rng(0))
        (8, 2.0, (2.0, 2.0))
    """
    n = group.values.shape[1]
    if not n or len(group.levels) < fewest_levels:
        return 0, math.nan, (math.nan, math.nan)
    (means,) = resampled_means([group.values], stream)
    best = float(group.levels[group.values.mean(1).argmax()])
    return n, best, bootstrap_interval(group.levels[means.argmax(1)].astype(np.float64), n)
