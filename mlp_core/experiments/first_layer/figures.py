"""Figures of the features: how local first-layer units are, and the units themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.figure import Figure

from mlp_core.experiments.first_layer.unit_row import UnitRow
from mlp_core.report.plot_style import DOTS_PER_INCH, GREY, ORANGE, WIDTH_INCHES, bare_axes, in_colour, legend_below

_Line = tuple[str, pd.DataFrame, Any, str]


def unit_measures_figure(table: pd.DataFrame) -> Figure:
    """Draw the distribution of three metrics of first-layer units as cumulative shares.

    Args:
        table: Rows of the `first_layer` table, one per unit.

    Returns:
        The figure: panels for the extent, the cosine with a class difference and the spatial frequency; a line for
        trained units of each depth, units before training, edge filters and single images. Units without a value are
        left out.
    """
    figure = Figure(figsize=(WIDTH_INCHES, 7.4), dpi=DOTS_PER_INCH, layout="constrained")
    panels = figure.subplots(3, 1, sharey=True)
    measures = (
        ("extent", "extent: rms distance of the squared weights from their centre (image sides)"),
        ("class_cosine", "cosine with the nearest difference of two class means, without sign"),
        ("spatial_frequency", "mean spatial frequency (cycles per image)"),
    )
    groups = _unit_kinds(table)
    for axes, (column, label) in zip(panels, measures, strict=True):
        for name, rows, colour, style in groups:
            values = np.sort(rows[column].dropna().to_numpy(dtype=float))
            shares = 100 * np.arange(len(values) + 1) / max(1, len(values))
            values = np.append(values[:1], values)  # it rises from 0, or one unit would be a point of a line
            if not len(values):
                shares = values
            axes.step(values, shares, where="post", color=colour, linestyle=style, linewidth=1.6, label=name)
        bare_axes(axes)
        axes.set_xlabel(label)
        axes.set_ylabel("units up to here (%)")
    figure.suptitle(
        "First-layer units: share of them at most so local, so like a class\n"
        "difference, so fine; n is the number of units",
        fontsize=11,
        x=0.01,
        ha="left",
    )
    lines = panels[0].get_lines()
    for line, (_, rows, _, _) in zip(lines, groups, strict=True):
        n_measured = int(rows["extent"].notna().sum())
        n = f"{len(rows)}" if n_measured == len(rows) else f"{n_measured} of {len(rows)} (others without a weight)"
        line.set_label(f"{line.get_label()}, n = {n}")
    legend_below(figure, lines)
    return figure


def _unit_kinds(table: pd.DataFrame) -> list[_Line]:
    trained = table[table["kind"] == "trained"]
    depths = sorted(trained["depth"].unique())
    groups: list[_Line] = [
        (f"depth {depth:.0f}", trained[trained["depth"] == depth], colour, "-")
        for depth, colour in zip(depths, colormaps["viridis"](np.linspace(0, 0.8, len(depths))), strict=True)
    ]
    random = table[(table["kind"] == "random") & (table["depth"] == depths[0])]
    return [
        *groups,
        ("before training", random, GREY, "--"),
        ("edge filters", table[table["kind"] == "gabor"], ORANGE, "-."),
        ("single images", table[table["kind"] == "image"], GREY, ":"),
    ]


def units_figure(rows: Sequence[UnitRow]) -> Figure:
    """Draw the weights of units as small images, a row for each kind, the most local first, each under its extent.

    Each unit is scaled by its own largest absolute weight, so that weak units show their pattern too; grey is 0.
    Weights that are not finite are grey.

    Args:
        rows: At least one row; shorter rows leave their last places empty.
    """
    n_columns = max(len(row.weights) for row in rows)
    cell = WIDTH_INCHES / n_columns
    figure = Figure(figsize=(WIDTH_INCHES, 0.75 + len(rows) * (cell + 0.3)), dpi=DOTS_PER_INCH, layout="constrained")
    grid = figure.subplots(len(rows), n_columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for line, row in zip(grid, rows, strict=True):
        name = line[0].annotate(
            row.name, (0, 1), xycoords="axes fraction", xytext=(0, 18), textcoords="offset points", fontsize=9
        )
        name.set_in_layout(False)  # else its length would set the first column apart
        for axes, weights, reach in zip(line, row.weights, row.extents, strict=False):
            finite = np.nan_to_num(weights, nan=0.0, posinf=0.0, neginf=0.0)
            largest = float(np.abs(finite).max()) or 1.0
            axes.imshow(in_colour(0.5 + finite / (2 * largest)), interpolation="nearest")
            axes.set_title(f"{reach:.3f}" if np.isfinite(reach) else "none", fontsize=9, pad=2)
    figure.suptitle(
        "The most local first-layer units of each kind, most local first, and their\n"
        "extents in image sides; each unit on its own scale, grey is 0\n",  # and room for the first row's name
        fontsize=11,
        x=0.01,
        ha="left",
    )
    return figure
