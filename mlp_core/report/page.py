"""The report: result tables and figures in, one self-contained HTML page out.

Nothing here is measured or trained, and nothing says when the page was made: the same results give the same
bytes.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import numpy as np
import pandas as pd
import pyarrow
import pyarrow.compute
import pyarrow.parquet

from mlp_core.artifacts.baseline import RUNS, changes_of, read_comparisons
from mlp_core.artifacts.changes import Comparison
from mlp_core.data.addresses import SYNTHETIC
from mlp_core.errors import InputError
from mlp_core.report.claims import claims_in_words
from mlp_core.report.explanation_report import EXPLANATION, FEATURES, GENERALIZATION
from mlp_core.report.findings import (
    CASE_STUDY,
    EXPRESSIVITY,
    INITIALIZATION,
    MEDIAN_NOTE,
    NEVER_LEARNED_NOTE,
    Findings,
    FurtherTable,
    ReportFigure,
    Study,
)
from mlp_core.report.theory_report import PHASE, SIGNALS
from mlp_core.statistics.claims import PUBLISHED_CURVE
from mlp_core.statistics.comparisons import best_in_words
from mlp_core.statistics.intervals import MeanInterval, median_interval, share_interval
from mlp_core.statistics.wording import bracketed, counted, unbroken, words

if TYPE_CHECKING:
    from upath import UPath

SOURCES = "results", "figures", RUNS
"""What the report is made of, folders of the artifact folder."""

_TUTORIAL = "tutorial, one seed, 2021"
# what the tutorial's own loop prints for seed 2021 with torch 2.14.1, in percent
_TUTORIAL_WIDTHS = {1: 14, 2: 7, 3: 6, 4: 5, 5: 4}
_TUTORIAL_POLYNOMIAL = {"train_accuracy": 69.9, "test_accuracy": 72.6}


@dataclass(frozen=True)
class ReportContent:
    """Everything that the report shows.

    Attributes:
        tables: Result tables by name, such as `depth_sweep`: one row per member, accuracies in 0..1.
        figures: PNG bytes by name, such as `depth_sweep_loss`.
        settings: The settings of each table.
        provenance: For each table what it was made with: `code` (digest), `inputs` (name to digest),
            `versions` (library to version) and `machine` (processor and cores).
        comparisons: Rows of the comparisons with the accepted baseline, if there were any.
    """

    tables: dict[str, pd.DataFrame]
    figures: dict[str, bytes]
    settings: dict[str, dict[str, Any]]
    provenance: dict[str, dict[str, Any]]
    comparisons: pyarrow.Table | None = None


@dataclass(frozen=True)
class DrawnFigure(ReportFigure):
    """A figure of a section, with its PNG bytes."""

    png: bytes

    @property
    def source(self) -> str:
        """Return the figure as the address of an image that needs no file."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode()


@dataclass(frozen=True)
class Section:
    """A section of the report as it is shown; what is not said here is as in `Study` and `Findings`.

    Attributes:
        settings: Of the table, flat.
        seeds: How many different ones, if the table has them.
    """

    name: str
    title: str
    question: str
    summary: list[str]
    reasons: list[str]
    figures: list[DrawnFigure]
    header: list[str]
    n_keys: int
    rows: list[list[str]]
    note: str
    further: tuple[FurtherTable, ...]
    settings: dict[str, str]
    seeds: int | None
    links: tuple[tuple[str, str], ...]

    def named_rows(self) -> list[dict[str, str]]:
        """Return the rows by the names of their columns; a name that comes again is told by the column before it."""
        names: list[str] = []
        for name in self.header:
            names.append(f"{names[-1]}, {name}" if name in names else name)
        return [dict(zip(names, row, strict=True)) for row in self.rows]


