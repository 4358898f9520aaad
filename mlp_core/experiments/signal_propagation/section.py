"""Section of the report on signals: lengths and gradients in random networks, as theory predicts them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mlp_core.experiments.signal_propagation.experiment import SignalPropagation
from mlp_core.report.section import INITIALIZATION, SIGNAL_PAPERS, ExtraTable, ReportFigure, Section, SectionContent
from mlp_core.statistics.intervals import standard_error
from mlp_core.statistics.wording import format_with_error, no_break
from mlp_core.theory.gains import TABULATED_ACTIVATIONS, gain_table
from mlp_core.theory.phases import critical_point

_PHASES = {-1: "order", 0: "critical", 1: "chaos"}


@dataclass(frozen=True)
class _Comparison:
    """The mean of one number over members, which is what theory predicts; no standard error for a single member."""

    n: int
    mean: float
    standard_error: float
    predicted: float

    @property
    def within_errors(self) -> bool:
        return abs(self.mean - self.predicted) <= 3 * self.standard_error

    @property
    def within_percent(self) -> bool:
        return abs(self.mean - self.predicted) <= 0.05 * abs(self.predicted)

    def text(self) -> str:
        return no_break(format_with_error(self.mean, self.standard_error))


def _compare(values: pd.Series, predicted: float) -> _Comparison:
    numbers = values.to_numpy(dtype=float)
    finite = numbers[np.isfinite(numbers)]
    mean = float(finite.mean()) if len(finite) else math.nan
    return _Comparison(len(finite), mean, standard_error(finite), predicted)


def _last_layer(rows: pd.DataFrame) -> list[_Comparison]:
    """Return the length and 1 - correlation in the last layer, and the mean factor on a gradient."""
    last = rows[rows["layer"] == rows["layer"].max()].astype({"mean_square": float, "correlation": float})
    comparisons = [
        _compare(last["mean_square"], float(last["predicted_mean_square"].iloc[0])),
        _compare(1 - last["correlation"], 1 - float(last["predicted_correlation"].iloc[0])),
    ]
    growth = _growth(rows, "gradient_mean_square").groupby(level="member").mean()
    predicted = float(_growth(rows, "predicted_gradient_mean_square").mean())
    return [*comparisons, _compare(growth, predicted)]


def _growth(rows: pd.DataFrame, column: str) -> pd.Series:
    """Return the factor on a gradient from each layer to the one before, by member and layer."""
    by_layer = rows.set_index(["member", "layer"])[column].astype(float).sort_index()
    return (by_layer / by_layer.groupby(level="member").shift(-1)).dropna()


def _content(table: pd.DataFrame, settings: Mapping[str, Any]) -> SectionContent:
    groups = list(table.groupby(["inputs", "relative_gain", "gain"], sort=False))
    compared = {key: _last_layer(rows) for key, rows in groups}
    n_layers = int(table["layer"].max())
    return SectionContent(
        _in_short(compared),
        _describe_signals(compared, n_layers, str(table["activation"].iloc[0]), float(settings.get("sigma_b", 0))),
        [
            *("inputs", "phase", "gain"),
            *(
                "length, last layer",
                "theory",
                "1 - correlation, last layer",
                "theory",
                "gradient, factor a layer",
                "theory",
            ),
        ],
        2,
        [
            [
                str(inputs),
                _PHASES[int(np.sign(relative - 1))],
                f"{gain:.4g}",
                *(text for comparison in comparisons for text in (comparison.text(), f"{comparison.predicted:.3g}")),
            ]
            for (inputs, relative, gain), comparisons in compared.items()
        ],
        f"Mean ± standard error over the members, in layer {n_layers}; the gradient's factor is the mean "
        "over all layers, on the way back. Members differ in their weights; all see the same two inputs. Theory is "
        f"for infinite width, from these inputs on.{_usual_width(settings.get('width'))}",
        (_gains(),),
    )


def _usual_width(width: int | None) -> str:
    """Say what the command measures, for the tutorial's run has narrower networks."""
    usual = SignalPropagation().width
    return (
        f" These layers are {width} wide; deep-mlp signal-propagation takes {usual}." if width and width < usual else ""
    )


