"""Section of the report on generalization: who is right outside the training region."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mlp_core.data.settings import other_data
from mlp_core.experiments.generalization.companions import TUNED, alike_in_size
from mlp_core.report.section import EXPRESSIVITY, MEDIAN_NOTE, ReportFigure, Section, SectionContent
from mlp_core.statistics.intervals import Interval, median_interval
from mlp_core.statistics.wording import format_cell, format_interval, no_break


@dataclass(frozen=True)
class _Model:
    """A polynomial, a perceptron or the nearest neighbour, and its members' rows."""

    name: str
    kind: str
    parameters: float
    tuned: bool
    rows: pd.DataFrame

    def median(self, column: str) -> Interval:
        values = self.rows[column].where(self.rows["status"] == "ok")
        return median_interval(values.to_numpy(dtype=float))

    def islands(self) -> pd.Series:
        return (self.rows["islands"] + self.rows["border_islands"]).astype(float)


def _content(table: pd.DataFrame, settings: Mapping[str, Any]) -> SectionContent:
    keys = ["model", "degree", "depth", "parameters", "training", "learning_rate"]
    models = []
    for (kind, degree, depth, parameters, training, rate), rows in table.groupby(keys, sort=False, dropna=False):
        name = {"polynomial": f"polynomial, degree {degree:.0f}", "mlp": f"perceptron, depth {depth:.0f}"}.get(
            kind, kind
        )
        tuned = training == TUNED
        models.append(_Model(f"{name}, tuned (rate {rate:g})" if tuned else name, kind, parameters, tuned, rows))
    radius = min(2.0, float(table["training_radius"].iloc[0]))
    n_classes = int(settings.get("classes", settings.get("arms", 4)))
    kind = other_data(settings)
    short = _in_short(models, n_classes)
    return SectionContent(
        short,
        [sentence for sentence in _describe_generalization(models, radius, n_classes, kind) if sentence not in short],
        [
            *("model", "parameters", "n", "test accuracy", "inside, to radius 1", f"rim, 1 to {radius:.2f}"),
            *(f"outside, {radius:.2f} to 2", "islands on the map", "their area"),
        ],
        1,
        [_model_row(model) for model in models],
        f"{MEDIAN_NOTE} Islands and their area are medians, too. {_where(kind)}; beyond the rim lies no training "
        "point. An island is a region of a class that holds none of its training points, on the map from -2 to 2; "
        "those that reach its edge may belong to a larger region beyond and are counted too. "
        "The number of parameters of perceptrons comes near a budget, with the smallest width that reaches it. Tuned: "
        "inputs with mean 0 and standard deviation 1, and of five learning rates from 0.001 to 0.1 the one that was "
        "right most often on a fifth of the training points, held out while it was chosen.",
    )


def _where(kind: str) -> str:
    """Say which points inside, rim and outside are made of."""
    if kind:
        alike = "; of the circles the outer one is the nearer everywhere outside" * (kind == "circles")
        return (
            "Inside, rim and outside are points all over the disc of radius 2, without noise, whose class is the one "
            f"that the rule of {kind} gives{alike}"
        )
    return (
        "Inside, rim and outside are points on the arms, continued without noise from their end at radius 1 to radius 2"
    )


def _model_row(model: _Model) -> list[str]:
    counts, areas = model.islands(), model.rows["island_area"] + model.rows["border_island_area"]
    regions = [model.median(name) for name in ("test_accuracy", "inside_accuracy", "rim_accuracy", "outside_accuracy")]
    row = [
        model.name,
        "none" if np.isnan(model.parameters) else f"{model.parameters:.0f}",
        str(model.median("test_accuracy").n),
        *(format_cell(accuracy) for accuracy in regions),
        f"{counts.median():.1f}" if counts.notna().any() else "none",
        f"{areas.median():.2f} of 16" if areas.notna().any() else "none",
    ]
    return [row[0], *(no_break(text) for text in row[1:])]


def _in_short(models: list[_Model], n_classes: int) -> list[str]:
    finished = [model for model in models if model.median("outside_accuracy").n and not model.tuned]
    wide = [model for model in finished if model.kind == "polynomial"][-1:]
    if not wide:
        return ["Of no polynomial there is an accuracy outside the training region."]
    name, outside = wide[0].name.replace(",", " of"), wide[0].median("outside_accuracy")
    sentence = (
        f"Outside its training region the {name} is right for {100 * outside.estimate:.0f} % of the points; "
        "guessing gives "
        f"{100 / n_classes:.0f} %."
    )
    alike = [model for model in finished if model.kind == "mlp" and alike_in_size(model.parameters, wide[0].parameters)]
    if not alike:
        return [sentence]
    best = max(model.median("outside_accuracy").estimate for model in alike)
    networks = "A network" if len(alike) == 1 else "The best of the networks"
    return [sentence, f"{networks} of its size is right for {100 * best:.0f} %."]


