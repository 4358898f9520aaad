"""Figures of the images: training samples, and what the first layer weighs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from mlp_core.report.plot_style import (
    DOTS_PER_INCH,
    WIDTH_INCHES,
    fonts_for,
    headline,
    in_colour,
    legend_below,
    legend_columns,
    new_figure,
    plain,
    shortened,
)
from mlp_core.statistics.wording import count


def samples_figure(images: NDArray[Any], labels: Sequence[int], class_names: Sequence[str]) -> Figure:
    """Draw training images as the network sees them, after augmentation, each under the name of its class.

    Args:
        images: uint8 `[n, channels, rows, columns]`, three channels or, if they are grey, one.
        labels: The class of each image, an index into `class_names`.
        class_names: Names of all classes, by label.

    Returns:
        The figure, eight images per row. If no font has the letters of a name, or two shortened names are equal, the
        classes are numbered and a legend explains the numbers.
    """
    columns = min(8, len(images))
    n_rows = math.ceil(len(images) / columns)
    names = {label: _printable(class_names[label]) for label in sorted(set(labels))}
    titles = {label: shortened(name, 10) for label, name in names.items()}
    fonts = fonts_for("".join(names.values()))
    legend: list[str] = []
    if fonts is None or len(set(titles.values())) < len(titles):
        titles = {label: f"class {label}" for label in names}
        for label, name in names.items():
            drawable = name if fonts else name.encode("ascii", "backslashreplace").decode()
            legend.append(shortened(f"class {label}: {drawable}", 75))
    legend_height = 0.2 * math.ceil(len(legend) / legend_columns(legend)) if legend else 0
    figure = Figure(
        figsize=(WIDTH_INCHES, 0.4 + n_rows * (WIDTH_INCHES / columns + 0.13) + legend_height),
        dpi=DOTS_PER_INCH,
        layout="constrained",
    )
    grid = figure.subplots(n_rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, image, label in zip(grid.flat, images, labels, strict=False):
        axes.imshow(in_colour(image), interpolation="nearest")
        plain(axes.set_title(titles[label], fontsize=9, pad=2, fontfamily=fonts or ["sans-serif"]))
    headline(figure, f"Augmented training samples, n = {len(images)}")
    if legend:
        legend_below(figure, [Line2D([], [], linestyle="", label=words) for words in legend], fonts)
    return figure


def _printable(name: str) -> str:
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in name)


def first_layer_figure(weights: NDArray[Any]) -> Figure:
    """Draw each first-layer unit's weights as an image, all on the scale of the largest absolute weight.

    A weight w becomes `0.5 + w / (2 max|w|)`: grey is zero, and brightness can be compared across units.

    Args:
        weights: Floats `[units, channels, rows, columns]`, three channels or one; values that are not finite (a member
            that diverged) are drawn grey.

    Returns:
        The figure, a near-square grid of units.
    """
    units, channels, height, width = weights.shape
    is_finite = bool(np.isfinite(weights).all())
    weights = np.nan_to_num(weights, nan=0.0, posinf=0.0, neginf=0.0)
    largest = float(np.abs(weights).max())
    # all-zero weights are mid-grey, not a division by zero
    pixels = 0.5 + weights / (2 * (largest or 1.0))
    columns = math.ceil(math.sqrt(units))
    n_rows = math.ceil(units / columns)
    gap = max(2, height // 16)
    mosaic = np.ones((n_rows * (height + gap) - gap, columns * (width + gap) - gap, 3))
    for unit in range(units):
        top, left = unit // columns * (height + gap), unit % columns * (width + gap)
        mosaic[top : top + height, left : left + width] = in_colour(pixels[unit])
    figure, axes = new_figure(WIDTH_INCHES * n_rows / columns + 0.42)
    axes.imshow(mosaic, interpolation="nearest")
    axes.set_axis_off()
    kind, brightest = ("RGB", "full colour") if channels == 3 else ("grey", "white")
    scale = f"grey is 0, black \N{MINUS SIGN}{largest:.3g}, {brightest} +{largest:.3g} (the largest absolute weight)"
    headline(
        figure,
        f"First-layer weights of {count(units, 'unit')} as {kind} images;\n"
        f"{scale if is_finite else 'the member diverged: grey are weights that are no numbers'}",
    )
    return figure