def _gains() -> ExtraTable:
    def number(value: float | None) -> str:
        return "none" if value is None else f"{value:.3f}"

    return ExtraTable(
        "Gains that theory asks for, next to PyTorch's",
        ["activation", "forward", "backward", "PyTorch", "remark on PyTorch's"],
        [
            [row.activation, number(row.forward), number(row.backward), number(row.pytorch), row.remark]
            for row in gain_table(TABULATED_ACTIVATIONS)
        ],
        "Forward: keeps the second moment of a signal of unit length, 1 / sqrt(E[phi(z)^2]); backward: keeps the mean "
        "square of a gradient there, 1 / sqrt(E[phi'(z)^2]); z is standard normal. PyTorch: what "
        "torch.nn.init.calculate_gain returns.",
    )


def _in_short(compared: Mapping[tuple[Any, ...], list[_Comparison]]) -> list[str]:
    every = [comparison for comparisons in compared.values() for comparison in comparisons if comparison.n]
    near = sum(comparison.within_percent for comparison in every)
    sentences = [f"Of {len(every)} numbers measured in random networks {near or 'none'} are within 5 % of the theory."]
    if near == 1:
        sentences[0] = sentences[0].replace(" 1 are ", " one is ")
    growth = [(gain, comparisons[2].mean) for (_, relative, gain), comparisons in compared.items() if relative == 1]
    for gain, factor in growth[:1]:
        sentences.append(f"At the critical gain, {gain:.3g}, a gradient changes by a factor of {factor:.2f} a layer.")
    return sentences


def _describe_signals(
    compared: Mapping[tuple[Any, ...], list[_Comparison]], n_layers: int, activation: str, sigma_b: float
) -> list[str]:
    every = [comparison for comparisons in compared.values() for comparison in comparisons if comparison.n]
    first = [(key, comparisons) for key, comparisons in compared.items() if key[0] == next(iter(compared))[0]]
    parts = [
        f"{comparisons[2].mean:.3g} at gain {gain:.3g} ({_PHASES[int(np.sign(relative - 1))]}, theory "
        f"{comparisons[2].predicted:.3g})"
        for (_, relative, gain), comparisons in first
    ]
    sentences = [
        f"In random {activation} networks a gradient's mean square changes, from each of {n_layers} layers to the one "
        f"before, by a factor of {'; '.join(parts)}."
    ]
    if all(comparison.n > 1 for comparison in every):
        close, near = (
            sum(comparison.within_errors for comparison in every),
            sum(comparison.within_percent for comparison in every),
        )
        sentences.append(
            f"Of {len(every)} numbers in the table {close} lie within three standard errors of the theory and {near} "
            "within 5 % of it."
        )
    point = critical_point(activation, sigma_b)
    if not point.stable and math.isfinite(point.q):
        sentences.append(
            f"At the critical gain a length of {point.q:.3g} would keep its gradients, but lengths near it move away."
        )
    return sentences


SECTION = Section(
    name="signal_propagation",
    command="deep-mlp signal-propagation",
    title="Order, chaos and the edge",
    question="Weights too small and all inputs look the same and gradients vanish, weights too large and near inputs "
    "part and gradients explode, says the tutorial. Theory predicts both, layer by layer, for infinite width. Do "
    "random networks of finite width do what it says?",
    columns=(
        *("activation", "distribution", "inputs", "relative_gain", "gain", "layer", "member", "seed"),
        *("mean_square", "correlation", "gradient_mean_square"),
        *("predicted_mean_square", "predicted_correlation", "predicted_gradient_mean_square", "status"),
    ),
    figures=(
        ReportFigure(
            "signal_propagation",
            "Length and correlation of signals on the way forward, mean square of a gradient on the way back, in "
            "untrained networks at an ordered, the critical and a chaotic gain: dots measured, lines predicted.",
            "Panels of mean square, 1 minus correlation and gradient mean square against layer, for each gain and "
            "kind of input. The table has the last layer's numbers.",
        ),
    ),
    links=(*INITIALIZATION, *SIGNAL_PAPERS),
    content=_content,
    poster="Does theory predict the signals?",
)
