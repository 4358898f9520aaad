"""Measures of claims: means, shares, effect sizes and rank correlations."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float64]


def cohens_d(values: _Floats, others: _Floats | None = None) -> float:
    """Return the effect size Cohen's d: a mean, or a difference of two means, in standard deviations.

    Of one sample it is `mean / s` with the sample's standard deviation s (divisor n - 1); for differences of pairs this
    is called d_z. Of two samples it is `(mean of values - mean of others)` over their pooled standard deviation.

    Args:
        values: `[n]`.
        others: `[m]`, the second sample; None for one sample.

    Returns:
        NaN if there are too few values, or if all values of each sample are equal.

    Example:
        >>> cohens_d(np.array([1.0, 2.0, 3.0]))
        2.0
        >>> round(cohens_d(np.array([3.0, 5.0]), np.array([1.0, 3.0])), 6)
        1.414214

    Source:
        Cohen 1988, "Statistical power analysis for the behavioral sciences", eq. 2.2.1 and 2.3.5.
    """
    samples = [values] if others is None else [values, others]
    freedom = sum(len(sample) - 1 for sample in samples)
    if freedom < 1 or not all(len(sample) for sample in samples) or all(np.ptp(sample) == 0 for sample in samples):
        return math.nan
    squares = sum(float(((sample - sample.mean()) ** 2).sum()) for sample in samples)
    difference = float(values.mean()) - (0.0 if others is None else float(others.mean()))
    return difference / math.sqrt(squares / freedom)


def share(part: _Floats | float, whole: _Floats | float) -> _Floats:
    """Return `part / whole` element by element; NaN where `whole` is 0, negative or NaN.

    Example:
        >>> share(np.array([1.0, 1.0]), np.array([4.0, -4.0])).tolist()
        [0.25, nan]
    """
    above = np.where(np.asarray(whole) > 0, whole, math.nan)
    shares: _Floats = part / above
    return shares


def mean_or_nan(values: _Floats) -> float:
    """Return the mean of all values; NaN, without numpy's warning, for an empty array.

    Example:
        >>> mean_or_nan(np.array([1.0, 2.0])), mean_or_nan(np.array([]))
        (1.5, nan)
    """
    return float(values.mean()) if values.size else math.nan
