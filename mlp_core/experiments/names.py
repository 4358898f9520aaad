"""The experiments, by the names of their folders, in the report's order."""

from __future__ import annotations

EXPERIMENT_NAMES = (
    "depth_sweep",
    "explanation",
    "polynomial",
    "generalization",
    "images",
    "features",
    "gain_sweep",
    "signals",
    "phase",
)
