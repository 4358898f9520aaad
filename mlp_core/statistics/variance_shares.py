"""How much of the variance of results each setting of a grid explains, alone and in pairs, against that of seeds.

A result is a function of the settings and of the seed. Over a whole grid, each combination of levels as probable as any
other, it falls apart into a mean, an effect of each setting alone, one of each pair beyond, and so on (Hoeffding);
the variances of these parts add up to the whole (Sobol'). The seeds' part is the variance within a configuration.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlp_core.statistics.intervals import Interval, student_t_factor

SEEDS, HIGHER = "seeds", "three settings and more"
_TREES = 32
_GROUPS = 16
_Floats = NDArray[np.float64]
_Levels = NDArray[np.int64]


@dataclass(frozen=True)
class VarianceShares:
    """Share of the results' variance that each setting and each pair of settings explains.

    Attributes:
        shares: Each share with its 95 % interval over seeds (jackknife; cut to 0 .. 1). Keys are settings, pairs joined
            with ` x `, `HIGHER` for three settings and more, and `SEEDS` for the variance within a configuration. The
            sum is 1, or 0 if nothing varies.
        exact: True if all combinations of levels were measured; false if a random forest estimated the others.
        variance: The whole variance.
    """

    shares: dict[str, Interval]
    exact: bool
    variance: float


def variance_shares(names: Sequence[str], levels: _Levels, sizes: Sequence[int], values: _Floats) -> VarianceShares:
    """Return the shares of the results' variance that settings, pairs of settings and seeds explain (functional ANOVA).

    With all combinations, the decomposition is computed as it is defined. A part is the mean square of an effect. The
    effect is a mean over few seeds, so its own variance over seeds, divided by their number, is subtracted: settings
    without an effect get 0 on average, and a single estimate may be negative. With some combinations only, a random
    forest is fitted to the means over seeds, and its effects, averaged over all combinations, are computed exactly from
    its leaves; what it does not explain counts as `HIGHER`.

    Args:
        names: Names of the settings that have two levels or more.
        levels: Index of each configuration's level, from 0, `[configurations, settings]`.
        sizes: Number of levels of each setting.
        values: `[configurations, seeds]`, all finite; two seeds or more. With two there are no intervals.

    Example:
        >>> levels = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
        >>> values = np.array([[0.0], [0.0], [1.0], [1.0]]) + np.array([[0.1, -0.1]])
        >>> found = variance_shares(["depth", "width"], levels, [2, 2], values)
        >>> {name: round(share.estimate, 3) for name, share in found.shares.items()}
        {'depth': 0.926, 'width': 0.0, 'depth x width': 0.0, 'three settings and more': 0.0, 'seeds': 0.074}

    Source:
        Hoeffding 1948, "A class of statistics with asymptotically normal distribution"; Sobol' 1993, "Sensitivity
        estimates for nonlinear mathematical models"; for hyperparameters, with the forest, Hutter, Hoos and
        Leyton-Brown 2014, "An efficient approach for assessing hyperparameter importance".
    """
    exact = len(values) == np.prod(sizes)
    parts = _exact_parts if exact else _forest_parts
    whole = parts(levels, sizes, values)
    groups = np.array_split(np.arange(values.shape[1]), min(values.shape[1], values.shape[1] if exact else _GROUPS))
    left_out = []
    if values.shape[1] > 2:
        left_out = [_shares(parts(levels, sizes, np.delete(values, group, axis=1))) for group in groups]
    subsets = [*((axis,) for axis in range(len(sizes))), *combinations(range(len(sizes)), 2)]
    labels = [*(" x ".join(names[axis] for axis in subset) for subset in subsets), HIGHER, SEEDS]
    intervals = _jackknife(_shares(whole), np.array(left_out), values.shape[1])
    return VarianceShares(dict(zip(labels, intervals, strict=True)), bool(exact), float(whole.sum()))


def _shares(parts: _Floats) -> _Floats:
    total = parts.sum()
    return parts / total if total > 0 else np.zeros_like(parts)


def _jackknife(shares: _Floats, left_out: _Floats, n: int) -> list[Interval]:
    groups = len(left_out)
    if groups < 3:
        return [Interval(n, float(share), np.nan, np.nan, 0) for share in shares]
    deviation = np.sqrt((groups - 1) / groups * ((left_out - left_out.mean(0)) ** 2).sum(0))
    half = student_t_factor(groups - 1) * deviation
    return [
        Interval(n, float(share), float(share - width), float(share + width), 0).within(0.0, 1.0)
        for share, width in zip(shares, half, strict=True)
    ]


def _seed_part(values: _Floats) -> tuple[float, float]:
    """Return the variance of the configurations' means without what seeds add to it, and that within configurations."""
    within = float(values.var(1, ddof=1).mean()) if values.shape[1] > 1 else 0.0
    centered = values - values.mean(0)  # a seed that is lucky everywhere is no effect of a setting
    n = values.shape[1]
    noise = float(centered.var(1, ddof=1).mean()) / n if n > 1 else 0.0
    return float((centered.mean(1) ** 2).mean()) - noise, within


