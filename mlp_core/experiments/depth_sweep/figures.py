"""Figure of the depth sweep: accuracy against depth."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mlp_core.report.plot_style import (
    INK,
    PALETTE,
    annotate_diverged,
    chance_line,
    diverged_count,
    draw_intervals,
    interval_words,
    jitter,
    legend_below,
    member_accuracies,
    new_figure,
    percent_axis,
)
from mlp_core.statistics.intervals import Interval, median_interval


def depth_sweep_figure(table: pd.DataFrame, n_classes: int = 4) -> Figure:
    """Draw test accuracy against depth: every member a dot, with median and 95 % interval.

    Args:
        table: Rows of the `depth_sweep` table, one per member; accuracies in 0..1, null where diverged.
        n_classes: Arms of the spirals, for the chance level.

    Returns:
        The figure; one colour per activation, members that diverged counted above the axis.
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
            found = _draw_members(axes, positions[depth] + shift, group, colour, 0.5 / len(activations))
            counts.append(found)
            if found.missing:
                prefix = f"{activation} " if len(activations) > 1 else ""
                diverged.setdefault(positions[depth], []).append(prefix + diverged_count(found))
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
    axes.set_title(
        f"Depth at a fixed budget: every member a dot,\n{interval_words(counts)}",
        loc="left",
        fontsize=11,
    )
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
    found = median_interval(accuracies)
    draw_intervals(axes, np.array([position]), [found], INK, "D")
    return found
