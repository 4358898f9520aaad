"""Figures drawn by name, in whatever process: nothing of matplotlib is imported by who asks."""

from __future__ import annotations

from mlp_core.experiments.interface import resolve


def drawn_files(draw: str, *data: object) -> dict[str, bytes]:
    """Return the files of the figure that `"module:function"` draws of some data, by their endings."""
    from mlp_core.report.png import figure_files

    return figure_files(resolve(draw), *data)
