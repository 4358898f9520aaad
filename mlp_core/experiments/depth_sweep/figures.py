"""Figures of the depth sweep: accuracy against depth, and what every member answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from mlp_core.experiments.depth_sweep.member_maps import MemberMaps
from mlp_core.report.plot_style import (
    DOTS_PER_INCH,
    INK,
    PALETTE,
    WIDTH_INCHES,
    annotate_diverged,
    chance_line,
    diverged_count,
    draw_intervals,
    headline,
    interval_words,
    jitter,
    legend_below,
    member_accuracies,
    new_figure,
    pale,
    percent_axis,
    plain,
)
from mlp_core.statistics.intervals import Interval, median_interval


def depth_sweep_figure(table: pd.DataFrame, n_classes: int = 4) -> Figure:
    """Draw test accuracy against depth: every member a dot, with median and 95 % interval.

    Args:
        table: Rows of the `depth_sweep` table, one per member; accuracies in 0..1, null where diverged.
        n_classes: Number of classes, for the line of chance level.

    Returns:
        The figure, with one colour per activation; the number of members that diverged stands above the axes.
    """
    ticks = table.sort_values("depth").drop_duplicates("depth")
    positions = {depth: position for position, depth in enumerate(ticks["depth"])}
    activations = list(dict.fromkeys(table["activation"]))
    figure, axes = new_figure(4.2)
    counts: list[Interval] = []
    diverged: dict[int, list[str]] = {}
    for index, activation in enumerate(activations):
        shift = 0.7 * ((index + 0.5) / len(activations) - 0.5)
        colour = PALETTE[index % len(PALETTE)]
        for depth, group in table[table["activation"] == activation].groupby("depth"):
            interval = _draw_members(axes, positions[depth] + shift, group, colour, 0.5 / len(activations))
            counts.append(interval)
            if interval.missing:
                prefix = f"{activation} " if len(activations) > 1 else ""
                diverged.setdefault(positions[depth], []).append(prefix + diverged_count(interval))
    for position, words in diverged.items():
        annotate_diverged(axes, position, words)
    chance_line(axes, 1 / n_classes)
    axes.set_xticks(
        range(len(ticks)),
        [
            f"{row.depth}\n{row.width} wide\n{row.parameters} par."
            for row in ticks[["depth", "width", "parameters"]].itertuples()
        ],
    )
    axes.set_xlim(-0.6, len(ticks) - 0.4)
    axes.set_xlabel("hidden layers, their width, trainable parameters")
    percent_axis(axes, "test accuracy (%)", table["test_accuracy"], 1 / n_classes)
    headline(figure, f"Depth at a fixed budget: every member a dot,\n{interval_words(counts)}")
    handles = [
        Line2D([], [], color=PALETTE[index % len(PALETTE)], marker="o", linewidth=2, label=activation)
        for index, activation in enumerate(activations)
    ]
    legend_below(figure, handles)
    return figure


def _draw_members(axes: Axes, position: float, group: pd.DataFrame, colour: str, spread: float) -> Interval:
    accuracies = member_accuracies(group, "test_accuracy")
    places = position + spread * jitter(len(accuracies))
    axes.scatter(places, 100 * accuracies, s=26, color=colour, alpha=0.45, linewidths=0)
    interval = median_interval(accuracies)
    draw_intervals(axes, np.array([position]), [interval], INK, "D")
    return interval


def member_maps_figure(rows: Sequence[MemberMaps], points: NDArray[Any], labels: NDArray[Any]) -> Figure:
    """Draw a small decision map for every member, a block of maps for each depth, the best member first.

    Args:
        rows: The maps of each depth.
        points: Test points `[n, 2]`, columns x1 and x2; drawn once in a corner, to compare with.
        labels: Their classes `[n]`.

    Returns:
        The figure; the member in the middle, or both, are framed, and the number of members that diverged is written.
    """
    colours = np.array([pale(PALETTE[label % len(PALETTE)]) for label in range(1 + int(labels.max()))])
    if max(row.n_finished for row in rows) <= 1:
        return _one_map_each(rows, points, labels, colours)
    columns = 8 if max(len(row.classes) for row in rows) <= 8 else 16
    n_lines = [max(1, math.ceil(len(row.classes) / columns)) for row in rows]
    cell, head, foot = WIDTH_INCHES / columns, 0.42, 0.2 if columns == 8 else 0.0
    heights = [head + n * (cell + foot) for n in n_lines]
    figure = Figure(figsize=(WIDTH_INCHES, 1.15 + sum(heights)), dpi=DOTS_PER_INCH)
    tall = figure.get_figheight()
    _draw_points(
        figure.add_axes((1 - 1.12 / WIDTH_INCHES, 1 - 1.12 / tall, 1.07 / WIDTH_INCHES, 1.07 / tall)), points, labels
    )
    top = 1 - 1.1 / tall
    for row, lines, height in zip(rows, n_lines, heights, strict=True):
        share = height / tall
        axes = figure.add_axes((0, top - share, 1, share))
        top -= share
        _draw_maps(axes, row, colours, columns, (0.38 / cell, lines * (1 + foot / cell), foot / cell))
    headline(
        figure,
        "What each network answers, best test accuracy\nfirst; framed: the middle, where the median lies;\n"
        "right: test points",
    )
    return figure


def _one_map_each(
    rows: Sequence[MemberMaps], points: NDArray[Any], labels: NDArray[Any], colours: NDArray[Any]
) -> Figure:
    """Draw the map of each depth's only member, up to three side by side, and the test points last."""
    columns = min(3, len(rows) + 1)
    n_lines = math.ceil((len(rows) + 1) / columns)
    height = 0.3 + n_lines * (WIDTH_INCHES / columns + 0.4)
    figure = Figure(figsize=(WIDTH_INCHES, height), dpi=DOTS_PER_INCH, layout="constrained")
    panels = list(figure.subplots(n_lines, columns, squeeze=False).flat)
    for axes in panels[len(rows) :]:
        axes.set_axis_off()
    for axes, row in zip(panels, rows, strict=False):
        axes.set(xticks=[], yticks=[], aspect="equal")
        for classes in row.classes:
            axes.imshow(_outlined(classes, colours), origin="lower", interpolation="nearest")
        plain(axes.set_title(_named(row).replace(": ", "\n"), fontsize=10))
    _draw_points(panels[len(rows)], points, labels)
    panels[len(rows)].set_title("test points", fontsize=10)
    headline(figure, "What each network answers, and its test accuracy")
    return figure


