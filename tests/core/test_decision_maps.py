"""Decision maps are the right way up."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mlp_core.data.datasets import spirals, split
from mlp_core.engine.configs import Training
from mlp_core.engine.members import train_members
from mlp_core.engine.tables import TrainedModel, joined_members, member_table
from mlp_core.experiments.depth_sweep.experiment import depth_sweep_trials
from mlp_core.experiments.measures import decision_map, map_panels
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


@pytest.mark.parametrize("learning_rate", [0.01, math.inf])
def test_a_network_that_diverged_answers_no_class(learning_rate: float) -> None:
    """Its map is white and says so: the first class everywhere would look like an answer."""
    data = split(*spirals(2021, points_per_arm=20), 2021)
    (trial,) = depth_sweep_trials([1], 100, 4, Training(epochs=2, learning_rate=learning_rate, batch_size=16))
    block = train_members(trial.config, data, range(2))
    members = joined_members([member_table(block)], 2)
    table = decision_map([TrainedModel(trial, lambda: members, lambda: block.state)], data, "MLP")
    ((panel,),) = map_panels(table, data)
    image = decision_maps_figure([panel]).axes[0].images[0]
    colours = np.unique(image.to_rgba(image.get_array())[..., :3].reshape(-1, 3), axis=0)
    finished = math.isfinite(learning_rate)
    assert panel.title.endswith("no member finished") != finished
    assert (panel.classes >= 0).all() == finished
    assert (colours.tolist() == [[1, 1, 1]]) != finished
