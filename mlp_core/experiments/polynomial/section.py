"""Section of the report on the polynomial: one linear layer, as wide as we like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from mlp_core.report.accuracy_section import (
    SHARED_BATCHES,
    ConfigurationAccuracy,
    accuracy_section,
    divergence_sentences,
    median_of,
    published_sentences,
)
from mlp_core.report.section import EXPRESSIVITY, ReportFigure
from mlp_core.statistics.wording import format_interval

# What the tutorial's own loop prints for degree 50, seed 2021 and 100 epochs with torch 2.14.1, in percent
_PUBLISHED_TRAIN, _PUBLISHED_TEST = 69.9, 72.6


def _published(values: Mapping[str, Any], rows: pd.DataFrame) -> float | None:
    return _PUBLISHED_TEST if values["degree"] == 50 and set(rows["epochs"]) == {100} else None


def _short(configurations: list[ConfigurationAccuracy], settings: Mapping[str, Any]) -> list[str]:
    finished = [configuration for configuration in configurations if configuration.test.n]
    if not finished:
        return ["No polynomial finished its training."]
    widest = finished[-1]
    right = f"{100 * widest.test.estimate:.0f} % of the test points{median_of(widest.test.n)}"
    return [
        f"Inside its training region the polynomial of degree {widest.values['degree']} is right for {right}.",
        "What it answers outside, the maps show.",
    ]


def _summarise(configurations: list[ConfigurationAccuracy], settings: Mapping[str, Any]) -> list[str]:
    sentences = [
        f"One linear layer on {configuration.values['features']} monomials (degree {configuration.values['degree']}): "
        f"median test accuracy {format_interval(configuration.test)}; "
        f"train accuracy {format_interval(configuration.train)}."
        for configuration in configurations
    ]
    sentences += [*divergence_sentences(configurations), *published_sentences("degree", configurations)]
    if any(configuration.published_test_percent is not None for configuration in configurations):
        sentences.append(f"The tutorial's train accuracy was {_PUBLISHED_TRAIN:.1f} %.")
    return [
        *sentences,
        "These accuracies are of points inside the training region; outside it see the decision map. How much of what "
        "is missing is the optimizer's and how much is width's is the question of “Where wide fails, counted”.",
    ]


SECTION = accuracy_section(
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
            "Median train loss per epoch of the polynomial model, with its 95 % interval as a band where there is one.",
            "Curve of median train loss against epoch for the polynomial model.",
        ),
    ),
    links=EXPRESSIVITY,
    interval_over=SHARED_BATCHES,
    poster="Does the widest model generalise?",
    short=_short,
    summarise=_summarise,
    published=_published,
)
