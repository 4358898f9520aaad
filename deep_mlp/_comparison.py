"""Compare two ensembles in pairs of equal seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from deep_mlp._ensemble import TrainedEnsemble
from mlp_core.errors import InputError
from mlp_core.statistics.claims import MIN_SEEDS
from mlp_core.statistics.intervals import median_interval

Verdict = Literal["better", "worse", "undecided"]


@dataclass(frozen=True)
class Comparison:
    """Difference of two ensembles' test accuracies in pairs of networks, with its 95 % interval and a verdict.

    Attributes:
        n: Number of pairs in which neither network diverged; the others are left out.
        difference: Median of the differences, first minus second; -1 .. 1.
        low: Lower end of its 95 % interval by order statistics; NaN with fewer than 6 pairs.
        high: Upper end of the same interval.
        verdict: `better` if the first ensemble is better than the second, `worse` if it is worse: the interval lies on
            one side of 0 and there are at least 8 pairs. Else `undecided`.
    """

    n: int
    difference: float
    low: float
    high: float
    verdict: Verdict

    def __str__(self) -> str:
        """Return difference, interval, n and verdict in one line; differences in percentage points."""
        interval = (
            "no interval" if np.isnan(self.low) else f"95 % interval {100 * self.low:.1f} to {100 * self.high:.1f}"
        )
        sentence = f"{100 * self.difference:+.1f} points ({interval}, n = {self.n}): {self.verdict}"
        return sentence + (" with so few seeds; train more" if self.verdict == "undecided" else "")


def compare(first: TrainedEnsemble, second: TrainedEnsemble) -> Comparison:
    """Compare the test accuracies of two ensembles of the same root seed, in pairs of networks of equal index.

    If one ensemble has more networks, those without a partner are left out, and so is a pair in which one diverged.

    Args:
        first: The ensemble that the verdict is about.
        second: The ensemble it is compared with.

    Raises:
        InputError: If their root seeds differ, so that there are no pairs.

    Example:
        >>> from deep_mlp._ensemble import spirals, train
        >>> data = spirals(points_per_arm=200)
        >>> wide, narrow = (train(data, hidden=(width,), seeds=8, epochs=20, learning_rate=0.01) for width in (30, 1))
        >>> compare(wide, narrow).verdict
        'better'
    """
    if first.config.seed != second.config.seed:
        message = f"the root seeds of two ensembles must be equal, got {first.config.seed} and {second.config.seed}."
        raise InputError(message)
    n = min(len(first), len(second))
    return compare_pairs(first.test_accuracy[:n], second.test_accuracy[:n])


def compare_pairs(first: NDArray[np.float64], second: NDArray[np.float64]) -> Comparison:
    """Compare two lists of accuracies pair by pair, by the median of the differences first - second.

    Args:
        first: Accuracies `[pairs]`, 0 .. 1; a pair with a NaN is left out.
        second: Their partners, in the same order.

    Example:
        >>> compare_pairs(np.linspace(0.7, 0.8, 8), np.linspace(0.5, 0.55, 8)).verdict
        'better'
    """
    interval = median_interval(first - second)
    verdict: Verdict = "undecided"
    if interval.n >= MIN_SEEDS and interval.has_interval and (interval.low > 0 or interval.high < 0):
        verdict = "better" if interval.low > 0 else "worse"
    return Comparison(interval.n, interval.estimate, interval.low, interval.high, verdict)
