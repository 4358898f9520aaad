"""Values and their intervals in words."""

from __future__ import annotations

from mlp_core.statistics.intervals import MeanInterval


def words(interval: MeanInterval, short: bool = False) -> str:
    """Return a value in percent with its interval, if it has one, and n.

    Example:
        >>> words(MeanInterval(n=8, mean=0.9, low=0.85, high=0.95, missing=0))
        '90.0 %, 95 % interval 85.0 to 95.0, n = 8'
    """
    if interval.n == 0:
        return "no member finished"
    if not interval.has_interval:
        return f"{100 * interval.mean:.1f} %, n = {interval.n}, no interval"
    if short:
        return f"{100 * interval.mean:.1f} % ({ends(interval)}, n = {interval.n})"
    return f"{100 * interval.mean:.1f} %, 95 % interval {ends(interval)}, n = {interval.n}"


def bracketed(interval: MeanInterval) -> str:
    """Return a value in percent with its interval, if it has one, for a table's cell.

    Example:
        >>> bracketed(MeanInterval(n=8, mean=0.9, low=0.85, high=0.95, missing=0))
        '90.0 % [85.0 to 95.0]'
    """
    if interval.n == 0:
        return "none"
    return f"{100 * interval.mean:.1f} %" + (f" [{ends(interval)}]" if interval.has_interval else "")


def counted(share: MeanInterval) -> str:
    """Return a share as a count of members with the share's interval in percent, for a table's cell.

    Example:
        >>> counted(MeanInterval(n=8, mean=0.25, low=0.032, high=0.651, missing=0))
        '2 of 8 [3.2 to 65.1 %]'
    """
    return f"{round(share.mean * share.n)} of {share.n} [{ends(share)} %]" if share.n else "none"


def ends(interval: MeanInterval) -> str:
    """Return the ends of an interval in percent.

    Example:
        >>> ends(MeanInterval(n=8, mean=0.9, low=0.85, high=0.95, missing=0))
        '85.0 to 95.0'
    """
    return f"{100 * interval.low:.1f} to {100 * interval.high:.1f}"


def unbroken(text: str) -> str:
    """Return a cell's text that a narrow column may break between a value and its interval, but not inside either."""
    return text.replace(" ", "\u00a0").replace("\u00a0[", " [")
