"""Fixed points, depth scales and the critical line against closed forms and iterated maps."""

import math

import numpy as np
import pytest
from cases import combinations
from scipy.optimize import brentq

from mlp_core.theory.fixed_points import FixedPoint, correlation_fixed_point, length_fixed_point
from mlp_core.theory.gains import forward_gain
from mlp_core.theory.maps import correlation_map, length_map, length_slope
from mlp_core.theory.phases import critical_point, phase_point

RECTIFIERS = [("relu", 0.0), ("leaky_relu(0.1)", 0.1), ("leaky_relu(0.5)", 0.5)]
# Ordered, critical or nearly so, and chaotic, each with a length to come to rest at
SETTINGS = [
    ("tanh", 0.8, 0.3), ("tanh", 1.3, 0.3), ("tanh", 1.7, 0.3), ("erf", 1.5, 0.0), ("sigmoid", 3.0, 0.5),
    ("gelu", 1.2, 0.5), ("selu", 1.0, 0.0), ("relu", 1.2, 0.4), ("leaky_relu(0.1)", 1.3, 0.2),
    *(
        pytest.param(*setting, marks=pytest.mark.thorough)
        for setting in (
            ("tanh", 4.0, 0.5), ("tanh", 1.5, 0.0), ("erf", 1.0, 0.3), ("erf", 1.5, 0.3), ("sigmoid", 12.0, 1.0),
            ("gelu", 1.35, 0.5), ("selu", 0.6, 0.3), ("selu", 1.3, 0.3),
        )
    ),
]  # fmt: skip


def distances_from(c_star, start, n_layers, q, activation, sigma_w, sigma_b):
    """Return how far from c* a correlation is in each layer."""
    distances, c = [], start
    for _ in range(n_layers):
        c = correlation_map(c, q, activation, sigma_w, sigma_b)
        distances.append(abs(c - c_star))
    return np.array(distances)


@pytest.mark.parametrize(("name", "sigma_w", "sigma_b"), SETTINGS)
def test_fixed_points_are_fixed_and_attract(name, sigma_w, sigma_b):
    """The maps leave q* and c* where they are, and take every other point closer."""
    point = phase_point(name, sigma_w, sigma_b)
    q, c = point.q.value, point.c.value
    assert point.q.converged
    assert point.c.converged
    assert length_map(q, name, sigma_w, sigma_b) == pytest.approx(q, rel=1e-9)
    assert correlation_map(c, q, name, sigma_w, sigma_b) == pytest.approx(c, abs=1e-9)
    for start in (0.01 * q, 0.9 * q, 1.1 * q, 3 * q):
        assert abs(length_map(start, name, sigma_w, sigma_b) - q) < abs(start - q)
    for start in (0.0, 0.5 * c, 0.99 * c, 0.01 + 0.99 * c, 0.5 + 0.5 * c):
        if start != c:
            assert abs(correlation_map(start, q, name, sigma_w, sigma_b) - c) < abs(start - c)


@pytest.mark.parametrize(("name", "sigma_w", "sigma_b"), SETTINGS)
def test_depth_scales_are_those_of_the_iterated_maps(name, sigma_w, sigma_b):
    """Fitted over layers, the logarithm of the distance from q* and from c* falls by 1 / xi a layer."""
    point = phase_point(name, sigma_w, sigma_b)
    q, c = point.q.value, point.c.value
    start = c - 1e-4 if c > 0.5 else c + 1e-4
    distances = distances_from(c, start, 8, q, name, sigma_w, sigma_b)
    fitted = -1 / np.polyfit(range(6), np.log(distances[:6]), 1)[0]
    assert fitted == pytest.approx(point.xi_c, rel=0.02)
    lengths = [1.001 * q]
    for _ in range(3):
        lengths.append(length_map(lengths[-1], name, sigma_w, sigma_b))
    fitted = -1 / np.polyfit(range(4), np.log(np.array(lengths) - q), 1)[0]
    assert fitted == pytest.approx(point.xi_q, rel=0.02)


@pytest.mark.thorough
def test_on_the_critical_line_correlations_have_no_scale():
    """There 1 - c falls by a power of the depth: twice as deep is half as far, and xi_c is infinite."""
    critical = critical_point("tanh", 0.3)
    point = phase_point("tanh", critical.sigma_w, 0.3)
    assert (point.c.value, point.xi_c) == (1.0, math.inf)
    distances = distances_from(1.0, 0.9, 400, critical.q, "tanh", critical.sigma_w, 0.3)
    assert distances[199] / distances[399] == pytest.approx(2.0, abs=0.2)


