"""Tables by seed: which values of two configurations belong together.

A table is anything that gives a column by its name, such as a pandas frame, a pyarrow table or a dict of arrays, with
one row per member and configuration. A seed that lacks a finite value in any configuration compared, as a diverged
member does, is left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float64]


class Table(Protocol):
    """Anything that returns a column by its name: a pandas frame, a pyarrow table or a dict of arrays."""

    def __getitem__(self, name: str, /) -> Any:
        """Return the column of that name, one value per row."""


@dataclass(frozen=True)
class BySeed:
    """Values arranged by level and seed, as `by_seed` returns them.

    Attributes:
        levels: Different values of the level column, such as depths, in rising order.
        seeds: Seeds that have a finite value at every level, in rising order.
        values: `[levels, seeds]`.
    """

    levels: NDArray[Any]
    seeds: NDArray[Any]
    values: _Floats


def by_seed(table: Table, value: str, by: str | None = None, key: str = "seed") -> BySeed:
    """Arrange a column's values in a matrix: one row per level of another column, one column per seed.

    A seed without a finite value at any one of the levels is left out.

    Args:
        table: At most one row per level and seed.
        value: Name of the column of values.
        by: Name of the column of levels; without it there is one level, 0.
        key: Name of the column of seeds.

    Raises:
        ValueError: If a seed comes twice at a level.

    Example:
        >>> by_seed({"depth": [1, 1, 2, 2], "seed": [7, 8, 7, 8], "loss": [1.0, 2.0, 3.0, np.nan]}, "loss", "depth")
        BySeed(levels=array([1, 2]), seeds=array([7]), values=array([[1.],
               [3.]]))
    """
    seeds, columns = np.unique(np.asarray(table[key]), return_inverse=True)
    levels, rows = np.unique(
        np.zeros(len(columns)) if by is None else np.asarray(table[by]),
        return_inverse=True,
    )
    per_cell = np.bincount(rows * len(seeds) + columns)
    if per_cell.max(initial=0) > 1:
        what = key if by is None else f"{by} and {key}"
        message = f"table must hold one row per {what}, got {per_cell.max()}; select the rows of one configuration."
        raise ValueError(message)
    values = np.full((len(levels), len(seeds)), math.nan)
    values[rows, columns] = np.asarray(table[value], dtype=np.float64)
    complete = np.isfinite(values).all(0)
    return BySeed(levels, seeds[complete], values[:, complete])


def highest_median(table: Table, value: str, by: str) -> float:
    """Return the level of a column at which the median of another one's finite values is highest.

    This is the best depth of the whole report: the poster, the ablation and its claims take it from here or by the same
    rule. With few seeds it may well be another one than that of all networks, so what is said of it has to be corrected
    for the choice.

    Args:
        table: One row per member and level; members that diverged may be in it, without a finite value.
        value: Name of the column of values, higher is better.
        by: Name of the column of levels.

    Returns:
        The level, of equally good ones the lowest; NaN if no value is finite.

    Example:
        >>> table = {"depth": [1, 1, 1, 2, 2, 2], "accuracy": [0.8, 0.8, 0.8, 0.9, 0.9, 0.1]}
        >>> highest_median(table, "accuracy", "depth")  # not that of the highest mean
        2.0
    """
    values, levels = np.asarray(table[value], dtype=np.float64), np.asarray(table[by])
    finite = np.isfinite(values)
    medians = {float(level): np.median(values[finite & (levels == level)]) for level in np.unique(levels[finite])}
    return max(medians, key=medians.__getitem__, default=math.nan)


def common_seeds(first: BySeed, second: BySeed) -> tuple[bool, list[_Floats]]:
    """Return whether two groups have seeds in common, and the values of both groups for the common seeds.

    The values are two arrays `[levels, seeds]`, with equal seeds at equal places. Without a common seed they are all
    values of each group.

    Example:
        >>> first, second = ({"seed": seeds, "loss": seeds} for seeds in ([1, 2], [2, 3]))
        >>> common_seeds(by_seed(first, "loss"), by_seed(second, "loss"))
        (True, [array([[2.]]), array([[2.]])])
    """
    common, *columns = np.intersect1d(first.seeds, second.seeds, return_indices=True)
    if not len(common):
        return False, [first.values, second.values]
    return True, [group.values[:, column] for group, column in zip((first, second), columns, strict=True)]


def in_pairs(first: BySeed, second: BySeed) -> tuple[bool, list[_Floats]]:
    """Return whether two groups have seeds in common, and equally many values of both, to be compared in pairs.

    With common seeds a pair has one seed. Without, pairs are made in the order of the seeds, and the larger group is
    cut to the size of the smaller: members of different seeds are independent draws, so any pairing will do.

    Example:
        >>> first, second = ({"seed": seeds, "loss": seeds} for seeds in ([1, 2], [3, 4, 5]))
        >>> in_pairs(by_seed(first, "loss"), by_seed(second, "loss"))
        (False, [array([[1., 2.]]), array([[3., 4.]])])
    """
    paired, values = common_seeds(first, second)
    n = min(part.shape[1] for part in values)
    return paired, [part[:, :n] for part in values]
