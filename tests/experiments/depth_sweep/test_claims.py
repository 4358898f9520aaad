"""Claims on the depth sweep, on tables whose truth is known."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from claim_tables import BOTH, DOWN, PUBLISHED, UP, depths, exact, stream

from mlp_core.experiments.depth_sweep.claims import interior_best_depth, published_curve_is_typical


@pytest.mark.parametrize(
    ("means", "verdict", "best"),
    [
        ((0.75, 0.86, 0.92, 0.80, 0.64), UP, 3),
        ((0.75, 0.80, 0.85, 0.90, 0.95), DOWN, 5),
        ((0.95, 0.80, 0.75, 0.80, 0.70), DOWN, 1),
        ((0.75, 0.80, 0.85, 0.90, 0.9005), BOTH, None),
    ],
)
def test_an_interior_best_depth(means, verdict, best):
    """A clear peak inside is found, one at either end refutes, and a draw of the two is left open."""
    claim = interior_best_depth(depths(*means))
    assert (claim.verdict, claim.n, claim.claimed) == (verdict, 16, "2 to 4")
    if best:
        assert (claim.estimate, claim.low, claim.high) == (best, best, best)
        assert (claim.effect_size > 1) == (verdict == UP)


def test_equal_depths_have_no_best():
    """Where all depths are alike the best is any of them: the interval says so."""
    claim = interior_best_depth(depths(*[0.9] * 5, n=64, seed=1))
    assert claim.verdict == BOTH
    assert claim.high - claim.low >= 2


def test_two_depths_have_no_interior():
    """With nothing between the extremes the claim stays open."""
    claim = interior_best_depth(depths(0.8, 0.9))
    assert (claim.verdict, claim.n, claim.claimed) == (BOTH, 0, "no value")
    assert np.isnan([claim.estimate, claim.low, claim.high]).all()


def curves(*members):
    """Return a depth table of given curves, one per seed."""
    accuracy = np.array(members).T
    return {
        "depth": np.repeat(np.arange(1, len(accuracy) + 1), accuracy.shape[1]),
        "seed": np.tile(np.arange(accuracy.shape[1]), len(accuracy)),
        "test_accuracy": accuracy.ravel(),
    }


def declining(*declines, n=16, scatter=0.0):
    """Return curves that are the published one but for what they lose from depth 3 to depth 5."""
    noise = stream().normal(0, scatter, (n, 5)) if scatter else np.zeros((n, 5))
    last = [0.899 - declines[member % len(declines)] for member in range(n)]
    return curves(*(noise + np.column_stack([np.tile(PUBLISHED[:4], (n, 1)), last])))


@pytest.mark.parametrize(
    ("declines", "verdict", "median", "ends"),
    [
        ((0.03, 0.04, 0.05), UP, 0.04, (0.03, 0.05)),
        ((0.02, 0.4, 0.5, 0.6), DOWN, 0.45, (0.4, 0.5)),
        ((0.0, 0.17), BOTH, 0.085, (0.0, 0.17)),
    ],
)
def test_a_typical_curve(declines, verdict, median, ends):
    """Typical is a median decline within five points of the published 3.6: what most networks lose."""
    claim = published_curve_is_typical(declining(*declines, n=36))
    assert (claim.verdict, claim.estimate) == (verdict, pytest.approx(median, abs=0.002))
    assert (claim.source, claim.claimed) == ("ours", "-0.014 to 0.086")
    assert (claim.low, claim.high) == pytest.approx(ends, abs=0.002)


def test_noise_alone_makes_no_curve_untypical():
    """Were the published curve the true one, members that scatter by ten points would not speak against it."""
    claim = published_curve_is_typical(declining(0.036, n=64, scatter=0.1))
    assert claim.verdict != DOWN
    # the best minus the last of each, which is noise first, would lie far outside
    values = exact(declining(0.036, n=64, scatter=0.1))
    assert (values.max(0) - values[-1]).mean() > 0.086


def test_the_published_values_have_ranks_among_the_members():
    """How many members are below each published value stands with the effect."""
    lower = [value - 0.01 for value in PUBLISHED]
    higher = [value + 0.01 for value in PUBLISHED]
    claim = published_curve_is_typical(curves(*[lower] * 3, *[higher] * 5))
    assert claim.effect.endswith("below it lie, in the order of the depths, 3, 3, 3, 3 and 3 of 8 members")
    assert published_curve_is_typical(curves(lower)).effect.endswith(", 1, 1, 1, 1 and 1 of 1 member")


def test_a_diverged_member_takes_its_seed_out():
    """A seed without a value in one configuration is in no comparison; the order of the rows is of no matter."""
    columns = depths(0.75, 0.92, 0.6)
    diverged = {**columns, "test_accuracy": columns["test_accuracy"].copy()}
    diverged["test_accuracy"][[3, 16 + 5, 32 + 5]] = [np.nan, np.nan, np.inf]
    kept = ~np.isin(columns["seed"], [3, 5])
    order = stream().permutation(kept.sum())
    without = {name: values[kept][order] for name, values in columns.items()}
    claim, expected = interior_best_depth(diverged), interior_best_depth(without)
    assert claim == expected
    assert claim.n == 14


def test_any_kind_of_table_will_do():
    """A pandas frame, a pyarrow table and a dict of arrays give the same claim."""
    columns = depths(0.75, 0.92, 0.6)
    columns["seed"] = columns["seed"] + 2**62  # as large as seeds are
    expected = interior_best_depth(columns)
    assert interior_best_depth(pd.DataFrame(columns)) == expected
    assert interior_best_depth(pa.table(columns)) == expected


def test_two_configurations_in_one_table_are_refused():
    """A seed that comes twice at one depth means that rows of two configurations were mixed."""
    columns = {name: np.tile(values, 2) for name, values in depths(0.75, 0.92, 0.6).items()}
    with pytest.raises(ValueError, match=r"one row per depth and seed, got 2; select the rows of one configuration"):
        interior_best_depth(columns)
