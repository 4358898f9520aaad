"""Section of the report on the learning rates: how wide the range is that trains the network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from mlp_core.experiments.learning_rate.experiment import STARTS
from mlp_core.experiments.learning_rate.widths import (
    TrainableRange,
    measured_range,
    needed_accuracy,
    trained_by_rate,
)
from mlp_core.report.accuracy_section import ConfigurationAccuracy, accuracy_section, divergence_sentences
from mlp_core.report.section import INITIALIZATION, ExtraTable, ReportFigure, SectionContent
from mlp_core.statistics.comparisons import listed
from mlp_core.statistics.wording import no_break


def _short(configurations: list[ConfigurationAccuracy], settings: Mapping[str, Any]) -> list[str]:
    return []  # made of the ranges below


def _best_rates(configurations: list[ConfigurationAccuracy], settings: Mapping[str, Any]) -> list[str]:
    best = []
    for start in dict.fromkeys(configuration.values["initialization"] for configuration in configurations):
        finished = [
            configuration
            for configuration in configurations
            if configuration.values["initialization"] == start and configuration.test.n
        ]
        if finished:
            highest = max(finished, key=lambda configuration: configuration.test.estimate)
            rate, median = highest.value("learning_rate"), 100 * highest.test.estimate
            best.append(f"{rate} ({median:.1f} %) from {STARTS[start]}")
    sentences = [f"Highest median test accuracy: {listed(best)}."] if best else ["No member finished."]
    return [*sentences, *divergence_sentences(configurations)]


_ACCURACIES = accuracy_section(
    name="learning_rate",
    command="deep-mlp learning-rate",
    title="Which learning rates train",
    question="Some learning rates are too small to get anywhere in the epochs given, others too large to get anywhere "
    "at all. How wide is the range between them that trains, and does it move with the start?",
    keys={"initialization": "start", "learning_rate": "learning rate"},
    figures=(
        ReportFigure(
            "learning_rate",
            "Test accuracy of every member against learning rate, from both starts. Members of equal number share "
            "their seed at all rates; the starts differ in the size of the initial weights alone.",
            "Dots of every member's test accuracy by learning rate and start, with median and 95 % interval. The table "
            "has the numbers.",
        ),
    ),
    links=(
        *INITIALIZATION,
        (
            "Paper: Bengio 2012, practical recommendations for gradient-based training",
            "https://arxiv.org/abs/1206.5533",
        ),
        ("Paper: Smith 2017, cyclical learning rates, with a test of their range", "https://arxiv.org/abs/1506.01186"),
    ),
    interval_over="Members differ in their initial weights and in the order of their batches.",
    poster="Which learning rates train?",
    short=_short,
    summarise=_best_rates,
)


def _content(table: pd.DataFrame, settings: Mapping[str, Any]) -> SectionContent:
    findings = _ACCURACIES.content(table, settings)
    n_classes, ranges = int(settings.get("arms") or settings["classes"]), {}
    for start in STARTS:
        rows = table[table["initialization"] == start]
        if len(rows):
            ranges[STARTS[start]] = measured_range(trained_by_rate(rows, n_classes))
    sentence = "; ".join(f"from {start} {_describe(trainable)}" for start, trainable in ranges.items())
    widths = ExtraTable(
        "Rates that train",
        ["start", "n", "smallest", "largest", "decades", "ends"],
        [_row(start, trainable) for start, trainable in ranges.items()],
        "A rate trains if at least half of the members reach a train accuracy half-way from chance to 100 %, here "
        f"{100 * needed_accuracy(n_classes):.1f} %; a member that diverged does not. Each member has a range of its "
        "own, from the smallest rate that trains it to the largest: decades are the median of these [95 % interval, "
        "order statistics], known to a step of the rates tried.",
    )
    in_full = f"{sentence[0].upper()}{sentence[1:]}."
    return replace(findings, summary=_in_short(ranges), details=[in_full, *findings.details], extra_tables=(widths,))


def _in_short(ranges: Mapping[str, TrainableRange]) -> list[str]:
    sentences = []
    for start, trainable in list(ranges.items())[:2]:
        range_ = "no learning rate trains"
        if not math.isnan(trainable.smallest):
            range_ = f"learning rates from {trainable.smallest:.2g} to {trainable.largest:.2g} train"
            if trainable.smallest == trainable.largest:
                range_ = f"only the learning rate {trainable.smallest:.2g} trains"
        sentences.append(f"From {start} {range_}.")
    return sentences


def _describe(trainable: TrainableRange) -> str:
    if math.isnan(trainable.smallest):
        return "no rate trains"
    width = trainable.width
    interval = f", 95 % interval {width.low:.2f} to {width.high:.2f}" if width.has_interval else ""
    return (
        f"rates from {trainable.smallest:.4g} to {trainable.largest:.4g} train, "
        f"and a member's own range is {width.estimate:.2f} decades wide (median{interval})"
    )


def _row(start: str, trainable: TrainableRange) -> list[str]:
    if math.isnan(trainable.smallest):
        return [start, str(trainable.n), "none", "none", "none", "no rate trains"]
    width = trainable.width
    interval = f" [{width.low:.2f} to {width.high:.2f}]" if width.has_interval else ""
    outermost = [
        name
        for name, is_outermost in (("smallest", trainable.cut_below), ("largest", trainable.cut_above))
        if is_outermost
    ]
    ends = f"{listed(outermost)} rate tried: may be wider" if outermost else "inside the rates tried"
    return [
        *(start, str(trainable.n), f"{trainable.smallest:.4g}", f"{trainable.largest:.4g}"),
        no_break(f"{width.estimate:.2f}{interval}"),
        ends,
    ]


SECTION = replace(_ACCURACIES, content=_content)
