"""The report: result tables and figures in, one self-contained HTML page out.

Nothing here is measured or trained, and nothing says when the page was made: the same results give the same
bytes. Which experiments there are is not known here: their sections are arguments.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow
import pyarrow.compute
import pyarrow.parquet

from mlp_core.artifacts.baseline import RUNS, changes_of, read_comparisons
from mlp_core.artifacts.changes import Comparison
from mlp_core.data.settings import other_data, other_images
from mlp_core.errors import InputError
from mlp_core.report.accuracy_section import PUBLISHED
from mlp_core.report.claims import describe_claims
from mlp_core.report.facts import facts
from mlp_core.report.poster import poster
from mlp_core.report.section import ExtraTable, ReportFigure, Section
from mlp_core.report.template import page_template

if TYPE_CHECKING:
    from upath import UPath

    from mlp_core.report.against import Against
HERE = " (here: "
"""Stands after the title of a section that rests on them."""
SOURCES = "results", "figures", RUNS
"""What the report is made of, folders of the artifact folder."""


@dataclass(frozen=True)
class ReportContent:
    """Result tables, figures and their metadata, read from an artifact folder: all from which the report is made.

    Attributes:
        tables: Result tables by name, such as `depth_sweep`: one row per member, accuracies in 0..1.
        figures: PNG bytes by name, such as `depth_sweep_loss`.
        settings: The settings of the run that made each table, by name of the table.
        provenance: What each table was made with, by name: `code` (digest), `inputs` (name to digest),
            `versions` (library to version) and `machine` (processor and cores).
        comparisons: Rows of the comparisons with the accepted baseline; None if there were none.
        drawings: SVG bytes by name, of those figures that are small as SVG.
    """

    tables: dict[str, pd.DataFrame]
    figures: dict[str, bytes]
    settings: dict[str, dict[str, Any]]
    provenance: dict[str, dict[str, Any]]
    comparisons: pyarrow.Table | None = None
    drawings: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class DrawnFigure(ReportFigure):
    """A figure of a section together with its files.

    Attributes:
        png: PNG bytes.
        svg: SVG bytes; None if the SVG would be large.
    """

    png: bytes
    svg: bytes | None = None

    @property
    def source(self) -> str:
        """Return the figure as a data URL for an HTML `img`: the SVG if there is one, else the PNG."""
        kind, content = ("png", self.png) if self.svg is None else ("svg+xml", self.svg)
        return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


@dataclass(frozen=True)
class ShownSection:
    """A section of the report with its texts, figures and table; other attributes as in `Section`, `SectionContent`.

    Attributes:
        settings: Settings of the run that made the table, nested names joined by commas, values as text.
        n_members: Number of members per configuration; 0 if that is not recorded.
    """

    name: str
    title: str
    question: str
    summary: list[str]
    details: list[str]
    figures: list[DrawnFigure]
    header: list[str]
    n_keys: int
    rows: list[list[str]]
    note: str
    extra_tables: tuple[ExtraTable, ...]
    settings: dict[str, str]
    n_members: int
    links: tuple[tuple[str, str], ...]

    def named_rows(self) -> list[dict[str, str]]:
        """Return each row of the table as a dictionary from column name to cell.

        A column name that occurs before is preceded by the name of the column on its left: `left, name`.
        """
        names: list[str] = []
        for name in self.header:
            names.append(f"{names[-1]}, {name}" if name in names else name)
        return [dict(zip(names, row, strict=True)) for row in self.rows]


def read_report_content(artifacts: Path, sections: Sequence[Section]) -> ReportContent:
    """Read result tables, figures, provenance and baseline comparisons of an artifact folder, for `render_report`.

    Args:
        artifacts: Folder with `results/*.parquet` (settings and provenance are in the files' metadata) and, if there
            are some, `figures/*.png`, `figures/*.svg` and comparisons with a baseline. The table `history` is not read.
        sections: The sections of all experiments, at least one; their tables are checked for the columns they need.

    Returns:
        All tables and figures in the folder, under their file names without the ending.

    Raises:
        InputError: If there is no result, or if a result is damaged or lacks a column.
    """
    # Nothing here shows the history, which may be larger than all the rest
    paths = sorted(path for path in (artifacts / "results").glob("*.parquet") if path.stem != "history")
    if not paths:
        message = (
            f"the report needs results, got none in {artifacts / 'results'}; run an experiment such as "
            f"`{sections[0].command}` first, or name the folder that it wrote to."
        )
        raise InputError(message)
    tables, settings, provenance = {}, {}, {}
    for path in paths:
        try:
            table = pyarrow.parquet.read_table(path, page_checksum_verification=True)
            tables[path.stem] = table.to_pandas()
            metadata = table.schema.metadata or {}
            settings[path.stem] = json.loads(metadata.get(b"settings", b"{}"))
            provenance[path.stem] = {
                "code": metadata.get(b"code", b"not recorded").decode(),
                "machine": metadata.get(b"machine", b"not recorded").decode(),
                "inputs": json.loads(metadata.get(b"inputs", b"{}")),
                "versions": json.loads(metadata.get(b"versions", b"{}")),
            }
        except (pyarrow.ArrowException, ValueError, OSError) as error:
            message = f"{path} must be a Parquet file of results, got {error}; delete it and run its experiment again."
            raise InputError(message) from error
    for section in sections:
        if section.name in tables:
            _check_columns(tables[section.name], section)
    figures, drawings = (
        {path.stem: path.read_bytes() for path in sorted((artifacts / "figures").glob(f"*.{ending}"))}
        for ending in ("png", "svg")
    )
    return ReportContent(tables, figures, settings, provenance, read_comparisons(artifacts), drawings)


def render_report(
    content: ReportContent, sections: Sequence[Section], usual_seeds: int, against: Against | None = None
) -> str:
    """Return the report as one HTML page that needs no script, no network and no other file.

    Experiments without a table are left out and listed as not run. Every text from the data is escaped.

    Args:
        content: Tables, figures, settings and provenance.
        sections: The sections of all experiments, in the page's order.
        usual_seeds: Default number of seeds of a run, for a remark on how to decide more claims.
        against: Comparison with another folder's results, a further part of the page.

    Returns:
        The HTML text, the same characters for the same content.

    Raises:
        InputError: If the content has no table of a known experiment, or if one lacks a column.

    Example:
        >>> from mlp_core.report.section import SectionContent
        >>> def find(table, settings):
        ...     return SectionContent([f"{len(table)} rows."], [], ["rate"], 1, [["0.1"]], "")
        >>> rates, widths = (Section(name, "deep-mlp", name, "Which?", ("seed",), (), (), find) for name in "rw")
        >>> content = ReportContent({"r": pd.DataFrame({"seed": [1, 2]})}, {}, {}, {})
        >>> page = render_report(content, [rates, widths], usual_seeds=8)
        >>> page.splitlines()[0], "2 rows." in page, "w: not run yet" in page
        ('<!doctype html>', True, True)
    """
    return render_sections(report_sections(content, sections), content, sections, usual_seeds, against)


def render_sections(
    shown_sections: Sequence[ShownSection],
    content: ReportContent,
    sections: Sequence[Section],
    usual_seeds: int,
    against: Against | None = None,
) -> str:
    """Return the report as one HTML page, as `render_report` does, from sections that `report_sections` has made.

    Args:
        shown_sections: Sections with a table, see `report_sections`.
        content: Tables, figures, settings and provenance that they were made from.
        sections: See `render_report`.
        usual_seeds: See `render_report`.
        against: See `render_report`.
    """
    provenance = {section.name: _flat(content.provenance.get(section.name, {})) for section in shown_sections}
    common = {
        name: value
        for name, value in next(iter(provenance.values())).items()
        if all(values.get(name) == value for values in provenance.values())
    }
    claims = content.tables.get("claims", pd.DataFrame())
    failures = content.tables.get("failures", pd.DataFrame(columns=["experiment", "reason"]))
    shown_in = {figure.name: section.title for section in shown_sections for figure in section.figures}
    describe = None if claims.empty else describe_claims(claims, shown_in, usual_seeds)
    return page_template().render(
        facts=facts(content, [section.name for section in shown_sections]),
        cards=poster(shown_sections, sections, describe),
        contents=_contents(shown_sections, describe is not None, content.comparisons is not None, against is not None),
        against=against,
        failures=list(zip(failures["experiment"], failures["reason"], strict=True)),
        drift=_drift(content),
        claims=describe,
        sections=shown_sections,
        missing=[section for section in sections if section.name not in content.tables],
        tutorial=PUBLISHED,
        common_provenance=common,
        own_provenance={
            name: {key: value for key, value in values.items() if key not in common}
            for name, values in provenance.items()
        },
    )


def _drift(content: ReportContent) -> dict[str, Any] | None:
    """Return what the last comparison with the baseline says, if there was any."""
    if content.comparisons is None:
        return None
    runs = content.comparisons["run"]
    last = content.comparisons.filter(pyarrow.compute.equal(runs, runs[-1])).to_pylist()
    comparison = Comparison(changes_of(last), [text for text in [last[0]["made_otherwise"]] if text], {}, "")
    n_runs = len(runs.unique())
    return {
        "run": f"{last[0]['run']:%Y-%m-%d %H:%M} UTC",
        "moved": [change.describe() for change in comparison.moved],
        "counted": comparison.counted(),
        "details": comparison.details(),
        "since": comparison.since(),
        "figure": _trend(content, n_runs),
    }


def _trend(content: ReportContent, n_runs: int) -> DrawnFigure | None:
    if "trend" not in content.figures:
        return None
    lately = "in the one run that was compared" if n_runs == 1 else f"over the last {n_runs} runs that were compared"
    return DrawnFigure(
        "trend",
        f"Test accuracy of every configuration {lately}; the configurations that moved are marked.",
        "Mean test accuracy of every configuration over the runs, a panel per experiment.",
        content.figures["trend"],
        content.drawings.get("trend"),
    )


def _contents(
    sections: Sequence[ShownSection], has_claims: bool, has_drift: bool, has_other: bool
) -> list[tuple[str, str]]:
    """Return the anchors and titles of the page's parts."""
    return [
        ("top", "Start"),
        *([("against", "Two runs side by side")] if has_other else []),
        *([("claims", "Claims")] if has_claims else []),
        ("in-short", "In short"),
        *((section.name, section.title.partition(HERE)[0]) for section in sections),
        *([("drift", "Against the baseline")] if has_drift else []),
        ("how-to-read", "How to read this"),
        ("provenance", "Provenance"),
    ]


def has_sections(artifacts: Path | UPath, sections: Sequence[Section]) -> bool:
    """Return whether the folder has the result file of at least one of the sections; the file is not opened."""
    return any((artifacts / "results" / f"{section.name}.parquet").is_file() for section in sections)


def report_sections(content: ReportContent, sections: Sequence[Section]) -> list[ShownSection]:
    """Return the sections of the report whose table exists, with their texts, figures and cells, in the same order.

    Args:
        content: Tables, figures, settings and provenance.
        sections: The sections of all experiments.

    Raises:
        InputError: If the content has no table of a known experiment, or if one lacks a column.
    """
    shown_sections = [_shown(section, content) for section in sections if section.name in content.tables]
    if not shown_sections:
        known = ", ".join(section.name for section in sections)
        message = f"the report needs a table of at least one of {known}, got {sorted(content.tables)}."
        raise InputError(message)
    return shown_sections


def _shown(section: Section, content: ReportContent) -> ShownSection:
    table = content.tables[section.name]
    settings = content.settings.get(section.name, {})
    _check_columns(table, section)
    findings = section.content(table, settings)
    # whatever rests on drawn faces or other data says so where it stands: nobody looks for it among the settings
    here = other_images(settings) or other_data(settings)
    return ShownSection(
        section.name,
        f"{section.title}{HERE}{here})" if here else section.title,
        section.question + (f" Here the same is asked of {other}." if (other := other_data(settings)) else ""),
        [sentence.replace(" %", "\u00a0%") for sentence in findings.summary],
        [sentence.replace(" %", "\u00a0%") for sentence in findings.details],
        [
            DrawnFigure(
                figure.name,
                f"{figure.caption} On {here}." if here else figure.caption,
                figure.alt,
                content.figures[figure.name],
                content.drawings.get(figure.name),
            )
            for figure in section.figures
            if figure.name in content.figures
        ],
        findings.header,
        findings.n_keys,
        findings.rows,
        findings.note + _remarks(settings),
        findings.extra_tables,
        _flat(settings),
        settings["seeds"] if isinstance(settings.get("seeds"), int) else 0,
        section.links,
    )


def _remarks(settings: Mapping[str, Any]) -> str:
    """Return what is to be said of the examples, as a sentence each."""
    names = {"images_remarks": "images", "data_remarks": "table"}
    remarks = {what: str(settings[name]) for name, what in names.items() if settings.get(name)}
    return "".join(f" About the {what}: {words}{'.' * (not words.endswith('...'))}" for what, words in remarks.items())


def _flat(nested: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested settings as `outer, inner` names with printable values."""
    flat: dict[str, str] = {}
    for name, value in nested.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}, ")
        elif isinstance(value, list):
            flat[prefix + name] = ", ".join(map(_text, value))
        else:
            flat[prefix + name] = _text(value)
    return flat


def _text(value: object) -> str:
    """Return a value as it is read: a float to six digits.

    Example:
        >>> _text(0.42222222222222217), _text(None), _text("relu")
        ('0.422222', 'none', 'relu')
    """
    if value is None:
        return "none"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _check_columns(table: pd.DataFrame, section: Section) -> None:
    missing = [column for column in section.columns if column not in table]
    if missing or table.empty:
        fault = f"columns {', '.join(missing)} missing" if missing else "no rows"
        message = (
            f"the table {section.name} must have rows with the columns {', '.join(section.columns)}, "
            f"got {fault}; run `{section.command}` again."
        )
        raise InputError(message)
