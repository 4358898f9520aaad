"""Claims, each with a measure, an interval over seeds and a verdict by one rule.

A claim is about the median over seeds, or over pairs of equal seeds, or about which of some settings is best. Neither
the median's order statistics nor the sign tests assume how values are distributed. So at most 5 of 100 verdicts are
wrong, by construction, where a few networks that fail would mislead an interval of the mean.

A claim is worded as its source says it, so that *supported* always means that its source is right. It names a measure
and the values of it that would bear the claim out, before any number is seen.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mlp_core.statistics.intervals import median_bounds

MIN_SEEDS = 8
# Accuracies closer than this are called equal: with seeds enough, any two configurations differ in some digit
SMALLEST_DIFFERENCE = 0.01
VERDICT_RULE = (
    "A claim is supported, which always means that its source is right, if the 95 % interval of its measure lies "
    "wholly in the range claimed, not supported if the interval lies wholly outside it, neither if both models that it "
    "compares do worse than guessing, and undecided if the interval holds values of both kinds or rests on fewer than "
    f"{MIN_SEEDS} seeds."
)
VERDICT_NOTE = (
    "Intervals are of the median over the seeds (order statistics); where a claim is about what is best, they hold all "
    "that sign tests in pairs of equal seeds leave. Neither assumes how accuracies are distributed, so that at most 5 "
    "of 100 verdicts are wrong."
)
Verdict = Literal["supported", "not supported", "neither", "undecided"]
Source = Literal["tutorial", "ours"]


@dataclass(frozen=True)
class Range:
    """The values of a measure for which a claim holds: a range, or everything outside a range.

    Attributes:
        low: Smallest value of the range.
        high: Largest value of the range; a range with `high < low` holds no value.
        within: True if the claim holds inside the range, false if it holds below and above it.
    """

    low: float = -math.inf
    high: float = math.inf
    within: bool = True

    def __str__(self) -> str:
        """Return the range in words, such as `at least 0.5`; `no value` if the range is empty."""
        if not self.low <= self.high:
            return "no value"
        if not self.within:
            return f"below {self.low:g} or above {self.high:g}"
        if self.high == math.inf:
            return f"at least {self.low:g}"
        if self.low == -math.inf:
            return f"at most {self.high:g}"
        return f"{self.low:.4g} to {self.high:.4g}"

    @classmethod
    def parsed(cls, text: str) -> Range | None:
        """Read a range from the words that `str` writes; None for any other text.

        Example:
            >>> Range.parsed("at least 0.5"), Range.parsed("below -0.01 or above 0.01"), Range.parsed("no value")
            (Range(low=0.5, high=inf, within=True), Range(low=-0.01, high=0.01, within=False), None)
        """
        number = r"(-?[\d.]+(?:e[+-]?\d+)?)"
        if match := re.fullmatch(f"below {number} or above {number}", text):
            return cls(float(match[1]), float(match[2]), within=False)
        if match := re.fullmatch(f"at least {number}", text):
            return cls(low=float(match[1]))
        if match := re.fullmatch(f"at most {number}", text):
            return cls(high=float(match[1]))
        if match := re.fullmatch(f"{number} to {number}", text):
            return cls(float(match[1]), float(match[2]))
        return None

    def verdict(self, low: float, high: float, n: int) -> Verdict:
        """Compare the 95 % interval of a measure with this range and return the verdict by `VERDICT_RULE`.

        Args:
            low: Lower end of the interval.
            high: Upper end of the interval.
            n: Number of seeds.

        Returns:
            `supported` if all of the interval is where the claim holds, `not supported` if none of it is, else
            `undecided`; also `undecided` with fewer than 8 seeds or if an end is NaN. Never `neither`.

        Example:
            >>> Range(low=0.5).verdict(0.6, 0.9, n=64), Range(low=0.5).verdict(0.6, 0.9, n=4)
            ('supported', 'undecided')
        """
        inside, outside = self.low <= low and high <= self.high, high < self.low or low > self.high
        if n < MIN_SEEDS or not (inside or outside):
            return "undecided"
        return "supported" if inside is self.within else "not supported"


@dataclass(frozen=True)
class Claim:
    """One claim of the tutorial or of this project, with its measure, interval and verdict.

    Attributes:
        name: Short name.
        source: Who says it: the tutorial, or this project.
        section: The tutorial's section that it belongs to.
        statement: The claim as its source says it.
        measure: What was measured.
        claimed: The values of the measure that bear the claim out.
        n: Seeds; with two unpaired groups those of the smaller one.
        estimate: The measure; NaN if there is none.
        low: Lower end of its 95 % interval over seeds, or the lowest setting that may be the best; may be infinite, NaN
            if there is none, as for an exact number or for members that are all alike.
        high: Upper end.
        effect_size: A second number, such as how large the effect is; NaN if there is none.
        effect: What kind of number the effect size is.
        verdict: By `VERDICT_RULE`.
        figure: Name of the figure that shows it.
        data: What the networks were trained on or measured with.
        condition: What the verdict holds for only; empty if there is no such thing.
    """

    name: str
    source: Source
    section: str
    statement: str
    measure: str
    claimed: str
    n: int
    estimate: float
    low: float
    high: float
    effect_size: float
    effect: str
    verdict: Verdict
    figure: str
    data: str = ""
    condition: str = ""


def median_claim(
    name: str,
    source: Source,
    section: str,
    statement: str,
    measure: str,
    claimed: Range,
    values: NDArray[np.float64],
    effect_size: Callable[[], float],
    effect: str,
    figure: str,
    n_comparisons: int = 1,
) -> Claim:
    """Return a claim about the median of a measure over seeds, with its 95 % interval and verdict.

    If all values are equal, the verdict is decided but `low` and `high` are NaN: with the true median on the other side
    of the claim's edge, eight of eight members on this side would occur less than once in a hundred times.

    Args:
        name: As in `Claim`, like all that is not named here.
        source: As in `Claim`.
        section: As in `Claim`.
        statement: As in `Claim`.
        measure: As in `Claim`.
        claimed: The values for which the claim holds.
        values: The measure of each seed, `[n]`; NaN where it is not defined, which widens the interval on both sides.
        effect_size: Computes the effect size; with fewer than 2 seeds it is not called.
        effect: As in `Claim`.
        figure: As in `Claim`.
        n_comparisons: How many such measures this one was chosen from (Bonferroni).

    Example:
        >>> values = np.linspace(0.1, 0.5, 8)
        >>> claim = median_claim("rises", "ours", "", "It rises.", "slope", Range(low=0), values, lambda: 1.2,
        ...     "Cohen's d", "slopes")
        >>> claim.verdict, claim.low, claim.high
        ('supported', 0.1, 0.5)
    """
    n, (low, high) = len(values), median_bounds(values, n_comparisons)
    verdict = claimed.verdict(low, high, n)
    defined = values[~np.isnan(values)]
    estimate = float(np.median(defined)) if len(defined) else math.nan
    if low == high:
        low = high = math.nan
    size = effect_size() if n > 1 else math.nan
    words = statement, measure, str(claimed)
    return Claim(name, source, section, *words, n, estimate, low, high, size, effect, verdict, figure)


def best_claim(
    name: str,
    source: Source,
    section: str,
    statement: str,
    measure: str,
    claimed: Range,
    best: tuple[int, float, tuple[float, float]],
    effect_size: Callable[[], float],
    effect: str,
    figure: str,
) -> Claim:
    """Return a claim about which level of a setting is best, such as which depth, with its verdict.

    The interval reaches from the lowest to the highest level that may be the best.

    Args:
        name: As in `Claim`, like all that is not named here.
        source: As in `Claim`.
        section: As in `Claim`.
        statement: As in `Claim`.
        measure: As in `Claim`.
        claimed: The levels for which the claim holds.
        best: Number of seeds, best level, and lowest and highest level that may be best, as `best_level` returns them.
        effect_size: Computes the effect size; with fewer than 2 seeds it is not called.
        effect: As in `Claim`.
        figure: As in `Claim`.

    Example:
        >>> best_claim("inner", "ours", "", "It lies inside.", "best depth", Range(2, 4), (8, 3.0, (3.0, 4.0)),
        ...     lambda: 1.2, "Cohen's d", "depths").verdict
        'supported'
    """
    n, level, (low, high) = best
    size = effect_size() if n > 1 else math.nan
    words, verdict = (statement, measure, str(claimed)), claimed.verdict(low, high, n)
    return Claim(name, source, section, *words, n, level, low, high, size, effect, verdict, figure)
