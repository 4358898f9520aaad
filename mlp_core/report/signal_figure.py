"""Signals through random networks, layer by layer: measured dots on predicted lines."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from mlp_core.report.plot_style import (
    BLUE,
    DOTS_PER_INCH,
    GREEN,
    PALETTE,
    WIDTH_INCHES,
    headline,
    legend_below,
    whole_ticks,
)
from mlp_core.statistics.intervals import standard_error
from mlp_core.statistics.wording import range_words

_INPUT_NAMES = {"gaussian": "Gaussian inputs", "images": "two images"}


def signal_figure(table: pd.DataFrame) -> Figure:
    """Draw mean squares, correlations and gradients in random networks by layer: measured as dots, theory as lines.

    A dot is the mean over members with its standard error.

    Args:
        table: Rows of the `signal_propagation` table, one per member and layer.

    Returns:
        The figure: a row for each quantity, a column for each kind of input, a colour for each gain. All vertical axes
        are logarithmic; instead of the correlation c the figure shows 1 - c.
    """
    kinds, gains = list(dict.fromkeys(table["inputs"])), sorted(table["relative_gain"].unique())
    figure = Figure(figsize=(WIDTH_INCHES, 8.0), dpi=DOTS_PER_INCH, layout="constrained")
    panels = figure.subplots(3, len(kinds), sharex=True, sharey="row", squeeze=False)
    quantities = (
        ("mean_square", "mean square of\npre-activations, log scale", "forward"),
        ("correlation", "1 - correlation of\ntwo inputs, log scale", "forward"),
        ("gradient_mean_square", "mean square of\nthe gradient, log scale", "backward"),
    )
    counts: set[int] = set()
    for row, (name, label, direction) in zip(panels, quantities, strict=True):
        row[0].set_ylabel(label)
        for axes, kind in zip(row, kinds, strict=True):
            rows = table[table["inputs"] == kind]
            for place, gain in enumerate(gains):
                counts |= _draw_course(axes, rows[rows["relative_gain"] == gain], name, place)
            axes.set_yscale("log", nonpositive="clip")
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(True, color="#e5e5e5", linewidth=0.8)
            axes.set_axisbelow(True)
            axes.set_title(f"{direction}, {_INPUT_NAMES.get(kind, kind)}", loc="left", fontsize=10)
    for axes in panels[:, 0]:
        least, greatest = axes.get_ylim()
        if greatest < 100 * least:
            # powers of ten alone would be one tick or two
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axes.yaxis.set_minor_formatter(NullFormatter())
    for axes in panels[-1]:
        axes.set_xlabel("layer")
        whole_ticks(axes, 6)
    activation, distribution = (str(table[name].iloc[0]) for name in ("activation", "distribution"))
    dots = "dots: mean ± standard error" if max(counts) > 1 else "dots: one network each"
    handles = _gain_handles(table, gains)
    of_gain = f"{handles[0].get_label()}; " if len(handles) == 1 else ""
    headline(
        figure,
        f"Random networks, {activation}, {distribution} weights, n = {range_words(counts)} per dot;\n"
        f"{of_gain}{dots}; lines: infinite width",
    )
    legend_below(figure, handles)
    return figure


def _draw_course(axes: Axes, rows: pd.DataFrame, name: str, place: int) -> set[int]:
    def drawn(column: str) -> pd.Series:
        values = rows[column].astype(float)
        return 1 - values if name == "correlation" else values

    colour, marker = _gain_style(place)
    predicted = drawn(f"predicted_{name}").groupby(rows["layer"]).first()
    axes.plot(predicted.index, predicted, color=colour, linewidth=1)
    by_layer = drawn(name).groupby(rows["layer"])
    errors = [standard_error(values.to_numpy()) for _, values in by_layer]
    axes.errorbar(
        predicted.index,
        by_layer.mean().to_numpy(),
        yerr=errors,
        fmt=marker,
        color=colour,
        markersize=3.5,
        elinewidth=1,
        capsize=2,
    )
    return set(by_layer.count().tolist())


def _gain_style(place: int) -> tuple[str, str]:
    colours = (BLUE, GREEN, "#D55E00", *PALETTE)
    return colours[place % len(colours)], "os^Dv"[place % 5]


def _gain_handles(table: pd.DataFrame, gains: Sequence[float]) -> list[Line2D]:
    handles = []
    for place, relative in enumerate(gains):
        colour, marker = _gain_style(place)
        gain = float(table.loc[table["relative_gain"] == relative, "gain"].iloc[0])
        phase = "critical" if relative == 1 else "order" if relative < 1 else "chaos"
        label = f"gain {gain:.3g}, {phase}"
        handles.append(Line2D([], [], color=colour, marker=marker, markersize=4, linewidth=1, label=label))
    return handles
