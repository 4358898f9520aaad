"""One function per figure: result tables and arrays in, a matplotlib Figure out.

No pyplot: it keeps every figure in a global list and asks for a display. No torch: a cached run must start
quickly.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle
from numpy.typing import NDArray

from mlp_core.report.drawing import (
    BLUE,
    DOTS_PER_INCH,
    GREY,
    INK,
    ORANGE,
    PALETTE,
    WIDTH_INCHES,
    fonts_for,
    interval_words,
    jitter,
    legend_below,
    legend_columns,
    member_accuracies,
    note,
    plain,
    range_words,
    shortened,
    whole_ticks,
)
from mlp_core.statistics.intervals import MeanInterval, median_interval

_LINE_STYLES = ("-", "--", "-.", ":")
_MANY_CURVES = 8


@dataclass(frozen=True)
class DecisionMap:
    """What one model answers everywhere in a square around the origin.

    Attributes:
        title: Name of the model.
        classes: Integer classes `[M, M]`; the row is x2, ascending from the bottom, the column is x1.
        extent: The square reaches from -extent to extent on both axes.
        test_points: `[n, 2]`, columns x1 and x2.
        test_labels: Integer classes `[n]`.
        training_radius: Radius around the origin inside which all training points lie.
    """

    title: str
    classes: NDArray[Any]
    extent: float
    test_points: NDArray[Any]
    test_labels: NDArray[Any]
    training_radius: float


def drawn_png(draw: Callable[..., Figure], *data: object) -> bytes:
    """Return the figure that a function draws of some data, as `figure_png` does."""
    return figure_png(draw(*data))


def figure_png(figure: Figure) -> bytes:
    """Return a figure as PNG bytes: the same bytes for the same figure, with no time or version inside.

    Example:
        >>> figure_png(Figure(figsize=(1, 1)))[:4]
        b'\\x89PNG'
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return buffer.getvalue()


def depth_sweep_figure(table: pd.DataFrame, n_classes: int = 4) -> Figure:
    """Draw test accuracy against depth: every member a dot, with median and 95 % interval.

    Args:
        table: Rows of the `depth_sweep` table, one per member; accuracies in 0..1, null where diverged.
        n_classes: Arms of the spirals, for the chance level.

    Returns:
        The figure; one colour per activation, members that diverged counted above the axis.
    """
    ticks = table.sort_values("depth").drop_duplicates("depth")
    positions = {depth: position for position, depth in enumerate(ticks["depth"])}
    activations = list(dict.fromkeys(table["activation"]))
    figure, axes = _new_figure(4.2)
    counts: list[MeanInterval] = []
    diverged: dict[int, list[str]] = {}
    for index, activation in enumerate(activations):
        shift = 0.7 * ((index + 0.5) / len(activations) - 0.5)
        colour = PALETTE[index % len(PALETTE)]
        for depth, group in table[table["activation"] == activation].groupby("depth"):
            found = _draw_members(axes, positions[depth] + shift, group, colour, 0.5 / len(activations))
            counts.append(found)
            if found.missing:
                prefix = f"{activation} " if len(activations) > 1 else ""
                diverged.setdefault(positions[depth], []).append(prefix + _failure_words(found))
    for position, words in diverged.items():
        _annotate_diverged(axes, position, words)
    _chance_line(axes, 1 / n_classes)
    axes.set_xticks(
        range(len(ticks)),
        [
            f"{row.depth}\n{row.width} wide\n{row.parameters} par."
            for row in ticks[["depth", "width", "parameters"]].itertuples()
        ],
    )
    axes.set_xlim(-0.6, len(ticks) - 0.4)
    axes.set_xlabel("hidden layers, their width, trainable parameters")
    _percent_axis(axes, "test accuracy (%)", table["test_accuracy"], 1 / n_classes)
    axes.set_title(
        f"Depth at a fixed budget: every member a dot,\n{interval_words(counts)}",
        loc="left",
        fontsize=11,
    )
    handles = [
        Line2D([], [], color=PALETTE[index % len(PALETTE)], marker="o", linewidth=2, label=activation)
        for index, activation in enumerate(activations)
    ]
    legend_below(figure, handles)
    return figure


