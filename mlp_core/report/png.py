"""Files of figures: PNG for everywhere, and SVG, which stays sharp at any size, where it is small."""

from __future__ import annotations

import io
from collections.abc import Callable

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from mlp_core.report.plot_style import DOTS_PER_INCH

LARGEST_SVG_BYTES = 200_000
"""A larger one would make the report slow to open; there the PNG has twice the pixels of the report's column."""


def figure_files(draw: Callable[..., Figure], *data: object) -> dict[str, bytes]:
    """Draw a figure with `draw(*data)` and return its files as bytes, by ending: `png`, and `svg` if it is small.

    An SVG of more than `LARGEST_SVG_BYTES` (200,000 bytes) is left out.

    Example:
        >>> list(figure_files(Figure, (1, 1)))
        ['png', 'svg']
    """
    figure = draw(*data)
    files = {"png": figure_png(figure)}
    figure.set_layout_engine("none")  # where everything stands is known by now
    svg = figure_svg(figure)
    return files | {"svg": svg} if len(svg) <= LARGEST_SVG_BYTES else files


def figure_svg(figure: Figure) -> bytes:
    """Return a figure as SVG bytes, with letters as shapes, so that no font is needed; no date is inside.

    The same figure gives the same bytes.

    Example:
        >>> figure_svg(Figure(figsize=(1, 1)))[:5]
        b'<?xml'
    """
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "deep-mlp", "svg.fonttype": "path"}):
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None})  # type: ignore[no-untyped-call]
    return buffer.getvalue()


def figure_png(figure: Figure) -> bytes:
    r"""Return a figure as PNG bytes at 300 dots per inch (which it sets on the figure), with no time or version inside.

    The same figure gives the same bytes.

    Example:
        >>> figure_png(Figure(figsize=(1, 1)))[:4]
        b'\x89PNG'
    """
    buffer = io.BytesIO()
    figure.set_dpi(DOTS_PER_INCH)
    # savefig gives the same bytes, and draws once more before: a fifth of the time
    FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})  # type: ignore[no-untyped-call]
    return buffer.getvalue()