def _exact_parts(levels: _Levels, sizes: Sequence[int], values: _Floats) -> _Floats:
    n = values.shape[1]
    grid = np.empty((*sizes, n))
    grid[tuple(levels.T)] = values
    grid = grid - grid.mean(tuple(range(len(sizes))))

    def part(effect: _Floats) -> float:
        noise = effect.var(-1, ddof=1) / n if n > 1 else 0.0
        return float((effect.mean(-1) ** 2 - noise).mean())

    def averaged(*kept: int) -> _Floats:
        means: _Floats = grid.mean(tuple(axis for axis in range(len(sizes)) if axis not in kept))
        return means

    alone = [averaged(axis) for axis in range(len(sizes))]
    pairs = [
        averaged(first, second) - alone[first][:, None] - alone[second][None]
        for first, second in combinations(range(len(sizes)), 2)
    ]
    return _with_rest([part(effect) for effect in (*alone, *pairs)], values)


def _with_rest(parts: Sequence[float], values: _Floats) -> _Floats:
    between, within = _seed_part(values)
    return np.array([*parts, between - sum(parts), within])


def _forest_parts(levels: _Levels, sizes: Sequence[int], values: _Floats) -> _Floats:
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(_TREES, random_state=0, n_jobs=1).fit(levels, values.mean(1))
    alone: list[_Floats] = [np.zeros(size) for size in sizes]
    pairs: list[_Floats] = [
        np.zeros((sizes[first], sizes[second])) for first, second in combinations(range(len(sizes)), 2)
    ]
    for tree in forest.estimators_:
        leaf_values, boxes = _leaves(tree.tree_, sizes)
        inside = [
            (np.arange(size) >= box[:, :1]) & (np.arange(size) < box[:, 1:])
            for size, box in zip(sizes, boxes, strict=True)
        ]
        shares = np.array([rows.mean(1) for rows in inside])
        weights = leaf_values * shares.prod(0)
        for axis, effect in enumerate(alone):
            effect += (weights / shares[axis]) @ inside[axis] / _TREES
        for effect, (first, second) in zip(pairs, combinations(range(len(sizes)), 2), strict=True):
            effect += (inside[first].T * (weights / shares[first] / shares[second])) @ inside[second] / _TREES
    mean = alone[0].mean() if alone else 0.0
    alone = [effect - mean for effect in alone]
    pairs = [
        effect - mean - alone[first][:, None] - alone[second][None]
        for effect, (first, second) in zip(pairs, combinations(range(len(sizes)), 2), strict=True)
    ]
    return _with_rest([float((effect**2).mean()) for effect in (*alone, *pairs)], values)


def _leaves(tree: Any, sizes: Sequence[int]) -> tuple[_Floats, list[_Levels]]:
    """Return the values of a tree's leaves, and of each setting the levels from and to which each leaf holds."""
    values: list[float] = []
    boxes: list[list[tuple[int, int]]] = []
    waiting: list[tuple[int, list[tuple[int, int]]]] = [(0, [(0, size) for size in sizes])]
    while waiting:
        node, box = waiting.pop()
        left, right = tree.children_left[node], tree.children_right[node]
        if left < 0:
            values.append(float(tree.value[node].ravel()[0]))
            boxes.append(box)
            continue
        axis, (low, high) = tree.feature[node], box[tree.feature[node]]
        cut = int(np.floor(tree.threshold[node])) + 1
        for child, interval in ((left, (low, cut)), (right, (cut, high))):
            waiting.append((child, [interval if place == axis else side for place, side in enumerate(box)]))
    stacked = np.array(boxes)
    return np.array(values), [stacked[:, axis] for axis in range(len(sizes))]
