"""Loss curves: the median train loss of each configuration of an experiment."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mlp_core.report.plot_style import (
    BLUE,
    PALETTE,
    annotate_diverged,
    bar_lengths,
    headline,
    interval_words,
    legend_below,
    new_figure,
    note,
    plain,
    whole_ticks,
)
from mlp_core.statistics.intervals import median_interval

_LINE_STYLES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (8, 3)), (0, (1, 3)), (0, (3, 1)))
"""One for each of the `_MANY_CURVES`, which tells them apart in grey, too."""
_MANY_CURVES = 8


def loss_curves_figure(history: pd.DataFrame, experiment: str) -> Figure:
    """Draw each configuration's median train loss per epoch, with the median's 95 % interval as a band.

    Up to eight configurations have a colour and a legend entry each; more have viridis colours with a colour bar for
    the number in which they differ, such as the depth. If there is a single epoch, the losses are drawn against that
    number instead (a single configuration as a point). Among up to eight curves, or after a single epoch, a
    configuration without a finite loss is labelled `diverged`.

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
    figure, axes = new_figure(3.9)
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
    intervals = [interval for curve in curves.values() for interval in curve["interval"]]
    headline(figure, f"{what}, {experiment.replace('_', ' ')}:\n{interval_words(intervals)}")
    return figure


def _loss_curve(rows: pd.DataFrame) -> pd.DataFrame:
    by_epoch = dict(list(rows.groupby("epoch")["train_loss"]))
    intervals = [median_interval(losses.to_numpy(dtype=np.float64)) for losses in by_epoch.values()]
    return pd.DataFrame(
        {
            "epoch": list(by_epoch),
            "interval": intervals,
            "median": [interval.estimate for interval in intervals],
            "low": [interval.low for interval in intervals],
            "high": [interval.high for interval in intervals],
        }
    )


def _draw_named_curves(figure: Figure, axes: Axes, curves: dict[str, pd.DataFrame]) -> None:
    handles = []
    for index, (name, curve) in enumerate(curves.items()):
        label = name if np.isfinite(curve["median"]).any() else f"{name}: diverged"
        handles.append(_draw_curve(axes, curve, PALETTE[index % len(PALETTE)], _LINE_STYLES[index], label))
    legend_below(figure, handles)


def _draw_curve(axes: Axes, curve: pd.DataFrame, colour: Any, style: Any = "-", label: str = "") -> Line2D:
    """Draw a median with its band; an epoch between two without a finite loss, which is no line, as a point."""
    (line,) = axes.plot(curve["epoch"], curve["median"], color=colour, linestyle=style, linewidth=1.7, label=label)
    axes.fill_between(curve["epoch"], curve["low"], curve["high"], color=colour, alpha=0.17, linewidth=0)
    finite = np.isfinite(curve["median"].to_numpy())
    alone = curve[finite & ~np.append(False, finite[:-1]) & ~np.append(finite[1:], False)]
    if len(alone):
        lengths = bar_lengths(alone["median"], alone["low"], alone["high"])
        axes.errorbar(alone["epoch"], alone["median"], yerr=lengths, fmt="o", color=colour, capsize=4)
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
    medians, lows, highs = (
        np.array([curve[column].iloc[0] for curve in curves]) for column in ("median", "low", "high")
    )
    axes.errorbar(values, medians, yerr=bar_lengths(medians, lows, highs), fmt="o-", color=BLUE, capsize=4)
    axes.set_xlim(*_widened(pd.Series(values)))
    for value in np.array(values)[~np.isfinite(medians)]:
        annotate_diverged(axes, value, [])


def _varying_number(configurations: Sequence[str]) -> tuple[str, list[float]]:
    """Return the first number in which `name=value` strings differ, or their place in the list."""
    numbers = [dict(re.findall(r"(\w+)=(-?\d+(?:\.\d*)?(?:e[+-]?\d+)?)(?=\s|$)", name)) for name in configurations]
    for quantity in numbers[0]:
        values = [quantities.get(quantity) for quantities in numbers]
        if None not in values and len(set(values)) == len(values):
            return quantity, [float(str(value)) for value in values]
    return "configuration", [float(index) for index in range(1, len(configurations) + 1)]
