"""What all figures share: colours, sizes, legends, and how an interval is put into words.

Colours are Okabe and Ito's and viridis, which readers with any colour vision can tell apart.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from mlp_core.statistics.intervals import Interval
from mlp_core.statistics.wording import range_words

BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#E69F00", "#009E73", "#CC79A7"
PALETTE = (BLUE, ORANGE, GREEN, PURPLE, "#D55E00", "#56B4E9", "#F0E442", "#000000")
INK, GREY = "#222222", "#767676"
ABOVE_GRID = 0.9
"""The zorder of a line behind all data that the grid, which `bare_axes` puts at 0.5, does not cut into pieces."""

# 6 inches are the report's column of 900 pixels, where 9 points stay 9 points or more; at 300 dots an inch each has two
DOTS_PER_INCH = 300
WIDTH_INCHES = 6.0


def member_accuracies(rows: pd.DataFrame, column: str) -> NDArray[np.float64]:
    """Return the accuracies of members in a table's column, 0 .. 1, float64 `[members]`; NaN for those that diverged.

    Args:
        rows: Rows of a result table, one per member; a member diverged if its `status` is not `ok`.
        column: Name of the column, such as `test_accuracy`.

    Example:
        >>> rows = pd.DataFrame({"status": ["ok", "diverged"], "test_accuracy": [0.5, 0.9]})
        >>> member_accuracies(rows, "test_accuracy").tolist()
        [0.5, nan]
    """
    values: NDArray[np.float64] = rows[column].to_numpy(dtype=np.float64, na_value=np.nan).copy()
    values[(rows["status"] != "ok").to_numpy()] = np.nan
    return values


def jitter(n: int) -> NDArray[np.float64]:
    """Return n horizontal offsets in -0.5 .. 0.5, float64 `[n]`, that keep dots of similar height apart.

    They follow the golden ratio: evenly spread for every n, and the same at each call.

    Example:
        >>> jitter(3).round(3).tolist()
        [0.0, -0.382, 0.236]
    """
    return (np.arange(n) * (math.sqrt(5) - 1) / 2 + 0.5) % 1 - 0.5


def legend_columns(labels: Sequence[str]) -> int:
    """Return the largest number of columns, 1 to 4, with which a legend of these labels fits below a figure."""
    # at 9 points some 85 characters fit side by side, and a handle with its gaps takes the room of 8
    return max(1, min(len(labels), 4, 85 // (max(map(len, labels)) + 8)))


def legend_below(figure: Figure, handles: Sequence[Line2D], fonts: Sequence[str] | None = None) -> None:
    """Draw a legend below all axes of a figure; with fewer than two entries draw nothing.

    Args:
        figure: The figure.
        handles: Lines or markers with their labels, the entries of the legend.
        fonts: Font families for its text; None for Matplotlib's default.
    """
    if len(handles) < 2:
        return
    columns = legend_columns([str(handle.get_label()) for handle in handles])
    legend = figure.legend(handles=list(handles), loc="outside lower center", ncols=columns, frameon=False, fontsize=9)
    for text in legend.get_texts():
        plain(text)
        if fonts:
            text.set_fontfamily(list(fonts))


def interval_words(intervals: Sequence[Interval]) -> str:
    """Return words for a figure's headline: whether its medians have 95 % intervals, and n per median.

    Example of a result: `median and 95 % interval (order statistics), n = 8 per median`.
    """
    if {interval.n for interval in intervals} <= {0, 1} and any(interval.n for interval in intervals):
        return "one network each (n = 1)"
    n = f"n = {range_words({interval.n for interval in intervals})} per median"
    with_interval = [interval.has_interval for interval in intervals]
    if not any(with_interval):
        return f"median without interval, {n}" if any(interval.n for interval in intervals) else n
    if not all(with_interval):
        return f"median and, where there is one, 95 % interval, {n}"
    return f"median and 95 % interval (order statistics), {n}"


def headline(figure: Figure, words: str) -> None:
    """Write the headline of a figure at its top left, as plain text (no mathematics)."""
    plain(figure.suptitle(words, fontsize=11, x=0.01, ha="left"))


def shortened(name: str, most: int) -> str:
    """Return a name cut to at most `most` columns of text, with an ellipsis at the end if it was longer.

    A Latin letter takes one column, a wide East Asian one two.

    Example:
        >>> shortened("a very long name", 8), shortened("猫と犬と鳥", 8), shortened("cat", 8)
        ('a very …', '猫と犬…', 'cat')
    """
    widths = [2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in name]
    if sum(widths) <= most:
        return name
    kept = sum(width <= most - 1 for width in accumulate(widths))
    return f"{name[:kept]}…"


def fonts_for(text: str) -> list[str] | None:
    """Return installed font families that together have all letters of a text; None if some letter is in no font.

    The first is always Matplotlib's `sans-serif`, which has European, Arabic and Hebrew letters; others of the system
    follow only if they are needed.
    """
    families = ["sans-serif"]
    usual = get_font(findfont(FontProperties()))
    missing = {letter for letter in text if not usual.get_char_index(ord(letter))}
    if not missing:
        return families
    # a family may have a face for each weight and style, and a Last Resort has a box for every letter there is
    faces = {entry.name: entry.fname for entry in fontManager.ttflist if (entry.style, entry.weight) == ("normal", 400)}
    for family, path in sorted(faces.items()):
        if "last resort" in family.lower():
            continue
        try:
            font = get_font(path)
        except (OSError, RuntimeError):  # gone since the list was made, or of a kind that cannot be drawn
            continue
        if there := {letter for letter in missing if font.get_char_index(ord(letter))}:
            families.append(family)
            missing -= there
        if not missing:
            return families
    return None


def note(axes: Axes, words: str) -> None:
    """Write a text into the middle of axes, such as the reason why they are empty."""
    plain(axes.annotate(words, (0.5, 0.5), xycoords="axes fraction", ha="center", va="center", fontsize=9, color=INK))


def whole_ticks(axes: Axes, most: int = 10) -> None:
    """Put the ticks of a horizontal axis at whole numbers only: at least one, at most about `most`."""
    axes.xaxis.set_major_locator(MaxNLocator(most, integer=True, min_n_ticks=1))


def plain(text: Text) -> None:
    """Turn off mathematics in a Matplotlib text, in place: a dollar sign is drawn as a dollar sign.

    Names come from data, and a name with dollar signs may not parse as mathematics.
    """
    text.set_parse_math(False)


def pale(colour: str) -> tuple[float, ...]:
    """Return a lighter colour (35 % of it on white), as red, green and blue in 0 .. 1, for areas behind dots.

    Example:
        >>> pale("#000000")
        (0.65, 0.65, 0.65)
    """
    return tuple(1 - 0.35 * (1 - part) for part in to_rgb(colour))


def new_figure(height_inches: float) -> tuple[Figure, Axes]:
    """Return a new figure of the report's width (6 inches) and a given height, and its only axes.

    Example:
        >>> figure, axes = new_figure(4.0)
        >>> figure.get_size_inches().tolist(), figure.axes == [axes]
        ([6.0, 4.0], True)
    """
    figure = Figure(figsize=(WIDTH_INCHES, height_inches), dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def figure_of_words(words: str) -> Figure:
    """Return a low figure of the report's width that only says in words why there is nothing to draw.

    Example:
        >>> figure_of_words("fewer than two settings vary").get_size_inches().tolist()
        [6.0, 0.6]
    """
    figure = Figure(figsize=(WIDTH_INCHES, 0.6), dpi=DOTS_PER_INCH)
    plain(figure.text(0.5, 0.5, words, ha="center", va="center", fontsize=9, color=INK))
    return figure


def bar_lengths(estimates: ArrayLike, lows: ArrayLike, highs: ArrayLike) -> NDArray[np.float64]:
    """Return the lengths of error bars below and above estimates, float64 `[2, n]`.

    They are NaN where there is no interval. Matplotlib draws nothing for a NaN, but the ends of a bar of length 0.

    Args:
        estimates: `[n]`.
        lows: Lower ends of their intervals, `[n]`; NaN where there is none.
        highs: Upper ends, `[n]`; NaN where there is none.

    Example:
        >>> bar_lengths([0.5, 0.5], [0.25, math.nan], [1.0, math.nan]).tolist()
        [[0.25, nan], [0.5, nan]]
    """
    estimates = np.asarray(estimates, dtype=np.float64)
    return np.stack([estimates - np.asarray(lows), np.asarray(highs) - estimates]).clip(0)


def draw_intervals(
    axes: Axes, positions: NDArray[Any], intervals: Sequence[Interval], colour: str, marker: str
) -> None:
    """Draw medians in percent as markers with their 95 % intervals as bars; without interval the marker alone.

    Args:
        axes: Where to draw.
        positions: Horizontal position of each median.
        intervals: Medians with intervals, 0 .. 1.
        colour: Colour of markers and bars.
        marker: Matplotlib's marker, such as `o`.
    """
    medians, lows, highs = (
        100 * np.array([getattr(interval, end) for interval in intervals]) for end in ("estimate", "low", "high")
    )
    axes.errorbar(
        positions,
        medians,
        yerr=bar_lengths(medians, lows, highs),
        fmt=marker,
        color=colour,
        markersize=5,
        capsize=4,
        elinewidth=1.5,
        zorder=3,
    )


def annotate_diverged(axes: Axes, position: float, words: Sequence[str]) -> None:
    """Write lines of text and then `diverged` at the bottom of axes, centred at a horizontal position.

    Args:
        axes: Where to write.
        position: Horizontal position in data coordinates.
        words: Lines above the word `diverged`, such as `2 of 8`.
    """
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


def diverged_count(interval: Interval) -> str:
    """Return in words how many of all members diverged and are therefore not in a median.

    Example:
        >>> diverged_count(Interval(n=6, estimate=0.9, low=0.85, high=0.95, missing=2))
        '2 of 8'
    """
    return f"{interval.missing} of {interval.n + interval.missing}"


def bare_axes(axes: Axes, ticks: Sequence[int] | None = None) -> None:
    """Remove the top and right frame of axes and draw a grid of horizontal lines; set the ticks of x if given."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.yaxis.grid(True, color="#e5e5e5", linewidth=0.8)
    axes.set_axisbelow(True)
    if ticks is not None:
        axes.set_xticks(ticks)


