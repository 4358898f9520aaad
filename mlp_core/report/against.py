"""Two artifact folders side by side: the same figures, and the differences of members with equal seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mlp_core.artifacts.comparison import differing_settings, paired_configurations
from mlp_core.artifacts.drift import PairedMembers
from mlp_core.artifacts.results import MEASURES, Results
from mlp_core.errors import InputError
from mlp_core.report.page import DrawnFigure, ShownSection
from mlp_core.statistics.comparisons import listed
from mlp_core.statistics.intervals import Interval, median_interval
from mlp_core.statistics.wording import count, format_cell, no_break

_EQUAL = "equal in every pair"
_TEST = MEASURES.index("test_accuracy")
_NOTE = (
    "Test accuracy: medians of the members that finished, with their 95 % intervals. The difference is the median of "
    "the differences of members with equal seeds, in percentage points, with its 95 % interval (order statistics; none "
    "for fewer than 6 pairs). Each interval stands for itself: of twenty that do not differ one may seem to."
)


@dataclass(frozen=True)
class ExperimentPair:
    """Comparison of one experiment's results in two artifact folders.

    Attributes:
        title: Title of the experiment's section.
        settings: A sentence that lists the settings that differ; empty if none do.
        figures: The section's first figure of this folder, then of the other one, each with a caption.
        rows: A row per configuration: its name, this folder's median test accuracy, the other's, the difference, and
            `better`, `worse`, `undecided`, `equal in every pair` or nothing without pairs.
        remark: A sentence if members cannot be paired because the root seeds differ; else empty.
    """

    title: str
    settings: str
    figures: list[tuple[DrawnFigure, str]]
    rows: list[list[str]]
    remark: str


@dataclass(frozen=True)
class Against:
    """Comparison of the report's folder with another artifact folder, for a part of the report.

    Attributes:
        other: Path of the other folder, as the user wrote it.
        sentences: In how many configurations this folder is better, worse or undecided.
        experiments: A comparison for each experiment that both folders have.
        header: Column names of the experiments' tables.
        note: Explanation of the numbers, below the tables.
    """

    other: str
    sentences: list[str]
    experiments: list[ExperimentPair]
    header: tuple[str, ...]
    note: str = _NOTE


def side_by_side(
    other: str,
    theirs: Results,
    ours: Results,
    sections: Sequence[ShownSection],
    their_sections: Sequence[ShownSection],
) -> Against:
    """Compare the test accuracies in two artifact folders, configuration by configuration, in pairs of equal seeds.

    Differences are this folder minus the other. With different root seeds there are no pairs, and no differences.

    Args:
        other: Path of the other folder, as the user wrote it.
        theirs: Results in the other folder.
        ours: Results in the folder that the report is about.
        sections: Sections of the report, see `report_sections`.
        their_sections: Sections of the other folder.

    Raises:
        InputError: If no experiment with members is in both folders.
    """
    known = {section.name: section for section in their_sections}
    pairs, rows = [], []
    for section in sections:
        if section.name in theirs.origins and section.name in ours.origins:
            pair = _experiment_pair(section, known.get(section.name), theirs, ours)
            pairs.append(pair)
            rows += pair.rows
    if not pairs:
        message = (
            f"against must name a folder with results of the same experiments, got {other!r} with "
            f"{', '.join(theirs.origins) or 'none'}, where this one has {', '.join(ours.origins) or 'none'}; run the "
            "same command in both."
        )
        raise InputError(message)
    header = ("configuration", "this folder", "the other", "difference (points)", "this folder is")
    return Against(other, _in_short(rows), pairs, header)


def _experiment_pair(
    section: ShownSection, their_section: ShownSection | None, theirs: Results, ours: Results
) -> ExperimentPair:
    name = section.name
    before, after = theirs.origins[name], ours.origins[name]
    differing = differing_settings(before, after)
    paired = before.settings.get("seed") == after.settings.get("seed")
    both = paired_configurations(theirs, ours, name)
    matched = {other for other, _ in both.values()}
    rows = [
        _row(configuration, ours.members[name, configuration], theirs.members[name, other], members if paired else None)
        for configuration, (other, members) in both.items()
    ]
    alone = [
        (configuration, members) for (experiment, configuration), members in ours.members.items() if experiment == name
    ]
    rows += [_row(configuration, members, {}, None) for configuration, members in alone if configuration not in both]
    missing = [
        (configuration, members)
        for (experiment, configuration), members in theirs.members.items()
        if experiment == name
    ]
    rows += [
        _row(configuration, {}, members, None) for configuration, members in missing if configuration not in matched
    ]
    figures = []
    if their_section is not None and section.figures and their_section.figures:
        first = section.figures[0]
        same = [figure for figure in their_section.figures if figure.name == first.name]
        figures = [(first, "This folder."), *((figure, "The other folder.") for figure in same)]
    return ExperimentPair(
        section.title,
        f"The other folder's settings, and these: {', '.join(differing)}." if differing else "",
        figures,
        rows,
        "" if paired else "The root seeds differ: no two members are a pair, so that there are no differences.",
    )


def _row(
    name: str,
    ours: Mapping[int, tuple[float, ...]],
    theirs: Mapping[int, tuple[float, ...]],
    members: PairedMembers | None,
) -> list[str]:
    sides = [format_cell(_median(side)) if side else "not there" for side in (ours, theirs)]
    difference, equal = Interval(0, math.nan, math.nan, math.nan, 0), False
    if members is not None:
        values = members.accuracies("test_accuracy")
        differences = values[:, 1] - values[:, 0]
        difference, equal = median_interval(differences), not np.any(differences[np.isfinite(differences)])
    name = name.replace("=", " ") or "its one configuration"
    return [name, *map(no_break, (*sides, _points(difference), _said(difference, equal)))]


def _median(members: Mapping[int, tuple[float, ...]]) -> Interval:
    return median_interval(np.array([values[_TEST] for values in members.values()]))


def _points(difference: Interval) -> str:
    if not difference.n:
        return "no pair"
    ends = f" [{100 * difference.low:+.1f} to {100 * difference.high:+.1f}]" if difference.has_interval else ""
    return f"{100 * difference.estimate:+.1f}{ends}, n = {difference.n}"


def _said(difference: Interval, equal: bool) -> str:
    if difference.n and equal:
        return _EQUAL
    if difference.n and difference.has_interval:
        if difference.low > 0:
            return "better"
        if difference.high < 0:
            return "worse"
    return "undecided" if difference.n else ""


def _in_short(rows: Sequence[Sequence[str]]) -> list[str]:
    """Say in how many configurations the folders differ.

    Example:
        >>> _in_short([["a", "", "", "", "better"], ["b", "", "", "", "undecided"]])
        ['Of 2 configurations with pairs of equal seeds one is better here, none is worse and one is undecided.']
    """
    verdicts = [row[-1].replace("\u00a0", " ") for row in rows if row[-1]]
    if not verdicts:
        return ["No configuration has pairs of equal seeds in both folders."]
    words = ["better here", "worse", "undecided"]
    parts = [f"{_number(verdicts.count(word.split()[0]))} {word}" for word in words]
    if equal := verdicts.count(_EQUAL):
        parts.append(f"{_number(equal)} {_EQUAL}")
    return [f"Of {count(len(verdicts), 'configuration')} with pairs of equal seeds {listed(parts)}."]


def _number(n: int) -> str:
    return {0: "none is", 1: "one is"}.get(n, f"{n} are")
