"""Claims on generalization, on tables whose truth is known."""

import math

import numpy as np
import pytest
from claim_tables import (
    BOTH,
    DOWN,
    NEITHER,
    UP,
    inside,
    outside,
    stream,
    table,
)

from mlp_core.experiments.generalization.claims import (
    network_generalizes_better,
    polynomial_does_not_generalize,
    shortfall_is_the_optimizers,
)


@pytest.mark.parametrize(
    ("inside", "outside", "verdict", "estimate"),
    [(0.75, 0.7, DOWN, 0.9), (0.75, 0.25, UP, 0.0), (0.75, 0.05, UP, -0.4), (0.75, 0.5, BOTH, 0.5)],
)
def test_a_polynomial_that_does_not_generalize(inside, outside, verdict, estimate):
    """To be at chance outside, or below, is not to generalise, as the tutorial says: that supports it."""
    columns = table("depth", {1: inside}, value="inside_accuracy")
    columns["outside_accuracy"] = table("depth", {1: outside}, value="outside_accuracy", seed=1)["outside_accuracy"]
    claim = polynomial_does_not_generalize(columns, 4)
    assert (claim.source, claim.verdict, claim.n) == ("tutorial", verdict, 16)
    assert claim.estimate == pytest.approx(estimate, abs=0.02)
    assert claim.low < claim.estimate < claim.high


def test_who_knows_nothing_inside_has_nothing_to_keep():
    """Below chance on both sides, the share of an advantage would be a fine number without a meaning: there is none."""
    columns = table("depth", {1: 0.1}, value="inside_accuracy")
    columns["outside_accuracy"] = columns["inside_accuracy"]
    claim = polynomial_does_not_generalize(columns, 4)
    assert (claim.verdict, claim.low, claim.high) == (BOTH, -math.inf, math.inf)
    assert math.isnan(claim.estimate)


@pytest.mark.parametrize(
    ("tuned", "tuned_network", "verdict", "estimate"),
    [(0.96, 0.97, UP, 0.96), (0.75, 0.98, DOWN, 0.08), (0.855, 0.98, BOTH, 0.5), (0.97, 0.97, UP, 1.0)],
)
def test_a_shortfall_that_is_the_optimizers(tuned, tuned_network, verdict, estimate):
    """What counts is how much of the distance between the two models goes when both are tuned."""
    polynomials = inside(0.73, seed=1), inside(tuned, seed=2)
    networks = inside(0.98, seed=3, first_seed=100), inside(tuned_network, seed=4, first_seed=100)
    claim = shortfall_is_the_optimizers(polynomials, networks, "5454 against 5304")
    assert (claim.source, claim.verdict, claim.n) == ("ours", verdict, 16)
    assert claim.estimate == pytest.approx(estimate, abs=0.04)
    assert claim.low <= claim.estimate <= claim.high
    assert claim.measure.endswith("; 5454 against 5304")


def test_without_a_shortfall_there_is_none_to_explain():
    """Where the polynomial is the better one nothing is missing that could go."""
    better, network = inside(0.9), inside(0.8, first_seed=100)
    assert shortfall_is_the_optimizers((better, better), (network, network), "").verdict == BOTH


@pytest.mark.parametrize(("network", "verdict"), [(0.4, UP), (0.05, DOWN), (0.31, BOTH)])
def test_a_network_that_generalizes_better(network, verdict):
    """A network ahead by far or behind is told from a polynomial at 30 %; one ahead by a hair is not."""
    claim = network_generalizes_better(outside(network, seed=1), outside(0.3, n=12), 4, "5310 against 5304")
    assert (claim.verdict, claim.n, claim.effect) == (verdict, 12, "Cohen's d_z")
    assert claim.estimate == pytest.approx(network - 0.3, abs=0.01)
    assert claim.measure.endswith("; 5310 against 5304")


@pytest.mark.parametrize(("network", "polynomial"), [(0.0, 0.06), (0.2, 0.06), (0.01, 0.01)])
def test_who_is_less_below_chance_does_not_generalize_better(network, polynomial):
    """Where both are wrong more often than a guess the verdict is neither, whoever is ahead; the numbers are shown."""
    claim = network_generalizes_better(outside(network, seed=1), outside(polynomial), 4, "")
    assert claim.verdict == NEITHER
    assert "do worse than guessing, 0.250" in claim.measure
    few = network_generalizes_better(outside(network, n=7, seed=1), outside(polynomial, n=7), 4, "")
    assert few.verdict == BOTH
    one_above = network_generalizes_better(outside(network, seed=1), outside(0.4), 4, "")
    assert one_above.verdict == DOWN


def test_shared_seeds_are_paired_and_others_are_not():
    """What seeds have in common cancels in pairs: the interval is far narrower than that of strangers."""
    common = {"seed": np.arange(20), "outside_accuracy": stream().normal(0.5, 0.1, 20)}
    ahead = stream(1).normal(0.03, 0.01, 20)
    # the other way round, so that no pair is made of equal rows
    network = {"seed": common["seed"][::-1], "outside_accuracy": (common["outside_accuracy"] + ahead)[::-1]}
    paired = network_generalizes_better(network, common, 4, "")
    unpaired = network_generalizes_better({**network, "seed": np.arange(100, 120)}, common, 4, "")
    assert (paired.effect, unpaired.effect) == ("Cohen's d_z", "Cohen's d")
    assert (paired.verdict, unpaired.verdict) == (UP, BOTH)
    assert (paired.low, paired.high) == pytest.approx((np.sort(ahead)[5], np.sort(ahead)[-6]))
    assert unpaired.high - unpaired.low > 5 * (paired.high - paired.low)


def test_strangers_are_set_against_each_other_in_the_order_of_their_seeds():
    """Where no seed is shared any pairing is as good: the larger table's last members are left out."""
    network, polynomial = outside(0.5, seed=1, first_seed=100, n=12), outside(0.4)
    claim = network_generalizes_better(network, polynomial, 4, "")
    pairs = network["outside_accuracy"] - polynomial["outside_accuracy"][:12]
    assert (claim.n, claim.estimate) == (12, pytest.approx(np.median(pairs)))
