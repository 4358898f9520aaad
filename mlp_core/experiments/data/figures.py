"""Figure of the data: every example a dot in the colour of its class."""

from __future__ import annotations

import matplotlib as mpl
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mlp_core.experiments.data.projection import ProjectedExamples
from mlp_core.report.plot_style import PALETTE, fonts_for, legend_below, new_figure, plain, sentence, shortened

_MOST_CLASSES = 20


def data_figure(examples: ProjectedExamples) -> Figure:
    """Draw examples as a scatter plot: training examples as dots, test examples as rings, a colour for each class.

    Args:
        examples: The examples as points of a plane.

    Returns:
        The figure; with more than twenty classes the legend names only the first twenty.
    """
    names = [shortened(_printable(name), 30) for name in examples.classes]
    if len(names) <= len(PALETTE):
        colours = list(PALETTE[: len(names)])
    else:
        colours = [to_hex(mpl.colormaps["viridis"](place / (len(names) - 1))) for place in range(len(names))]
    figure, axes = new_figure(4.6)
    markers = "osD^v<>PX*"
    for label, colour in enumerate(colours):
        own = examples.labels == label
        marker = markers[label % len(markers)] if len(names) > len(PALETTE) else "o"
        train, test = examples.points[: examples.n_train], examples.points[examples.n_train :]
        train, test = train[own[: examples.n_train]], test[own[examples.n_train :]]
        axes.scatter(train[:, 0], train[:, 1], s=12, color=colour, marker=marker, alpha=0.6, linewidths=0)
        axes.scatter(test[:, 0], test[:, 1], s=22, facecolors="none", edgecolors=colour, marker=marker, linewidths=0.9)
    axes.set_xlabel(examples.axes[0])
    axes.set_ylabel(examples.axes[1])
    n_shown = len(examples.points)
    what = f"{n_shown:,} of {examples.n_all:,} examples" if n_shown < examples.n_all else f"all {n_shown:,} examples"
    axes.set_title(f"{sentence(what)}: dots to train on, rings to test on", loc="left", fontsize=11)
    fonts = fonts_for("".join(names))
    handles = [
        Line2D(
            [],
            [],
            linestyle="",
            color=colour,
            marker=markers[label % len(markers)] if len(names) > len(PALETTE) else "o",
            label=name if fonts else f"class {label}",
        )
        for label, (name, colour) in enumerate(zip(names, colours, strict=True))
    ]
    legend_below(figure, handles[:_MOST_CLASSES], fonts)
    for text in (axes.xaxis.label, axes.yaxis.label):
        plain(text)
    return figure


def _printable(name: str) -> str:
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in name) or "(empty)"
