"""The trend over runs: test accuracies of the runs that were compared with the baseline."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mlp_core.report.plot_style import BLUE, GREY, ORANGE, WIDTH_INCHES, legend_below, note, plain


def trend_figure(comparisons: pd.DataFrame) -> Figure:
    """Draw the mean test accuracy of every configuration over the runs, a panel per experiment.

    Args:
        comparisons: Rows of the files in `baseline/runs`, one per run, configuration and metric; accuracies in 0..1.

    Returns:
        The figure. An orange dot marks a configuration that differed from the baseline in a run (status `moved`); a
        vertical dotted line marks the first run with other library versions.
    """
    rows = comparisons[comparisons["measure"] == "test_accuracy"].sort_values("run")
    experiments = list(dict.fromkeys(rows["experiment"]))
    n_rows = math.ceil(len(experiments) / 2)
    figure = Figure(figsize=(WIDTH_INCHES, 0.9 + 1.7 * n_rows), layout="constrained")
    panels = figure.subplots(n_rows, 2, sharex=True, squeeze=False).ravel()
    runs = comparisons.drop_duplicates("run").sort_values("run")
    updated = runs["run"][(runs["versions"] != runs["versions"].shift()).to_numpy()].iloc[1:]
    for axes, experiment in zip(panels, experiments, strict=False):
        for _, line in rows[rows["experiment"] == experiment].groupby("configuration", sort=False):
            axes.plot(
                line["run"],
                100 * line["after"],
                color=BLUE,
                alpha=0.6,
                linewidth=1,
                marker=".",
                markersize=3 if len(runs) > 1 else 8,
            )
            moved = line[line["status"] == "moved"]
            axes.plot(moved["run"], 100 * moved["after"], "o", color=ORANGE, markeredgecolor="black", markersize=6)
        if rows.loc[rows["experiment"] == experiment, "after"].isna().all():
            note(axes, "all members diverged")
        for when in updated:
            axes.axvline(when, color=GREY, linestyle=":", linewidth=1.5)
        plain(axes.set_title(experiment, fontsize=10))
        axes.tick_params(labelsize=9)
        axes.grid(alpha=0.3)
    for axes in panels[len(experiments) :]:
        axes.remove()
    for axes in panels[: len(experiments)]:
        axes.xaxis.set_major_locator(locator := AutoDateLocator(minticks=2, maxticks=4))  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
        room = 0.05 * (runs["run"].max() - runs["run"].min()) or pd.Timedelta(hours=12)
        axes.set_xlim(runs["run"].min() - room, runs["run"].max() + room)
        axes.tick_params(labelbottom=axes in panels[max(0, len(experiments) - 2) : len(experiments)])
    figure.supylabel("mean test accuracy (%)", fontsize=10)
    legend_below(
        figure,
        [
            Line2D([], [], color=BLUE, marker=".", linewidth=1, label="a configuration"),
            Line2D([], [], color=ORANGE, marker="o", markeredgecolor="black", linestyle="", label="moved"),
            Line2D([], [], color=GREY, linestyle=":", linewidth=1.5, label="other versions from here"),
        ],
    )
    return figure
