"""Figure of the phase diagram: which networks can be trained, with what theory predicts as thin lines."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator
from numpy.typing import NDArray

from mlp_core.experiments.gain_sweep.experiment import GainSweep
from mlp_core.experiments.phase_diagram.diagram import (
    SCALES,
    PhaseDiagram,
    PhaseGrid,
    phase_diagram,
    phase_grid,
    predicted_scales,
)
from mlp_core.report.plot_style import (
    BLUE,
    DOTS_PER_INCH,
    GREY,
    INK,
    ORANGE,
    WIDTH_INCHES,
    legend_below,
    member_accuracies,
    plain,
)
from mlp_core.statistics.wording import range_words
from mlp_core.theory.gains import forward_gain
from mlp_core.theory.weight_scales import xavier_scale

_OUTLINE = withStroke(linewidth=2.6, foreground="black")
_HATCH = "////"


_TUTORIAL_INPUTS, _TUTORIAL_CLASSES = 3072, 3


def phase_diagram_figure(table: pd.DataFrame, n_classes: int) -> Figure:
    """Draw train and test accuracy over gain and depth as heat maps, with the depths that theory predicts.

    Args:
        table: Rows of the `phase_diagram` table, one per member; accuracies in 0..1, null where diverged.
        n_classes: Number of classes, for the chance level.

    Returns:
        The figure: two heat maps and, on the same axis of gains, the layers of the tutorial's own gain sweep. Each
        member is a stripe of its cell, the least accurate left. A cell where any diverged is hatched, and a stripe that
        did has no colour.
    """
    activation, width = str(table["activation"].iloc[0]), int(table["width"].iloc[0])
    depth, gain = table["depth"].to_numpy(), table["gain"].to_numpy(dtype=np.float64)
    train, test = (phase_grid(depth, gain, member_accuracies(table, f"{part}_accuracy")) for part in ("train", "test"))
    diagram = phase_diagram(train, activation, width, 1 / n_classes)
    figure = Figure(figsize=(WIDTH_INCHES, 8.6), dpi=DOTS_PER_INCH, layout="constrained")
    above, below, strip = figure.subplots(3, 1, sharex=True, height_ratios=[3.6, 3.0, 1.0])
    colours = Normalize(100 / n_classes, 100)
    stripes = "; a cell's stripes are its members, worst to best" if train.members.shape[-1] > 1 else ""
    for axes, grid, name in ((above, train, "Train"), (below, test, "Test")):
        _draw_cells(axes, grid, colours)
        axes.set_title(f"{name} accuracy{stripes}", loc="left", fontsize=10)
        axes.set_ylabel("hidden layers (log scale)")
    _draw_limits(above, diagram, activation, width)
    below.axvline(diagram.scales.critical.sigma_w, color="white", linewidth=1.2, linestyle=":", path_effects=[_OUTLINE])
    _draw_tutorial_layers(strip, train.gains)
    scale = ScalarMappable(colours, matplotlib.colormaps["viridis"])
    bar = figure.colorbar(scale, ax=[above, below], extend="min", pad=0.02, aspect=40)
    bar.set_label(f"accuracy (%), chance {100 / n_classes:.0f} %")
    members = {int(count) for count in np.unique(train.finished + train.diverged) if count}
    diverged = int(train.diverged.sum())
    plain(
        figure.suptitle(
            f"Which networks learn: {activation}, width {width}, n = {range_words(members)} per cell, "
            f"{diverged} of {len(table)} diverged",
            fontsize=11,
            x=0.01,
            ha="left",
        )
    )
    legend_below(figure, _phase_handles(diagram, any_diverged=diverged > 0))
    return figure


def _draw_cells(axes: Axes, grid: PhaseGrid, colours: Normalize) -> None:
    gains, depths = _edges(grid.gains), _edges(grid.depths.astype(np.float64))
    n_stripes = grid.members.shape[-1]
    # a masked stripe is left out, not painted
    stripes = np.ma.masked_invalid(100 * grid.members.reshape(len(grid.depths), -1))
    axes.pcolormesh(_divided(gains, n_stripes), depths, stripes, cmap="viridis", norm=colours, edgecolors="face")
    if n_stripes > 1:
        axes.vlines(gains[1:-1], depths[0], depths[-1], color="white", linewidth=1.5)
    for row, column in zip(*np.nonzero(grid.diverged), strict=True):
        corner = (gains[column], depths[row])
        size = (gains[column + 1] - gains[column], depths[row + 1] - depths[row])
        axes.add_patch(Rectangle(corner, *size, fill=False, hatch=_HATCH, edgecolor=GREY, linewidth=0))
    axes.set_xscale("log")
    axes.set_yscale("log", base=2)
    _, sigmas = _tutorial_layers()
    axes.set_xlim(min(gains[0], 0.95 * sigmas.min()), max(gains[-1], 1.05 * sigmas.max()))
    axes.set_ylim(depths[0], depths[-1])
    axes.yaxis.set_major_locator(FixedLocator(grid.depths.tolist()))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_yticklabels([str(depth) for depth in grid.depths])
    axes.tick_params(labelbottom=False)


def _draw_limits(axes: Axes, diagram: PhaseDiagram, activation: str, width: int) -> None:
    """Draw what theory predicts over the cells, and the deepest trainable networks that were found."""
    low, high = axes.get_xlim()
    gains = np.geomspace(low, high, 81)
    scales = predicted_scales(activation, width, gains)
    top = 4 * axes.get_ylim()[1]
    for limit, style in ((scales.correlation, "-"), (scales.gradient, "--")):
        depths = np.minimum(SCALES * limit, top)  # on the critical line the scale is infinite
        axes.plot(gains, depths, color="white", linewidth=1.2, linestyle=style, path_effects=[_OUTLINE])
    axes.axvline(scales.critical.sigma_w, color="white", linewidth=1.2, linestyle=":", path_effects=[_OUTLINE])
    reached = diagram.deepest > 0
    axes.plot(
        diagram.grid.gains[reached],
        diagram.deepest[reached],
        marker="o",
        linestyle="",
        markersize=6,
        color=ORANGE,
        markeredgecolor="black",
        zorder=4,
    )


def _phase_handles(diagram: PhaseDiagram, any_diverged: bool) -> list[Any]:
    def line(style: Literal["-", "--", ":"], label: str) -> Line2D:
        return Line2D([], [], color="white", linewidth=1.2, linestyle=style, path_effects=[_OUTLINE], label=label)

    deepest = Line2D(
        [],
        [],
        marker="o",
        linestyle="",
        markersize=6,
        color=ORANGE,
        markeredgecolor="black",
        label=f"deepest with {100 * diagram.threshold:.0f} % or more",
    )
    handles: list[Any] = [
        *([deepest] if np.isfinite(diagram.threshold) else []),
        line(":", f"critical gain {diagram.scales.critical.sigma_w:.2f}"),
        line("-", f"{SCALES} correlation scales ξc"),
        line("--", f"{SCALES} gradient scales 1/|ln χ1|"),
    ]
    if any_diverged:
        handles.append(Patch(facecolor="none", hatch=_HATCH, edgecolor=GREY, label="members diverged"))
    return handles


def _draw_tutorial_layers(axes: Axes, gains: NDArray[Any]) -> None:
    """Draw where the layers of the tutorial's gain sweep lie at its theoretical gain: one gain, several sigma_w."""
    sweep, sizes = GainSweep(), _tutorial_sizes()
    theoretical, sigmas = _tutorial_layers()
    for place, (sigma, (n_inputs, n_outputs)) in enumerate(zip(sigmas, pairwise(sizes), strict=True)):
        axes.plot(sigma, place, marker="D", color=BLUE, markersize=5)
        axes.annotate(
            f"{n_inputs} to {n_outputs}: {sigma:.2f}",
            (sigma, place),
            xytext=(7, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    axes.axvline(theoretical, color=INK, linewidth=1, linestyle=":")
    axes.set_ylim(len(sigmas) - 0.4, -0.6)
    axes.set_yticks(range(len(sigmas)), [f"layer {place + 1}" for place in range(len(sigmas))])
    axes.set_title(
        f"The layers of the tutorial's gain sweep at gain {theoretical:.3f}, by sigma_w;\n"
        f"dotted: where their {sweep.activation} is critical",
        loc="left",
        fontsize=10,
    )
    axes.spines[["top", "right"]].set_visible(False)
    labelled = _spaced(gains)
    axes.xaxis.set_major_locator(FixedLocator(labelled))
    axes.xaxis.set_minor_locator(FixedLocator(gains.tolist()))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xticklabels([f"{gain:.3g}" for gain in labelled])
    axes.set_xlabel("gain of Xavier's weights, which is sigma_w\nbetween layers of equal width (log scale)")


def _tutorial_sizes() -> tuple[int, ...]:
    return (_TUTORIAL_INPUTS, *GainSweep().hidden_widths, _TUTORIAL_CLASSES)


def _tutorial_layers() -> tuple[float, NDArray[Any]]:
    """Return the theoretical gain of the tutorial's gain sweep, and each layer's sigma_w at it."""
    theoretical = forward_gain(GainSweep().activation)
    return theoretical, np.sqrt(xavier_scale(_tutorial_sizes(), theoretical).forward)


def _spaced(gains: NDArray[Any]) -> list[float]:
    """Return gains that leave room for their labels on a logarithmic axis."""
    spaced: list[float] = []
    room = max(0.05, float(np.log(gains[-1] / gains[0])) / 18)
    for gain in gains.tolist():
        if not spaced or np.log(gain / spaced[-1]) >= room:
            spaced.append(gain)
    return spaced


def _divided(edges: NDArray[Any], n_parts: int) -> NDArray[Any]:
    """Return the borders of cells that are divided into parts of equal width on a logarithmic scale."""
    places = np.arange((len(edges) - 1) * n_parts + 1) / n_parts
    return np.asarray(np.exp(np.interp(places, np.arange(len(edges)), np.log(edges))))


def _edges(centres: NDArray[Any]) -> NDArray[Any]:
    """Return the borders of cells around ascending centres, half-way on a logarithmic scale."""
    logs = np.log(centres)
    if len(logs) == 1:
        return np.asarray(np.exp([logs[0] - 0.2, logs[0] + 0.2]))
    middles = (logs[:-1] + logs[1:]) / 2
    return np.asarray(np.exp([2 * logs[0] - middles[0], *middles, 2 * logs[-1] - middles[-1]]))
