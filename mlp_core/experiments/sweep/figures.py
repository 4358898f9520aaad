"""Figures of a sweep: accuracy against size and time, what each setting does, what explains the variance, theory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from numpy.typing import NDArray

from mlp_core.experiments.sweep.analysis import SCALES, SweepResults, level_text, sweep_results, title
from mlp_core.report.plot_style import (
    BLUE,
    DOTS_PER_INCH,
    GREY,
    INK,
    ORANGE,
    PALETTE,
    WIDTH_INCHES,
    bare_axes,
    figure_of_words,
    jitter,
    legend_below,
    new_figure,
    plain,
    shortened,
)
from mlp_core.statistics.intervals import median_interval

_YARDSTICK_COLOURS = dict(
    zip(
        ("majority class", "logistic regression", "nearest neighbour", "gradient boosting"),
        ("#767676", PALETTE[3], PALETTE[4], PALETTE[2]),
        strict=True,
    )
)
_YARDSTICK_STYLES = (":", "--", "-.", (0, (6, 2, 1, 2, 1, 2)))
_MOST_PAIRS, _MOST_BARS = 4, 14


def accuracy_figure(table: pd.DataFrame, settings: Mapping[str, Any]) -> Figure:
    """Draw each configuration's mean test accuracy against its number of parameters and its training time.

    Args:
        table: Rows of the `sweep` table, one per member.
        settings: Settings of the table.

    Returns:
        The figure, two panels with logarithmic x axes; the Pareto front by validation accuracy, the chosen
        configuration and scikit-learn's classifiers are marked.
    """
    results = sweep_results(table, settings)
    figure, panels = _panels(2, 6.4)
    unit, factor = ("s", 1) if np.nanmax(results.seconds) >= 1 else ("ms", 1000)
    costs = (results.configurations["parameters"].astype(float), factor * results.seconds)
    words = ("trainable parameters", f"processor time of a training ({unit})")
    for axes, cost, label in zip(panels, costs, words, strict=True):
        _draw_costs(axes, results, cost)
        axes.set_xlabel(f"{label}, log scale")
    handles = [
        Line2D([], [], color=BLUE, marker="o", linestyle="", alpha=0.5, label="a configuration"),
        Line2D([], [], color=ORANGE, marker="o", markersize=4, label="best for its cost, by validation"),
        Line2D([], [], color=INK, marker="*", markersize=11, linestyle="", label="chosen"),
        *_draw_yardsticks(panels, settings, results.test.mean(1)),
    ]
    _accuracy_axes(panels)
    panels[0].set_title(
        f"Mean test accuracy of {len(results):,} configuration{'s' * (len(results) != 1)}, n = {results.n_seeds} each",
        loc="left",
        fontsize=11,
    )
    legend_below(figure, handles)
    return figure


def _draw_costs(axes: Axes, results: SweepResults, costs: NDArray[np.float64]) -> None:
    test = 100 * results.test.mean(1)
    axes.scatter(costs, test, s=10, color=BLUE, alpha=0.4, linewidths=0)
    _log_axis(axes, costs)
    front = results.front(costs)
    axes.plot(costs[front], test[front], color=ORANGE, marker="o", markersize=4, linewidth=1.5)
    axes.plot(costs[results.chosen], test[results.chosen], color=INK, marker="*", markersize=11, linestyle="")


def _panels(n: int, height_inches: float) -> tuple[Figure, list[Axes]]:
    """Return a figure with axes below each other."""
    figure = Figure(figsize=(WIDTH_INCHES, height_inches), dpi=DOTS_PER_INCH, layout="constrained")
    panels = list(figure.subplots(n, 1, squeeze=False).ravel())
    for axes in panels:
        bare_axes(axes)
    return figure, panels


def _log_axis(axes: Axes, values: NDArray[np.float64]) -> None:
    """Make the x axis logarithmic, with plain numbers at 1, 2 and 5, or over many decades at 1 alone."""
    axes.set_xscale("log")
    wide = np.nanmax(values) > 300 * np.nanmin(values)
    axes.xaxis.set_major_locator(LogLocator(subs=(1,) if wide else (1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _draw_yardsticks(panels: list[Axes], settings: Mapping[str, Any], accuracies: NDArray[np.float64]) -> list[Line2D]:
    """Draw the test accuracy of each yardstick as a line across all axes; return what a legend shows.

    One that is more than ten points off all accuracies drawn would press these together: the legend alone has it.
    """
    handles = []
    reached = settings.get("yardsticks", {})
    lowest, highest = np.nanmin(accuracies) - 0.1, np.nanmax(accuracies) + 0.1
    for (name, colour), style in zip(_YARDSTICK_COLOURS.items(), _YARDSTICK_STYLES, strict=True):
        if name in reached:
            accuracy = reached[name]["test"]
            look: dict[str, Any] = {"color": colour, "linestyle": style, "linewidth": 1.2}
            where = ", below" * bool(accuracy < lowest) + ", above" * bool(accuracy > highest)
            if where:
                look["linestyle"] = ""
            else:
                for axes in panels:
                    axes.axhline(100 * accuracy, zorder=0, **look)
            handles.append(Line2D([], [], label=f"{name} {100 * accuracy:.1f} %{where}", **look))
    return handles


def _accuracy_axes(panels: list[Axes]) -> None:
    for axes in panels:
        low, high = axes.dataLim.intervaly
        axes.set_ylim(max(0.0, low - 4), min(101.5, high + 4))
        axes.set_ylabel("test accuracy (%)")


def effects_figure(table: pd.DataFrame, settings: Mapping[str, Any]) -> Figure:
    """Draw mean test accuracy at each level of each setting, averaged over all other settings, one dot per seed.

    Args:
        table: Rows of the `sweep` table, one per member.
        settings: Settings of the table.
    """
    results = sweep_results(table, settings)
    names = list(results.levels)
    if not names:
        return figure_of_words("one configuration: no setting varies")
    n_rows = math.ceil(len(names) / 2)
    figure = Figure(figsize=(WIDTH_INCHES, 1.2 + 2.3 * n_rows), dpi=DOTS_PER_INCH, layout="constrained")
    grid = figure.subplots(n_rows, 2, sharey=True, squeeze=False).ravel()
    for axes in grid[len(names) :]:
        axes.set_visible(False)
    panels = list(grid[: len(names)])
    for axes, name in zip(panels, names, strict=True):
        bare_axes(axes)
        _draw_effect(axes, results, name)
    for axes in panels[::2]:
        axes.set_ylabel("test accuracy (%)")
    handles = [
        Line2D([], [], color=BLUE, marker="o", linestyle="", alpha=0.5, label="a seed's mean over the grid"),
        Line2D([], [], color=INK, marker="D", linestyle="-", markersize=4, label="median, 95 % interval over seeds"),
    ]
    if "start" in names:
        asked = dict(zip(results.configurations["activation"], results.configurations["theory_gain"], strict=True))
        gains = ", ".join(f"{name} {gain:.3g}" for name, gain in asked.items())
        words = f"start; theory's gains:\n{shortened(gains, 44)}"
        plain(panels[names.index("start")].set_title(words, loc="left", fontsize=9))
    handles += _draw_yardsticks(panels, settings, np.concatenate([results.effect(name).ravel() for name in names]))
    figure.suptitle(f"What each setting does, averaged over all others, n = {results.n_seeds}", fontsize=11)
    legend_below(figure, handles)
    return figure


def _draw_effect(axes: Axes, results: SweepResults, name: str) -> None:
    values, labels = results.effect(name), results.levels[name]
    places = np.arange(len(labels))
    if all(isinstance(label, (int, float)) for label in labels):  # lists may come in any order
        order = np.argsort(labels)
        values, labels = values[order], [labels[number] for number in order]
    for place, by_seed in zip(places, values, strict=True):
        dots = by_seed[np.isfinite(by_seed)]
        axes.scatter(place + 0.4 * jitter(len(dots)), 100 * dots, s=12, color=BLUE, alpha=0.4, linewidths=0)
    medians = [median_interval(by_seed) for by_seed in values]
    axes.plot(places, [100 * median.estimate for median in medians], color=INK, marker="D", markersize=4, linewidth=1)
    for place, median in zip(places, medians, strict=True):
        if median.has_interval:
            axes.plot([place, place], [100 * median.low, 100 * median.high], color=INK, linewidth=1.5)
    axes.set_xlim(-0.6, len(labels) - 0.4)
    step = max(1, math.ceil(len(labels) / 8))
    texts = [shortened(level_text(label), 12) for label in labels[::step]]
    axes.set_xticks(places[::step], texts, fontsize=9, rotation=_turn(texts))
    axes.set_title(title(name), loc="left", fontsize=9)
    for text in axes.get_xticklabels():
        plain(text)


def _turn(texts: list[str]) -> int:
    """Return by how many degrees ticks must be turned, if their texts do not fit side by side into half a figure."""
    return 90 if sum(map(len, texts)) + 2 * len(texts) > 32 else 0


def variance_figure(table: pd.DataFrame, settings: Mapping[str, Any]) -> Figure:
    """Draw bars of the share of the variance of test accuracy that settings, pairs of settings and seeds explain.

    Args:
        table: Rows of the `sweep` table, one per member.
        settings: Settings of the table.
    """
    results = sweep_results(table, settings)
    decomposition = results.shares
    if decomposition is None:
        return figure_of_words("shares of the variance take two seeds and a setting with two levels")
    shares = decomposition.shares
    settings_first = [name for name in shares if " x " not in name]
    pairs = sorted((name for name in shares if " x " in name), key=lambda name: -shares[name].estimate)
    drawn = sorted([*settings_first[:-2]], key=lambda name: -shares[name].estimate)
    drawn = [*drawn, *pairs[: max(0, _MOST_BARS - len(settings_first))], *settings_first[-2:]]
    figure, axes = new_figure(1.4 + 0.27 * len(drawn))
    places = np.arange(len(drawn))[::-1]
    colours = [ORANGE if " x " in name else GREY if name in settings_first[-2:] else BLUE for name in drawn]
    axes.barh(places, [100 * max(0.0, shares[name].estimate) for name in drawn], color=colours, height=0.65)
    for place, name in zip(places, drawn, strict=True):
        if shares[name].has_interval:
            axes.plot([100 * shares[name].low, 100 * shares[name].high], [place, place], color=INK, linewidth=1.2)
    axes.set_yticks(places, [title(name).replace(" x ", " and ") for name in drawn], fontsize=9)
    axes.xaxis.grid(True, color="#e5e5e5", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_xlim(0, None)
    axes.set_xlabel("share of variance (%), 95 % interval over seeds")
    how = (
        "the whole grid, exactly"
        if decomposition.exact
        else "estimated by a random forest from the configurations trained"
    )
    axes.set_title(
        f"What explains the variance of test accuracy:\n{how}, n = {results.n_seeds}", loc="left", fontsize=11
    )
    return figure


def pairs_figure(table: pd.DataFrame, settings: Mapping[str, Any]) -> Figure:
    """Draw heat maps of mean test accuracy over the pairs of settings whose interaction explains most of the variance.

    Args:
        table: Rows of the `sweep` table, one per member.
        settings: Settings of the table.
    """
    results = sweep_results(table, settings)
    pairs = results.strongest_pairs(_MOST_PAIRS)
    if not pairs:
        return figure_of_words("fewer than two settings vary: there is no pair")
    n_rows = math.ceil(len(pairs) / 2)
    figure = Figure(figsize=(WIDTH_INCHES, 0.9 + 2.6 * n_rows), dpi=DOTS_PER_INCH, layout="constrained")
    grid = figure.subplots(n_rows, 2, squeeze=False).ravel()
    values = [100 * results.pair(*pair) for pair in pairs]
    lowest, highest = (
        float(limit(np.concatenate([grid.ravel() for grid in values]))) for limit in (np.nanmin, np.nanmax)
    )
    for axes in grid[len(pairs) :]:
        axes.set_visible(False)
    for axes, (rows, columns), accuracies in zip(grid, pairs, values, strict=False):
        image = axes.imshow(
            accuracies, cmap="viridis", vmin=lowest, vmax=max(highest, lowest + 1e-9), aspect="auto", origin="lower"
        )
        _draw_levels(axes, results, rows, columns)
        if accuracies.size <= 30:
            middle = (lowest + highest) / 2
            for (row, column), value in np.ndenumerate(accuracies):
                if np.isfinite(value):
                    ink = "white" if value < middle else "black"
                    axes.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=9, color=ink)
    figure.colorbar(image, ax=list(grid), label="mean test accuracy (%)", shrink=0.8)
    figure.suptitle(f"Pairs of settings that explain most, n = {results.n_seeds}", fontsize=11)
    return figure


def _draw_levels(axes: Axes, results: SweepResults, rows: str, columns: str) -> None:
    for axis, name in ((axes.yaxis, rows), (axes.xaxis, columns)):
        labels = [shortened(level_text(label), 11) for label in results.levels[name]]
        step = max(1, math.ceil(len(labels) / 8))
        turn = _turn(labels[::step]) if axis is axes.xaxis else 0
        axis.set_ticks(np.arange(len(labels))[::step], labels[::step], fontsize=9, rotation=turn)
        for text in axis.get_ticklabels():
            plain(text)
    axes.set_xlabel(title(columns), fontsize=9)
    axes.set_ylabel(title(rows), fontsize=9)


def scales_figure(table: pd.DataFrame, settings: Mapping[str, Any]) -> Figure:
    """Draw each configuration's mean test accuracy against its depth, in units of the depth scale of its start.

    One dot per configuration, coloured by activation; configurations whose depth scale is infinite or missing are left
    out. A line marks six depth scales, about as far as signals get.

    Args:
        table: Rows of the `sweep` table, one per member.
        settings: Settings of the table.
    """
    results = sweep_results(table, settings)
    scale = results.configurations["xi_c"].astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        crossed = results.configurations["depth"] / scale
    drawn = np.isfinite(crossed) & (crossed > 0)
    if not drawn.any():
        return figure_of_words("no start has a finite depth scale: signals cross any depth, or grow for ever")
    figure, axes = new_figure(4.0)
    bare_axes(axes)
    activations = list(dict.fromkeys(results.configurations["activation"].tolist()))
    handles = []
    for activation, colour in zip(activations, (BLUE, ORANGE, PALETTE[2], PALETTE[3], *PALETTE[4:]), strict=False):
        rows = drawn & (results.configurations["activation"] == activation)
        gain = results.configurations["theory_gain"][results.configurations["activation"] == activation][0]
        spread = np.exp(0.05 * jitter(int(rows.sum())))
        axes.scatter(
            crossed[rows] * spread, 100 * results.test[rows].mean(1), s=12, color=colour, alpha=0.5, linewidths=0
        )
        label = f"{activation}, theory asks for gain {gain:.3g}"
        handles.append(Line2D([], [], color=colour, marker="o", linestyle="", label=label))
    axes.axvline(SCALES, color=INK, linewidth=1, linestyle="--")
    handles.append(Line2D([], [], color=INK, linestyle="--", linewidth=1, label=f"{SCALES} depth scales"))
    handles += _draw_yardsticks([axes], settings, results.test[drawn].mean(1))
    _accuracy_axes([axes])
    _log_axis(axes, crossed[drawn])
    axes.set_xlabel("hidden layers, in depth scales ξ_c of the start, log scale")
    left_out = int((~drawn).sum())
    words = f"; {left_out:,} with an infinite scale or none are left out" if left_out else ""
    axes.set_title(
        f"Every configuration's mean test accuracy, n = {results.n_seeds}{words}", loc="left", fontsize=10, wrap=True
    )
    legend_below(figure, handles)
    return figure
