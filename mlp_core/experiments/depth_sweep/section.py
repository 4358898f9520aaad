"""Section of the report on the depth sweep: width against depth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from mlp_core.experiments.depth_sweep.published import PUBLISHED_CURVE, PUBLISHED_WIDTHS
from mlp_core.report.accuracy_section import (
    ConfigurationAccuracy,
    accuracy_section,
    best_in_short,
    divergence_sentences,
    published_sentences,
    ranking_sentences,
)
from mlp_core.report.section import EXPRESSIVITY, ReportFigure


def _published(values: Mapping[str, Any], rows: pd.DataFrame) -> float | None:
    as_published = values["activation"] == "relu" and PUBLISHED_WIDTHS.get(values["depth"]) == values["width"]
    return 100 * PUBLISHED_CURVE[values["depth"]] if as_published and set(rows["epochs"]) == {100} else None


def _short(configurations: list[ConfigurationAccuracy], settings: Mapping[str, Any]) -> list[str]:
    first = configurations[0].values["activation"]
    return best_in_short(
        "depth", [configuration for configuration in configurations if configuration.values["activation"] == first]
    )


def _summarise(configurations: list[ConfigurationAccuracy], settings: Mapping[str, Any]) -> list[str]:
    sentences = []
    activations = list(dict.fromkeys(configuration.values["activation"] for configuration in configurations))
    for activation in activations:
        chosen = [configuration for configuration in configurations if configuration.values["activation"] == activation]
        prefix = f"With {activation}: " if len(activations) > 1 else ""
        sentences += ranking_sentences("depth", chosen, chosen, prefix)
    return [*sentences, *divergence_sentences(configurations), *published_sentences("depth", configurations)]


SECTION = accuracy_section(
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
            "Dots of every member's test accuracy by depth, with median and 95 % interval. The table has the numbers.",
        ),
        ReportFigure(
            "depth_sweep_members",
            "The answers of every network everywhere in the training region: each square is one network, each colour "
            "a class. Networks of equal depth differ in their seeds alone.",
            "Rows of small square maps, one for each network, ordered by test accuracy; best, median and worst are "
            "named for each depth.",
        ),
        ReportFigure(
            "depth_sweep_loss",
            "Median train loss per epoch, one curve per depth, with its 95 % interval as a band where there is one.",
            "Curves of median train loss against epoch for each depth, with bands of 95 % intervals.",
        ),
    ),
    links=EXPRESSIVITY,
    interval_over="Members differ in their initial weights and in the order of their batches.",
    poster="Wide or deep?",
    short=_short,
    summarise=_summarise,
    published=_published,
)
