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
from numpy.typing import NDArray

from mlp_core.statistics.intervals import Interval

BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#E69F00", "#009E73", "#CC79A7"
PALETTE = (BLUE, ORANGE, GREEN, PURPLE, "#D55E00", "#56B4E9", "#F0E442", "#000000")
INK, GREY = "#222222", "#767676"

# 6 inches are the report's column of 900 pixels, where 9 points stay 9 points or more; at 300 dots an inch each has two
DOTS_PER_INCH = 300
WIDTH_INCHES = 6.0


def member_accuracies(rows: pd.DataFrame, column: str) -> NDArray[np.float64]:
    """Return a column of accuracies, 0 .. 1, float64 `[members]`; NaN where the status is not `ok`.

    Example:
        >>> rows = pd.DataFrame({"status": ["ok", "diverged"], "test_accuracy": [0.5, 0.9]})
        >>> member_accuracies(rows, "test_accuracy").tolist()
        [0.5, nan]
    """
    values: NDArray[np.float64] = rows[column].to_numpy(dtype=np.float64, na_value=np.nan).copy()
    values[(rows["status"] != "ok").to_numpy()] = np.nan
    return values


def jitter(n: int) -> NDArray[np.float64]:
    """Return places in -0.5 .. 0.5, float64 `[n]`, the same each time and well spread for every n, by the golden ratio.

    Example:
        >>> jitter(3).round(3).tolist()
        [0.0, -0.382, 0.236]
    """
    return (np.arange(n) * (math.sqrt(5) - 1) / 2 + 0.5) % 1 - 0.5


def legend_columns(labels: Sequence[str]) -> int:
    """Return how many columns of a legend below a figure its words leave room for."""
    # at 9 points some 85 characters fit side by side, and a handle with its gaps takes the room of 8
    return max(1, min(len(labels), 4, 85 // (max(map(len, labels)) + 8)))


def legend_below(figure: Figure, handles: Sequence[Line2D], fonts: Sequence[str] | None = None) -> None:
    """Draw a legend below all axes, in as many columns as its words leave room for; none for fewer than two handles.

    Args:
        figure: Gets the legend.
        handles: What it explains.
        fonts: In place of the usual one.
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
    """Return what the intervals of some medians are and how many members are behind each."""
    n = f"n = {range_words({interval.n for interval in intervals})} per median"
    with_interval = [interval.has_interval for interval in intervals]
    if not any(with_interval):
        return f"median without interval, {n}" if any(interval.n for interval in intervals) else n
    if not all(with_interval):
        return f"median and, where there is one, 95 % interval, {n}"
    return f"median and 95 % interval (order statistics), {n}"


def headline(figure: Figure, words: str) -> None:
    """Write what a figure shows above it, in all figures in the same place."""
    plain(figure.suptitle(words, fontsize=11, x=0.01, ha="left"))


def range_words(counts: set[int]) -> str:
    """Return the least and the greatest of some counts, or the one there is.

    Example:
        >>> range_words({8}), range_words({7, 8})
        ('8', '7 to 8')
    """
    return f"{min(counts)}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}"


def shortened(name: str, most: int) -> str:
    """Return a name cut to a width, in letters of the Latin kind; East Asian ones take two of them.

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
    """Return font families that together have every letter of a text, the usual one first; None if there are none.

    The usual font has European, Arabic and Hebrew letters; the others are those that the system has.
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
    """Write into the middle of axes why there is nothing else in them."""
    plain(axes.annotate(words, (0.5, 0.5), xycoords="axes fraction", ha="center", va="center", fontsize=9, color=INK))


def whole_ticks(axes: Axes, most: int = 10) -> None:
    """Let a horizontal axis have ticks at whole numbers alone, at one of them too."""
    axes.xaxis.set_major_locator(MaxNLocator(most, integer=True, min_n_ticks=1))


def plain(text: Text) -> None:
    """Show a text as it is.

    Names come from data: a dollar sign in one is a dollar sign, not mathematics that may fail to parse.
    """
    text.set_parse_math(False)


def pale(colour: str) -> tuple[float, ...]:
    """Return a colour that leaves room for dots of the strong one on it.

    Example:
        >>> pale("#000000")
        (0.65, 0.65, 0.65)
    """
    return tuple(1 - 0.35 * (1 - part) for part in to_rgb(colour))


def new_figure(height_inches: float) -> tuple[Figure, Axes]:
    """Return a figure as wide as the report's column, and its only axes.

    Example:
        >>> figure, axes = new_figure(4.0)
        >>> figure.get_size_inches().tolist(), figure.axes == [axes]
        ([6.0, 4.0], True)
    """
    figure = Figure(figsize=(WIDTH_INCHES, height_inches), dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def draw_intervals(
    axes: Axes, positions: NDArray[Any], intervals: Sequence[Interval], colour: str, marker: str
) -> None:
    """Draw medians, 0 .. 1, in percent with their intervals, at one position each."""
    medians = 100 * np.array([interval.estimate for interval in intervals])
    # the median alone where there is no interval
    below = np.nan_to_num(medians - 100 * np.array([interval.low for interval in intervals]))
    above = np.nan_to_num(100 * np.array([interval.high for interval in intervals]) - medians)
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


def annotate_diverged(axes: Axes, position: float, words: Sequence[str]) -> None:
    """Write at the foot of axes, above a position, how many members diverged there, a line for each of the words."""
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
    """Return how many of all members are not in a median, because they diverged.

    Example:
        >>> diverged_count(Interval(n=6, estimate=0.9, low=0.85, high=0.95, missing=2))
        '2 of 8'
    """
    return f"{interval.missing} of {interval.n + interval.missing}"


def bare_axes(axes: Axes, ticks: Sequence[int] | None = None) -> None:
    """Leave axes a grid of horizontal lines and no frame above or to the right; give them these horizontal ticks."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.yaxis.grid(True, color="#e5e5e5", linewidth=0.8)
    axes.set_axisbelow(True)
    if ticks is not None:
        axes.set_xticks(ticks)


def percent_axis(axes: Axes, label: str, accuracies: pd.Series, chance: float) -> None:
    """Give axes of accuracies a vertical axis in percent that shows all of them and chance, both 0 .. 1."""
    values = [chance, *accuracies.dropna()]
    axes.set_ylim(max(0.0, 100 * min(values) - 12), min(102.0, 100 * max(values) + 8))
    axes.set_ylabel(label)
    bare_axes(axes)


def chance_line(axes: Axes, chance: float) -> None:
    """Draw the accuracy of guessing, 0 .. 1, as a dotted line with its value at the right."""
    axes.axhline(100 * chance, color=GREY, linewidth=1, linestyle=":", zorder=0)
    axes.annotate(
        f"chance\n{100 * chance:.0f} %",
        (1.01, 100 * chance),
        xycoords=("axes fraction", "data"),
        va="center",
        fontsize=9,
        color="#595959",
    )


def sentence(words: str) -> str:
    """Return words with a capital first letter, but for `n = 8`, which stays.

    Example:
        >>> sentence("median, n = 8"), sentence("n = 8")
        ('Median, n = 8', 'n = 8')
    """
    return words if words.startswith("n = ") else words[0].upper() + words[1:]
