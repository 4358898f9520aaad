"""The rule by which a claim gets its verdict."""

import math
import re

import pytest
from claim_tables import (
    BOTH,
    DOWN,
    UP,
)

from mlp_core.statistics.claims import MIN_SEEDS, VERDICT_RULE, Range


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
