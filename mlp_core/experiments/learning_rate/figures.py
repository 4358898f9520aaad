"""Figure of the learning rates: accuracy against rate, from each start."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from mlp_core.experiments.learning_rate.experiment import STARTS
from mlp_core.report.plot_style import (
    INK,
    PALETTE,
    chance_line,
    draw_intervals,
    headline,
    interval_words,
    jitter,
    legend_below,
    member_accuracies,
    new_figure,
    percent_axis,
)
from mlp_core.statistics.intervals import Interval, median_interval

_MARKERS = "os"


def learning_rate_figure(table: pd.DataFrame, n_classes: int = 4) -> Figure:
    """Draw test accuracy against learning rate: every member a dot, with median and 95 % interval.

    Args:
        table: Rows of the `learning_rate` table, one per member; accuracies in 0..1, null where diverged.
        n_classes: Number of classes, for the line of chance level.

    Returns:
        The figure, with one colour per start; members that diverged are crosses at the bottom, with their number above.
    """
    rates = np.array(sorted(table["learning_rate"].unique()))
    step = float(np.diff(np.log10(rates)).min()) if len(rates) > 1 else 1 / 3
    starts = [start for start in STARTS if (table["initialization"] == start).any()]
    figure, axes = new_figure(4.4)
    axes.set_xscale("log")
    medians: list[Interval] = []
    for index, start in enumerate(starts):
        shift = 0.9 * step * ((index + 0.5) / len(starts) - 0.5)
        rows = table[table["initialization"] == start]
        medians += _draw_start(axes, rows, shift, 0.65 * step / len(starts), PALETTE[index], _MARKERS[index])
    chance_line(axes, 1 / n_classes)
    axes.set_xlim(rates[0] / 10**step, rates[-1] * 10**step)
    axes.set_xlabel("learning rate, log scale")
    percent_axis(axes, "test accuracy (%)", table["test_accuracy"], 1 / n_classes)
    headline(figure, f"Learning rates: every member a dot,\n{interval_words(medians)}")
    handles = [
        Line2D([], [], color=PALETTE[index], marker=_MARKERS[index], label=STARTS[start])
        for index, start in enumerate(starts)
    ]
    if any(median.missing for median in medians):
        handles.append(Line2D([], [], color=INK, marker="x", linestyle="", label="diverged, with their number"))
    legend_below(figure, handles)
    return figure


def _draw_start(
    axes: Axes, rows: pd.DataFrame, shift: float, spread: float, colour: str, marker: str
) -> list[Interval]:
    """Draw the members of a start, shifted and spread by decades, and return their medians."""
    places: list[float] = []
    medians: list[Interval] = []
    for rate, group in rows.groupby("learning_rate"):
        accuracies = member_accuracies(group, "test_accuracy")
        place = float(rate) * 10**shift
        dots = place * 10 ** (spread * jitter(len(accuracies)))
        axes.scatter(dots, 100 * accuracies, s=12, color=colour, alpha=0.4, linewidths=0)
        places.append(place)
        medians.append(median_interval(accuracies))
        _draw_diverged(axes, dots[np.isnan(accuracies)], place, colour)
    draw_intervals(axes, np.array(places), medians, colour, marker)
    axes.plot(places, [100 * median.estimate for median in medians], color=colour, linewidth=1.5)
    return medians


def _draw_diverged(axes: Axes, dots: NDArray[np.float64], place: float, colour: str) -> None:
    """Draw members that diverged at the foot of the axes, where they have no accuracy to stand at."""
    if not len(dots):
        return
    foot = axes.get_xaxis_transform()
    axes.scatter(dots, np.full(len(dots), 0.025), s=14, marker="x", color=colour, linewidths=0.8, transform=foot)
    axes.text(place, 0.045, str(len(dots)), transform=foot, ha="center", va="bottom", fontsize=9, color=INK)
