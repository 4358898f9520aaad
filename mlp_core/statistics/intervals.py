"""95 % intervals of what an ensemble's members say together: of a median or a share.

Where a few members fail altogether, the mean of a handful does not know of those that are not in it: Student's interval
then holds the mean of all possible members far less often than it says, see docs/statistics.md. So accuracies and
losses have a median and a share has Clopper and Pearson's interval: both hold for whatever the members are distributed
like. No mean has an interval.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, betaincinv, stdtrit


@dataclass(frozen=True)
class Interval:
    """A value of an ensemble, such as the median of its members, and the value's 95 % interval.

    Attributes:
        n: Values that went into it.
        estimate: NaN if n is 0.
        low: Lower end of the interval; NaN if there is none: too few values, or no spread from which to tell.
        high: Upper end of the interval; NaN if there is none.
        missing: Values that were left out because they are not finite: members that diverged.
    """

    n: int
    estimate: float
    low: float
    high: float
    missing: int

    @property
    def has_interval(self) -> bool:
        """Return whether the interval exists; it does not if its ends are NaN."""
        return self.low <= self.high

    def within(self, lowest: float, highest: float) -> Interval:
        """Return a copy whose ends are clipped to the possible values, such as 0 to 1 for an accuracy; NaN stays NaN.

        Values that cannot occur are cut away, so the coverage stays the same. The estimate is not changed.

        Example:
            >>> Interval(n=2, estimate=0.85, low=-1.06, high=2.76, missing=0).within(0.0, 1.0)
            Interval(n=2, estimate=0.85, low=0.0, high=1.0, missing=0)
        """
        # numpy's clip keeps NaN, min and max do not
        return replace(
            self,
            low=float(np.clip(self.low, lowest, highest)),
            high=float(np.clip(self.high, lowest, highest)),
        )


def student_t_factor(degrees_of_freedom: int) -> float:
    """Return the factor t of a 95 % interval `mean ± t * standard error`, from Student's t distribution.

    Args:
        degrees_of_freedom: v, at least 1; n - 1 for the mean of n values.

    Returns:
        The 97.5 % quantile.

    Raises:
        ValueError: If there are no degrees of freedom.

    Example:
        >>> [round(student_t_factor(v), 4) for v in (1, 2, 7, 30)]
        [12.7062, 4.3027, 2.3646, 2.0423]
    """
    if degrees_of_freedom < 1:
        message = f"degrees_of_freedom must be at least 1, got {degrees_of_freedom!r}."
        raise ValueError(message)
    return float(stdtrit(degrees_of_freedom, 0.975))


def standard_error(values: NDArray[Any]) -> float:
    """Return the standard error of the mean of the finite values, `s / sqrt(n)`; NaN for fewer than two.

    Example:
        >>> standard_error(np.array([1.0, 3.0, np.nan]))
        1.0
    """
    finite, _ = _finite(values)
    return float(finite.std(ddof=1)) / math.sqrt(len(finite)) if len(finite) > 1 else math.nan


def median_interval(values: NDArray[Any], n_comparisons: int = 1) -> Interval:
    """Return the median of the finite values and its 95 % order-statistics interval, whose ends are two of the values.

    The ends are the d-th value from below and the d-th from above, with the largest d for which
    `1 - 2 P(Binomial(n, 1/2) < d)` is at least 95 %: so often they lie on both sides of the median of all possible
    members, whatever their distribution. With 8 members that is 99.2 % and the range of all of them, with 16 it is
    97.9 %, with 64 96.7 %. Below 6 members no two values suffice, and there is no interval; nor if both ends are
    equal: that no spread was seen does not prove that there is none.

    Args:
        values: Floats of any shape, one per member. Those that are not finite belong to members that diverged; they
            are counted, never ranked.
        n_comparisons: How many such intervals are looked at, or chosen from, if all are to hold together 95 times in
            100 (Bonferroni): 1 - 0.05 / n_comparisons takes the place of 95 %.

    Returns:
        Median as `estimate`, number of values as `n`, ends, and the number of values left out.

    Example:
        >>> median_interval(np.array([0.25, 0.9, 0.91, 0.92, 0.93, 0.94, 0.95, np.nan]))
        Interval(n=7, estimate=0.92, low=0.25, high=0.95, missing=1)

    Source:
        Thompson 1936, "On confidence ranges for the median and other expectation distributions for populations of
        unknown distribution form".
    """
    finite, missing = _finite(values)
    n = len(finite)
    if n == 0:
        return Interval(0, math.nan, math.nan, math.nan, missing)
    median, (low, high) = float(np.median(finite)), median_bounds(finite, n_comparisons)
    if low == high:
        low = high = math.nan
    return Interval(n, median, low, high, missing)


def median_bounds(values: NDArray[Any], n_comparisons: int = 1) -> tuple[float, float]:
    """Return the two ends of the 95 % interval of a median, also where they are equal.

    They differ from those of `median_interval`, which has no interval where both ends are equal, and leaves out what is
    not finite. Here a claim is decided by the number of members on each side of its edge, which is the sign test and
    needs no spread. NaN counts as lower than all values for the lower end and as higher for the upper one, so that it
    makes the interval wider.

    Args:
        values: One per member, `[n]`; infinite ones are ranked.
        n_comparisons: As in `median_interval`.

    Returns:
        Lower and upper end; NaN if there are too few values for any.

    Example:
        >>> median_bounds(np.full(8, 0.5)), median_bounds(np.array([np.nan, 1, 2, 3, 4, 5, 6, 7]))
        ((0.5, 0.5), (-inf, inf))

    Source:
        As of `median_interval`; Conover 1999, "Practical nonparametric statistics", section 3.4 (sign test).
    """
    n, undefined = len(values), np.isnan(values)
    # bdtr(d - 1, n, 1/2) is the probability that fewer than d of n values lie below the median
    left_out = int(np.count_nonzero(bdtr(np.arange(n // 2), n, 0.5) <= 0.025 / n_comparisons))
    if left_out == 0:
        return math.nan, math.nan
    lowest, highest = (np.sort(np.where(undefined, beyond, values)) for beyond in (-math.inf, math.inf))
    return float(lowest[left_out - 1]), float(highest[-left_out])


def share_interval(hits: int, n: int) -> Interval:
    """Return the share of members with a property, `hits / n`, and its 95 % Clopper-Pearson interval.

    The ends are quantiles of beta distributions, which sum up the binomial one exactly. Wilson's interval is narrower,
    but with 8 members it holds a share of 1.5 % only 88 times in 100, and such a share is what networks of three layers
    have. Student's t would make an interval without width of values that are all 0 or all 1, as if 8 members without a
    failure proved that none ever fails. `scipy.stats.binomtest` has the same interval, but takes 0.4 s to import, where
    `scipy.special` is imported anyway.

    Args:
        hits: Members that have the property.
        n: Members.

    Returns:
        The share as `estimate`, and the ends, between 0 and 1; all NaN if there are no members.

    Example:
        >>> interval = share_interval(0, 8)
        >>> interval.estimate, interval.low, round(interval.high, 3)
        (0.0, 0.0, 0.369)

    Source:
        Clopper and Pearson 1934, "The use of confidence or fiducial limits illustrated in the case of the binomial".
    """
    if n == 0:
        return Interval(0, math.nan, math.nan, math.nan, 0)
    low = float(betaincinv(hits, n - hits + 1, 0.025)) if hits > 0 else 0.0
    high = float(betaincinv(hits + 1, n - hits, 0.975)) if hits < n else 1.0
    return Interval(n, hits / n, low, high, 0)


def _finite(values: NDArray[Any]) -> tuple[NDArray[np.float64], int]:
    """Return the finite values in rising order, and how many others there are."""
    values = np.asarray(values, dtype=np.float64).ravel()
    finite = np.sort(values[np.isfinite(values)])
    return finite, len(values) - len(finite)
