"""Phase diagrams: grids from members in any order, the depths that count as trainable, and how the theory follows."""

import math

import numpy as np
import pytest

from mlp_core.experiments.phase_diagram.diagram import (
    SCALES,
    agreement,
    deepest_trainable,
    phase_diagram,
    phase_grid,
    predicted_scales,
    trainable_threshold,
)
from mlp_core.theory.phases import phase_point

DEPTHS = (2, 4, 8, 16, 32)
GAINS = (0.5, 0.8, 1.1, 2.0)


def made_grid(limits, good=1.0, bad=1 / 3):
    """Return a grid where each gain is learned up to a depth, two members a cell, in a shuffled order."""
    rows = [(d, g, good if d <= limit else bad) for g, limit in zip(GAINS, limits, strict=True) for d in DEPTHS] * 2
    depth, gain, accuracy = np.array(rows)[np.random.default_rng(0).permutation(len(rows))].T
    return phase_grid(depth.astype(int), gain, accuracy)


def test_a_grid_has_the_median_of_the_members_that_finished():
    """Members in any order end up in their cells; one that diverged is counted, and in no median."""
    depth, gain = np.array([4, 2, 4, 2, 2, 2]), np.array([1.0, 0.5, 1.0, 0.5, 1.0, 0.5])
    grid = phase_grid(depth, gain, np.array([0.9, 0.7, np.nan, 0.4, np.nan, 0.5]))
    assert (grid.depths.tolist(), grid.gains.tolist()) == ([2, 4], [0.5, 1.0])
    np.testing.assert_allclose(grid.accuracy, [[0.5, math.nan], [math.nan, 0.9]])
    np.testing.assert_allclose(grid.members[0, 0], [0.4, 0.5, 0.7])
    np.testing.assert_allclose(grid.members[1, 1], [0.9, math.nan, math.nan])
    np.testing.assert_allclose(grid.spread, [[0.3, math.nan], [math.nan, math.nan]])
    assert grid.finished.tolist() == [[3, 0], [0, 1]]
    assert grid.diverged.tolist() == [[0, 1], [0, 1]]


def test_trainable_is_half_way_from_chance_to_the_best():
    """With chance 1/3 and a best of 1 the threshold is 2/3; an accuracy just there counts."""
    grid = made_grid([2, 8, 32, 4])
    assert trainable_threshold(grid, 1 / 3) == pytest.approx(2 / 3)
    assert deepest_trainable(grid, 2 / 3).tolist() == [2, 8, 32, 4]
    assert deepest_trainable(grid, 1.0).tolist() == [2, 8, 32, 4]
    assert deepest_trainable(grid, 1.01).tolist() == [0, 0, 0, 0]


def test_a_grid_where_nobody_finished_has_no_trainable_depth():
    """No threshold, no depth, and no error."""
    grid = made_grid([2, 2, 2, 2], good=math.nan, bad=math.nan)
    threshold = trainable_threshold(grid, 1 / 3)
    assert math.isnan(threshold)
    assert deepest_trainable(grid, threshold).tolist() == [0, 0, 0, 0]


def test_infinite_scales_count_as_the_largest():
    """On the critical line the scale is infinite, which is a rank like any other once it is cut."""
    grid = made_grid([2, 8, 32, 4])
    measured = agreement(grid, deepest_trainable(grid, 0.6), np.array([0.5, 1.5, math.inf, math.nan]))
    assert measured.predicted.tolist() == [3.0, 9.0, 32.0, 0.0]


def test_agreement_counts_steps_of_the_grid():
    """Predicted 9 and measured 8 agree, as the grid's next depth is 16; 25 and 4 are two steps off."""
    grid = made_grid([2, 8, 32, 4])
    measured = agreement(grid, deepest_trainable(grid, 0.6), np.array([0.2, 1.5, 4.0, 25 / SCALES]))
    assert measured.steps.tolist() == [1, 0, 1, -2]


@pytest.mark.parametrize("width", [16, 64])
def test_scales_are_those_of_the_theory_with_pytorchs_biases(width):
    """sigma_b is the standard deviation of a uniform number in +-1/sqrt(width); in order both scales are one."""
    draws = np.random.default_rng(0).uniform(-(width**-0.5), width**-0.5, 400_000)
    scales = predicted_scales("tanh", width, np.array([0.7, 1.6]))
    assert scales.sigma_b == pytest.approx(draws.std(), rel=0.01)
    assert scales.correlation[0] == pytest.approx(scales.gradient[0], rel=1e-9)
    point = phase_point("tanh", 1.6, scales.sigma_b)
    assert scales.correlation[1] == pytest.approx(point.xi_c)
    assert scales.gradient[1] == pytest.approx(1 / math.log(point.chi_1))
    assert scales.gradient[1] < scales.correlation[1]
    assert 1 < scales.critical.sigma_w < 1.3


def test_beyond_the_last_fixed_length_there_is_a_gradient_scale_alone():
    """relu above sqrt(2) has no length to rest at, so no xi_c, but its gradients still grow by chi_1."""
    scales = predicted_scales("relu", 64, np.array([2.0]))
    assert math.isnan(scales.correlation[0])
    assert scales.gradient[0] == pytest.approx(1 / math.log(2.0))


def test_a_diagram_that_follows_the_theory_says_so():
    """Networks that are trainable to just the depths that the gradients' scale predicts have rank correlation 1."""
    scales = predicted_scales("tanh", 64, np.array(GAINS))
    grid = made_grid(SCALES * scales.gradient)
    diagram = phase_diagram(grid, "tanh", 64, chance=1 / 3)
    assert diagram.by_gradient.rank_correlation == pytest.approx(1.0)
    assert diagram.by_gradient.steps.tolist() == [0, 0, 0, 0]
    assert diagram.by_correlation.steps.tolist() == [0, 0, 0, -1]
    assert diagram.ordered.tolist() == [True, True, True, False]
    reverse = phase_diagram(made_grid([32, 16, 2, 4]), "tanh", 64, chance=1 / 3)
    assert reverse.by_gradient.rank_correlation < 0
