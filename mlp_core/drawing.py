"""What all figures share: colours, sizes, legends, and how an interval is put into words.

Colours are Okabe and Ito's and viridis, which readers with any colour vision can tell apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from numpy.typing import NDArray

from mlp_core.metrics import MeanInterval

BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#E69F00", "#009E73", "#CC79A7"
PALETTE = (BLUE, ORANGE, GREEN, PURPLE, "#D55E00", "#56B4E9", "#F0E442", "#000000")
INK, GREY = "#222222", "#767676"

# 6 inches at 150 dots an inch are the 900 pixels of the report's column, where 9 points stay 9 points or more
DOTS_PER_INCH = 150
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


def legend_below(figure: Figure, handles: Sequence[Line2D]) -> None:
    """Draw a legend below all axes, in as many columns as its words leave room for."""
    longest = max(len(str(handle.get_label())) for handle in handles)
    # at 9 points some 85 characters fit side by side, and a handle with its gaps takes the room of 8
    columns = max(1, min(len(handles), 4, 85 // (longest + 8)))
    legend = figure.legend(handles=list(handles), loc="outside lower center", ncols=columns, frameon=False, fontsize=9)
    for text in legend.get_texts():
        plain(text)


def interval_words(found: Sequence[MeanInterval]) -> str:
    """Return what the intervals of some medians are and how many members are behind each."""
    n = f"n = {range_words({one.n for one in found})} per median"
    with_interval = [one.has_interval for one in found]
    if not any(with_interval):
        return f"median without interval, {n}"
    if not all(with_interval):
        return f"median and, where there is one, 95 % interval, {n}"
    return f"median and 95 % interval (order statistics), {n}"


def range_words(counts: set[int]) -> str:
    """Return the least and the greatest of some counts, or the one there is.

    Example:
        >>> range_words({8}), range_words({7, 8})
        ('8', '7 to 8')
    """
    return f"{min(counts)}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}"


def plain(text: Text) -> None:
    """Show a text as it is.

    Names come from data: a dollar sign in one is a dollar sign, not mathematics that may fail to parse.
    """
    text.set_parse_math(False)
