"""Polynomial features: how many, in which order, with which values."""

import pytest
import torch

from mlp_core.data.datasets import spirals
from mlp_core.data.polynomial_features import monomials
from mlp_core.data.sizes import monomial_count


def exponents(degree):
    """Return (i, j) of every monomial in the tutorial's order: i outside, j inside, no constant."""
    return [(i, j) for i in range(degree + 1) for j in range(degree + 1) if 0 < i + j <= degree]


def direct(points, degree):
    return torch.stack([points[:, 0] ** i * points[:, 1] ** j for i, j in exponents(degree)], 1)


@pytest.mark.parametrize(("degree", "count"), [(1, 2), (2, 5), (3, 9), (10, 65), (50, 1325)])
def test_there_are_as_many_monomials_as_exponents(degree, count):
    """Degree 50 gives the tutorial's 1325 features."""
    assert monomial_count(degree) == len(exponents(degree)) == count
    assert monomials(torch.zeros(3, 2), degree).shape == (3, count)


def test_i_is_the_outer_loop_and_j_the_inner_one():
    """At the point (2, 3) every monomial has a value of its own, 2^i 3^j, which gives the order away."""
    features = monomials(torch.tensor([[2.0, 3.0]], dtype=torch.float64), 12)
    assert features[0].tolist() == [2.0**i * 3.0**j for i, j in exponents(12)]


@pytest.mark.parametrize("degree", [1, 2, 7, 50])
def test_values_are_direct_powers(degree):
    """On the spirals every feature is the product of two powers, to the precision of its type."""
    points, _ = spirals(2021, points_per_arm=50)
    expected = direct(points.double(), degree)
    torch.testing.assert_close(monomials(points.double(), degree), expected, rtol=1e-13, atol=0)
    # Three roundings of 2^-24 each, and float32 has no numbers below 1e-38 of full precision
    features = monomials(points, degree)
    assert features.dtype == torch.float32
    torch.testing.assert_close(features.double(), expected, rtol=3e-7, atol=1e-37)
