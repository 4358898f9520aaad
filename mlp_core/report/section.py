"""What a section of the report is, and what several share: notes on the tables, and the tutorial's videos."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mlp_core.engine.architecture import LEARNED_MARGIN

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
class ExtraTable:
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
class SectionContent:
    """What a table of results says.

    Attributes:
        summary: Two sentences at most, in plain words: the answer to the section's question, and how sure it is.
        details: What the numbers say in full, for who reads on.
        header: Names of the columns of the section's table.
        n_keys: How many of them, the first, name what was measured.
        rows: The table's cells as text.
        note: Below the table: what its numbers are.
        extra_tables: More tables.
    """

    summary: list[str]
    details: list[str]
    header: list[str]
    n_keys: int
    rows: list[list[str]]
    note: str
    extra_tables: tuple[ExtraTable, ...] = ()


@dataclass(frozen=True)
class Section:
    """A section of the report: what it shows of which table.

    Attributes:
        name: Of its table of results, and of its anchor.
        command: What makes the table.
        title: Headline.
        question: Below it.
        columns: What the table must have.
        figures: Shown as far as they are there.
        links: Texts and addresses of what the tutorial says about it.
        content: From the table and its settings to what they say.
        poster: The question in a few words, for the first screen; empty to stay off it. Of several sections with the
            same question the last one answers.
    """

    name: str
    command: str
    title: str
    question: str
    columns: tuple[str, ...]
    figures: tuple[ReportFigure, ...]
    links: tuple[tuple[str, str], ...]
    content: Callable[[Any, Mapping[str, Any]], SectionContent]
    poster: str = ""


def _video(number: int, title: str, youtube: str, bilibili: str) -> tuple[tuple[str, str], ...]:
    return (
        (f"Video {number}, {title} (YouTube)", f"https://www.youtube.com/watch?v={youtube}"),
        (f"Video {number}, {title} (Bilibili)", f"https://www.bilibili.com/video/{bilibili}"),
    )


EXPRESSIVITY = _video(1, "Deep Expressivity", "g8JuGrNk9ag", "BV19f4y157vG")
CASE_STUDY = _video(2, "Case Study", "3g_OJ6dYE8E", "BV1FL411n7SH")
INITIALIZATION = _video(5, "Need for Good Initialization", "W0V2kwHSuUI", "BV1Qq4y1H7Px")
SIGNAL_PAPERS = (
    ("Paper: Poole et al. 2016, exponential expressivity through transient chaos", "https://arxiv.org/abs/1606.05340"),
    ("Paper: Schoenholz et al. 2017, deep information propagation", "https://arxiv.org/abs/1611.01232"),
)
