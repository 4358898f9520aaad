"""Figures drawn by name, in whatever process: nothing of matplotlib is imported by who asks."""

from __future__ import annotations

from mlp_core.experiments.interface import resolve


def drawn_files(draw: str, *data: object) -> dict[str, bytes]:
    """Draw a figure and return its files as bytes, by file ending (`png`, and `svg` if that is small).

    Args:
        draw: The drawing function as `"module:function"`; it is imported here, so that the caller need not import
            matplotlib.
        data: The function's arguments.
    """
    from mlp_core.report.png import figure_files

    return figure_files(resolve(draw), *data)
