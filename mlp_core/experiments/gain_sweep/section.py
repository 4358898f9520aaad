"""Section of the report on the gain sweep: how the weights start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlp_core.report.accuracy_section import (
    ConfigurationAccuracy,
    accuracy_section,
    best_in_short,
    divergence_sentences,
    ranking_sentences,
)
from mlp_core.report.section import INITIALIZATION, ReportFigure

_GROUP = ("activation", "distribution")


def _short(configurations: list[ConfigurationAccuracy], settings: Mapping[str, Any]) -> list[str]:
    first = configurations[0].values
    alike = [
        configuration
        for configuration in configurations
        if all(configuration.values[name] == first[name] for name in _GROUP)
    ]
    best, *rest = best_in_short("gain", alike)
    return [f"{best[:-1]}; theory gives {first['theoretical_gain']:.4g}.", *rest]


def _summarise(configurations: list[ConfigurationAccuracy], settings: Mapping[str, Any]) -> list[str]:
    sentences = []
    groups = list(
        dict.fromkeys(
            (configuration.values["activation"], configuration.values["distribution"])
            for configuration in configurations
        )
    )
    for group in groups:
        chosen = [
            configuration
            for configuration in configurations
            if (configuration.values["activation"], configuration.values["distribution"]) == group
        ]
        theoretical = chosen[0].values["theoretical_gain"]
        by_gain = sorted(chosen, key=lambda configuration: float(configuration.values["gain"]))
        nearest = min(by_gain, key=lambda configuration: abs(float(configuration.values["gain"]) - theoretical))
        prefix = f"With {group[0]} and {group[1]} weights: " if len(groups) > 1 else ""
        sentences += ranking_sentences("gain", chosen, [by_gain[0], nearest, by_gain[-1]], prefix)
        sentences.append(
            f"Theory for layers of equal width, which these are not, gives {theoretical:.3f}; the nearest gain "
            f"measured is {nearest.values['gain']:.4g}. All members see one order of batches, and with another order "
            "another gain may be best."
        )
    return [*sentences, *divergence_sentences(configurations)]


SECTION = accuracy_section(
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
            "median test accuracy, the dashed one the theoretical gain.",
            "Median train and test accuracy with 95 % intervals against gain. The table has the numbers.",
        ),
        ReportFigure(
            "gain_sweep_loss",
            "Median train loss for each gain, with its 95 % interval where there is one.",
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
    poster="Which gain should weights start with?",
    short=_short,
    summarise=_summarise,
)
