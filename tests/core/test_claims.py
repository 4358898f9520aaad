"""The rule by which a claim gets its verdict."""

import math
import re

import numpy as np
import pytest
from cases import combinations
from claim_tables import (
    BOTH,
    DOWN,
    UP,
)

from mlp_core.statistics.claims import MIN_SEEDS, VERDICT_RULE, Range, median_claim


def test_the_rule_is_one_sentence():
    """The report can print the rule as it stands: one sentence with the number of seeds that a verdict needs."""
    assert re.fullmatch(r"[A-Z][^.]*\b95 %[^.]* 8 seeds\.", VERDICT_RULE)
    assert MIN_SEEDS == 8


@pytest.mark.parametrize(
    ("claimed", "low", "high", "verdict"),
    [
        (Range(low=0.5), 0.5, 0.9, UP),
        (Range(low=0.5), 0.1, 0.49, DOWN),
        (Range(low=0.5), 0.4, 0.6, BOTH),
        (Range(low=0.5), -math.inf, 0.6, BOTH),
        (Range(low=0.5), math.nan, math.nan, BOTH),
        (Range(1.0, 2.0), 1.0, 2.0, UP),
        (Range(1.0, 2.0), 0.9, 1.5, BOTH),
        (Range(1.0, 2.0), 1.5, 2.1, BOTH),
        (Range(1.0, 2.0), 0.5, 2.5, BOTH),
        (Range(1.0, 2.0), 2.1, 2.5, DOWN),
        (Range(1.0, 2.0), 0.1, 0.5, DOWN),
        (Range(-0.01, 0.01, within=False), 0.02, 0.03, UP),
        (Range(-0.01, 0.01, within=False), -0.03, -0.02, UP),
        (Range(-0.01, 0.01, within=False), -0.005, 0.005, DOWN),
        (Range(-0.01, 0.01, within=False), 0.005, 0.02, BOTH),
        (Range(-0.01, 0.01, within=False), -0.02, 0.02, BOTH),
        (Range(math.nan, math.nan), 1.0, 1.0, BOTH),
    ],
)
def test_the_whole_interval_decides(claimed, low, high, verdict):
    """An interval in the range claimed supports, one outside refutes, one on its edge leaves open."""
    assert claimed.verdict(low, high, 8) == verdict
    assert claimed.verdict(low, high, 7) == BOTH


@pytest.mark.parametrize(
    ("claimed", "words"),
    [
        (Range(low=0.5), "at least 0.5"),
        (Range(high=0.5), "at most 0.5"),
        (Range(2.0, 4.0), "2 to 4"),
        (Range(-0.01, 0.01, within=False), "below -0.01 or above 0.01"),
        (Range(math.nan, math.nan), "no value"),
    ],
)
def test_ranges_are_printed_in_words(claimed, words):
    """The table says which values would bear a claim out."""
    assert str(claimed) == words


def decided(values, claimed, n_comparisons=1):
    """Return the claim that some values are in a range."""
    return median_claim("name", "ours", "", "It is.", "it", claimed, values, lambda: 1.0, "size", "", n_comparisons)


def test_members_that_are_all_alike_decide_without_an_interval():
    """Eight of eight on one side of the edge is a sign test, which needs no spread; no interval has a width of zero."""
    claim = decided(np.full(8, 0.7), Range(low=0.5))
    assert (claim.verdict, claim.estimate, claim.n) == (UP, 0.7, 8)
    assert np.isnan([claim.low, claim.high]).all()
    assert decided(np.full(8, 0.7), Range(high=0.5)).verdict == DOWN


def test_a_seed_without_a_value_speaks_against_either_verdict():
    """With 16 seeds three may be on the other side, or have no value; a fourth leaves the claim open."""
    for undefined, verdicts in ((3, (UP, DOWN)), (4, (BOTH, BOTH))):
        values = np.r_[np.full(undefined, math.nan), np.linspace(0.6, 0.9, 16 - undefined)]
        assert tuple(decided(values, bounds).verdict for bounds in (Range(low=0.5), Range(high=0.5))) == verdicts
        assert decided(values, Range(low=0.5)).estimate == pytest.approx(0.75)


def test_a_measure_chosen_among_several_needs_more():
    """One of twelve seeds on the other side: that decides about one measure, but not about the best of ten."""
    values = np.r_[0.4, np.linspace(0.6, 0.9, 11)]
    assert (decided(values, Range(low=0.5)).verdict, decided(values, Range(low=0.5), 10).verdict) == (UP, BOTH)


@pytest.mark.parametrize(("n", "failing"), combinations([8, 16, 64], [0.03, 0.0]))
def test_at_most_five_verdicts_of_a_hundred_are_wrong(n, failing):
    """Skewed values with failures, their median a hair on either side of the edge of what is claimed."""
    generator = np.random.default_rng(n)
    samples = generator.exponential(size=(2000, n))
    samples[generator.random((2000, n)) < failing] = -5
    median = math.log(2 * (1 - failing))
    for claimed, wrong in ((Range(low=median + 1e-9), UP), (Range(low=median), DOWN)):
        share = np.mean([decided(sample, claimed).verdict == wrong for sample in samples])
        assert share <= 0.025 + 3 * math.sqrt(0.025 * 0.975 / 2000)
