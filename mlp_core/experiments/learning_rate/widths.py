"""The range of learning rates that train a network: where it begins and ends, and how wide it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlp_core.statistics.by_seed import BySeed, Table, by_seed
from mlp_core.statistics.intervals import Interval, median_interval

_Floats = NDArray[np.float64]


def needed_accuracy(n_classes: int) -> float:
    """Return the train accuracy from which a network counts as trained: half-way from chance to 1.

    The phase diagram uses a similar rule. To be 5 points above chance ("learned") would not do: the smallest rates
    reach that with patience, and the range would have no lower end.

    Example:
        >>> needed_accuracy(4)
        0.625
    """
    return (1 + 1 / n_classes) / 2


def trained_by_rate(table: Table, n_classes: int) -> BySeed:
    """Return which members of one start are trained at each rate: 1 or 0, by rate and seed.

    Trained means that the train accuracy reaches `needed_accuracy`; a member that diverged (NaN) is not trained.

    Args:
        table: Columns `learning_rate`, `seed` and `train_accuracy`; one start.
        n_classes: Number of classes.

    Example:
        >>> table = {"learning_rate": [0.1, 0.2], "seed": [1, 1], "train_accuracy": [0.9, np.nan]}
        >>> trained_by_rate(table, 4).values.tolist()
        [[1.0], [0.0]]
    """
    accuracies = np.asarray(table["train_accuracy"], dtype=np.float64)
    columns: dict[str, Any] = {name: np.asarray(table[name]) for name in ("learning_rate", "seed")}
    return by_seed({**columns, "trained": accuracies >= needed_accuracy(n_classes)}, "trained", "learning_rate")


def trainable_range(rates: _Floats, shares: _Floats) -> tuple[_Floats, _Floats]:
    """Return the smallest and the largest rate at which at least half of the members are trained.

    Rates between the two at which fewer are trained do not matter: the range goes from end to end.

    Args:
        rates: Learning rates `[rates]`, ascending.
        shares: Share of the members that are trained at each rate, `[..., rates]`.

    Returns:
        The smallest and the largest such rate, each `[...]`; NaN where no rate trains half of the members.

    Example:
        >>> rates, shares = np.array([1e-3, 1e-2, 1e-1, 1.0]), np.array([0.2, 0.5, 1.0, 0.4])
        >>> [float(end) for end in trainable_range(rates, shares)]
        [0.01, 0.1]
    """
    trains = shares >= 0.5
    first, last = trains.argmax(-1), len(rates) - 1 - trains[..., ::-1].argmax(-1)
    return tuple(np.where(trains.any(-1), rates[end], np.nan) for end in (first, last))  # type: ignore[return-value]


def member_widths(rates: _Floats, trained: _Floats) -> _Floats:
    """Return how many decades of learning rates train each member, from the smallest such rate to the largest.

    The width is a multiple of the step between rates, and too small where the range reaches the first or last rate. A
    member that only one rate trains, or none, has width 0.

    Args:
        rates: Learning rates `[rates]`, ascending.
        trained: 1 where a rate trains a member, else 0, `[rates, members]`.

    Returns:
        Widths in decades (log10), `[members]`.

    Example:
        >>> rates, trained = np.array([1e-3, 1e-2, 1e-1]), np.array([[1.0, 0, 0], [1, 1, 0], [1, 0, 0]])
        >>> member_widths(rates, trained).round(3).tolist()
        [2.0, 0.0, 0.0]
    """
    smallest, largest = trainable_range(rates, trained.T)
    widths: _Floats = np.nan_to_num(np.log10(largest) - np.log10(smallest))
    return widths


@dataclass(frozen=True)
class TrainableRange:
    """The range of learning rates that train the network from one start.

    Attributes:
        n: Number of seeds.
        smallest: Smallest rate that trains at least half of the members; NaN if none does.
        largest: Largest such rate; NaN if there is none.
        width: Median over members of each one's own width in decades, with its interval.
        cut_below: Whether `smallest` is the smallest rate tried, so that smaller ones might train too.
        cut_above: Whether `largest` is the largest rate tried, so that larger ones might train too.
    """

    n: int
    smallest: float
    largest: float
    width: Interval
    cut_below: bool
    cut_above: bool


def measured_range(trained: BySeed) -> TrainableRange:
    """Return the range of learning rates that train, and the median width of the members' own ranges.

    Args:
        trained: 1 where a rate trains a seed, else 0, as `trained_by_rate` returns it.

    Example:
        >>> trained = BySeed(np.array([0.01, 0.1, 1.0]), np.arange(8), np.repeat([[1.0], [1.0], [0.0]], 8, axis=1))
        >>> measured = measured_range(trained)
        >>> measured.smallest, measured.largest, measured.width.estimate, measured.cut_below, measured.cut_above
        (0.01, 0.1, 1.0, True, False)
    """
    rates, shares, n = trained.levels, trained.values.mean(1), trained.values.shape[1]
    smallest, largest = (float(end) for end in trainable_range(rates, shares))
    return TrainableRange(
        *(n, smallest, largest, median_interval(member_widths(rates, trained.values))),
        cut_below=bool(smallest == rates[0]),
        cut_above=bool(largest == rates[-1]),
    )
