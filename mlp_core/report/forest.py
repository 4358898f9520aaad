"""The forest plot of the claims: where each interval lies against the values that are claimed.

Claims have measures of different kinds, so each row has a scale of its own. Positions are percentages of the row's
width: the page draws them as boxes, which follow its colours in the dark and on paper.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mlp_core.statistics.claims import Range

_MARGIN = 0.15
"""Room at both ends of a row, as a share of what it shows."""


@dataclass(frozen=True)
class Span:
    """A horizontal bar in a row of the forest plot.

    Attributes:
        left: Its left end, in percent of the row's width.
        width: Its length, in percent of the row's width.
    """

    left: float
    width: float


@dataclass(frozen=True)
class ForestRow:
    """Positions of all that one row of the forest plot draws, for one claim.

    Attributes:
        claimed: Bars of the values for which the claim holds; empty if the claim names no range.
        interval: Bar of the 95 % interval; None if there is none.
        estimate: Position of the estimate, in percent of the row's width; None if there is none.
        open_low: Whether the interval has no lower limit.
        open_high: Whether the interval has no upper limit.
    """

    claimed: tuple[Span, ...]
    interval: Span | None
    estimate: float | None
    open_low: bool
    open_high: bool


def forest_row(claimed: str, estimate: float, low: float, high: float) -> ForestRow:
    """Compute one row of the forest plot: positions of a claim's range, its estimate and its interval.

    Each row has its own scale: from the least to the greatest finite value of the row, with 15 % room at both ends.
    Ends that are infinite reach to the edge of the row.

    Args:
        claimed: The values for which the claim holds, as `Range` writes them, such as `at least 0.5`.
        estimate: The measured value; NaN if there is none.
        low: Lower end of its 95 % interval; may be -infinity, NaN if there is no interval.
        high: Upper end; may be infinity.

    Example:
        >>> forest_row("at least 0.5", 0.2, 0.1, 0.3).interval
        Span(left=11.5, width=38.5)
        >>> forest_row("at least 0.5", 0.2, 0.1, 0.3).claimed
        (Span(left=88.5, width=11.5),)
    """
    bounds = Range.parsed(claimed)
    ends = [] if bounds is None else [bounds.low, bounds.high]
    values = [value for value in (*ends, estimate, low, high) if math.isfinite(value)]
    if not values:
        return ForestRow((), None, None, open_low=False, open_high=False)
    left, right = _limits(values)

    def place(value: float) -> float:
        return round(100 * min(1.0, max(0.0, (value - left) / (right - left))), 1)

    def span(first: float, last: float) -> Span:
        return Span(place(first), round(place(last) - place(first), 1))

    stretches: tuple[Span, ...] = ()
    if bounds is not None:
        stretches = (
            (span(bounds.low, bounds.high),)
            if bounds.within
            else (span(-math.inf, bounds.low), span(bounds.high, math.inf))
        )
    return ForestRow(
        stretches,
        None if math.isnan(low) else span(low, high),
        None if math.isnan(estimate) else place(estimate),
        open_low=low == -math.inf,
        open_high=high == math.inf,
    )


def _limits(values: Sequence[float]) -> tuple[float, float]:
    """Return the least and the greatest value of a row, with room around what it shows."""
    least, greatest = min(values), max(values)
    room = _MARGIN * (greatest - least) or abs(least) or 1.0
    return least - room, greatest + room
