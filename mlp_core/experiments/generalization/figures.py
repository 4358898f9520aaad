"""Figure of generalization: accuracy on the arms continued, or by the rule of other points, against radius."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mlp_core.report.plot_style import (
    ABOVE_GRID,
    DOTS_PER_INCH,
    GREY,
    INK,
    PALETTE,
    WIDTH_INCHES,
    bare_axes,
    interval_words,
    sentence,
)
from mlp_core.statistics.intervals import Interval, median_interval

_INSIDE = {"spirals": "training arms end", "circles": "outer circle", "gauss": "middles of clusters", "xor": "radius 1"}
"""What lies at radius 1, by kind of points."""


def generalization_figure(table: pd.DataFrame, n_classes: int = 4, kind: str = "spirals") -> Figure:
    """Draw accuracy inside and outside the training region against radius: polynomials above, perceptrons below.

    Args:
        table: Rows of the `generalization` table, one per member and one for the nearest neighbour.
        n_classes: Classes of the points, for the line of chance level.
        kind: Kind of the points, such as `spirals`.

    Returns:
        The figure; lines are medians over members, bands their 95 % intervals; the nearest neighbour is dotted in both
        panels.
    """
    figure = Figure(figsize=(WIDTH_INCHES, 6.6), dpi=DOTS_PER_INCH, layout="constrained")
    panels = figure.subplots(2, 1, sharex=True, sharey=True)
    nearest = table[table["model"] == "nearest neighbour"]
    training_radius = float(table["training_radius"].iloc[0])
    marks = [(1.0, _INSIDE[kind], "right"), (training_radius, "last training point", "left")]
    if training_radius > 2:
        marks.pop()
    counts: list[Interval] = []
    for axes, lines in zip(panels, (_polynomial_lines(table), _perceptron_lines(table)), strict=True):
        for label, rows, colour, style in lines:
            counts += _draw_rings(axes, rows, colour, style, label)
        _draw_rings(axes, nearest, INK, ":", "nearest neighbour")
        bare_axes(axes)
        axes.axhline(100 / n_classes, color=GREY, linewidth=1, linestyle=":", zorder=0)
        for radius, _, _ in marks:
            axes.axvline(radius, color=INK, linewidth=1, zorder=ABOVE_GRID)
        axes.set_ylabel("accuracy (%)")
        axes.legend(fontsize=9, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    for radius, label, side in marks:
        panels[0].annotate(
            label,
            (radius, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(-3 if side == "right" else 3, 3),
            textcoords="offset points",
            ha=side,
            fontsize=9,
        )
    panels[1].set_xlim(-0.05, 2.05)
    panels[1].set_xlabel("radius, in rings of width 0.1")
    where = "on the arms continued to twice their length" if kind == "spirals" else f"by the rule of {kind}"
    figure.suptitle(
        f"Accuracy {where}; grey: chance.\n" + sentence(interval_words(counts)),
        fontsize=11,
        x=0.01,
        ha="left",
    )
    return figure


_Line = tuple[str, pd.DataFrame, Any, str]


def _polynomial_lines(table: pd.DataFrame) -> list[_Line]:
    rows = table[table["model"] == "polynomial"]
    degrees = sorted(rows["degree"].dropna().unique())
    colours = colormaps["viridis"](np.linspace(0, 0.88, len(degrees)))
    return [
        (f"degree {degree:.0f}", rows[rows["degree"] == degree], colour, "-")
        for degree, colour in zip(degrees, colours, strict=True)
    ]


def _perceptron_lines(table: pd.DataFrame) -> list[_Line]:
    rows = table[table["model"] == "mlp"]
    if rows.empty:
        return []
    depths, budgets = (sorted(rows[name].unique()) for name in ("depth", "parameter_budget"))
    return [
        (f"depth {depth:.0f}, {group['parameters'].iloc[0]:.0f} par.", group, PALETTE[depths.index(depth) % 7], style)
        for budget, style in zip(budgets, ("--", "-", "-.", ":") * len(budgets), strict=False)
        for depth, group in rows[rows["parameter_budget"] == budget].groupby("depth")
    ]


def _draw_rings(axes: Axes, rows: pd.DataFrame, colour: Any, style: str, label: str) -> list[Interval]:
    finished = rows.loc[rows["status"] == "ok", "ring_accuracy"]
    if finished.empty:
        axes.plot([], [], color=colour, linestyle=style, linewidth=1.6, label=f"{label}: diverged")
        return [Interval(0, np.nan, np.nan, np.nan, len(rows))]
    accuracies = np.stack(finished.to_numpy())
    intervals = [median_interval(ring) for ring in accuracies.T]
    middles = 2.0 * (np.arange(len(intervals)) + 0.5) / len(intervals)
    medians, lows, highs = (
        100 * np.array([getattr(interval, end) for interval in intervals]) for end in ("estimate", "low", "high")
    )
    axes.plot(middles, medians, color=colour, linestyle=style, linewidth=1.6, label=label)
    axes.fill_between(middles, lows, highs, color=colour, alpha=0.18, linewidth=0)
    return intervals
