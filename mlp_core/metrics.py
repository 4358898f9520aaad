"""What an ensemble's members say together: mean and 95 % interval."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

LEARNED_MARGIN = 0.05
"""A member learned if its train accuracy is at least this far above chance."""


@dataclass(frozen=True)
class MeanInterval:
    """The mean of an ensemble and the 95 % interval of that mean.

    Attributes:
        n: Values that went into the mean.
        mean: NaN if n is 0.
        low: Lower end of the interval; NaN if n is below 2.
        high: Upper end of the interval; NaN if n is below 2.
        missing: Values that were left out because they are not finite: members that diverged.
    """

    n: int
    mean: float
    low: float
    high: float
    missing: int

    def within(self, lowest: float, highest: float) -> MeanInterval:
        """Return the interval cut to the values that are possible, such as 0 to 1 for an accuracy.

        Cutting away impossible values never costs an interval its coverage.

        Example:
            >>> mean_interval(np.array([0.7, 1.0])).within(0.0, 1.0)
            MeanInterval(n=2, mean=0.85, low=0.0, high=1.0, missing=0)
        """
        # numpy's clip keeps NaN, min and max do not
        return replace(
            self,
            low=float(np.clip(self.low, lowest, highest)),
            high=float(np.clip(self.high, lowest, highest)),
        )

    def overlaps(self, other: MeanInterval) -> bool:
        """Return whether two intervals share a value; false if either does not exist (n below 2)."""
        return self.low <= other.high and other.low <= self.high


def student_t_factor(degrees_of_freedom: int) -> float:
    """Return the half-width of the central 95 % of Student's t distribution.

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


def mean_interval(values: NDArray[Any]) -> MeanInterval:
    """Return the mean of the finite values and its 95 % interval, `mean ± t(n - 1) s / sqrt(n)`.

    Student's t rather than a normal quantile: with 8 members the normal one is 17 % too narrow. Values that
    are not finite belong to members that diverged; they are counted, never averaged.

    Args:
        values: Floats of any shape, one per member.

    Returns:
        n, mean, interval and how many values were left out.

    Example:
        >>> found = mean_interval(np.array([1.0, 2.0, 3.0, np.nan]))
        >>> found.n, found.missing, found.mean, round(found.low, 3), round(found.high, 3)
        (3, 1, 2.0, -0.484, 4.484)

    Source:
        Student 1908, "The probable error of a mean".
    """
    values = np.asarray(values, dtype=np.float64).ravel()
    finite = values[np.isfinite(values)]
    n, missing = len(finite), len(values) - len(finite)
    if n == 0:
        return MeanInterval(0, math.nan, math.nan, math.nan, missing)
    mean = float(finite.mean())
    if n == 1:
        return MeanInterval(1, mean, math.nan, math.nan, missing)
    half_width = student_t_factor(n - 1) * float(finite.std(ddof=1)) / math.sqrt(n)
    return MeanInterval(n, mean, mean - half_width, mean + half_width, missing)


def share_interval(hits: int, n: int) -> MeanInterval:
    """Return a share p of members and its 95 % interval.

    `(p + z^2 / 2n ± z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)` with z = 1.96. Not Student's t: of values
    that are all 0 or all 1 it would make an interval without width, as if 8 members without a failure proved that
    none ever fails.

    Args:
        hits: Members that have the property.
        n: Members.

    Returns:
        The share as mean; NaN if there are no members.

    Example:
        >>> found = share_interval(0, 8)
        >>> found.mean, round(found.low, 3), round(found.high, 3)
        (0.0, 0.0, 0.324)

    Source:
        Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    if n == 0:
        return MeanInterval(0, math.nan, math.nan, math.nan, 0)
    share, square = hits / n, 1.959964**2 / n
    middle = share + square / 2
    half_width = math.sqrt(square * (share * (1 - share) + square / 4))
    low, high = (middle - half_width) / (1 + square), (middle + half_width) / (1 + square)
    return MeanInterval(n, share, low, high, 0).within(0.0, 1.0)
