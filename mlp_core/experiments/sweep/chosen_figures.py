"""Figures of a sweep's chosen configuration: its members epoch by epoch, and what they take each class for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mlp_core.report.plot_style import (
    BLUE,
    DOTS_PER_INCH,
    INK,
    ORANGE,
    WIDTH_INCHES,
    bare_axes,
    figure_of_words,
    legend_below,
    plain,
    shortened,
    whole_ticks,
)
from mlp_core.statistics.wording import count

_MOST_CLASSES = 30


def epochs_figure(history: pd.DataFrame, name: str) -> Figure:
    """Draw train loss and validation accuracy of the chosen configuration after each epoch, a line per member.

    Args:
        history: Its rows of the `history` table, with the column `kept`, see `chosen_history`.
        name: Name of the configuration.

    Returns:
        Two panels with the same epochs. Thick lines are medians over the members that are still in training, dots the
        epochs whose weights are kept where these are not the last.
    """
    figure = Figure(figsize=(WIDTH_INCHES, 5.6), dpi=DOTS_PER_INCH, layout="constrained")
    losses, accuracies = figure.subplots(2, 1, sharex=True)
    _draw_members(losses, history, "train_loss", 1.0)
    _draw_members(accuracies, history, "validation_accuracy", 100.0)
    finite = history.loc[np.isfinite(history["train_loss"]), "train_loss"]
    is_log = bool(len(finite) and finite.min() > 0 and finite.max() > 10 * finite.min())
    if is_log:
        losses.set_yscale("log")
    losses.set_ylabel("train loss (nats)" + (", log scale" if is_log else ""))
    accuracies.set_ylabel("validation accuracy (%)")
    accuracies.set_xlabel("epoch")
    whole_ticks(accuracies)
    last = history.groupby("member")["epoch"].transform("max")
    median = "median" if last.nunique() == 1 else "median of the members still in training"
    handles = [
        Line2D([], [], color=BLUE, linewidth=0.8, alpha=0.6, label="a member"),
        Line2D([], [], color=INK, linewidth=1.8, label=median),
    ]
    early = history[history["kept"] & (history["epoch"] < last)]
    if len(early):
        look: dict[str, Any] = {"color": ORANGE, "marker": "o", "markersize": 4, "linestyle": ""}
        for axes, column, factor in ((losses, "train_loss", 1.0), (accuracies, "validation_accuracy", 100.0)):
            axes.plot(early["epoch"], factor * early[column], zorder=4, **look)
        handles.append(Line2D([], [], label="its weights are kept", **look))
    words = f"Chosen configuration epoch by epoch, n = {history['member'].nunique()}:\n{shortened(name, 90)}"
    plain(figure.suptitle(words, fontsize=10, x=0.01, ha="left"))
    legend_below(figure, handles)
    return figure


def _draw_members(axes: Axes, history: pd.DataFrame, column: str, factor: float) -> None:
    bare_axes(axes)
    by_member = factor * history.pivot_table(index="epoch", columns="member", values=column, dropna=False)
    by_member = by_member.where(np.isfinite(by_member))
    marker = "o" if len(by_member) == 1 else None
    opacity = min(0.6, max(0.05, 8 / by_member.shape[1]))
    axes.plot(by_member.index, by_member.to_numpy(), color=BLUE, linewidth=0.8, alpha=opacity, marker=marker)
    axes.plot(by_member.index, by_member.median(axis=1), color=INK, linewidth=1.8, zorder=3, marker=marker)


def classes_figure(table: pd.DataFrame, settings: Mapping[str, Any]) -> Figure:
    """Draw the confusion matrix of the chosen configuration's members, in percent of each true class.

    Args:
        table: Rows of the `sweep_classes` table, one per pair of true and predicted class.
        settings: Settings of the table.
    """
    names = [str(name) for name in settings["class_names"]]
    n_classes, members = len(names), int(table["members"].iloc[0])
    counts = table["count"].to_numpy(dtype=np.float64).reshape(n_classes, n_classes)
    if not members:
        return figure_of_words("all members of the chosen configuration diverged")
    totals = counts.sum(1, keepdims=True)
    percent = 100 * np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    figure = Figure(figsize=(WIDTH_INCHES, 5.4), dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(percent, cmap=matplotlib.colormaps["viridis"], vmin=0, vmax=100)
    if n_classes <= 12:
        for (row, column), value in np.ndenumerate(percent):
            if value > 0:
                text = f"{value:.0f}" if value >= 1 else "<1"
                axes.text(
                    column, row, text, ha="center", va="center", fontsize=9, color="black" if value > 60 else "white"
                )
    step = max(1, math.ceil(n_classes / _MOST_CLASSES))
    places, labels = np.arange(n_classes)[::step], [shortened(name, 12) for name in names[::step]]
    turned = 90 if max(map(len, labels)) > 3 and n_classes > 4 else 0
    axes.set_xticks(places, labels, fontsize=9, rotation=turned)
    axes.set_yticks(places, labels, fontsize=9)
    for tick in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        plain(tick)
    axes.set_xlabel("answer")
    axes.set_ylabel("true class")
    figure.colorbar(image, ax=axes, label="test examples of the true class (%)", shrink=0.8)
    axes.set_title(f"Chosen configuration: answers of {count(members, 'member')}", loc="left", fontsize=11)
    return figure
