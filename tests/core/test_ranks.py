"""Rank correlation: known examples, ties and constants."""

import math

import numpy as np
import pytest

from mlp_core.statistics.ranks import rank_correlation


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([1, 2, 3, 4], [10, 20, 30, 1000], 1.0),
        ([1, 2, 3, 4], [4, 3, 2, 1], -1.0),
        ([106, 100, 86, 101, 99, 103, 97, 113, 112, 110], [7, 27, 2, 50, 28, 29, 20, 12, 6, 17], -29 / 165),
        ([1, 1, 2, 3], [1, 2, 2, 3], 5 / 6),
        ([5, 5, 5], [1, 2, 3], math.nan),
    ],
)
def test_rank_correlation_is_spearmans(first, second, expected):
    """Known examples, with ties sharing their mean rank; without any variation there is none."""
    assert rank_correlation(np.array(first), np.array(second)) == pytest.approx(expected, nan_ok=True)


def test_rank_correlations():
    """Any rising relation gives 1, any falling one -1, ties share ranks, and a constant has none."""
    values = np.random.default_rng(0).normal(size=30)
    assert rank_correlation(values, np.exp(5 * values)) == pytest.approx(1)
    assert rank_correlation(values, -(values**3)) == pytest.approx(-1)
    # ranks 1.5 1.5 3 4 and 1 2 3.5 3.5: 4 of sqrt(4.5) sqrt(4.5)
    tied = rank_correlation(np.array([0.0, 0.0, 5.0, 9.0]), np.array([1.0, 2.0, 3.0, 3.0]))
    assert tied == pytest.approx(4 / 4.5)
    assert math.isnan(rank_correlation(values, np.ones(30)))