def _describe_generalization(models: list[_Model], radius: float, n_classes: int, kind: str) -> list[str]:
    finished = [model for model in models if model.median("outside_accuracy").n and not model.tuned]
    wide = [model for model in finished if model.kind == "polynomial"][-1:]
    if not wide:
        return ["Of no polynomial there is an accuracy outside the training region."]
    widest, chance = wide[0], 1 / n_classes
    outside = widest.median("outside_accuracy")
    inside, beyond = "on the arms that it was trained on", "on the same arms continued, beyond"
    if kind:
        inside, beyond = "up to radius 1", "beyond"
    sentences = [
        f"The {widest.name}, is right, in the median over members, {inside} for "
        f"{format_interval(widest.median('inside_accuracy'))}; {beyond} the last training "
        f"point at radius {radius:.2f}, for {format_interval(outside, short=True)}, where guessing gives "
        f"{100 * chance:.0f} %."
    ]
    alike = [model for model in finished if model.kind == "mlp" and alike_in_size(model.parameters, widest.parameters)]
    if alike:
        medians = [model.median("outside_accuracy") for model in alike]
        parts = [
            f"{model.name.removeprefix('perceptron, ')}: {format_interval(accuracy, short=True)}"
            for model, accuracy in zip(alike, medians, strict=True)
        ]
        sentences.append(f"Perceptrons with as many parameters, give or take 15 %, reach there at {'; '.join(parts)}.")
        nearest = [model.median("outside_accuracy").estimate for model in finished if model.kind == "nearest neighbour"]
        if all(model.rows["outside_accuracy"].max() < chance for model in alike):
            why = "" if kind else ": there the arms have turned on, away from what was learned"
            sentences.append(f"That is less than guessing{why}.")
            if nearest and nearest[0] < chance:
                sentences.append(f"So is the answer of the nearest training point, {100 * nearest[0]:.1f} %.")
    parts = [f"{model.name}: {model.islands().median():.1f}" for model in (widest, *alike)]
    sentences.append(f"Unconnected islands on the map, median of the members: {'; '.join(parts)}.")
    return [*sentences, *_describe_tuned(models, widest)]


def _describe_tuned(models: Sequence[_Model], widest: _Model) -> list[str]:
    """Say what standardised inputs and tuned learning rates make of the widest polynomial and of a perceptron."""
    tuned = [model for model in models if model.tuned and model.median("test_accuracy").n]
    wide = [model for model in tuned if model.kind == "polynomial"]
    if not wide:
        return []
    reached = [format_interval(model.median("test_accuracy"), short=True) for model in (widest, *wide)]
    sentence = (
        f"On test points inside the training region the {widest.name}, reaches {reached[0]} as the settings have it "
        f"and {reached[1]} with standardised inputs and a tuned learning rate"
    )
    deep = [
        f"the {model.name}, {format_interval(model.median('test_accuracy'), short=True)}"
        for model in tuned
        if model.kind == "mlp"
    ]
    return [f"{sentence}; {deep[0]}." if deep else f"{sentence}."]


SECTION = Section(
    name="generalization",
    command="deep-mlp generalization",
    title="Where wide fails, counted",
    question="Outside the training region the tutorial looks at a map. The spirals can be continued: their curve gives "
    "true labels there. Who is still right, the wide polynomial or a perceptron of the same size? And inside, how much "
    "of what the polynomial lacks is the optimizer's doing?",
    columns=(
        *("model", "degree", "depth", "parameters", "training", "learning_rate", "status"),
        *("test_accuracy", "inside_accuracy", "rim_accuracy"),
        *("outside_accuracy", "islands", "island_area", "border_islands", "border_island_area", "training_radius"),
    ),
    figures=(
        ReportFigure(
            "generalization",
            "Accuracy against radius, on the arms continued beyond their end at radius 1, or on points whose class the "
            "rule of other data gives: polynomials above, perceptrons below, nearest neighbour dotted in both. "
            "Bands are 95 % intervals of the median.",
            "Curves of accuracy against radius for polynomials and for perceptrons. The table has the numbers.",
        ),
        ReportFigure(
            "generalization_maps",
            "What polynomials of the lowest, a middle and the highest degree, and the best perceptron, answer "
            "everywhere.",
            "Four square maps of predicted classes with the test points on them.",
        ),
    ),
    links=EXPRESSIVITY,
    content=_content,
    poster="Does the widest model generalise?",
)