def decision_maps_figure(maps: Sequence[DecisionMap]) -> Figure:
    """Draw decision maps, two in a row, x1 horizontal, with the test points and the training region's circle.

    The tutorial's own plot shows its grid transposed, so that regions and points do not match; these match.

    Args:
        maps: The models to compare, at least one.

    Returns:
        The figure; a region is pale in the colour of the class that the model answers there, a test point
        strong in the colour of the class that it has.
    """
    n_classes = 1 + max(max(int(shown.classes.max()), int(shown.test_labels.max())) for shown in maps)
    strong = [PALETTE[label % len(PALETTE)] for label in range(n_classes)]
    pale = ListedColormap([_pale(colour) for colour in strong])
    columns = min(2, len(maps))
    n_rows = math.ceil(len(maps) / columns)
    height = n_rows * (WIDTH_INCHES / columns + 0.15) + 0.6
    figure = Figure(figsize=(WIDTH_INCHES, height), dpi=DOTS_PER_INCH, layout="constrained")
    grid = figure.subplots(n_rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes in grid.flat[len(maps) :]:
        axes.set_axis_off()
    for axes, shown in zip(grid.flat, maps, strict=False):
        extent = shown.extent
        axes.imshow(
            shown.classes,
            origin="lower",
            extent=(-extent, extent, -extent, extent),
            cmap=pale,
            vmin=-0.5,
            vmax=n_classes - 0.5,
            interpolation="nearest",
        )
        axes.scatter(
            shown.test_points[:, 0],
            shown.test_points[:, 1],
            s=7,
            c=[strong[label] for label in shown.test_labels],
            edgecolors="black",
            linewidths=0.25,
        )
        axes.add_patch(Circle((0, 0), shown.training_radius, fill=False, color=INK, linewidth=1.2, linestyle="--"))
        axes.text(
            0,
            -shown.training_radius - 0.03 * extent,
            f"training region, radius {shown.training_radius:.2f}",
            ha="center",
            va="top",
            fontsize=9,
            bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.85},
        )
        axes.set_xlim(-extent, extent)
        axes.set_ylim(-extent, extent)
        plain(axes.set_title(shown.title, fontsize=10))
    for axes in grid[-1]:
        axes.set_xlabel("x1")
    for axes in grid[:, 0]:
        axes.set_ylabel("x2")
    handles: list[Line2D] = [
        Line2D([], [], marker="o", markersize=5, linestyle="", color=colour, label=f"class {label}")
        for label, colour in enumerate(strong)
    ]
    legend_below(figure, handles)
    n_points = {len(shown.test_labels) for shown in maps}
    plain(
        figure.suptitle(
            f"Answers (pale regions) and test points (dots, n = {range_words(n_points)})",
            fontsize=11,
            x=0.02,
            ha="left",
        )
    )
    return figure


def loss_curves_figure(history: pd.DataFrame, experiment: str) -> Figure:
    """Draw each configuration's median train loss per epoch, with the median's 95 % interval as a band.

    Up to eight configurations get a colour and a legend entry each, more a viridis colour bar over the number
    in which they differ. After a single epoch there is no curve, and the loss is drawn against that number, of one
    configuration as a point. What has no finite loss is said, not left out.

    Args:
        history: Rows of the `history` table; other experiments' rows are ignored.
        experiment: Value of the `experiment` column to draw.

    Returns:
        The figure, with a logarithmic loss axis if the median losses span more than a factor of ten.

    Raises:
        ValueError: If the history has no row of that experiment.
    """
    rows = history[history["experiment"] == experiment]
    if rows.empty:
        message = f"history has no rows of experiment {experiment!r}."
        raise ValueError(message)
    curves = {str(name): _loss_curve(part) for name, part in rows.groupby("configuration", sort=False)}
    medians = np.concatenate([curve["median"].to_numpy() for curve in curves.values()])
    medians = medians[np.isfinite(medians)]
    logarithmic = bool(medians.size and medians.min() > 0 and medians.max() > 10 * medians.min())
    figure, axes = _new_figure(3.9)
    quantity, values = _varying_number(list(curves))
    if rows["epoch"].nunique() == 1 and len(curves) > 1:
        _draw_final_losses(axes, list(curves.values()), values)
        plain(axes.set_xlabel(quantity))
        if all(value.is_integer() for value in values):
            whole_ticks(axes)
        what = "Train loss after one epoch"
    else:
        if len(curves) > _MANY_CURVES:
            _draw_coloured_curves(figure, axes, list(curves.values()), quantity, values)
        else:
            _draw_named_curves(figure, axes, curves)
        axes.set_xlabel("epoch")
        whole_ticks(axes)
        what = "Train loss per epoch"
    if not medians.size:
        note(axes, "no finite loss: all members diverged")
    axes.set_ylabel("cross-entropy (nats)" + (", log scale" if logarithmic else ""))
    if logarithmic:
        axes.set_yscale("log")
    found = [one for curve in curves.values() for one in curve["interval"]]
    plain(
        axes.set_title(
            f"{what}, {experiment.replace('_', ' ')}:\n{interval_words(found)}",
            loc="left",
            fontsize=11,
        )
    )
    return figure


