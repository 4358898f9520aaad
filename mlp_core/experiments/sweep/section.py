"""Section of the report on a sweep: what to choose, what the choice costs, and which settings matter."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mlp_core.experiments.sweep.analysis import SCALES, SweepResults, describe, level_text, sweep_results, title
from mlp_core.report.section import (
    INITIALIZATION,
    MEDIAN_NOTE,
    NEVER_LEARNED_NOTE,
    ExtraTable,
    ReportFigure,
    Section,
    SectionContent,
)
from mlp_core.statistics.comparisons import listed
from mlp_core.statistics.intervals import Interval, median_interval, share_interval
from mlp_core.statistics.variance_shares import HIGHER, SEEDS, VarianceShares
from mlp_core.statistics.wording import format_bounds, format_cell, format_interval, format_share, no_break

_SHOWN = 20


def _content(table: pd.DataFrame, settings: Mapping[str, Any]) -> SectionContent:
    results = sweep_results(table, settings)
    sentences = [*_choice(results), *_worth(results, settings), *_matters(results), *_theory(results)]
    header = [
        *(title(name) for name in results.levels),
        *("rank", "parameters", "n", "diverged", "never learned"),
        *("mean validation accuracy", "mean test accuracy", "test accuracy", "not told from the best"),
    ]
    rows = [_row(results, int(number), rank) for rank, number in enumerate(results.ranking[:_SHOWN], 1)]
    note = (
        f"The {min(_SHOWN, len(results))} of {len(results):,} configurations of highest mean validation accuracy. "
        "Validation examples alone choose; test examples choose nothing. A member that diverged counts as one that "
        "guesses in means, comparisons and shares of the variance; medians leave it out. "
        + MEDIAN_NOTE
        + " "
        + NEVER_LEARNED_NOTE
    )
    return SectionContent(
        sentences[:2], sentences[2:], header, len(results.levels) + 1, rows, note, _further(results, settings)
    )


def _choice(results: SweepResults) -> list[str]:
    chosen, n = results.chosen, results.n_seeds
    validation, test = results.validation[chosen].mean(), results.test[chosen].mean()
    names = list(results.levels)
    what = f" ({describe(results.configurations, chosen, names)})" if names else ""
    sentences = [
        f"Chosen on validation examples{what}: mean validation accuracy {100 * validation:.1f} %, mean test accuracy "
        f"{100 * test:.1f} %, n = {n}; the price of having chosen among {len(results):,} is "
        f"{100 * results.price:+.1f} points."
    ]
    alike, enough = results.alike
    if len(results) == 1:
        return sentences
    if not enough:
        sentences.append(f"{n} seed{'s are' if n > 1 else ' is'} too few to tell configurations apart: it takes 5.")
    elif alike.all():
        sentences.append("In pairs of equal seeds no configuration can be told from the chosen one.")
    else:
        smallest = int(min(np.flatnonzero(alike), key=lambda number: results.configurations["parameters"][number]))
        sentences.append(
            f"In pairs of equal seeds {int(alike.sum()):,} of {len(results):,} configurations cannot be told from the "
            f"chosen one (sign flips, corrected for all {len(results) - 1:,} comparisons); the smallest of them has "
            f"{int(results.configurations['parameters'][smallest]):,} parameters, the chosen one "
            f"{int(results.configurations['parameters'][chosen]):,}."
        )
    return sentences


def _worth(results: SweepResults, settings: Mapping[str, Any]) -> list[str]:
    """Say whether a network is worth it."""
    yardsticks = settings.get("yardsticks", {})
    if not yardsticks:
        return []
    best = max(yardsticks, key=lambda name: yardsticks[name]["validation"])
    reached = yardsticks[best]["test"]
    own = median_interval(results.test[results.chosen])
    low, high = (own.low, own.high) if own.has_interval else (own.estimate, own.estimate)
    # Six seeds on one side decide by the sign test, also where all are equal and have no interval
    decided = own.n > 5 and (own.has_interval or not np.ptp(results.test[results.chosen]))
    more, less = decided and low > reached, decided and high < reached
    verdict = "is more than" if more else "is less than" if less else "cannot be told from"
    return [
        f"Is a network worth it? The chosen one's median test accuracy ({format_interval(own)}) {verdict} that of the "
        f"best yardstick by validation, {best}: {100 * reached:.1f} %."
    ]


def _matters(results: SweepResults) -> list[str]:
    decomposition = results.shares
    if decomposition is None:
        return []
    names = sorted(results.levels, key=lambda name: -decomposition.shares[name].estimate)[:3]
    parts = [f"{title(name)} {100 * max(0.0, decomposition.shares[name].estimate):.0f} %" for name in names]
    how = "of the whole grid" if decomposition.exact else "as a random forest fitted to the configurations estimates it"
    return [
        f"Of the variance of test accuracies {listed(parts)} {'go' if len(parts) > 1 else 'goes'} to the settings that "
        f"matter most, {100 * min(1.0, decomposition.shares[SEEDS].estimate):.0f} % to seeds ({how})."
    ]


def _theory(results: SweepResults) -> list[str]:
    """Say which configurations lie beyond what a signal can cross, and whether they failed."""
    beyond, failed = results.beyond, results.failed
    if not beyond.any():
        share = share_interval(int(failed.sum()), int(failed.size))
        return [
            f"No configuration is deeper than {SCALES} depth scales of its start; {format_share(share)} of all members "
            "diverged or never learned."
        ]
    sentences = []
    for which, words in ((beyond, f"deeper than {SCALES} depth scales of their start"), (~beyond, "not as deep")):
        if which.any():
            share = share_interval(int(failed[which].sum()), int(failed[which].size))
            sentences.append(
                f"{_configurations(int(which.sum()))} {words}: {format_share(share)} of their members diverged "
                "or never learned."
            )
    return sentences


def _configurations(n: int) -> str:
    return "One configuration is" if n == 1 else f"{n:,} configurations are"


def _row(results: SweepResults, number: int, rank: int) -> list[str]:
    finished = np.where(results.diverged[number], np.nan, results.test[number])
    median = median_interval(finished)
    alike, enough = results.alike
    n = results.n_seeds
    cells = [
        *(level_text(results.configurations[name].tolist()[number]) for name in results.levels),
        str(rank),
        f"{int(results.configurations['parameters'][number]):,}",
        str(median.n),
        f"{median.missing} of {n}" if median.missing else "0",
        format_share(share_interval(int(results.failed[number].sum()), n)),
        f"{100 * results.validation[number].mean():.1f} %",
        f"{100 * results.test[number].mean():.1f} %",
        format_cell(median),
        "too few seeds" if not enough else "yes" if alike[number] else "no",
    ]
    return [no_break(cell) for cell in cells]


def _further(results: SweepResults, settings: Mapping[str, Any]) -> tuple[ExtraTable, ...]:
    tables = []
    if yardsticks := settings.get("yardsticks", {}):
        tables.append(_yardsticks_table(results, yardsticks))
    if by_class := settings.get("class_accuracies", []):
        tables.append(_classes_table(by_class))
    tables.append(_front_table(results))
    if decomposition := results.shares:
        tables.append(_shares_table(decomposition))
    return tuple(tables)


def _yardsticks_table(results: SweepResults, yardsticks: Mapping[str, Any]) -> ExtraTable:
    own = results.validation[results.chosen].mean(), results.test[results.chosen].mean()
    rows = [["chosen network", *(f"{100 * accuracy:.1f} %" for accuracy in own), f"mean of {results.n_seeds}"]]
    for name, reached in yardsticks.items():
        accuracies = (f"{100 * reached[part]:.1f} %" for part in ("validation", "test"))
        rows.append([name, *accuracies, "scikit-learn's settings"])
    return ExtraTable(
        "Yardsticks",
        ["classifier", "validation accuracy", "test accuracy", "what it is"],
        rows,
        "Trained on the networks' own training examples, measured on the same validation and test examples.",
    )


def _classes_table(by_class: Sequence[Mapping[str, Any]]) -> ExtraTable:
    rows = []
    for entry in by_class:
        low, high = (math.nan if entry[end] is None else entry[end] for end in ("low", "high"))
        median = Interval(entry["n"], math.nan if entry["median"] is None else entry["median"], low, high, 0)
        rows.append([str(entry["class"]), f"{entry['examples']:,}", str(entry["n"]), no_break(format_cell(median))])
    return ExtraTable(
        "Accuracy per class",
        ["class", "test examples", "n", "test accuracy of the chosen configuration"],
        rows,
        "Medians over the members that finished [95 % interval over seeds: order statistics].",
    )


def _front_table(results: SweepResults) -> ExtraTable:
    parameters, names = results.configurations["parameters"], list(results.levels)
    rows = [
        [
            f"{int(parameters[number]):,}",
            f"{100 * results.validation[number].mean():.1f} %",
            f"{100 * results.test[number].mean():.1f} %",
            describe(results.configurations, int(number), names) or "the only one",
        ]
        for number in results.front(parameters.astype(float))
    ]
    return ExtraTable(
        "Best for their size",
        ["parameters", "mean validation accuracy", "mean test accuracy", "configuration"],
        rows,
        "No configuration of as many parameters or fewer reaches more in mean validation accuracy (Pareto front).",
    )


def _shares_table(decomposition: VarianceShares) -> ExtraTable:
    ordered = sorted(
        decomposition.shares, key=lambda name: (name in (HIGHER, SEEDS), -decomposition.shares[name].estimate)
    )
    rows = [
        [
            title(name).replace(" x ", " and "),
            f"{100 * decomposition.shares[name].estimate:.1f} %",
            f"{format_bounds(decomposition.shares[name])} %" if decomposition.shares[name].has_interval else "none",
        ]
        for name in ordered
        if " x " not in name or decomposition.shares[name].estimate >= 0.005
    ]
    how = (
        "All combinations were trained, so that seeds alone are a sample."
        if decomposition.exact
        else "Some combinations were trained: a random forest fitted to means over seeds stands for the others, and "
        f"“{HIGHER}” holds what it does not explain."
    )
    return ExtraTable(
        "What explains the variance of test accuracies",
        ["setting", "share", "95 % interval over seeds"],
        rows,
        "Functional analysis of variance (Hoeffding 1948; Sobol' 1993; Hutter, Hoos and Leyton-Brown 2014): the "
        "variance of an effect over the grid, without what few seeds add to it; pairs count what is beyond both "
        f"settings alone, those below 0.5 % are left out. Intervals: jackknife over seeds. {how}",
    )


SECTION = Section(
    name="sweep",
    command="deep-mlp sweep",
    title="A grid of settings",
    question="Which configuration is to be chosen, what does having chosen cost, which others are no worse, and which "
    "settings matter at all?",
    columns=(
        *("member", "seed", "epochs", "status", "learned", "train_accuracy", "validation_accuracy", "test_accuracy"),
        *("train_seconds", "depth", "width", "activation", "start", "parameters", "theory_gain", "xi_c"),
    ),
    figures=(
        ReportFigure(
            "sweep_accuracy",
            "Mean test accuracy of every configuration against its parameters, and against the processor time of a "
            "training. The line joins those that were best for their cost on validation examples, the star is chosen; "
            "horizontal lines are scikit-learn's classifiers on the same split.",
            "Dots of mean test accuracy against parameters and against training time, with Pareto front, chosen "
            "configuration and yardsticks. The tables have the numbers.",
        ),
        ReportFigure(
            "sweep_effects",
            "What each setting does: mean test accuracy at each of its levels over all configurations that have it, "
            "one dot per seed, with median and 95 % interval over seeds (order statistics).",
            "A panel for each setting with dots, medians and intervals by level.",
        ),
        ReportFigure(
            "sweep_variance",
            "Share of the variance of test accuracies that each setting explains alone (blue), pairs beyond both "
            "settings alone (orange), and what is left to higher orders and to seeds (grey).",
            "Bars of shares of variance by setting and pair. The table has the numbers.",
        ),
        ReportFigure(
            "sweep_pairs",
            "Mean test accuracy over both settings of the pairs that explain most beyond each setting alone.",
            "Heat maps of mean test accuracy for pairs of settings.",
        ),
        ReportFigure(
            "sweep_scales",
            f"Mean test accuracy against depth, counted in depth scales of the start: beyond some {SCALES} of them the "
            "angle between two inputs is lost on its way (Schoenholz et al. 2017).",
            "Dots of mean test accuracy against depth over depth scale, by activation.",
        ),
        ReportFigure(
            "sweep_epochs",
            "The chosen configuration after each epoch: train loss, and accuracy on the validation examples, one line "
            "per member. With early stopping a line ends where its training did, and a dot marks the weights that are "
            "kept.",
            "Two panels over epochs: train loss and validation accuracy of every member, with medians.",
        ),
        ReportFigure(
            "sweep_classes",
            "What the members of the chosen configuration take test examples of each class for; the diagonal is the "
            "accuracy per class.",
            "Confusion matrix of the chosen configuration, in percent of each true class.",
        ),
    ),
    links=(
        *INITIALIZATION,
        (
            "Paper: Hutter, Hoos and Leyton-Brown 2014, assessing hyperparameter importance",
            "https://proceedings.mlr.press/v32/hutter14.html",
        ),
        (
            "Paper: Cawley and Talbot 2010, on over-fitting in model selection",
            "https://www.jmlr.org/papers/v11/cawley10a.html",
        ),
    ),
    content=_content,
)