@dataclass(frozen=True)
class _Experiment:
    name: str
    command: str
    title: str
    question: str
    keys: dict[str, str]
    figures: tuple[ReportFigure, ...]
    links: tuple[tuple[str, str], ...]
    interval_over: str
    summarise: Callable[[list[_Cell], Mapping[str, Any]], list[str]]

    @property
    def columns(self) -> tuple[str, ...]:
        """Return what the table must have."""
        return (*self.keys, "seed", "epochs", "status", "learned", "train_accuracy", "test_accuracy")

    def find(self, table: pd.DataFrame, settings: Mapping[str, Any]) -> Findings:
        """Return what the accuracies of all configurations say."""
        cells = [
            _cell(self, dict(zip(self.keys, values, strict=True)), rows)
            for values, rows in table.groupby(list(self.keys), sort=False)
        ]
        with_tutorial = any(cell.tutorial_test_percent is not None for cell in cells)
        header = [
            *self.keys.values(),
            *("n", "diverged", "never learned", "train accuracy", "test accuracy", "range of members", "mean"),
        ]
        return Findings(
            self.summarise(cells, settings),
            [],
            header + ([_TUTORIAL] if with_tutorial else []),
            len(self.keys),
            [_row(cell, with_tutorial) for cell in cells],
            f"{MEDIAN_NOTE} Range and mean are of the test accuracies. {NEVER_LEARNED_NOTE} {self.interval_over}",
        )


@dataclass(frozen=True)
class _Cell:
    """One configuration: its key columns and what its members reached, the test accuracies by seed."""

    values: dict[str, Any]
    train: MeanInterval
    test: MeanInterval
    never_learned: MeanInterval
    train_accuracies: pd.Series
    test_accuracies: pd.Series
    tutorial_test_percent: float | None