@pytest.mark.parametrize("sigma_w", [0.1, 0.5, 0.999, 1.0])
def test_tanh_without_biases_fades_up_to_sigma_w_1(sigma_w):
    """Up to and with 1 the only length is 0, where chi_1 is sigma_w^2: order, and criticality at 1."""
    point = phase_point("tanh", sigma_w, 0.0)
    assert point.q == FixedPoint(0.0, True, 0)
    assert point.c.value == 1.0
    assert point.chi_1 == pytest.approx(sigma_w**2, rel=1e-12)
    assert point.xi_c == (pytest.approx(-1 / math.log(sigma_w**2), rel=1e-9) if sigma_w < 1 else math.inf)


@pytest.mark.parametrize("excess", [1e-2, 1e-3, 1e-4])
def test_tanh_without_biases_just_above_1(excess):
    """By its series V(q) = sigma_w^2 (q - 2 q^2 + ...), the length grows from 0 as half the excess of sigma_w^2."""
    sigma_w = math.sqrt(1 + excess)
    point = phase_point("tanh", sigma_w, 0.0)
    assert point.q.value == pytest.approx(excess / 2, rel=2 * excess)
    assert point.c.converged
    assert point.chi_1 > 1
    assert point.chi_c < 1
    assert critical_point("tanh", 0.0).sigma_w == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize(("name", "slope"), RECTIFIERS)
def test_rectifiers_rest_only_off_their_line(name, slope):
    """Below sigma_w^2 = 2 / (1 + slope^2) biases set the length, above there is none, on it every length stays."""
    critical = math.sqrt(2 / (1 + slope**2))
    half = (1 + slope**2) / 2
    assert length_fixed_point(name, 1.2, 0.5).value == pytest.approx(0.25 / (1 - 1.44 * half), rel=1e-9)
    assert length_fixed_point(name, 0.99 * critical, 0.0).value == 0
    assert length_fixed_point(name, critical, 0.0) == FixedPoint(1.0, True, 0)
    for sigma_w, sigma_b in [(critical, 0.1), (1.01 * critical, 0.0), (1.01 * critical, 0.1)]:
        point = phase_point(name, sigma_w, sigma_b)
        assert point.q == FixedPoint(math.inf, False, 0)
        assert point.chi_1 == pytest.approx(sigma_w**2 * half, rel=1e-12)
        assert not point.c.converged
        assert np.isnan([point.c.value, point.chi_c, point.xi_q, point.xi_c]).all()


def test_gelu_repels_lengths_without_biases():
    """The length 1 that gelu's forward gain keeps is left by its neighbours, downward to 0 and upward for good."""
    gain = forward_gain("gelu")
    assert length_map(1.0, "gelu", gain, 0.0) == pytest.approx(1.0, rel=1e-10)
    assert length_slope(1.0, "gelu", gain) > 1.1
    assert length_fixed_point("gelu", gain, 0.0).value == 0
    assert length_fixed_point("gelu", 2.1, 0.0).value == math.inf
    assert [critical_point("gelu", sigma_b).stable for sigma_b in (0.0, 0.1, 0.3, 0.5)] == [False] * 3 + [True]


def test_selu_rests_at_length_1_in_chaos():
    """At gain 1 selu's length is 1 and its mean 0, as it was designed; and chi_1 there is above 1."""
    point = phase_point("selu", 1.0, 0.0)
    assert point.q.value == pytest.approx(1.0, rel=1e-10)
    assert point.c.value == pytest.approx(0.0, abs=1e-9)
    assert point.chi_1 == pytest.approx(1.0716, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "sigma_b"),
    [
        *combinations(["tanh", "erf", "selu"], [0.0, 0.01, 0.3, 1.0]),
        *[("sigmoid", 0.0), ("sigmoid", 3.0), ("gelu", 0.5), ("relu", 0.0), ("leaky_relu(0.1)", 0.0)],
    ],
)
def test_chi_1_is_1_on_the_critical_line(name, sigma_b):
    """At the sigma_w of the line the fixed length is the line's, chi_1 is 1, and a little to either side it is not."""
    critical = critical_point(name, sigma_b)
    assert critical.converged
    assert critical.stable
    point = phase_point(name, critical.sigma_w, sigma_b)
    assert point.q.value == pytest.approx(critical.q, rel=1e-6, abs=1e-9)
    assert point.chi_1 == pytest.approx(1.0, abs=1e-7)
    assert phase_point(name, 0.99 * critical.sigma_w, sigma_b).chi_1 < 1 - 1e-5
    assert phase_point(name, 1.01 * critical.sigma_w, sigma_b).chi_1 > 1 + 1e-5


