"""Files of figures: PNG for everywhere, and SVG, which stays sharp at any size, where it is small."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from PIL import Image

from mlp_core.report.plot_style import DOTS_PER_INCH

if TYPE_CHECKING:
    from typing_extensions import Buffer

LARGEST_SVG_BYTES = 200_000
"""A larger one would make the report slow to open; there the PNG has twice the pixels of the report's column."""
_COMPRESS_LEVEL = 1
"""Of zlib. Level 6 took two fifths longer and saves an eighth of the bytes."""


class _TooLarge(Exception):
    """An SVG has more than `LARGEST_SVG_BYTES`."""


class _SmallFile(io.BytesIO):
    """A file in memory that refuses more than `LARGEST_SVG_BYTES`: the rest of a large SVG need not be drawn."""

    def write(self, content: Buffer) -> int:
        """Write, or raise `_TooLarge`."""
        if self.tell() + memoryview(content).nbytes > LARGEST_SVG_BYTES:
            raise _TooLarge
        return super().write(content)


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
    return files if svg is None else files | {"svg": svg}


def figure_svg(figure: Figure) -> bytes | None:
    """Return a figure as SVG bytes, with letters as shapes, so that no font is needed; no date is inside.

    The same figure gives the same bytes.

    Returns:
        The bytes; None if they are more than `LARGEST_SVG_BYTES`.

    Example:
        >>> figure_svg(Figure(figsize=(1, 1)))[:5]
        b'<?xml'
    """
    file = _SmallFile()
    with matplotlib.rc_context({"svg.hashsalt": "deep-mlp", "svg.fonttype": "path"}):
        try:
            FigureCanvasSVG(figure).print_svg(file, metadata={"Date": None, "Creator": None})  # type: ignore[no-untyped-call]
        except _TooLarge:
            return None
    return file.getvalue()


def figure_png(figure: Figure) -> bytes:
    r"""Return a figure as PNG bytes at 300 dots per inch (which it sets on the figure), with no time or version inside.

    The same figure gives the same bytes. Nothing of it is transparent.

    Example:
        >>> figure_png(Figure(figsize=(1, 1)))[:4]
        b'\x89PNG'
    """
    figure.set_dpi(DOTS_PER_INCH)
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()  # savefig gives the same pixels, and draws once more before: a fifth of the time
    size = canvas.get_width_height(physical=True)
    # The fourth byte of each pixel says that it is opaque
    image = Image.frombytes("RGB", size, canvas.buffer_rgba(), "raw", "RGBX")
    file = io.BytesIO()
    image.save(file, "png", dpi=(DOTS_PER_INCH, DOTS_PER_INCH), compress_level=_COMPRESS_LEVEL)
    return file.getvalue()