def samples_figure(images: NDArray[Any], labels: Sequence[int], class_names: Sequence[str]) -> Figure:
    """Draw training samples as the network sees them, after augmentation, each under its class's name.

    Args:
        images: uint8 `[n, 3, 32, 32]`.
        labels: The class of each image.
        class_names: Of all classes, by label.

    Returns:
        The figure, eight images a row. Where no font has the letters of a name, or two names would look alike, the
        classes stand as numbers, with a legend.
    """
    columns = min(8, len(images))
    n_rows = math.ceil(len(images) / columns)
    names = {label: _printable(class_names[label]) for label in sorted(set(labels))}
    shown = {label: shortened(name, 10) for label, name in names.items()}
    fonts = fonts_for("".join(names.values()))
    legend: list[str] = []
    if fonts is None or len(set(shown.values())) < len(shown):
        shown = {label: f"class {label}" for label in names}
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
        axes.imshow(np.moveaxis(image, 0, -1), interpolation="nearest")
        plain(axes.set_title(shown[label], fontsize=9, pad=2, fontfamily=fonts or ["sans-serif"]))
    figure.suptitle(f"Augmented training samples, n = {len(images)}", fontsize=11, x=0.01, ha="left")
    if legend:
        legend_below(figure, [Line2D([], [], linestyle="", label=words) for words in legend], fonts)
    return figure


def _printable(name: str) -> str:
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in name)


def first_layer_figure(weights: NDArray[Any]) -> Figure:
    """Draw each first-layer unit's weights as an RGB image, all on the scale of the largest absolute weight.

    A weight w becomes `0.5 + w / (2 max|w|)`: grey is zero, and brightness compares across units.

    Args:
        weights: Finite floats `[units, 3, 32, 32]`.

    Returns:
        The figure, a near-square grid of units.
    """
    units, channels, height, width = weights.shape
    largest = float(np.abs(weights).max())
    # all-zero weights are mid-grey, not a division by zero
    shown = 0.5 + weights / (2 * (largest or 1.0))
    columns = math.ceil(math.sqrt(units))
    n_rows = math.ceil(units / columns)
    gap = 2
    mosaic = np.ones((n_rows * (height + gap) - gap, columns * (width + gap) - gap, channels))
    for unit in range(units):
        top, left = unit // columns * (height + gap), unit % columns * (width + gap)
        mosaic[top : top + height, left : left + width] = np.moveaxis(shown[unit], 0, -1)
    figure, axes = _new_figure(WIDTH_INCHES * n_rows / columns + 0.42)
    axes.imshow(mosaic, interpolation="nearest")
    axes.set_axis_off()
    axes.set_title(
        f"First-layer weights of {units} unit{'s' if units > 1 else ''} as RGB images;\n"
        f"grey is 0, black -{largest:.3g}, full colour +{largest:.3g} (the largest absolute weight)",
        loc="left",
        fontsize=11,
    )
    return figure


def gain_sweep_figure(table: pd.DataFrame, n_classes: int = 3) -> Figure:
    """Draw train and test accuracy against Xavier's gain, with the best gain and the theoretical one marked.

    Args:
        table: Rows of the `gain_sweep` table, one per member; accuracies in 0..1, null where diverged.
        n_classes: Classes of the data set, for the chance level.

    Returns:
        The figure, one panel per activation and weight distribution; best is the gain of highest mean test
        accuracy.
    """
    panels = list(table.groupby(["activation", "distribution"], sort=False))
    figure = Figure(figsize=(WIDTH_INCHES, 0.5 + 4.0 * len(panels)), dpi=DOTS_PER_INCH, layout="constrained")
    for axes, ((activation, distribution), group) in zip(
        np.ravel(figure.subplots(len(panels), 1, squeeze=False)), panels, strict=True
    ):
        tests = _draw_gain_panel(axes, group, n_classes)
        plain(
            axes.set_title(
                f"Gain of {distribution} Xavier weights, {activation}:\n{interval_words(tests)}",
                loc="left",
                fontsize=11,
                pad=22,
            )
        )
    handles = [
        Line2D([], [], color=colour, marker=marker, label=f"{part} accuracy (members faint)")
        for part, colour, marker in (("test", BLUE, "o"), ("train", ORANGE, "s"))
    ]
    legend_below(figure, handles)
    return figure


