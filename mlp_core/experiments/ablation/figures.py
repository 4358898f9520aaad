"""Figures of the ablation: accuracy from several starts, and suspected causes of its decline with depth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from mlp_core.engine.architecture import LEARNED_MARGIN
from mlp_core.report.plot_style import (
    BLUE,
    DOTS_PER_INCH,
    GREEN,
    GREY,
    INK,
    ORANGE,
    WIDTH_INCHES,
    bar_lengths,
    bare_axes,
    interval_words,
    jitter,
    legend_below,
    member_accuracies,
    note,
    plain,
    sentence,
    whole_ticks,
)
from mlp_core.statistics.intervals import Interval, median_interval, share_interval
from mlp_core.statistics.wording import range_words

_START_STYLES = {
    "pytorch": (BLUE, "o", "PyTorch's start"),
    "xavier": (ORANGE, "s", "Xavier, gain 1"),
    "xavier at the theoretical gain": (GREEN, "D", "Xavier, theoretical gain"),
}


def ablation_figure(table: pd.DataFrame, n_classes: int = 4) -> Figure:
    """Draw test accuracy against depth: a panel for each activation, a line for each start.

    Args:
        table: Rows of the `ablation` table, one per member; accuracies in 0..1, null where diverged.
        n_classes: Number of classes, for the line of chance level.

    Returns:
        The figure; members are faint dots, medians have 95 % intervals, and the longer training is a dashed line.
    """
    activations = list(dict.fromkeys(table["activation"]))
    figure, panels = _panels(activations, height_inches=2.6)
    counts: list[Interval] = []
    for axes, activation in zip(panels, activations, strict=True):
        rows = table[table["activation"] == activation]
        lines = list(rows.groupby(["epochs", "initialization"], sort=False))
        for place, ((epochs, start), group) in enumerate(lines):
            longer = epochs > table["epochs"].min()
            colour, marker, _ = _START_STYLES[start]
            counts += _draw_line(
                axes, group, 0.7 * ((place + 0.5) / len(lines) - 0.5), INK if longer else colour, marker, longer
            )
        axes.axhline(100 / n_classes, color=GREY, linewidth=1, linestyle=":", zorder=0)
        axes.set_ylim(100 / n_classes - 8, 102)
        whole_ticks(axes)
        axes.set_xlim(table["depth"].min() - 0.6, table["depth"].max() + 0.6)
        if (rows["status"] != "ok").all():
            note(axes, "all members diverged")
        plain(axes.set_title(activation, fontsize=10, loc="left"))
    figure.supylabel("test accuracy (%)", fontsize=10)
    for axes in panels[-2:]:
        axes.set_xlabel("hidden layers")
    figure.suptitle(
        "Depth from three starts, members faint; dotted: chance.\n" + sentence(interval_words(counts)),
        fontsize=11,
        x=0.01,
        ha="left",
    )
    handles = _start_handles(table)
    handles += [
        Line2D([], [], color=INK, marker="o", linestyle="--", label=f"PyTorch's start, {epochs} epochs")
        for epochs in sorted(set(table["epochs"]))[1:]
    ]
    legend_below(figure, handles)
    return figure


def _draw_line(axes: Axes, group: pd.DataFrame, shift: float, colour: str, marker: str, dashed: bool) -> list[Interval]:
    depths = np.array(sorted(group["depth"].unique()))
    cells = [member_accuracies(group[group["depth"] == depth], "test_accuracy") for depth in depths]
    intervals = [median_interval(cell) for cell in cells]
    for depth, cell in zip(depths, cells, strict=True):
        places = depth + shift + 0.12 * jitter(len(cell))
        axes.scatter(places, 100 * cell, s=7, color=colour, alpha=0.35, linewidths=0)
    style = "--" if dashed else "-"
    _draw_values(axes, depths + shift, intervals, colour, marker, style, 100)
    return intervals


def ablation_causes_figure(table: pd.DataFrame) -> Figure:
    """Draw suspected causes against depth: the first gradient, dead units, and members that never learned.

    Args:
        table: Rows of the `ablation` table, one per member; rows of the longer training are left out, as their start is
            the same.

    Returns:
        The figure: a row of panels for each metric, a column for each activation, a colour for each start. Gradients
        have a median and quartiles, the other two 95 % intervals.
    """
    table = table[table["epochs"] == table["epochs"].min()]
    activations = list(dict.fromkeys(table["activation"]))
    height = 6.2
    figure = Figure(figsize=(WIDTH_INCHES, height), dpi=DOTS_PER_INCH, layout="constrained")
    grid = figure.subplots(3, len(activations), sharex=True, sharey="row", squeeze=False, height_ratios=[1.2, 1, 1])
    measures: tuple[tuple[str, Callable[[pd.DataFrame], Interval]], ...] = (
        ("first layer's gradient,\nmean square, log scale", _median_gradient),
        ("dead units (%)", lambda rows: median_interval(100 * rows["dead_share"].to_numpy(dtype=float))),
        ("never learned (%)", _never_learned),
    )
    for row, (label, measure) in zip(grid, measures, strict=True):
        row[0].set_ylabel(label)
        for axes, activation in zip(row, activations, strict=True):
            rows = table[table["activation"] == activation]
            for place, (start, group) in enumerate(rows.groupby("initialization", sort=False)):
                depths = np.array(sorted(group["depth"].unique()))
                intervals = [measure(group[group["depth"] == depth]) for depth in depths]
                colour, marker, _ = _START_STYLES[start]
                _draw_values(axes, depths + 0.12 * (place - 1), intervals, colour, marker, "-", 1)
            bare_axes(axes, sorted(table["depth"].unique()))
    if table["first_gradient_mean_square"].max() > 0:  # else there is nothing that a logarithmic axis could show
        grid[0, 0].set_yscale("log")
    for axes, activation in zip(grid[0], activations, strict=True):
        if (table.loc[table["activation"] == activation, "first_gradient_mean_square"] == 0).all():
            note(axes, "all are 0")
    for axes, activation in zip(grid[1], activations, strict=True):
        if table.loc[table["activation"] == activation, "dead_share"].isna().all():
            note(axes, "cannot\ndie")
    for axes, activation in zip(grid[0], activations, strict=True):
        plain(axes.set_title(activation, fontsize=10, loc="left"))
    for axes in grid[1:].flat:
        axes.set_ylim(bottom=-2)
    for axes in grid[-1]:
        axes.set_xlabel("hidden layers")
    counts = {len(rows) for _, rows in table.groupby(["activation", "initialization", "depth"])}
    figure.suptitle(
        "Before training: gradient (median, middle half) and dead units (median,\n95 % interval). After it: share of "
        f"members less than {100 * LEARNED_MARGIN:.0f} points above\nchance (95 % interval); n = "
        f"{range_words(counts)} per point",
        fontsize=11,
        x=0.01,
        ha="left",
    )
    legend_below(figure, _start_handles(table))
    return figure


def _median_gradient(rows: pd.DataFrame) -> Interval:
    """Return median and quartiles: where a layer is dead the gradient is 0, and a mean of logarithms has no value."""
    squares = rows["first_gradient_mean_square"].to_numpy(dtype=float)
    low, middle, high = (float(value) or np.nan for value in np.quantile(squares, [0.25, 0.5, 0.75]))
    return Interval(len(rows), middle, low, high, 0)


def _never_learned(rows: pd.DataFrame) -> Interval:
    share = share_interval(int((~rows["learned"]).sum()), len(rows))
    return Interval(share.n, 100 * share.estimate, 100 * share.low, 100 * share.high, 0)


def _start_handles(table: pd.DataFrame) -> list[Line2D]:
    styles = [_START_STYLES[start] for start in dict.fromkeys(table["initialization"])]
    return [Line2D([], [], color=colour, marker=marker, label=label) for colour, marker, label in styles]


def _panels(names: Sequence[str], height_inches: float) -> tuple[Figure, list[Axes]]:
    """Return a figure with a panel for each name, two in a row."""
    n_columns = min(2, len(names))
    n_rows = -(-len(names) // n_columns)
    figure = Figure(figsize=(WIDTH_INCHES, 0.9 + height_inches * n_rows), dpi=DOTS_PER_INCH, layout="constrained")
    panels = list(figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False).flat)
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    for axes in panels[: len(names)]:
        bare_axes(axes)
    return figure, panels[: len(names)]


def _draw_values(
    axes: Axes,
    positions: NDArray[Any],
    intervals: Sequence[Interval],
    colour: str,
    marker: str,
    style: str,
    scale: float,
) -> None:
    means, lows, highs = (
        scale * np.array([getattr(interval, end) for interval in intervals]) for end in ("estimate", "low", "high")
    )
    axes.errorbar(
        positions,
        means,
        yerr=bar_lengths(means, lows, highs),
        fmt=marker + style,
        color=colour,
        markersize=4,
        linewidth=1.5,
        capsize=2,
        zorder=3,
    )
