"""A question against a pinned one, in pairs of equal seeds, by the project's own rule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deep_mlp._comparison import Comparison, compare_pairs
from flows.play.question import Asked, changes
from mlp_core.statistics.wording import count

_SEEDS_TO_TRY = (8, 16, 64, 256)


@dataclass(frozen=True)
class Verdict:
    """Comparison of the test accuracies of two questions.

    Attributes:
        comparison: The paired comparison; None if the questions cannot be compared.
        sentence: The result in words.
    """

    comparison: Comparison | None
    sentence: str


def verdict(asks: Asked, accuracy: NDArray[np.float64], pinned: Asked, pinned_accuracy: NDArray[np.float64]) -> Verdict:
    """Compare the test accuracies of a question and a pinned one (kept for comparison) in pairs of equal seeds.

    Questions with different root seeds, or without a difference in settings, are not compared: the sentence says why.

    Args:
        asks: The question: settings of the networks.
        accuracy: Test accuracies of its members, 0..1; NaN where one is not finished or diverged.
        pinned: The question to compare with.
        pinned_accuracy: The same of its members; pairs are made as far as both have members.

    Example:
        >>> from flows.play.question import asked
        >>> tanh, relu = asked({"activation": "tanh"}), asked({})
        >>> worse, better = np.linspace(0.5, 0.6, 16), np.linspace(0.7, 0.8, 16)
        >>> print(verdict(tanh, better, relu, worse).sentence)
        Activation tanh instead of relu helps by 20 points [20 to 20].
        >>> print(verdict(tanh, better[:4], relu, worse[:4]).sentence)
        Activation tanh instead of relu: undecided with 4 pairs of networks: try 8.
    """
    if asks.question.seed != pinned.question.seed:
        return Verdict(None, "Two root seeds make no pairs: give both the same root seed to compare them.")
    what = changes(asks, pinned)
    if not what:
        return Verdict(None, "The pinned question is the same: change one thing.")
    n = min(len(accuracy), len(pinned_accuracy))
    comparison = compare_pairs(accuracy[:n], pinned_accuracy[:n])
    subject = " and ".join(what) if len(what) < 4 else f"{len(what)} changes together"
    return Verdict(comparison, f"{subject[0].upper()}{subject[1:]}{_outcome(comparison, n)}.")


def _outcome(comparison: Comparison, n: int) -> str:
    if comparison.n == 0:
        return ": no pair of networks has finished"
    points = f"{_points(abs(comparison.difference))}"
    if comparison.verdict == "better":
        return f" helps by {points} points [{_points(comparison.low)} to {_points(comparison.high)}]"
    if comparison.verdict == "worse":
        return f" costs {points} points [{_points(-comparison.high)} to {_points(-comparison.low)}]"
    more = next((number for number in _SEEDS_TO_TRY if number > n), None)
    way_out = f": try {more}" if more else "; what difference there is, is small"
    return f": undecided with {count(comparison.n, 'pair')} of networks{way_out}"


def _points(share: float) -> str:
    """Return a share in percentage points: whole ones, but for small differences."""
    points = 100 * share
    return f"{points:.1f}" if abs(points) < 9.95 else f"{points:.0f}"
