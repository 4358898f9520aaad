"""Figures drawn by name, in whatever process: nothing of matplotlib is imported by who asks."""

from __future__ import annotations

from mlp_core.experiments.interface import resolve


def drawn_png(draw: str, *data: object) -> bytes:
    """Return as PNG the figure that `"module:function"` draws of some data."""
    from mlp_core.report import png

    return png.drawn_png(resolve(draw), *data)
