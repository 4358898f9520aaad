"""Claims on the gain sweep, on tables whose truth is known."""

import math

import numpy as np
import pytest
from claim_tables import (
    BOTH,
    DOWN,
    GAINS,
    UP,
    exact,
    gains,
    table,
)

from mlp_core.experiments.gain_sweep.claims import best_gain_is_theoretical, gains_differ, xavier_preserves_variance


@pytest.mark.parametrize(
    ("peak", "flatness", "verdict"),
    [(GAINS[4], 0.2, UP), (GAINS[5], 0.2, UP), (GAINS[3], 0.2, DOWN), (GAINS[7], 0.2, DOWN), (GAINS[4], 0.0, BOTH)],
)
def test_the_best_gain(peak, flatness, verdict):
    """A peak within one step of 1.407 agrees with theory, one further off does not, and a flat top cannot say."""
    claim = best_gain_is_theoretical(gains(peak, flatness))
    assert (claim.verdict, claim.n, claim.claimed) == (verdict, 16, "1.085 to 1.729")
    if verdict != BOTH:
        assert claim.estimate == claim.low == claim.high == pytest.approx(peak)


def test_the_step_is_that_of_the_grid_around_theory():
    """On a grid of uneven steps the one that theory lies in counts; off the grid it is the nearest one."""
    columns = table("gain", {0.5: 0.1, 1.0: 0.5, 2.0: 0.3})
    for theory, claimed in ((1.4, "0.4 to 2.4"), (0.8, "0.3 to 1.3"), (5.0, "4 to 6"), (0.1, "-0.4 to 0.6")):
        columns["theoretical_gain"] = np.full(48, theory)
        assert best_gain_is_theoretical(columns).claimed == claimed
    alone = {name: values[:16] for name, values in columns.items()}
    assert best_gain_is_theoretical(alone).verdict == BOTH


@pytest.mark.parametrize(
    ("grid", "within_reach"),
    [
        (np.linspace(0.1, 1.0, 10), False),
        (np.linspace(1.6, 3.0, 15), False),
        (np.linspace(0.1, 1.4, 14), True),
        (np.linspace(1.5, 3.0, 16), True),
    ],
)
def test_a_grid_that_does_not_reach_theory_decides_nothing(grid, within_reach):
    """Whatever is best, no gain of such a grid could have borne the claim out: 1.407 is more than a step away."""
    columns = table("gain", {gain: 0.5 + 0.5 * gain for gain in grid})
    columns["theoretical_gain"] = np.full(len(columns["gain"]), 1.407)
    claim = best_gain_is_theoretical(columns)
    assert (claim.verdict, claim.n) == ((UP if grid[-1] < 1.5 else DOWN, 16) if within_reach else (BOTH, 0))
    assert claim.measure.endswith("; no gain of the grid is within a step of theory") != within_reach
    assert np.isnan([claim.estimate, claim.low, claim.high]).all() != within_reach


@pytest.mark.parametrize(("difference", "verdict"), [(0.05, UP), (-0.05, UP), (0.0, DOWN), (0.01, BOTH)])
def test_gains_that_differ(difference, verdict):
    """A difference of either sign is real if it exceeds a point; one within a point is none."""
    columns = table("gain", {0.1: 0.3, GAINS[3]: 0.5 + difference, GAINS[5]: 0.5}, deviation=0.005)
    claim = gains_differ(columns)
    assert (claim.verdict, claim.n) == (verdict, 16)
    assert claim.estimate == pytest.approx(difference, abs=0.006)
    values = exact(columns)
    assert claim.estimate == pytest.approx(np.median(values[1] - values[2]))


def test_gains_that_were_not_tried_leave_it_open():
    """Without a gain near 1.71 the nearest one does not stand in for it."""
    claim = gains_differ(table("gain", {1.07: 0.9, 1.4: 0.1}))
    assert (claim.verdict, claim.n) == (BOTH, 0)
    assert math.isnan(claim.estimate)


@pytest.mark.parametrize(("ratio", "verdict"), [(1.1, UP), (3.25, DOWN), (0.08, DOWN), (2.0, BOTH)])
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_variance_kept(direction, ratio, verdict):
    """Within a factor of two from end to end the variance is kept; signals are followed forward, gradients back."""
    first, last = (1.0, ratio) if direction == "forward" else (ratio, 1.0)
    value = "mean_square" if direction == "forward" else "gradient_mean_square"
    columns = table("layer", {1: first, 2: 50.0, 3: last}, value=value, key="member")
    claim = xavier_preserves_variance(columns, direction, "8-8-8", None)
    assert (claim.verdict, claim.n) == (verdict, 16)
    assert claim.estimate == pytest.approx(ratio, rel=0.05)
    assert claim.measure.endswith("; 8-8-8")
    ends = {"forward": "layer 3 over that in layer 1", "backward": "layer 1 over that in layer 3"}
    assert ends[direction] in claim.measure


@pytest.mark.parametrize(("exact", "verdict"), [(1.9, UP), (3.2508, DOWN), (0.0762, DOWN)])
@pytest.mark.parametrize("n", [1, 8])
def test_an_exact_number_needs_no_seeds(exact, verdict, n):
    """Where theory is exact it decides, with no interval; what was measured stands next to it and decides nothing."""
    columns = table("layer", {1: 1.0, 2: 2.5}, value="mean_square", key="member", n=n, deviation=0.5)
    claim = xavier_preserves_variance(columns, "forward", "8-8", exact)
    assert (claim.verdict, claim.estimate, claim.n) == (verdict, exact, n)
    assert np.isnan([claim.low, claim.high]).all()
    values = exact_means(columns)
    assert claim.effect_size == pytest.approx(values[1] / values[0])
    assert "the estimate is exact" in claim.effect


def exact_means(columns):
    return exact(columns, "mean_square").mean(1)
