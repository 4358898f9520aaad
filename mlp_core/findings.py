"""What a section of the report holds, and how it puts a value and its interval into words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mlp_core.metrics import MeanInterval
from mlp_core.sizes import LEARNED_MARGIN

MEDIAN_NOTE = (
    "Accuracies are medians [95 % interval, from one member to another: order statistics] of the members that "
    "finished; with 8 it goes from the least to the greatest. There is none for fewer than 6 members, nor where they "
    "do not differ."
)
NEVER_LEARNED_NOTE = (
    "Never learned: members that diverged or whose train accuracy is less than "
    f"{100 * LEARNED_MARGIN:.0f} points above chance [95 % interval, Clopper-Pearson]."
)


@dataclass(frozen=True)
class ReportFigure:
    """A figure of a section.

    Attributes:
        name: Its file's, without the ending.
        caption: Below it.
        alt: In its place for who cannot see it.
    """

    name: str
    caption: str
    alt: str


@dataclass(frozen=True)
class FurtherTable:
    """A second table of a section.

    Attributes:
        title: Above it.
        header: Names of its columns; the first names the row, the last holds words.
        rows: Its cells as text.
        note: Below it.
    """

    title: str
    header: list[str]
    rows: list[list[str]]
    note: str


@dataclass(frozen=True)
class Findings:
    """What a table of results says.

    Attributes:
        summary: Sentences, made from the numbers.
        reasons: More of them, for who reads on.
        header: Names of the columns of the section's table.
        n_keys: How many of them, the first, name what was measured.
        rows: The table's cells as text.
        note: Below the table: what its numbers are.
        further: More tables.
    """

    summary: list[str]
    reasons: list[str]
    header: list[str]
    n_keys: int
    rows: list[list[str]]
    note: str
    further: tuple[FurtherTable, ...] = ()


@dataclass(frozen=True)
class Study:
    """A section of the report.

    Attributes:
        name: Of its table of results, and of its anchor.
        command: What makes the table.
        title: Headline.
        question: Below it.
        columns: What the table must have.
        figures: Shown as far as they are there.
        links: Texts and addresses of what the tutorial says about it.
        find: From the table and its settings to what they say.
    """

    name: str
    command: str
    title: str
    question: str
    columns: tuple[str, ...]
    figures: tuple[ReportFigure, ...]
    links: tuple[tuple[str, str], ...]
    find: Callable[[Any, Mapping[str, Any]], Findings]


def words(found: MeanInterval, short: bool = False) -> str:
    """Return a value in percent with its interval, if it has one, and n.

    Example:
        >>> words(MeanInterval(n=8, mean=0.9, low=0.85, high=0.95, missing=0))
        '90.0 %, 95 % interval 85.0 to 95.0, n = 8'
    """
    if found.n == 0:
        return "no member finished"
    if not found.has_interval:
        return f"{100 * found.mean:.1f} %, n = {found.n}, no interval"
    if short:
        return f"{100 * found.mean:.1f} % ({ends(found)}, n = {found.n})"
    return f"{100 * found.mean:.1f} %, 95 % interval {ends(found)}, n = {found.n}"


def bracketed(found: MeanInterval) -> str:
    """Return a value in percent with its interval, if it has one, for a table's cell.

    Example:
        >>> bracketed(MeanInterval(n=8, mean=0.9, low=0.85, high=0.95, missing=0))
        '90.0 % [85.0 to 95.0]'
    """
    if found.n == 0:
        return "none"
    return f"{100 * found.mean:.1f} %" + (f" [{ends(found)}]" if found.has_interval else "")


def counted(share: MeanInterval) -> str:
    """Return a share as a count of members with the share's interval in percent, for a table's cell.

    Example:
        >>> counted(MeanInterval(n=8, mean=0.25, low=0.032, high=0.651, missing=0))
        '2 of 8 [3.2 to 65.1 %]'
    """
    return f"{round(share.mean * share.n)} of {share.n} [{ends(share)} %]" if share.n else "none"


def ends(found: MeanInterval) -> str:
    """Return the ends of an interval in percent.

    Example:
        >>> ends(MeanInterval(n=8, mean=0.9, low=0.85, high=0.95, missing=0))
        '85.0 to 95.0'
    """
    return f"{100 * found.low:.1f} to {100 * found.high:.1f}"


def unbroken(text: str) -> str:
    """Return a cell's text that a narrow column may break between a value and its interval, but not inside either."""
    return text.replace(" ", "\u00a0").replace("\u00a0[", " [")


def _video(number: int, title: str, youtube: str, bilibili: str) -> tuple[tuple[str, str], ...]:
    return (
        (f"Video {number}, {title} (YouTube)", f"https://www.youtube.com/watch?v={youtube}"),
        (f"Video {number}, {title} (Bilibili)", f"https://www.bilibili.com/video/{bilibili}"),
    )


EXPRESSIVITY = _video(1, "Deep Expressivity", "g8JuGrNk9ag", "BV19f4y157vG")
CASE_STUDY = _video(2, "Case Study", "3g_OJ6dYE8E", "BV1FL411n7SH")
INITIALIZATION = _video(5, "Need for Good Initialization", "W0V2kwHSuUI", "BV1Qq4y1H7Px")