def _draw_points(axes: Axes, points: NDArray[Any], labels: NDArray[Any]) -> None:
    reach = float(np.abs(points).max())
    axes.scatter(points[:, 0], points[:, 1], s=1.5, c=[PALETTE[label % len(PALETTE)] for label in labels], linewidths=0)
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), xticks=[], yticks=[], aspect="equal")


def _draw_maps(
    axes: Axes, row: MemberMaps, colours: NDArray[Any], columns: int, sizes: tuple[float, float, float]
) -> None:
    """Draw the maps of a depth, one unit wide each, below a head that names best, median and worst."""
    head, height, foot = sizes
    axes.set_axis_off()
    axes.set_xlim(0, columns)
    axes.set_ylim(height, -head)
    for place, classes in enumerate(row.classes):
        left, top = place % columns, place // columns * (1 + foot)
        axes.imshow(
            _outlined(classes, colours),
            origin="lower",
            extent=(left + 0.04, left + 0.96, top + 0.96, top + 0.04),
            interpolation="nearest",
            aspect="auto",
        )
        if foot:
            percent = f"{100 * row.accuracies[place]:.1f}"
            axes.text(left + 0.5, top + 1.02, percent, ha="center", va="top", fontsize=9, color=INK)
        if place in row.middle and row.n_finished > 2:
            frame = Rectangle((left + 0.02, top + 0.02), 0.96, 0.96, fill=False, edgecolor="black", linewidth=1.8)
            axes.add_patch(frame)
    # an image sets the limits anew
    axes.set_xlim(0, columns)
    axes.set_ylim(height, -head)
    plain(axes.text(0.04, -0.12 * head, _named(row), ha="left", va="bottom", fontsize=10, color=INK))


def _outlined(classes: NDArray[Any], colours: NDArray[Any]) -> NDArray[Any]:
    """Return a map as RGB with dark borders between classes, which tell them apart in grey, too."""
    image: NDArray[Any] = colours[classes]
    border = np.zeros(classes.shape, dtype=bool)
    border[:, 1:] |= classes[:, 1:] != classes[:, :-1]
    border[1:] |= classes[1:] != classes[:-1]
    image[border] = 0.3
    return image


def _named(row: MemberMaps) -> str:
    """Return what a block is of, and what its best, median and worst member reach."""
    diverged = f"; {row.n_diverged} diverged" if row.n_diverged else ""
    if not row.n_finished:
        return f"{row.name}: no member finished"
    best, median, worst = (100 * accuracy for accuracy in (row.accuracies[0], row.median, row.accuracies[-1]))
    if row.n_finished == 1:
        return f"{row.name}: {best:.1f} %{diverged}"
    note = f", {len(row.classes)} of {row.n_finished} shown" if len(row.classes) < row.n_finished else ""
    return f"{row.name}: best {best:.1f} %, median {median:.1f} %, worst {worst:.1f} %{note}{diverged}"
