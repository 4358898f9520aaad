"""PNG files of figures."""

from __future__ import annotations

import io
from collections.abc import Callable

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mlp_core.report.plot_style import DOTS_PER_INCH


def drawn_png(draw: Callable[..., Figure], *data: object) -> bytes:
    """Return the figure that a function draws of some data, as `figure_png` does."""
    return figure_png(draw(*data))


def figure_png(figure: Figure) -> bytes:
    r"""Return a figure as PNG bytes: the same bytes for the same figure, with no time or version inside.

    Example:
        >>> figure_png(Figure(figsize=(1, 1)))[:4]
        b'\x89PNG'
    """
    buffer = io.BytesIO()
    figure.set_dpi(DOTS_PER_INCH)
    # savefig gives the same bytes, and draws once more before: a fifth of the time
    FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})  # type: ignore[no-untyped-call]
    return buffer.getvalue()