def read_report_content(artifacts: Path) -> ReportContent:
    """Read what `render_report` needs from an artifact folder.

    Args:
        artifacts: Folder with the `SOURCES`: `results/*.parquet` (settings and provenance in the files' own metadata)
            and, as far as there are some, `figures/*.png` and comparisons with a baseline.

    Returns:
        All tables and figures found, under their file names without the ending.

    Raises:
        InputError: If there is no result, or if a result is damaged or lacks a column.
    """
    # Nothing here shows the history, which may be larger than all the rest
    paths = sorted(path for path in (artifacts / "results").glob("*.parquet") if path.stem != "history")
    if not paths:
        message = (
            f"the report needs results, got none in {artifacts / 'results'}; run an experiment such as "
            "`deep-mlp depth-sweep` first, or name the folder that it wrote to."
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
    for experiment in _EXPERIMENTS:
        if experiment.name in tables:
            _check_columns(tables[experiment.name], experiment)
    figures = {path.stem: path.read_bytes() for path in sorted((artifacts / "figures").glob("*.png"))}
    return ReportContent(tables, figures, settings, provenance, read_comparisons(artifacts))


def render_report(content: ReportContent) -> str:
    """Return the report as one HTML page that needs no script, no network and no other file.

    Experiments without a table are left out and listed as not run. Every text from the data is escaped.

    Args:
        content: Tables, figures, settings and provenance.

    Returns:
        The page, the same characters for the same content.

    Raises:
        InputError: If the content has no table of a known experiment, or if one lacks a column.

    Example:
        >>> table = pd.DataFrame({"degree": 50, "features": 1325, "seed": [1, 2], "status": "ok", "epochs": 100,
        ...     "learned": True,
        ...     "train_accuracy": [0.69, 0.70], "test_accuracy": [0.72, 0.73]})
        >>> page = render_report(ReportContent({"polynomial": table}, {}, {}, {}))
        >>> page.splitlines()[0], "not run yet" in page
        ('<!doctype html>', True)
    """
    return render_sections(report_sections(content), content)


def render_sections(sections: list[Section], content: ReportContent) -> str:
    """Return the report as one HTML page, from its sections and the content they were made of."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shown = {section.name: _flat(content.provenance.get(section.name, {})) for section in sections}
    common = {
        name: value
        for name, value in next(iter(shown.values())).items()
        if all(found.get(name) == value for found in shown.values())
    }
    claims = content.tables.get("claims", pd.DataFrame())
    failures = content.tables.get("failures", pd.DataFrame(columns=["experiment", "reason"]))
    shown_in = {figure.name: section.title for section in sections for figure in section.figures}
    return environment.get_template("report.html.jinja").render(
        failures=list(zip(failures["experiment"], failures["reason"], strict=True)),
        drift=_drift(content),
        claims=None if claims.empty else claims_in_words(claims, shown_in),
        sections=sections,
        missing=[experiment for experiment in _EXPERIMENTS if experiment.name not in content.tables],
        tutorial=_TUTORIAL,
        common_provenance=common,
        own_provenance={
            name: {key: value for key, value in found.items() if key not in common} for name, found in shown.items()
        },
    )


def _drift(content: ReportContent) -> dict[str, Any] | None:
    """Return what the last comparison with the baseline says, if there was any."""
    if content.comparisons is None:
        return None
    runs = content.comparisons["run"]
    last = content.comparisons.filter(pyarrow.compute.equal(runs, runs[-1])).to_pylist()
    comparison = Comparison(changes_of(last), [text for text in [last[0]["made_otherwise"]] if text], {}, "")
    figure = content.figures.get("trend")
    return {
        "runs": len(runs.unique()),
        "run": f"{last[0]['run']:%Y-%m-%d %H:%M} UTC",
        "moved": [change.in_words() for change in comparison.moved],
        "counted": comparison.counted(),
        "details": comparison.details(),
        "since": comparison.since(),
        "figure": None if figure is None else f"data:image/png;base64,{base64.b64encode(figure).decode()}",
    }


def has_sections(artifacts: Path | UPath) -> bool:
    """Return whether an artifact folder has the table of any experiment."""
    return any((artifacts / "results" / f"{experiment.name}.parquet").is_file() for experiment in _EXPERIMENTS)


def report_sections(content: ReportContent) -> list[Section]:
    """Return the report's section of each experiment that has a table.

    Raises:
        InputError: If the content has no table of a known experiment, or if one lacks a column.
    """
    sections = [_section(experiment, content) for experiment in _EXPERIMENTS if experiment.name in content.tables]
    if not sections:
        known = ", ".join(experiment.name for experiment in _EXPERIMENTS)
        message = f"the report needs a table of at least one of {known}, got {sorted(content.tables)}."
        raise InputError(message)
    return sections


def _section(experiment: _Experiment | Study, content: ReportContent) -> Section:
    table = content.tables[experiment.name]
    settings = content.settings.get(experiment.name, {})
    _check_columns(table, experiment)
    findings = experiment.find(table, settings)
    # whatever rests on drawn faces says so where it stands: nobody looks for it among the settings
    drawn = settings.get("images") == SYNTHETIC
    return Section(
        experiment.name,
        f"{experiment.title} (here: drawn faces)" if drawn else experiment.title,
        experiment.question,
        [sentence.replace(" %", "\u00a0%") for sentence in findings.summary],
        [sentence.replace(" %", "\u00a0%") for sentence in findings.reasons],
        [
            DrawnFigure(
                figure.name,
                f"{figure.caption} On drawn faces." if drawn else figure.caption,
                figure.alt,
                content.figures[figure.name],
            )
            for figure in experiment.figures
            if figure.name in content.figures
        ],
        findings.header,
        findings.n_keys,
        findings.rows,
        findings.note + (f" About the photographs: {remarks}." if (remarks := settings.get("images_remarks")) else ""),
        findings.further,
        _flat(settings),
        int(table["seed"].nunique()) if "seed" in table else None,
        experiment.links,
    )


def _cell(experiment: _Experiment, values: dict[str, Any], rows: pd.DataFrame) -> _Cell:
    finished = (rows["status"] == "ok").to_numpy()
    train, test = (
        np.where(finished, rows[column].to_numpy(dtype=np.float64, na_value=np.nan), np.nan)
        for column in ("train_accuracy", "test_accuracy")
    )
    tutorial = None
    if set(rows["epochs"]) == {100} and experiment.name == "depth_sweep" and values["activation"] == "relu":
        as_published = _TUTORIAL_WIDTHS.get(values["depth"]) == values["width"]
        tutorial = 100 * PUBLISHED_CURVE[values["depth"]] if as_published else None
    if set(rows["epochs"]) == {100} and experiment.name == "polynomial" and values["degree"] == 50:
        tutorial = _TUTORIAL_POLYNOMIAL["test_accuracy"]
    return _Cell(
        values,
        median_interval(train),
        median_interval(test),
        share_interval(int((~rows["learned"].to_numpy(dtype=bool)).sum()), len(rows)),
        pd.Series(train, rows["seed"]),
        pd.Series(test, rows["seed"]),
        tutorial,
    )


def _row(cell: _Cell, with_tutorial: bool) -> list[str]:
    reached = cell.test_accuracies.dropna()
    row = [
        *(f"{value:.4g}" if isinstance(value, float) else str(value) for value in cell.values.values()),
        str(cell.test.n),
        f"{cell.test.missing} of {cell.test.n + cell.test.missing}" if cell.test.missing else "0",
        counted(cell.never_learned),
        bracketed(cell.train),
        bracketed(cell.test),
        f"{100 * reached.min():.1f} to {100 * reached.max():.1f} %" if len(reached) else "none finished",
        f"{100 * _mean(cell):.1f} %" if len(reached) else "none",
    ]
    if with_tutorial:
        row.append("" if cell.tutorial_test_percent is None else f"{cell.tutorial_test_percent:.1f} %")
    return [unbroken(text) for text in row]


def _summarise_depth(cells: list[_Cell], settings: Mapping[str, Any]) -> list[str]:
    sentences = []
    activations = list(dict.fromkeys(cell.values["activation"] for cell in cells))
    for activation in activations:
        chosen = [cell for cell in cells if cell.values["activation"] == activation]
        prefix = f"With {activation}: " if len(activations) > 1 else ""
        sentences += _ranking("depth", chosen, chosen, prefix)
    return [*sentences, *_failures(cells), *_tutorial_sentence("depth", cells)]


def _summarise_polynomial(cells: list[_Cell], settings: Mapping[str, Any]) -> list[str]:
    sentences = [
        f"One linear layer on {cell.values['features']} monomials (degree {cell.values['degree']}): "
        f"median test accuracy {words(cell.test)}; train accuracy {words(cell.train)}."
        for cell in cells
    ]
    sentences += [*_failures(cells), *_tutorial_sentence("degree", cells)]
    if any(cell.tutorial_test_percent is not None for cell in cells):
        sentences.append(f"The tutorial's train accuracy was {_TUTORIAL_POLYNOMIAL['train_accuracy']:.1f} %.")
    return [
        *sentences,
        "These accuracies are of points inside the training region; outside it see the decision map. How much of what "
        "is missing is the optimizer's and how much is width's is the question of “Where wide fails, counted”.",
    ]


def _summarise_images(cells: list[_Cell], settings: Mapping[str, Any]) -> list[str]:
    sentences = []
    for cell in cells:
        name = f"{cell.values['hidden_widths']} hidden units, {cell.values['activation']}"
        sentences.append(f"{name}: median test accuracy {words(cell.test)}; train accuracy {words(cell.train)}.")
        if cell.test.n:
            gap = 100 * float((cell.train_accuracies - cell.test_accuracies).mean())
            sentences.append(f"Train minus test, mean of the members: {gap:.1f} percentage points.")
    sentences += _failures(cells)
    return sentences


def _summarise_gain(cells: list[_Cell], settings: Mapping[str, Any]) -> list[str]:
    sentences = []
    groups = list(dict.fromkeys((cell.values["activation"], cell.values["distribution"]) for cell in cells))
    for group in groups:
        chosen = [cell for cell in cells if (cell.values["activation"], cell.values["distribution"]) == group]
        theoretical = chosen[0].values["theoretical_gain"]
        by_gain = sorted(chosen, key=lambda cell: float(cell.values["gain"]))
        nearest = min(by_gain, key=lambda cell: abs(float(cell.values["gain"]) - theoretical))
        prefix = f"With {group[0]} and {group[1]} weights: " if len(groups) > 1 else ""
        sentences += _ranking("gain", chosen, [by_gain[0], nearest, by_gain[-1]], prefix)
        sentences.append(
            f"Theory for layers of equal width, which these are not, gives {theoretical:.3f}; the nearest gain "
            f"measured is {nearest.values['gain']:.4g}. All members see one order of batches, and with another order "
            "another gain may be best."
        )
    return [*sentences, *_failures(cells)]


def _ranking(key: str, cells: list[_Cell], others: list[_Cell], prefix: str) -> list[str]:
    """Say which cell is best, what some others reached, and whether pairs of equal seeds tell them apart."""
    finished = [cell for cell in cells if cell.test.n]
    if not finished:
        return [f"{prefix or 'At every ' + key + ': '}no member finished."]
    best = max(finished, key=_mean)
    rest = [cell for cell in finished if cell in others and cell is not best]
    lead = (
        f"{prefix}best {key} by mean test accuracy: {_value(best, key)} (mean {100 * _mean(best):.1f} %); median "
        f"{words(best.test)}"
    )
    sentences = [
        "; ".join([lead, *(f"{key} {_value(cell, key)}: {words(cell.test, short=True)}" for cell in rest)]) + "."
    ]
    sentences[0] = sentences[0][0].upper() + sentences[0][1:]
    if len(finished) > 1 and best.test.n > 1:
        accuracies = pd.concat([cell.test_accuracies for cell in finished], axis=1).to_numpy().T
        sentences.append(best_in_words(key, [_value(cell, key) for cell in finished], accuracies))
    return sentences


def _failures(cells: list[_Cell]) -> list[str]:
    diverged = sum(cell.test.missing for cell in cells)
    members = sum(cell.test.n + cell.test.missing for cell in cells)
    if not diverged:
        return []
    return [f"Of {members} members {diverged} diverged: the table counts them, medians and means leave them out."]


def _tutorial_sentence(key: str, cells: list[_Cell]) -> list[str]:
    parts = []
    for cell in cells:
        percent = cell.tutorial_test_percent
        if percent is not None and cell.test.n:
            below = sum(100 * accuracy < percent for accuracy in cell.test_accuracies)
            place = f"{key} {_value(cell, key)}"
            parts.append(f"{percent:.1f} % at {place} ({below} of {cell.test.n} members reached less)")
    return [f"For comparison ({_TUTORIAL}): {', '.join(parts)}."] if parts else []


def _value(cell: _Cell, key: str) -> str:
    value = cell.values[key]
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _mean(cell: _Cell) -> float:
    return float(cell.test_accuracies.mean()) if cell.test.n else -math.inf


def _flat(nested: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested settings as `outer, inner` names with printable values."""
    flat: dict[str, str] = {}
    for name, value in nested.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}, ")
        elif isinstance(value, list):
            flat[prefix + name] = ", ".join(str(item) for item in value)
        else:
            flat[prefix + name] = str(value)
    return flat


