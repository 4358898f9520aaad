"""Numbers in words: a value and its error, whatever their sizes."""

import math

import pytest

from mlp_core.statistics.wording import format_with_error


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.262, 0.01, "0.262 ± 0.010"),
        (0.77, 0.0996, "0.77 ± 0.10"),  # two digits of the rounded error
        (-0.05, 0.001, "-0.0500 ± 0.0010"),
        (1e-12, 0.3, "0.00 ± 0.30"),
        (2718.28, 31.4, "2718 ± 31"),
        (0.0, 1e-9, "(0.0 ± 1.0)e-9"),
        (3e12, 2e10, "(3.000 ± 0.020)e12"),
        (1.23456789012, 1e-10, "1.23456789012 ± 0.00000000010"),
        (5.0, 0.0, "5"),
        (0.123456, math.nan, "0.123"),
        (math.nan, math.nan, "nan"),
    ],
)
def test_a_value_ends_where_its_error_does(value, error, text):
    assert format_with_error(value, error) == text
