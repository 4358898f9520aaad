"""Decision maps are the right way up."""

from __future__ import annotations

import numpy as np

from mlp_core.report.decision_map import DecisionMap
from mlp_core.report.decision_maps import decision_maps_figure


def test_decision_map_has_x1_horizontal_and_x2_upwards() -> None:
    """The class to the right of the origin is drawn to the right, the one above above."""
    axis = np.linspace(-2, 2, 41)
    x1, x2 = np.meshgrid(axis, axis)
    classes = np.where(x2 > 1, 2, (x1 > 0).astype(int))
    decision_map = DecisionMap("model", classes, 2.0, np.array([[1.0, 0.0], [0.0, 1.5]]), np.array([1, 2]), 1.5)
    axes = decision_maps_figure([decision_map, decision_map]).axes[0]
    image = axes.images[0]
    assert image.origin == "lower"
    assert tuple(image.get_extent()) == (-2, 2, -2, 2)
    drawn = image.get_array()
    assert (drawn[5, 35], drawn[5, 5], drawn[38, 5]) == (1, 0, 2)
    assert axes.get_xlabel() == "x1"
    assert axes.collections[0].get_offsets().tolist() == [[1.0, 0.0], [0.0, 1.5]]