def test_the_critical_line_of_rectifiers_is_upright():
    """With biases chi_1 is still 1 at the same sigma_w, but no length rests there."""
    critical = critical_point("leaky_relu(0.1)", 0.5)
    assert critical.sigma_w**2 == pytest.approx(1.980, abs=5e-4)
    assert (critical.q, critical.stable, critical.converged) == (math.inf, False, True)


def test_a_critical_point_out_of_reach_is_not_converged():
    """tanh at a sigma_b of 2,000 would need a length above 1e6; at 20 it is found."""
    critical = critical_point("tanh", 2000.0)
    assert math.isnan(critical.sigma_w)
    assert not critical.converged
    near = critical_point("tanh", 20.0)
    assert near.converged
    assert phase_point("tanh", near.sigma_w, 20.0).chi_1 == pytest.approx(1.0, abs=1e-7)


SIGMAS_W = [1e-3, 0.1, 1.0, 12.0, 50.0, 1e3]


@pytest.mark.parametrize("sigma_w", SIGMAS_W)
@pytest.mark.parametrize("sigma_b", [0.05, 1.0])
def test_erf_is_right_from_order_to_deep_chaos(sigma_w, sigma_b):
    """Fixed points and scales by its closed forms: a gain of 50 is deep chaos, not order."""

    def covariance(c, q):
        return sigma_w**2 * 2 / math.pi * math.asin(2 * c * q / (1 + 2 * q)) + sigma_b**2

    def slope(c, q):
        return sigma_w**2 * 4 / math.pi / math.sqrt((1 + 2 * q - 2 * c * q) * (1 + 2 * q + 2 * c * q))

    q = brentq(lambda log_q: covariance(1.0, math.exp(log_q)) - math.exp(log_q), -12, 16, xtol=1e-14)
    q = math.exp(q)
    chaos = slope(1.0, q) > 1
    c = brentq(lambda c: covariance(c, q) / q - c, 0.0, 1 - 1e-5, xtol=1e-15) if chaos else 1.0
    point = phase_point("erf", sigma_w, sigma_b)
    assert (point.q.converged, point.c.converged) == (True, True)
    assert (point.q.value, point.c.value) == pytest.approx((q, c), rel=1e-6)
    assert (point.chi_1, point.chi_c) == pytest.approx((slope(1.0, q), slope(c, q)), rel=1e-6)
    assert point.xi_c == pytest.approx(-1 / math.log(slope(c, q)), rel=1e-6)


@pytest.mark.parametrize(
    ("shift", "network"),
    combinations(
        [-1e-3, -1e-6, -1e-9, -1e-12, 0.0, 1e-12, 1e-9, 1e-6, 1e-3],
        [("tanh", 0.0), ("tanh", 0.3), ("selu", 0.3), ("relu", 0.0)],
    ),
    ids=str,
)
def test_nothing_breaks_near_the_critical_line(shift, network):
    """Across the line all is finite or infinite, never NaN, and the depth scale rises towards it."""
    name, sigma_b = network
    sigma_w = critical_point(name, sigma_b).sigma_w * (1 + shift)
    point = phase_point(name, sigma_w, sigma_b)
    if name == "relu" and shift > 1e-10:
        assert not point.q.converged
        return
    assert point.q.converged
    assert point.c.converged
    assert max(point.q.iterations, point.c.iterations) <= 70
    assert point.xi_c > 0.1 / max(abs(shift), 1e-12)
    assert 0 <= point.c.value <= 1


def test_too_few_iterations_are_admitted():
    """A search that is cut short says so, and gives the middle of what it had narrowed down."""
    q = length_fixed_point("tanh", 1.5, 0.3)
    short = length_fixed_point("tanh", 1.5, 0.3, max_iterations=2)
    assert (short.converged, short.iterations) == (False, 2)
    assert short.value == pytest.approx(q.value, rel=0.2)
    short = correlation_fixed_point(q.value, "tanh", 1.5, 0.3, max_iterations=2)
    assert (short.converged, short.iterations) == (False, 2)
    assert 0 < short.value < 1
    assert not critical_point("tanh", 0.3, max_iterations=2).converged


def test_the_smallest_biases_count():
    """Also a length far below the search grid is that of its formula, sigma_b^2 / (1 - sigma_w^2)."""
    assert length_fixed_point("tanh", 0.9, 1e-8).value == pytest.approx(1e-16 / (1 - 0.81), rel=1e-9, abs=0)
