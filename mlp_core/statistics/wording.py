"""Values and their intervals in words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlp_core.statistics.intervals import Interval


def count(n: int, noun: str) -> str:
    """Return a number with its noun for a sentence: `no`, `one`, or the digits with a plural in s.

    Example:
        >>> count(0, "network"), count(1, "network"), count(8, "network")
        ('no network', 'one network', '8 networks')
    """
    return f"{('no', 'one')[n] if n < 2 else n} {noun}{'s' if n > 1 else ''}"


def range_words(counts: set[int]) -> str:
    """Return the range of some counts in words: `least to greatest`, or the number alone if there is only one.

    Example:
        >>> range_words({8}), range_words({7, 8})
        ('8', '7 to 8')
    """
    return f"{min(counts)}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}"


def format_interval(interval: Interval, short: bool = False) -> str:
    """Return a share or accuracy in percent, with its 95 % interval and n, for a sentence.

    Args:
        interval: Values in 0 .. 1. Without values the text is `no member finished`; without an interval it says so.
        short: Whether to put interval and n in brackets and leave out the words `95 % interval`.

    Example:
        >>> from mlp_core.statistics.intervals import Interval
        >>> format_interval(Interval(n=8, estimate=0.9, low=0.85, high=0.95, missing=0))
        '90.0 %, 95 % interval 85.0 to 95.0, n = 8'
    """
    if interval.n == 0:
        return "no member finished"
    if not interval.has_interval:
        return f"{100 * interval.estimate:.1f} %, n = {interval.n}, no interval"
    if short:
        return f"{100 * interval.estimate:.1f} % ({format_bounds(interval)}, n = {interval.n})"
    return f"{100 * interval.estimate:.1f} %, 95 % interval {format_bounds(interval)}, n = {interval.n}"


def format_cell(interval: Interval) -> str:
    """Return a share or accuracy in percent with its interval, if it has one, for a table's cell; `none` if n is 0.

    Example:
        >>> from mlp_core.statistics.intervals import Interval
        >>> format_cell(Interval(n=8, estimate=0.9, low=0.85, high=0.95, missing=0))
        '90.0 % [85.0 to 95.0]'
    """
    if interval.n == 0:
        return "none"
    return f"{100 * interval.estimate:.1f} %" + (f" [{format_bounds(interval)}]" if interval.has_interval else "")


def format_with_error(value: float, error: float) -> str:
    """Return a value with its standard error, which has two digits; the value ends at the same decimal place.

    Args:
        value: The value; with an error of 0 or without one it has three digits and no error.
        error: Its standard error, in the value's unit; NaN if there is none.

    Example:
        >>> format_with_error(1.4, 0.0161), format_with_error(0.000456, 0.000057), format_with_error(2.69, math.nan)
        ('1.400 ± 0.016', '0.000456 ± 0.000057', '2.69')
        >>> format_with_error(1.23e-12, 4.5e-14)
        '(1.230 ± 0.045)e-12'
    """
    if not (0 < error < math.inf and math.isfinite(value)):
        return f"{value:.3g}"
    _, _, exponent = f"{error:.1e}".partition("e")  # of the rounded error: 0.0996 is 0.10
    decimals, power = max(0, 1 - int(exponent)), math.floor(math.log10(max(abs(value), error)))
    if power and (decimals > 7 or power > 6):
        return f"({format_with_error(value / 10.0**power, error / 10.0**power)})e{power}"
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"


def format_share(share: Interval) -> str:
    """Return a share as `count of n` with its interval in percent, for a table's cell; `none` if n is 0.

    Example:
        >>> from mlp_core.statistics.intervals import Interval
        >>> format_share(Interval(n=8, estimate=0.25, low=0.032, high=0.651, missing=0))
        '2 of 8 [3.2 to 65.1 %]'
    """
    return f"{round(share.estimate * share.n)} of {share.n} [{format_bounds(share)} %]" if share.n else "none"


def format_bounds(interval: Interval) -> str:
    """Return the two ends of an interval of 0 .. 1 in percent, with one decimal.

    Example:
        >>> from mlp_core.statistics.intervals import Interval
        >>> format_bounds(Interval(n=8, estimate=0.9, low=0.85, high=0.95, missing=0))
        '85.0 to 95.0'
    """
    return f"{100 * interval.low:.1f} to {100 * interval.high:.1f}"


def no_break(text: str) -> str:
    """Return a table cell's text with no-break spaces, so that a line breaks only before the bracket of an interval."""
    return text.replace(" ", "\u00a0").replace("\u00a0[", " [")
