"""Correlation of ranks: whether two quantities rise together, however unevenly."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


def rank_correlation(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Return Spearman's rank correlation of two quantities; equal values get the mean of their ranks.

    By hand because `scipy.stats`, which has it too, takes 0.4 s to import.

    Args:
        first: `[n]`, without NaN.
        second: `[n]`, in the same order.

    Returns:
        -1 .. 1; NaN if all values of one quantity are equal.

    Example:
        >>> rank_correlation(np.array([1, 2, 3, 3]), np.array([10.0, 20.0, 90.0, 90.0]))
        1.0

    Source:
        Spearman 1904, "The proof and measurement of association between two things".
    """
    ranks = [_ranks(values) - (len(values) - 1) / 2 for values in (first, second)]
    scale = math.sqrt(float(ranks[0] @ ranks[0]) * float(ranks[1] @ ranks[1]))
    return float(ranks[0] @ ranks[1]) / scale if scale else math.nan


def _ranks(values: NDArray[Any]) -> NDArray[np.float64]:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts + 1) / 2)[places])
