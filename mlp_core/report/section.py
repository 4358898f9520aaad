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
    """Name and texts of a figure in a section of the report.

    Attributes:
        name: Name of its file without the ending.
        caption: Text below the figure.
        alt: Text for readers who cannot see the figure.
    """

    name: str
    caption: str
    alt: str


@dataclass(frozen=True)
class ExtraTable:
    """A further table of a section.

    Attributes:
        title: Text above the table.
        header: Column names; the first column names the row, the last holds words.
        rows: Cells as text.
        note: Text below the table.
    """

    title: str
    header: list[str]
    rows: list[list[str]]
    note: str


@dataclass(frozen=True)
class SectionContent:
    """Texts and table of a report section, computed from a result table.

    Attributes:
        summary: At most two sentences, in plain words: the answer to the section's question, and how sure it is.
        details: Sentences with all numbers.
        header: Column names of the section's table.
        n_keys: Number of its first columns that name what was measured, such as the depth.
        rows: Cells of the table as text.
        note: Text below the table that explains its numbers.
        extra_tables: Further tables.
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
    """Definition of a section of the report: its result table, its texts and how its content is computed.

    Attributes:
        name: Name of the result table, and of the section's anchor in the page.
        command: Command line that makes the table.
        title: Headline.
        question: Question below the headline.
        columns: Columns that the table must have.
        figures: Figures to show; those without a file are left out.
        links: Texts and addresses of the tutorial's videos or of papers on the question.
        content: Function of the result table and the run's settings that returns texts and cells.
        poster: The question in a few words, for a card on the first screen; empty for no card. Of several sections with
            the same question the last one in the report has the card.
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
