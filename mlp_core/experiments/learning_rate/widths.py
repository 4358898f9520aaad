"""The range of learning rates that train a network: where it begins and ends, and how wide it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlp_core.statistics.bootstrap import bootstrap_interval, resampled_means
from mlp_core.statistics.by_seed import BySeed, Table, by_seed

_Floats = NDArray[np.float64]


def needed_accuracy(n_classes: int) -> float:
    """Return the train accuracy from which a network counts as trained: half-way from chance to 1.

    The depths of the phase diagram are told trainable in the same way. That a network learned at all, 5 points above
    chance, would not do: the smallest rates reach that with patience, and the range would have no lower end.

    Example:
        >>> needed_accuracy(4)
        0.625
    """
    return (1 + 1 / n_classes) / 2


def trained_by_rate(table: Table, n_classes: int) -> BySeed:
    """Return which members of one start are trained, by rate and seed: 1 or 0; one that diverged is not.

    Args:
        table: Columns `learning_rate`, `seed` and `train_accuracy`; one start.
        n_classes: Arms of the spirals.

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

    A rate between the two at which fewer are trained does not count against the range, which is from end to end.

    Args:
        rates: `[rates]`, rising.
        shares: Of the members that are trained, `[..., rates]`.

    Returns:
        Both ends, `[...]`; NaN where no rate trains half of the members.

    Example:
        >>> rates, shares = np.array([1e-3, 1e-2, 1e-1, 1.0]), np.array([0.2, 0.5, 1.0, 0.4])
        >>> [float(end) for end in trainable_range(rates, shares)]
        [0.01, 0.1]
    """
    trains = shares >= 0.5 - 1e-9  # resampled shares are sums of 1/n, of which some fall short of a half by rounding
    first, last = trains.argmax(-1), len(rates) - 1 - trains[..., ::-1].argmax(-1)
    return tuple(np.where(trains.any(-1), rates[end], np.nan) for end in (first, last))  # type: ignore[return-value]


def width_in_decades(rates: _Floats, shares: _Floats) -> _Floats:
    """Return how many decades `trainable_range` spans: 0 for one rate, NaN for none.

    It is known to a step of the rates, and too small where the range reaches an end of them.

    Example:
        >>> rates, shares = np.array([1e-3, 1e-2, 1e-1]), np.array([[1.0, 0.9, 0.7], [0.0, 0.9, 0.1]])
        >>> width_in_decades(rates, shares).round(3).tolist()
        [2.0, 0.0]
    """
    smallest, largest = trainable_range(rates, shares)
    width: _Floats = np.log10(largest) - np.log10(smallest)
    return width


@dataclass(frozen=True)
class TrainableRange:
    """The rates that train, from one start.

    Attributes:
        n: Seeds.
        smallest: Of `trainable_range`; NaN if no rate trains.
        largest: The same.
        width: Decades; NaN if no rate trains.
        low: Lower end of the 95 % interval of the width over seeds; NaN for fewer than 2, infinite where in too many
            resamples no rate trains.
        high: Upper end.
        cut_below: Whether the smallest rate tried trains, so that smaller ones might.
        cut_above: Whether the largest rate tried trains, so that larger ones might.
    """

    n: int
    smallest: float
    largest: float
    width: float
    low: float
    high: float
    cut_below: bool
    cut_above: bool

    @property
    def has_interval(self) -> bool:
        """Return whether both ends of the interval are numbers."""
        return bool(np.isfinite([self.low, self.high]).all())


def measured_range(trained: BySeed, stream: np.random.Generator) -> TrainableRange:
    """Return the range of rates that train, with the interval of its width: its ends are found anew in each resample.

    Args:
        trained: As `trained_by_rate` returns it.
        stream: Where the resamples come from.

    Example:
        >>> trained = BySeed(np.array([0.01, 0.1, 1.0]), np.arange(8), np.repeat([[1.0], [1.0], [0.0]], 8, axis=1))
        >>> measured = measured_range(trained, np.random.default_rng(0))
        >>> measured.smallest, measured.largest, measured.width, measured.low, measured.cut_below, measured.cut_above
        (0.01, 0.1, 1.0, 1.0, True, False)
    """
    rates, shares, n = trained.levels, trained.values.mean(1), trained.values.shape[1]
    smallest, largest = (float(end) for end in trainable_range(rates, shares))
    (means,) = resampled_means([trained.values], stream)
    return TrainableRange(
        *(n, smallest, largest, float(width_in_decades(rates, shares))),
        *bootstrap_interval(width_in_decades(rates, means), n),
        cut_below=bool(smallest == rates[0]),
        cut_above=bool(largest == rates[-1]),
    )
