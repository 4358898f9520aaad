"""Figure of the gain sweep: accuracy against gain."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mlp_core.report.plot_style import (
    ABOVE_GRID,
    BLUE,
    DOTS_PER_INCH,
    INK,
    ORANGE,
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
    percent_axis,
    plain,
)
from mlp_core.statistics.intervals import Interval, median_interval


def gain_sweep_figure(table: pd.DataFrame, n_classes: int = 3) -> Figure:
    """Draw train and test accuracy against Xavier's gain, with lines at the best gain and at the theoretical one.

    Args:
        table: Rows of the `gain_sweep` table, one per member; accuracies in 0..1, null where diverged.
        n_classes: Number of classes, for the line of chance level.

    Returns:
        The figure, one panel per activation and weight distribution; members are faint dots, medians have 95 %
        intervals. The best gain has the highest median test accuracy.
    """
    panels = list(table.groupby(["activation", "distribution"], sort=False))
    figure = Figure(figsize=(WIDTH_INCHES, 0.5 + 4.0 * len(panels)), dpi=DOTS_PER_INCH, layout="constrained")
    for axes, ((activation, distribution), group) in zip(
        np.ravel(figure.subplots(len(panels), 1, squeeze=False)), panels, strict=True
    ):
        tests = _draw_gain_panel(axes, group, n_classes)
        words = f"Gain of {distribution} Xavier weights, {activation}:\n{interval_words(tests)}"
        if len(panels) == 1:
            headline(figure, words)
        else:
            plain(axes.set_title(words, loc="left", fontsize=11, pad=22))
    faint = " (members faint)" if table.groupby(["activation", "distribution", "gain"]).size().max() > 1 else ""
    handles = [
        Line2D([], [], color=colour, marker=marker, label=f"{part} accuracy{faint}")
        for part, colour, marker in (("test", BLUE, "o"), ("train", ORANGE, "s"))
    ]
    legend_below(figure, handles)
    return figure


def _draw_gain_panel(axes: Axes, table: pd.DataFrame, n_classes: int) -> list[Interval]:
    """Draw a panel and return the test accuracies' medians."""
    gains = np.array(sorted(table["gain"].unique()))
    step = float(np.diff(gains).min()) if len(gains) > 1 else 0.1
    cells = [cell for _, cell in table.groupby("gain")]
    for column, colour, marker, side in (
        ("train_accuracy", ORANGE, "s", -0.1),
        ("test_accuracy", BLUE, "o", 0.1),
    ):
        members = [member_accuracies(cell, column) for cell in cells]
        intervals = [median_interval(accuracies) for accuracies in members]
        places = [
            gain + step * (2.4 * side + 0.14 * jitter(len(accuracies)))
            for gain, accuracies in zip(gains, members, strict=True)
        ]
        # all in one: a scatter for each of a thousand gains took most of a run's time
        axes.scatter(np.concatenate(places), 100 * np.concatenate(members), s=9, color=colour, alpha=0.35, linewidths=0)
        draw_intervals(axes, gains + step * side, intervals, colour, marker)
        axes.plot(gains + step * side, [100 * interval.estimate for interval in intervals], color=colour, linewidth=1.5)
    medians = [median_interval(member_accuracies(cell, "test_accuracy")) for cell in cells]
    for gain, median in zip(gains, medians, strict=True):
        if median.missing:
            annotate_diverged(axes, gain, [diverged_count(median)])
    theoretical = float(table["theoretical_gain"].iloc[0])
    marks = [(theoretical, f"theory {theoretical:.3f}", "--")]
    estimates = np.array([median.estimate for median in medians])
    if np.isfinite(estimates).any():
        best = float(gains[np.nanargmax(estimates)])
        several = any(median.n > 1 for median in medians)
        marks.append((best, f"best {'median ' if several else ''}{best:.3g}", "-"))
    # the two are often neighbours: the left one's label ends at its line, the right one's begins there
    for index, (gain, label, style) in enumerate(sorted(marks)):
        axes.axvline(gain, color=INK, linewidth=1, linestyle=style, zorder=ABOVE_GRID)
        axes.annotate(
            label,
            (gain, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(-2 if index == 0 and len(marks) > 1 else 2, 3),
            textcoords="offset points",
            ha="right" if index == 0 and len(marks) > 1 else "left",
            fontsize=9,
        )
    chance_line(axes, 1 / n_classes)
    axes.set_xlim(min(gains[0], theoretical) - step, max(gains[-1], theoretical) + step)
    axes.set_xlabel("gain (factor on Xavier's standard deviation)")
    reached = pd.concat([table["train_accuracy"], table["test_accuracy"]])
    percent_axis(axes, "accuracy (%)", reached, 1 / n_classes)
    return medians