def _check_columns(table: pd.DataFrame, experiment: _Experiment | Study) -> None:
    missing = [column for column in experiment.columns if column not in table]
    if missing or table.empty:
        found = f"columns {', '.join(missing)} missing" if missing else "no rows"
        message = (
            f"the table {experiment.name} must have rows with the columns {', '.join(experiment.columns)}, "
            f"got {found}; run `{experiment.command}` again."
        )
        raise InputError(message)


_SHARED_BATCHES = (
    "Members of one configuration share the stream of batches: the intervals are over initial weights only."
)

_EXPERIMENTS: tuple[_Experiment | Study, ...] = (
    _Experiment(
        name="depth_sweep",
        command="deep-mlp depth-sweep",
        title="Width against depth",
        question="With a budget of about 100 parameters, is a spiral better told apart by a wide network "
        "or by a deep one, and why is there a best depth? The tutorial's answer: past it learning "
        "itself fails.",
        keys={
            "activation": "activation",
            "depth": "hidden layers",
            "width": "width",
            "parameters": "parameters",
        },
        figures=(
            ReportFigure(
                "depth_sweep",
                "Test accuracy of every member against hidden layers. The budget is not quite fixed: the "
                "smallest width that reaches it overshoots, so the true counts stand under the axis.",
                "Dots of every member's test accuracy by depth, with median and 95 % interval. The table has "
                "the numbers.",
            ),
            ReportFigure(
                "depth_sweep_loss",
                "Median train loss per epoch, one curve per depth; the bands are 95 % intervals of the median.",
                "Curves of median train loss against epoch for each depth, with bands of 95 % intervals.",
            ),
        ),
        links=EXPRESSIVITY,
        interval_over="Members differ in their initial weights and in the order of their batches.",
        summarise=_summarise_depth,
    ),
    EXPLANATION,
    _Experiment(
        name="polynomial",
        command="deep-mlp polynomial",
        title="Where wide fails",
        question="A single linear layer on all monomials of the two inputs is as wide as we like. Does it "
        "generalise outside the region of its training points? The tutorial's answer: no, "
        "unconnected islands appear.",
        keys={"degree": "degree", "features": "features"},
        figures=(
            ReportFigure(
                "decision_maps",
                "What the polynomial model and the best multilayer perceptron answer everywhere. Outside "
                "the dashed circle lies no training point. x1 is horizontal here; the tutorial's own plot "
                "has its axes swapped.",
                "Two square maps of predicted classes with the test points on them and the training region's circle.",
            ),
            ReportFigure(
                "polynomial_loss",
                "Median train loss per epoch of the polynomial model, with its 95 % interval as a band.",
                "Curve of median train loss against epoch for the polynomial model.",
            ),
        ),
        links=EXPRESSIVITY,
        interval_over=_SHARED_BATCHES,
        summarise=_summarise_polynomial,
    ),
    GENERALIZATION,
    _Experiment(
        name="images",
        command="deep-mlp images",
        title="Classifying photographs",
        question="What does a multilayer perceptron learn from small photographs, and are the features of "
        "its first layer high-level? The tutorial's answer: whole faces show in layer one, so it "
        "is not hierarchical.",
        keys={"activation": "activation", "hidden_widths": "hidden widths", "parameters": "parameters"},
        figures=(
            ReportFigure(
                "samples",
                "Training samples as the network sees them: rotated by up to 10 degrees and flipped at random.",
                "Grid of small augmented photographs, each under the name of its class.",
            ),
            ReportFigure(
                "first_layer",
                "The weights of the first layer's units as images, all on one scale, so that brightness compares.",
                "Grid of colour images, one for each unit of the first hidden layer.",
            ),
            ReportFigure(
                "images_loss",
                "Median train loss per epoch, with its 95 % interval as a band.",
                "Curve of median train loss against epoch for the image network.",
            ),
        ),
        links=CASE_STUDY,
        interval_over=_SHARED_BATCHES,
        summarise=_summarise_images,
    ),
    FEATURES,
    _Experiment(
        name="gain_sweep",
        command="deep-mlp gain-sweep",
        title="How the weights start",
        question="Too large initial weights make signals chaotic and gradients explode, too small ones "
        "make them vanish. Is the best gain on Xavier's standard deviation where theory puts it, "
        "at sqrt(2 / (1 + slope²))?",
        keys={
            "activation": "activation",
            "distribution": "weights",
            "gain": "gain",
            "theoretical_gain": "theoretical gain",
        },
        figures=(
            ReportFigure(
                "gain_sweep",
                "Train and test accuracy against gain. The solid vertical line marks the gain of highest "
                "mean test accuracy, the dashed one the theoretical gain.",
                "Median train and test accuracy with 95 % intervals against gain. The table has the numbers.",
            ),
            ReportFigure(
                "gain_sweep_loss",
                "Median train loss for each gain, with 95 % intervals.",
                "Median train loss against gain, with 95 % intervals.",
            ),
            ReportFigure(
                "xavier",
                "The same network at the theoretical gain before training, without biases: signals on the way forward, "
                "a gradient on the way back. Where the widths differ, Xavier's standard deviation is a compromise that "
                "keeps neither; the lines are what theory says of it at infinite width.",
                "Panels of mean square, 1 minus correlation and gradient mean square against layer.",
            ),
        ),
        links=(
            *INITIALIZATION,
            ("Paper: Glorot & Bengio 2010", "https://proceedings.mlr.press/v9/glorot10a.html"),
            (
                "Further reading: d2l.ai, numerical stability and initialization",
                "https://d2l.ai/chapter_multilayer-perceptrons/numerical-stability-and-init.html",
            ),
            (
                "Further reading: deeplearning.ai, notes on initialization",
                "https://www.deeplearning.ai/ai-notes/initialization/",
            ),
        ),
        interval_over="Each interval is over the members of one gain; the settings say what they share.",
        summarise=_summarise_gain,
    ),
    SIGNALS,
    PHASE,
)
