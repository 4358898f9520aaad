"""The elementary functions of compiled code, against float64 over all of float32."""

import math
from functools import cache

import numpy as np
import pytest
import torch
from numba import njit

from mlp_core.engine import elementary
from mlp_core.engine.vectors import LANES, load, store

SMALLEST, LARGEST = 2.0**-126, float(np.finfo(np.float32).max)
STEPS = [4999, pytest.param(997, marks=pytest.mark.thorough)]
"""Of the numbers that there are, one in so many: 200,000 and more of each sign, or a million and more."""


@cache
def over(name):
    """Return an elementary function as one of arrays, whose length is a multiple of `LANES`; it compiles once."""
    function = getattr(elementary, name)

    @njit
    def run(numbers, results):
        for index in range(0, len(numbers), LANES):
            store(results, index, function(load(numbers, index)))

    def call(numbers):
        results = np.empty_like(numbers)
        run(numbers, results)
        return results

    return call


def numbers_between(low, high, step):
    """Return float32 numbers from `low` to `high`, both included, in steps of so many of those that there are."""
    first, last = np.array([low, high], np.float32).view(np.uint32)
    bits = np.append(np.arange(first, last, step, dtype=np.uint32), [last] * LANES)
    return bits[: len(bits) // LANES * LANES].view(np.float32)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    ("name", "exact", "high", "sign", "most"),
    [
        ("exponential", torch.exp, -math.log(SMALLEST) * (1 - 1e-7), -1, 1.1),
        ("logarithm", torch.log, LARGEST, 1, 2),
        ("hyperbolic_tangent", torch.tanh, LARGEST, 1, 1.6),
        ("hyperbolic_tangent", torch.tanh, LARGEST, -1, 1.6),
        ("error_function", torch.erf, LARGEST, 1, 1.3),
        ("error_function", torch.erf, LARGEST, -1, 1.3),
    ],
)
def test_errors_are_as_small_as_is_said(name, exact, high, sign, most, step):
    """In units of the last place, over the whole range."""
    numbers = sign * numbers_between(SMALLEST, high, step)
    assert len(numbers) > 1e9 / step
    expected = exact(torch.from_numpy(numbers).double()).numpy()
    results = over(name)(numbers)
    errors = np.abs(results - expected) / np.spacing(np.abs(expected.astype(np.float32)))
    assert most / 2 < errors.max() <= most


@pytest.mark.parametrize(
    ("name", "pairs"),
    [
        ("exponential", [(0.0, 1), (-0.0, 1), (-math.inf, 0), (-87.4, 0), (-LARGEST, 0), (math.nan, math.nan)]),
        ("logarithm", [(1.0, 0), (math.nan, math.nan)]),
        ("hyperbolic_tangent", [(0.0, 0), (-math.inf, -1), (math.inf, 1), (-20.0, -1), (math.nan, math.nan)]),
        ("error_function", [(0.0, 0), (-math.inf, -1), (math.inf, 1), (-5.0, -1), (math.nan, math.nan)]),
    ],
)
def test_special_numbers(name, pairs):
    """Zero, infinity and what is not a number give what they should."""
    numbers, expected = np.ones((2, LANES), np.float32)
    for place, (number, result) in enumerate(pairs):
        numbers[place], expected[place] = number, result
    results = over(name)(numbers)
    np.testing.assert_array_equal(results[: len(pairs)], expected[: len(pairs)])
