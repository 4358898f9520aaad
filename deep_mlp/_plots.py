"""Figures of an ensemble: dots, median and interval, loss curves."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from mlp_core.report.plot_style import BLUE, GREY, INK, jitter
from mlp_core.statistics.intervals import median_interval
from mlp_core.statistics.wording import count, format_cell


def ensemble_figure(test_accuracy: NDArray[Any], train_loss: NDArray[Any], n_classes: int) -> Figure:
    """Draw an ensemble: left a dot per network at its test accuracy, with median and 95 % interval; right loss curves.

    Networks that diverged have no dot; the title counts them.

    Args:
        test_accuracy: Test accuracy of each network, `[seeds]`, 0 .. 1, NaN where it diverged.
        train_loss: Mean loss of each epoch in nats, `[seeds, epochs]`.
        n_classes: Number of classes, for a line at the accuracy of guessing.
    """
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    dots, losses = figure.subplots(1, 2, width_ratios=(1, 2))
    finite = test_accuracy[np.isfinite(test_accuracy)]
    median = median_interval(test_accuracy)
    dots.plot(jitter(len(finite)) * 0.5, 100 * finite, "o", color=BLUE, markersize=4, alpha=0.6)
    if median.n:
        dots.plot([-0.4, 0.4], [100 * median.estimate] * 2, color=INK, linewidth=1.5)
    if median.has_interval:
        dots.plot([0, 0], [100 * median.low, 100 * median.high], color=INK, linewidth=1.5)
    dots.axhline(100 / n_classes, color=GREY, linewidth=0.8, linestyle=":")
    dots.set(xlim=(-1, 1), xticks=[], ylabel="test accuracy (%)")
    dots.set_title(f"median {format_cell(median)}", loc="left", fontsize=9)
    epochs = np.arange(1, train_loss.shape[1] + 1)
    losses.plot(epochs, train_loss.T, color=BLUE, linewidth=0.7, alpha=0.4, marker="." if len(epochs) < 3 else "")
    losses.set(xlabel="epoch", ylabel="train loss (nats)")
    losses.xaxis.set_major_locator(MaxNLocator(integer=True))
    n_diverged = len(test_accuracy) - len(finite)
    losses.set_title(f"{count(len(test_accuracy), 'network')}, {n_diverged} diverged", loc="left", fontsize=9)
    for axes in (dots, losses):
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def dots_svg(accuracies: NDArray[Any]) -> str:
    """Return a small SVG drawing, for a notebook: a dot per network on an axis of accuracy from 0 to 100 %.

    Args:
        accuracies: `[seeds]`, 0 .. 1; a NaN (a network that diverged) has no dot.
    """
    finite = accuracies[np.isfinite(accuracies)]
    heights = 20 + 24 * jitter(len(finite))
    circles = "".join(
        f'<circle cx="{10 + 280 * value:.1f}" cy="{height:.1f}" r="3" fill="{BLUE}" fill-opacity="0.6"/>'
        for value, height in zip(finite, heights, strict=True)
    )
    ticks = "".join(
        f'<text x="{10 + 280 * share}" y="54" font-size="10" text-anchor="middle" fill="{GREY}">{share:.0%}</text>'
        for share in (0, 0.5, 1)
    )
    line = f'<line x1="10" x2="290" y1="40" y2="40" stroke="{GREY}"/>'
    label = 'role="img" aria-label="test accuracies of all networks"'
    return f'<svg width="320" height="60" {label}>{line}{circles}{ticks}</svg>'
