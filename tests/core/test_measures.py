"""Effect sizes and rank correlations against their formulas."""

import math

import numpy as np
import pytest
from claim_tables import (
    stream,
)

from mlp_core.statistics.measures import cohens_d
from mlp_core.statistics.ranks import rank_correlation


def test_effect_sizes_by_hand():
    """One sample, pairs and two samples agree with the formulas written out."""
    first, second = np.array([0.9, 0.8, 0.7, 0.95]), np.array([0.5, 0.6, 0.55])
    assert cohens_d(first) == pytest.approx(first.mean() / first.std(ddof=1))
    pooled = math.sqrt((3 * first.var(ddof=1) + 2 * second.var(ddof=1)) / 5)
    assert cohens_d(first, second) == pytest.approx((first.mean() - second.mean()) / pooled)
    assert cohens_d(second, first) == pytest.approx(-cohens_d(first, second))


@pytest.mark.parametrize(
    ("values", "others"), [([], None), ([1.0], None), ([0.1] * 7, None), ([0.1] * 3, [0.2] * 3), ([], [1.0, 2.0])]
)
def test_without_spread_there_is_no_effect_size(values, others):
    """Too few or equal values give NaN, not a huge number from a rounding error."""
    assert math.isnan(cohens_d(np.array(values), None if others is None else np.array(others)))


def test_rank_correlations():
    """Any rising relation gives 1, any falling one -1, ties share ranks, and a constant has none."""
    values = stream().normal(size=30)
    assert rank_correlation(values, np.exp(5 * values)) == pytest.approx(1)
    assert rank_correlation(values, -(values**3)) == pytest.approx(-1)
    # ranks 1.5 1.5 3 4 and 1 2 3.5 3.5: 4 of sqrt(4.5) sqrt(4.5)
    tied = rank_correlation(np.array([0.0, 0.0, 5.0, 9.0]), np.array([1.0, 2.0, 3.0, 3.0]))
    assert tied == pytest.approx(4 / 4.5)
    assert math.isnan(rank_correlation(values, np.ones(30)))