def percent_axis(axes: Axes, label: str, accuracies: pd.Series, chance: float) -> None:
    """Set a vertical axis in percent whose limits include all accuracies and chance; style it as `bare_axes` does.

    Args:
        axes: The axes.
        label: Label of the vertical axis.
        accuracies: Values that must be visible, 0 .. 1; NaN are ignored.
        chance: Accuracy of guessing, 0 .. 1.
    """
    values = [chance, *accuracies.dropna()]
    axes.set_ylim(max(0.0, 100 * min(values) - 12), min(102.0, 100 * max(values) + 8))
    axes.set_ylabel(label)
    bare_axes(axes)


def chance_line(axes: Axes, chance: float) -> None:
    """Draw a dotted horizontal line at the accuracy of guessing (`chance`, 0 .. 1), labelled with its percentage."""
    axes.axhline(100 * chance, color=GREY, linewidth=1, linestyle=":", zorder=0)
    axes.annotate(
        f"chance\n{100 * chance:.0f} %",
        (1.01, 100 * chance),
        xycoords=("axes fraction", "data"),
        va="center",
        fontsize=9,
        color="#595959",
    )


def in_colour(image: NDArray[Any]) -> NDArray[Any]:
    """Return an image as `imshow` takes it without a colour map, `[rows, columns, 3]`; a grey one in three channels.

    Args:
        image: `[channels, rows, columns]`, with three channels or one.

    Example:
        >>> in_colour(np.zeros((1, 28, 28))).shape
        (28, 28, 3)
    """
    return np.moveaxis(np.broadcast_to(image, (3, *image.shape[1:])), 0, -1)


def sentence(words: str) -> str:
    """Return a text with a capital first letter, unless it begins with `n = `.

    Example:
        >>> sentence("median, n = 8"), sentence("n = 8")
        ('Median, n = 8', 'n = 8')
    """
    return words if words.startswith("n = ") else words[0].upper() + words[1:]