def _draw_gain_panel(axes: Axes, table: pd.DataFrame, n_classes: int) -> list[MeanInterval]:
    """Draw a panel and return the test accuracies' medians."""
    gains = np.array(sorted(table["gain"].unique()))
    step = float(np.diff(gains).min()) if len(gains) > 1 else 0.1
    cells = [cell for _, cell in table.groupby("gain")]
    for column, colour, marker, side in (
        ("train_accuracy", ORANGE, "s", -0.1),
        ("test_accuracy", BLUE, "o", 0.1),
    ):
        members = [member_accuracies(cell, column) for cell in cells]
        found = [median_interval(accuracies) for accuracies in members]
        places = [
            gain + step * (2.4 * side + 0.14 * jitter(len(accuracies)))
            for gain, accuracies in zip(gains, members, strict=True)
        ]
        # all in one: a scatter for each of a thousand gains took most of a run's time
        axes.scatter(np.concatenate(places), 100 * np.concatenate(members), s=9, color=colour, alpha=0.35, linewidths=0)
        _draw_intervals(axes, gains + step * side, found, colour, marker)
        axes.plot(gains + step * side, [100 * one.mean for one in found], color=colour, linewidth=1.5)
    tests = [member_accuracies(cell, "test_accuracy") for cell in cells]
    medians = [median_interval(accuracies) for accuracies in tests]
    for gain, one in zip(gains, medians, strict=True):
        if one.missing:
            _annotate_diverged(axes, gain, [_failure_words(one)])
    theoretical = float(table["theoretical_gain"].iloc[0])
    means = np.array([np.nanmean(test) if np.isfinite(test).any() else np.nan for test in tests])
    marks = [(theoretical, f"theory {theoretical:.3f}", "--")]
    if np.isfinite(means).any():
        best = float(gains[np.nanargmax(means)])
        marks.append((best, f"best mean {best:.3g}", "-"))
    # the two are often neighbours: the left one's label ends at its line, the right one's begins there
    for index, (gain, label, style) in enumerate(sorted(marks)):
        axes.axvline(gain, color=INK, linewidth=1, linestyle=style, zorder=0)
        axes.annotate(
            label,
            (gain, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(-2 if index == 0 and len(marks) > 1 else 2, 3),
            textcoords="offset points",
            ha="right" if index == 0 and len(marks) > 1 else "left",
            fontsize=9,
        )
    _chance_line(axes, 1 / n_classes)
    axes.set_xlim(min(gains[0], theoretical) - step, max(gains[-1], theoretical) + step)
    axes.set_xlabel("gain (factor on Xavier's standard deviation)")
    shown = pd.concat([table["train_accuracy"], table["test_accuracy"]])
    _percent_axis(axes, "accuracy (%)", shown, 1 / n_classes)
    return medians


def _draw_members(axes: Axes, position: float, group: pd.DataFrame, colour: str, spread: float) -> MeanInterval:
    accuracies = member_accuracies(group, "test_accuracy")
    places = position + spread * jitter(len(accuracies))
    axes.scatter(places, 100 * accuracies, s=26, color=colour, alpha=0.45, linewidths=0)
    found = median_interval(accuracies)
    _draw_intervals(axes, np.array([position]), [found], INK, "D")
    return found


def _draw_intervals(
    axes: Axes, positions: NDArray[Any], found: Sequence[MeanInterval], colour: str, marker: str
) -> None:
    medians = 100 * np.array([one.mean for one in found])
    # the median alone where there is no interval
    below = np.nan_to_num(medians - 100 * np.array([one.low for one in found]))
    above = np.nan_to_num(100 * np.array([one.high for one in found]) - medians)
    axes.errorbar(
        positions,
        medians,
        yerr=np.stack([below, above]),
        fmt=marker,
        color=colour,
        markersize=5,
        capsize=4,
        elinewidth=1.5,
        zorder=3,
    )


def _annotate_diverged(axes: Axes, position: float, words: Sequence[str]) -> None:
    plain(
        axes.annotate(
            "\n".join([*words, "diverged"]),
            (position, 0.01),
            xycoords=("data", "axes fraction"),
            ha="center",
            va="bottom",
            fontsize=9,
            color=INK,
        )
    )


def _loss_curve(rows: pd.DataFrame) -> pd.DataFrame:
    by_epoch = dict(list(rows.groupby("epoch")["train_loss"]))
    intervals = [median_interval(losses.to_numpy(dtype=np.float64)) for losses in by_epoch.values()]
    return pd.DataFrame(
        {
            "epoch": list(by_epoch),
            "interval": intervals,
            "median": [one.mean for one in intervals],
            "low": [one.low for one in intervals],
            "high": [one.high for one in intervals],
        }
    )


def _draw_named_curves(figure: Figure, axes: Axes, curves: dict[str, pd.DataFrame]) -> None:
    handles = []
    for index, (name, curve) in enumerate(curves.items()):
        label = name if np.isfinite(curve["median"]).any() else f"{name}: diverged"
        handles.append(_draw_curve(axes, curve, PALETTE[index % len(PALETTE)], _LINE_STYLES[index % 4], label))
    legend_below(figure, handles)


def _draw_curve(axes: Axes, curve: pd.DataFrame, colour: Any, style: str = "-", label: str = "") -> Line2D:
    """Draw a median with its band; an epoch between two without a finite loss, which is no line, as a point."""
    (line,) = axes.plot(curve["epoch"], curve["median"], color=colour, linestyle=style, linewidth=1.7, label=label)
    axes.fill_between(curve["epoch"], curve["low"], curve["high"], color=colour, alpha=0.17, linewidth=0)
    finite = np.isfinite(curve["median"].to_numpy())
    alone = curve[finite & ~np.append(False, finite[:-1]) & ~np.append(finite[1:], False)]
    if len(alone):
        below, above = np.nan_to_num(alone["median"] - alone["low"]), np.nan_to_num(alone["high"] - alone["median"])
        axes.errorbar(alone["epoch"], alone["median"], yerr=np.stack([below, above]), fmt="o", color=colour, capsize=4)
    axes.set_xlim(*_widened(curve["epoch"]))
    return line


def _widened(values: pd.Series) -> tuple[float, float]:
    """Return limits of an axis that has room at both ends, also around a single value."""
    least, greatest = float(values.min()), float(values.max())
    room = 0.05 * (greatest - least) or 0.5
    return least - room, greatest + room


def _draw_coloured_curves(
    figure: Figure, axes: Axes, curves: Sequence[pd.DataFrame], quantity: str, values: Sequence[float]
) -> None:
    scale = ScalarMappable(Normalize(min(values), max(values)), matplotlib.colormaps["viridis"])
    for curve, colour in zip(curves, scale.to_rgba(np.array(values)), strict=True):
        _draw_curve(axes, curve, colour)
    plain(figure.colorbar(scale, ax=axes).ax.set_ylabel(quantity))


def _draw_final_losses(axes: Axes, curves: Sequence[pd.DataFrame], values: Sequence[float]) -> None:
    medians = np.array([curve["median"].iloc[0] for curve in curves])
    below = np.nan_to_num(medians - np.array([curve["low"].iloc[0] for curve in curves]))
    above = np.nan_to_num(np.array([curve["high"].iloc[0] for curve in curves]) - medians)
    axes.errorbar(values, medians, yerr=np.stack([below, above]), fmt="o-", color=BLUE, capsize=4)
    axes.set_xlim(*_widened(pd.Series(values)))
    for value in np.array(values)[~np.isfinite(medians)]:
        _annotate_diverged(axes, value, [])


def _varying_number(configurations: Sequence[str]) -> tuple[str, list[float]]:
    """Return the first number in which `name=value` strings differ, or their place in the list."""
    numbers = [dict(re.findall(r"(\w+)=(-?\d+(?:\.\d*)?(?:e[+-]?\d+)?)(?=\s|$)", name)) for name in configurations]
    for quantity in numbers[0]:
        values = [found.get(quantity) for found in numbers]
        if None not in values and len(set(values)) == len(values):
            return quantity, [float(str(value)) for value in values]
    return "configuration", [float(index) for index in range(1, len(configurations) + 1)]


def _new_figure(height_inches: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH_INCHES, height_inches), dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _percent_axis(axes: Axes, label: str, accuracies: pd.Series, chance: float) -> None:
    shown = [chance, *accuracies.dropna()]
    axes.set_ylim(max(0.0, 100 * min(shown) - 12), min(102.0, 100 * max(shown) + 8))
    axes.set_ylabel(label)
    axes.spines[["top", "right"]].set_visible(False)
    axes.yaxis.grid(True, color="#e5e5e5", linewidth=0.8)
    axes.set_axisbelow(True)


def _chance_line(axes: Axes, chance: float) -> None:
    axes.axhline(100 * chance, color=GREY, linewidth=1, linestyle=":", zorder=0)
    axes.annotate(
        f"chance\n{100 * chance:.0f} %",
        (1.01, 100 * chance),
        xycoords=("axes fraction", "data"),
        va="center",
        fontsize=9,
        color="#595959",
    )


def _failure_words(found: MeanInterval) -> str:
    return f"{found.missing} of {found.n + found.missing}"


def _pale(colour: str) -> tuple[float, ...]:
    return tuple(1 - 0.35 * (1 - part) for part in to_rgb(colour))
