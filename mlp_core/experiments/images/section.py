"""Section of the report on the images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlp_core.report.accuracy_section import (
    SHARED_BATCHES,
    ConfigurationAccuracy,
    accuracy_section,
    divergence_sentences,
    median_of,
)
from mlp_core.report.section import CASE_STUDY, ReportFigure
from mlp_core.statistics.wording import format_interval


def _short(configurations: list[ConfigurationAccuracy], settings: Mapping[str, Any]) -> list[str]:
    finished = [configuration for configuration in configurations if configuration.test.n]
    if not finished:
        return ["No network finished its training."]
    best = max(finished, key=lambda configuration: configuration.test.estimate)
    seen, new = (100 * part.estimate for part in (best.train, best.test))
    return [
        f"The network names {new:.0f} % of new images rightly{median_of(best.test.n)}.",
        f"Of the images that it was trained on it names {seen:.0f} %.",
    ]


def _summarise(configurations: list[ConfigurationAccuracy], settings: Mapping[str, Any]) -> list[str]:
    sentences = []
    for configuration in configurations:
        name = f"{configuration.values['hidden_widths']} hidden units, {configuration.values['activation']}"
        sentences.append(
            f"{name}: median test accuracy {format_interval(configuration.test)}; "
            f"train accuracy {format_interval(configuration.train)}."
        )
        if configuration.test.n:
            gap = 100 * float((configuration.train_accuracies - configuration.test_accuracies).median())
            of_members = ", median of the members" if configuration.test.n > 1 else ""
            sentences.append(f"Train minus test{of_members}: {gap:.1f} percentage points.")
    sentences += divergence_sentences(configurations)
    return sentences


SECTION = accuracy_section(
    name="images",
    command="deep-mlp images",
    title="Classifying images",
    question="What does a multilayer perceptron learn from small images, and are the features of "
    "its first layer high-level? The tutorial's answer: whole faces show in layer one, so it "
    "is not hierarchical.",
    keys={"activation": "activation", "hidden_widths": "hidden widths", "parameters": "parameters"},
    figures=(
        ReportFigure(
            "samples",
            "Training samples as the network sees them: rotated by up to 10 degrees and flipped at random.",
            "Grid of small augmented images, each under the name of its class.",
        ),
        ReportFigure(
            "images_first_layer",
            "The weights of the first layer's units as images, all on one scale, so that brightness compares.",
            "Grid of colour images, one for each unit of the first hidden layer.",
        ),
        ReportFigure(
            "images_loss",
            "Median train loss per epoch, with its 95 % interval as a band where there is one.",
            "Curve of median train loss against epoch for the image network.",
        ),
    ),
    links=CASE_STUDY,
    interval_over=SHARED_BATCHES,
    poster="What can it learn from images?",
    short=_short,
    summarise=_summarise,
)
