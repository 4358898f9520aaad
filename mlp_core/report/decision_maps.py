"""Decision maps: what models answer everywhere in a square."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle

from mlp_core.report.decision_map import DecisionMap
from mlp_core.report.plot_style import (
    DOTS_PER_INCH,
    INK,
    PALETTE,
    WIDTH_INCHES,
    headline,
    legend_below,
    pale,
    plain,
)
from mlp_core.statistics.wording import range_words


def decision_maps_figure(maps: Sequence[DecisionMap]) -> Figure:
    """Draw decision maps of several models, two in a row, with the test points and a circle around the training region.

    x1 is horizontal, x2 vertical. (The tutorial's own plot shows its grid transposed, so that regions and points do not
    match.)

    Args:
        maps: A decision map per model, at least one.

    Returns:
        The figure: the background has a pale colour of the class that the model answers, and is white where it
        answers none; a test point has the full colour of its true class.
    """
    n_classes = 1 + max(
        max(int(decision_map.classes.max()), int(decision_map.test_labels.max())) for decision_map in maps
    )
    strong = [PALETTE[label % len(PALETTE)] for label in range(n_classes)]
    columns = min(2, len(maps))
    n_rows = math.ceil(len(maps) / columns)
    height = n_rows * (WIDTH_INCHES / columns + 0.15) + 0.6
    figure = Figure(figsize=(WIDTH_INCHES, height), dpi=DOTS_PER_INCH, layout="constrained")
    grid = figure.subplots(n_rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes in grid.flat[len(maps) :]:
        axes.set_axis_off()
    for axes, decision_map in zip(grid.flat, maps, strict=False):
        _draw_map(axes, decision_map, strong)
    for axes in grid[-1]:
        axes.set_xlabel("x1")
    for axes in grid[:, 0]:
        axes.set_ylabel("x2")
    handles: list[Line2D] = [
        Line2D([], [], marker="o", markersize=5, linestyle="", color=colour, label=f"class {label}")
        for label, colour in enumerate(strong)
    ]
    legend_below(figure, handles)
    n_points = {len(decision_map.test_labels) for decision_map in maps}
    headline(figure, f"Answers (pale regions) and test points (dots, n = {range_words(n_points)})")
    return figure


def _draw_map(axes: Axes, decision_map: DecisionMap, strong: Sequence[str]) -> None:
    extent = decision_map.extent
    axes.imshow(
        decision_map.classes,
        origin="lower",
        extent=(-extent, extent, -extent, extent),
        cmap=ListedColormap([pale(colour) for colour in strong]).with_extremes(under="white"),
        vmin=-0.5,
        vmax=len(strong) - 0.5,
        interpolation="nearest",
    )
    axes.scatter(
        decision_map.test_points[:, 0],
        decision_map.test_points[:, 1],
        s=7,
        c=[strong[label] for label in decision_map.test_labels],
        edgecolors="black",
        linewidths=0.25,
    )
    axes.add_patch(Circle((0, 0), decision_map.training_radius, fill=False, color=INK, linewidth=1.2, linestyle="--"))
    axes.text(
        0,
        -decision_map.training_radius - 0.03 * extent,
        f"training region, radius {decision_map.training_radius:.2f}",
        ha="center",
        va="top",
        fontsize=9,
        bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.85},
    )
    axes.set_xlim(-extent, extent)
    axes.set_ylim(-extent, extent)
    plain(axes.set_title(decision_map.title, fontsize=10))
