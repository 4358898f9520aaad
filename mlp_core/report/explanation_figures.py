"""Figures that look for reasons: the decline with depth, the failure of width, the first layer.

As in `mlp_core.report.figures`: tables and arrays in, a matplotlib Figure out, no pyplot and no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from mlp_core.engine.sizes import LEARNED_MARGIN
from mlp_core.report.drawing import (
    BLUE,
    DOTS_PER_INCH,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PALETTE,
    WIDTH_INCHES,
    interval_words,
    jitter,
    legend_below,
    member_accuracies,
    note,
    plain,
    range_words,
    whole_ticks,
)
from mlp_core.statistics.intervals import MeanInterval, median_interval, share_interval

_START_STYLES = {
    "pytorch": (BLUE, "o", "PyTorch's start"),
    "xavier": (ORANGE, "s", "Xavier, gain 1"),
    "xavier at the theoretical gain": (GREEN, "D", "Xavier, theoretical gain"),
}


def explain_figure(table: pd.DataFrame, n_classes: int = 4) -> Figure:
    """Draw test accuracy against depth: a panel for each activation, a line for each start.

    Args:
        table: Rows of the `explain` table, one per member; accuracies in 0..1, null where diverged.
        n_classes: Arms of the spirals, for the chance level.

    Returns:
        The figure; members are faint dots, medians have 95 % intervals, longer training is dashed.
    """
    activations = list(dict.fromkeys(table["activation"]))
    figure, panels = _panels(activations, height_inches=2.6)
    counts: list[MeanInterval] = []
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
        "Depth from three starts, members faint; dotted: chance.\n" + _sentence(interval_words(counts)),
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


def _draw_line(
    axes: Axes, group: pd.DataFrame, shift: float, colour: str, marker: str, dashed: bool
) -> list[MeanInterval]:
    depths = np.array(sorted(group["depth"].unique()))
    cells = [member_accuracies(group[group["depth"] == depth], "test_accuracy") for depth in depths]
    found = [median_interval(cell) for cell in cells]
    for depth, cell in zip(depths, cells, strict=True):
        places = depth + shift + 0.12 * jitter(len(cell))
        axes.scatter(places, 100 * cell, s=7, color=colour, alpha=0.35, linewidths=0)
    style = "--" if dashed else "-"
    _draw_values(axes, depths + shift, found, colour, marker, style, 100)
    return found


def explain_causes_figure(table: pd.DataFrame) -> Figure:
    """Draw suspected causes against depth: gradient and dead units before training, and who never learned.

    Args:
        table: Rows of the `explain` table; those of the longer training have the same start and are left out.

    Returns:
        The figure: a row for each measure, a column for each activation, a colour for each start.
    """
    table = table[table["epochs"] == table["epochs"].min()]
    activations = list(dict.fromkeys(table["activation"]))
    height = 6.2
    figure = Figure(figsize=(WIDTH_INCHES, height), dpi=DOTS_PER_INCH, layout="constrained")
    grid = figure.subplots(3, len(activations), sharex=True, sharey="row", squeeze=False)
    measures: tuple[tuple[str, Callable[[pd.DataFrame], MeanInterval]], ...] = (
        ("mean square of the first\nlayer's gradient, log scale", _median_gradient),
        ("dead units (%)", lambda rows: median_interval(100 * rows["dead_share"].to_numpy(dtype=float))),
        ("never learned (%)", _never_learned),
    )
    for row, (label, measure) in zip(grid, measures, strict=True):
        row[0].set_ylabel(label)
        for axes, activation in zip(row, activations, strict=True):
            rows = table[table["activation"] == activation]
            for place, (start, group) in enumerate(rows.groupby("initialization", sort=False)):
                depths = np.array(sorted(group["depth"].unique()))
                found = [measure(group[group["depth"] == depth]) for depth in depths]
                colour, marker, _ = _START_STYLES[start]
                _draw_values(axes, depths + 0.12 * (place - 1), found, colour, marker, "-", 1)
            _bare(axes, sorted(table["depth"].unique()))
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


def generalization_figure(table: pd.DataFrame, n_classes: int = 4) -> Figure:
    """Draw accuracy on the arms continued against radius: polynomials above, perceptrons below.

    Args:
        table: Rows of the `generalization` table, one per member and one of the nearest neighbour.
        n_classes: Arms of the spirals, for the chance level.

    Returns:
        The figure; lines are medians, bands their 95 % intervals.
    """
    figure = Figure(figsize=(WIDTH_INCHES, 6.6), dpi=DOTS_PER_INCH, layout="constrained")
    panels = figure.subplots(2, 1, sharex=True, sharey=True)
    nearest = table[table["model"] == "nearest neighbour"]
    training_radius = float(table["training_radius"].iloc[0])
    marks = [(1.0, "training arms end", "right"), (training_radius, "last training point", "left")]
    if training_radius > 2:
        marks.pop()
    counts: list[MeanInterval] = []
    for axes, lines in zip(panels, (_polynomial_lines(table), _perceptron_lines(table)), strict=True):
        for label, rows, colour, style in lines:
            counts += _draw_rings(axes, rows, colour, style, label)
        _draw_rings(axes, nearest, INK, ":", "nearest neighbour")
        _bare(axes)
        axes.axhline(100 / n_classes, color=GREY, linewidth=1, linestyle=":", zorder=0)
        for radius, _, _ in marks:
            axes.axvline(radius, color=INK, linewidth=1, zorder=0)
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
    figure.suptitle(
        "Accuracy on the arms continued to twice their length; grey: chance.\n" + _sentence(interval_words(counts)),
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


def _draw_rings(axes: Axes, rows: pd.DataFrame, colour: Any, style: str, label: str) -> list[MeanInterval]:
    finished = rows.loc[rows["status"] == "ok", "ring_accuracy"]
    if finished.empty:
        axes.plot([], [], color=colour, linestyle=style, linewidth=1.6, label=f"{label}: diverged")
        return [MeanInterval(0, np.nan, np.nan, np.nan, len(rows))]
    accuracies = np.stack(finished.to_numpy())
    found = [median_interval(ring) for ring in accuracies.T]
    middles = 2.0 * (np.arange(len(found)) + 0.5) / len(found)
    medians, lows, highs = (100 * np.array([getattr(one, end) for one in found]) for end in ("mean", "low", "high"))
    axes.plot(middles, medians, color=colour, linestyle=style, linewidth=1.6, label=label)
    axes.fill_between(middles, lows, highs, color=colour, alpha=0.18, linewidth=0)
    return found


def features_figure(table: pd.DataFrame) -> Figure:
    """Draw how local, how like a class difference and how fine units are, as cumulated shares.

    Args:
        table: Rows of the `features` table, one per unit.

    Returns:
        The figure: a panel for each measure; trained units by depth, beside random ones and edge filters.
    """
    figure = Figure(figsize=(WIDTH_INCHES, 7.4), dpi=DOTS_PER_INCH, layout="constrained")
    panels = figure.subplots(3, 1, sharey=True)
    measures = (
        ("extent", "extent: rms distance of the squared weights from their centre (image sides)"),
        ("class_cosine", "cosine with the nearest difference of two class means, without sign"),
        ("spatial_frequency", "mean spatial frequency (cycles per image)"),
    )
    groups = _feature_groups(table)
    for axes, (column, label) in zip(panels, measures, strict=True):
        for name, rows, colour, style in groups:
            values = np.sort(rows[column].dropna().to_numpy(dtype=float))
            shares = 100 * np.arange(len(values) + 1) / max(1, len(values))
            values = np.append(values[:1], values)  # it rises from 0, or one unit would be a point of a line
            if not len(values):
                shares = values
            axes.step(values, shares, where="post", color=colour, linestyle=style, linewidth=1.6, label=name)
        _bare(axes)
        axes.set_xlabel(label)
        axes.set_ylabel("units up to here (%)")
    figure.suptitle(
        "First-layer units: share of them at most so local, so like a class\n"
        "difference, so fine; n is the number of units",
        fontsize=11,
        x=0.01,
        ha="left",
    )
    lines = panels[0].get_lines()
    for line, (_, rows, _, _) in zip(lines, groups, strict=True):
        n_measured = int(rows["extent"].notna().sum())
        n = f"{len(rows)}" if n_measured == len(rows) else f"{n_measured} of {len(rows)} (others without a weight)"
        line.set_label(f"{line.get_label()}, n = {n}")
    legend_below(figure, lines)
    return figure


def _feature_groups(table: pd.DataFrame) -> list[_Line]:
    trained = table[table["kind"] == "trained"]
    depths = sorted(trained["depth"].unique())
    groups: list[_Line] = [
        (f"depth {depth:.0f}", trained[trained["depth"] == depth], colour, "-")
        for depth, colour in zip(depths, colormaps["viridis"](np.linspace(0, 0.8, len(depths))), strict=True)
    ]
    random = table[(table["kind"] == "random") & (table["depth"] == depths[0])]
    return [
        *groups,
        ("before training", random, GREY, "--"),
        ("edge filters", table[table["kind"] == "gabor"], ORANGE, "-."),
        ("single photographs", table[table["kind"] == "photograph"], GREY, ":"),
    ]


@dataclass(frozen=True)
class UnitRow:
    """Units to draw side by side.

    Attributes:
        name: Of the row.
        weights: Finite floats `[units, 3, height, width]`, the most local first.
        extents: Of each unit, in image sides.
    """

    name: str
    weights: NDArray[Any]
    extents: NDArray[Any]


def units_figure(rows: Sequence[UnitRow]) -> Figure:
    """Draw units as pictures, sorted by how local they are, each under its extent.

    Each is drawn on the scale of its own largest absolute weight, so that weak units show their pattern too: grey is 0.

    Args:
        rows: At least one, of the same number of units.
    """
    n_columns = max(len(row.weights) for row in rows)
    cell = WIDTH_INCHES / n_columns
    figure = Figure(figsize=(WIDTH_INCHES, 0.75 + len(rows) * (cell + 0.3)), dpi=DOTS_PER_INCH, layout="constrained")
    grid = figure.subplots(len(rows), n_columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for line, row in zip(grid, rows, strict=True):
        name = line[0].annotate(
            row.name, (0, 1), xycoords="axes fraction", xytext=(0, 18), textcoords="offset points", fontsize=9
        )
        name.set_in_layout(False)  # else its length would set the first column apart
        for axes, weights, reach in zip(line, row.weights, row.extents, strict=False):
            largest = float(np.abs(weights).max()) or 1.0
            axes.imshow(np.moveaxis(0.5 + weights / (2 * largest), 0, -1), interpolation="nearest")
            axes.set_title(f"{reach:.3f}", fontsize=9, pad=2)
    figure.suptitle(
        "The most local first-layer units of each kind, most local first, and their\n"
        "extents in image sides; each unit on its own scale, grey is 0\n",  # and room for the first row's name
        fontsize=11,
        x=0.01,
        ha="left",
    )
    return figure


def _median_gradient(rows: pd.DataFrame) -> MeanInterval:
    """Return median and quartiles: where a layer is dead the gradient is 0, and a mean of logarithms has no value."""
    squares = rows["first_gradient_mean_square"].to_numpy(dtype=float)
    low, middle, high = (float(value) or np.nan for value in np.quantile(squares, [0.25, 0.5, 0.75]))
    return MeanInterval(len(rows), middle, low, high, 0)


def _never_learned(rows: pd.DataFrame) -> MeanInterval:
    found = share_interval(int((~rows["learned"]).sum()), len(rows))
    return MeanInterval(found.n, 100 * found.mean, 100 * found.low, 100 * found.high, 0)


def _start_handles(table: pd.DataFrame) -> list[Line2D]:
    shown = [_START_STYLES[start] for start in dict.fromkeys(table["initialization"])]
    return [Line2D([], [], color=colour, marker=marker, label=label) for colour, marker, label in shown]


def _panels(names: Sequence[str], height_inches: float) -> tuple[Figure, list[Axes]]:
    """Return a figure with a panel for each name, two in a row."""
    n_columns = min(2, len(names))
    n_rows = -(-len(names) // n_columns)
    figure = Figure(figsize=(WIDTH_INCHES, 0.9 + height_inches * n_rows), dpi=DOTS_PER_INCH, layout="constrained")
    panels = list(figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False).flat)
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    for axes in panels[: len(names)]:
        _bare(axes)
    return figure, panels[: len(names)]


def _bare(axes: Axes, ticks: Sequence[int] | None = None) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.yaxis.grid(True, color="#e5e5e5", linewidth=0.8)
    axes.set_axisbelow(True)
    if ticks is not None:
        axes.set_xticks(ticks)


def _draw_values(
    axes: Axes,
    positions: NDArray[Any],
    found: Sequence[MeanInterval],
    colour: str,
    marker: str,
    style: str,
    scale: float,
) -> None:
    means, lows, highs = (scale * np.array([getattr(one, end) for one in found]) for end in ("mean", "low", "high"))
    spread = np.nan_to_num(np.stack([means - lows, highs - means]).clip(0))
    axes.errorbar(
        positions,
        means,
        yerr=spread,
        fmt=marker + style,
        color=colour,
        markersize=4,
        linewidth=1.5,
        capsize=2,
        zorder=3,
    )


def _sentence(words: str) -> str:
    return words if words.startswith("n = ") else words[0].upper() + words[1:]
