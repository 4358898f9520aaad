"""Values and their intervals in words."""

from __future__ import annotations

from mlp_core.statistics.intervals import Interval


def count(n: int, noun: str) -> str:
    """Return a number of things as a sentence has it: no, one, or a number with the plural.

    Example:
        >>> count(0, "network"), count(1, "network"), count(8, "network")
        ('no network', 'one network', '8 networks')
    """
    return f"{('no', 'one')[n] if n < 2 else n} {noun}{'s' if n > 1 else ''}"


def format_interval(interval: Interval, short: bool = False) -> str:
    """Return a value in percent with its interval, if it has one, and n.

    Example:
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
    """Return a value in percent with its interval, if it has one, for a table's cell.

    Example:
        >>> format_cell(Interval(n=8, estimate=0.9, low=0.85, high=0.95, missing=0))
        '90.0 % [85.0 to 95.0]'
    """
    if interval.n == 0:
        return "none"
    return f"{100 * interval.estimate:.1f} %" + (f" [{format_bounds(interval)}]" if interval.has_interval else "")


def format_share(share: Interval) -> str:
    """Return a share as a count of members with the share's interval in percent, for a table's cell.

    Example:
        >>> format_share(Interval(n=8, estimate=0.25, low=0.032, high=0.651, missing=0))
        '2 of 8 [3.2 to 65.1 %]'
    """
    return f"{round(share.estimate * share.n)} of {share.n} [{format_bounds(share)} %]" if share.n else "none"


def format_bounds(interval: Interval) -> str:
    """Return the ends of an interval in percent.

    Example:
        >>> format_bounds(Interval(n=8, estimate=0.9, low=0.85, high=0.95, missing=0))
        '85.0 to 95.0'
    """
    return f"{100 * interval.low:.1f} to {100 * interval.high:.1f}"


def no_break(text: str) -> str:
    """Return a cell's text that a narrow column may break between a value and its interval, but not inside either."""
    return text.replace(" ", "\u00a0").replace("\u00a0[", " [")
