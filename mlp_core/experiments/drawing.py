"""Figures drawn by name, in whatever process: nothing of matplotlib is imported by who asks."""

from __future__ import annotations

from mlp_core.experiments.interface import resolve


def drawn_png(draw: str, *data: object) -> bytes:
    """Return as PNG the figure that `"module:function"` draws of some data."""
    from mlp_core.report.png import drawn_png as png_of

    return png_of(resolve(draw), *data)
