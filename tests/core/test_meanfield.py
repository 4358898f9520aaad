"""Theory of signals against closed forms, against other sums, and against itself."""

import math
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.optimize import brentq
from torch import nn

from mlp_core.activations import ACTIVATION_NAMES
from mlp_core.errors import InputError
from mlp_core.theory import gains, phases, predictions
from mlp_core.theory.fixed_points import FixedPoint, correlation_fixed_point, length_fixed_point
from mlp_core.theory.gains import backward_gain, forward_gain, gain_table
from mlp_core.theory.maps import chi, correlation_map, length_map, length_slope
from mlp_core.theory.phases import critical_point, phase_point
from mlp_core.theory.predictions import predicted_signals
from mlp_core.theory.weight_scales import mean_field_scale, xavier_scale

CORRELATIONS = [-1.0, -0.9, 0.0, 0.3, 0.9, 0.99999, 1.0]
LENGTHS = [1e-3, 0.3, 1.0, 4.0, 25.0]
RECTIFIERS = [("relu", 0.0), ("leaky_relu(0.1)", 0.1), ("leaky_relu(0.5)", 0.5)]
# Ordered, critical or nearly so, and chaotic, each with a length to come to rest at
SETTINGS = [
    ("tanh", 0.8, 0.3), ("tanh", 1.3, 0.3), ("tanh", 1.7, 0.3), ("tanh", 4.0, 0.5), ("tanh", 1.5, 0.0),
    ("erf", 1.0, 0.3), ("erf", 1.5, 0.3), ("erf", 1.5, 0.0), ("sigmoid", 3.0, 0.5), ("sigmoid", 12.0, 1.0),
    ("gelu", 1.2, 0.5), ("gelu", 1.35, 0.5), ("selu", 0.6, 0.3), ("selu", 1.0, 0.0), ("selu", 1.3, 0.3),
    ("relu", 1.2, 0.4), ("leaky_relu(0.1)", 1.3, 0.2),
]  # fmt: skip


def standard_normal(reach=12.0, n_nodes=40_001):
    """Return evenly spaced nodes and weights: for analytic functions a rule with no more error than rounding."""
    nodes = np.linspace(-reach, reach, n_nodes)
    weights = np.exp(-(nodes**2) / 2)
    return nodes, weights / weights.sum()


def distances_from(c_star, start, n_layers, q, activation, sigma_w, sigma_b):
    """Return how far from c* a correlation is in each layer."""
    distances, c = [], start
    for _ in range(n_layers):
        c = correlation_map(c, q, activation, sigma_w, sigma_b)
        distances.append(abs(c - c_star))
    return np.array(distances)


@pytest.mark.parametrize(("name", "slope"), RECTIFIERS)
def test_rectifiers_have_closed_forms(name, slope):
    """Lengths, correlations and slopes of relu and leaky_relu are the arc-cosine formulas of Cho & Saul."""
    sigma_w, sigma_b = 1.3, 0.4
    half = (1 + slope**2) / 2
    for q, q_other in [(1.0, 1.0), (0.1, 7.0), (1e6, 1e6)]:
        lengths = [sigma_w**2 * half * length + sigma_b**2 for length in (q, q_other)]
        assert length_map(q, name, sigma_w, sigma_b) == pytest.approx(lengths[0], rel=1e-12)
        assert length_slope(q, name, sigma_w) == pytest.approx(sigma_w**2 * half, rel=1e-12)
        assert chi(q, name, sigma_w) == pytest.approx(sigma_w**2 * half, rel=1e-12)
        for c in CORRELATIONS:
            angle = math.acos(c)
            both_positive = (math.sin(angle) + (math.pi - angle) * c) / (2 * math.pi)
            product = math.sqrt(q * q_other) * (slope * c + (1 - slope) ** 2 * both_positive)
            expected = (sigma_w**2 * product + sigma_b**2) / math.sqrt(math.prod(lengths))
            assert correlation_map(c, q, name, sigma_w, sigma_b, q_other) == pytest.approx(expected, abs=1e-12)
            expected = sigma_w**2 * (slope + (1 - slope) ** 2 * (math.pi - angle) / (2 * math.pi))
            assert chi(q, name, sigma_w, c) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("q", LENGTHS)
def test_erf_has_closed_forms(q):
    """Lengths and correlations of erf are the arcsin formula of Williams, its slopes the derivative of that."""
    for q_other in (q, 2 * q / 3):
        next_lengths = [2 / math.pi * math.asin(2 * length / (1 + 2 * length)) for length in (q, q_other)]
        assert length_map(q, "erf", 1.0, 0.0) == pytest.approx(next_lengths[0], rel=1e-10)
        for c in CORRELATIONS:
            sine = 2 * c * math.sqrt(q * q_other / ((1 + 2 * q) * (1 + 2 * q_other)))
            expected = 2 / math.pi * math.asin(sine) / math.sqrt(math.prod(next_lengths))
            assert correlation_map(c, q, "erf", 1.0, 0.0, q_other) == pytest.approx(expected, abs=1e-10)
    for c in CORRELATIONS:
        expected = 4 / math.pi / math.sqrt((1 + 2 * q) ** 2 - (2 * c * q) ** 2)
        assert chi(q, "erf", 1.0, c) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "gelu", "erf"])
@pytest.mark.parametrize(("q", "tolerance"), [(1.0, 1e-10), (4.0, 1e-10), (25.0, 1e-7), (100.0, 3e-3)])
def test_smooth_activations_agree_with_another_sum(name, q, tolerance, plain_activation):
    """PyTorch's own activation and derivative, summed over evenly spaced nodes, give the promised digits."""
    nodes, weights = standard_normal()
    pre_activations = torch.tensor(math.sqrt(q) * nodes, requires_grad=True)
    activations = plain_activation(name)(pre_activations)
    activations.sum().backward()
    values, slopes = activations.detach().numpy(), pre_activations.grad.numpy()
    assert length_map(q, name, 1.0, 0.0) == pytest.approx(weights @ values**2, rel=tolerance)
    assert chi(q, name, 1.0) == pytest.approx(weights @ slopes**2, rel=tolerance)


def test_plain_gauss_hermite_nodes_would_not_do():
    """As they come, as many nodes miss tanh's chi_1 at q = 25 by five percent."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(192)
    assert nodes.max() == pytest.approx(27, abs=0.5)
    plain = (weights / weights.sum()) @ (1 - np.tanh(5 * nodes) ** 2) ** 2
    assert abs(plain / chi(25.0, "tanh", 1.0) - 1) == pytest.approx(0.05, abs=0.01)


@pytest.mark.parametrize(("q", "q_other"), [(1e-3, 1e-3), (1.0, 1.0), (25.0, 25.0), (0.1, 10.0)])
@pytest.mark.parametrize("c", [-0.9, 0.0, 0.5, 0.99])
def test_selu_agrees_with_a_nested_sum(q, q_other, c):
    """The mean over u2 at given u1 has a formula; its sum over u1, half-line by half-line, is what the sectors give."""
    scale, alpha = 1.0507009873554805, 1.6732632423543772

    def selu(u):
        return scale * np.where(u > 0, u, alpha * np.expm1(np.minimum(u, 0)))

    def mean_given(mean, deviation):
        ratio = mean / deviation
        below = np.array([math.erfc(r / math.sqrt(2)) / 2 for r in ratio])
        below_tilted = np.array([math.erfc((r + deviation) / math.sqrt(2)) / 2 for r in ratio])
        linear = mean * (1 - below) + deviation * np.exp(-(ratio**2) / 2) / math.sqrt(2 * math.pi)
        return scale * (linear + alpha * (np.exp(mean + deviation**2 / 2) * below_tilted - below))

    half, step = np.linspace(0, 10, 20_001, retstep=True)
    simpson = np.r_[1, np.tile([4, 2], 9_999), 4, 1] * step / 3 * np.exp(-(half**2) / 2) / math.sqrt(2 * math.pi)
    deviation = math.sqrt(q_other * (1 - c**2))
    product = sum(
        simpson @ (selu(sign * math.sqrt(q) * half) * mean_given(sign * c * math.sqrt(q_other) * half, deviation))
        for sign in (1, -1)
    )
    lengths = length_map(q, "selu", 1.0, 0.0) * length_map(q_other, "selu", 1.0, 0.0)
    assert correlation_map(c, q, "selu", 1.0, 0.0, q_other) == pytest.approx(product / math.sqrt(lengths), abs=1e-10)


@pytest.mark.parametrize("q", LENGTHS)
def test_equal_inputs_stay_equal(activation_name, q):
    """At correlation 1 the correlation map is the length map over itself, whether or not lengths are fixed."""
    assert correlation_map(1.0, q, activation_name, 1.2, 0.3) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("c", [-0.5, 0.0, 0.4, 0.9])
@pytest.mark.parametrize("q", [0.3, 4.0])
def test_chi_is_the_slope_of_the_correlation_map(activation_name, q, c):
    """A small step in c, on either side, moves the next covariance by q chi times the step."""
    step = 1e-4
    ends = [correlation_map(c + side, q, activation_name, 1.3, 0.2) for side in (step, -step)]
    slope = (ends[0] - ends[1]) / (2 * step) * length_map(q, activation_name, 1.3, 0.2) / q
    assert slope == pytest.approx(chi(q, activation_name, 1.3, c), rel=1e-5)


@pytest.mark.parametrize("q", [0.3, 4.0])
def test_chi_1_is_the_slope_where_inputs_are_equal(activation_name, q):
    """The same at c = 1, from one side; for a kink the slope is approached by the square root of the step."""
    step = 1e-8
    slope = (1 - correlation_map(1 - step, q, activation_name, 1.3, 0.2)) / step
    slope *= length_map(q, activation_name, 1.3, 0.2) / q
    assert slope == pytest.approx(chi(q, activation_name, 1.3), rel=1e-3)


@pytest.mark.parametrize("q", [1e-4, 0.3, 4.0])
def test_length_slope_is_the_slope_of_the_length_map(activation_name, q):
    """A small step in q, on either side, moves the next length by the slope times the step."""
    step = 1e-4 * q
    ends = [length_map(q + side, activation_name, 1.3, 0.2) for side in (step, -step)]
    assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(length_slope(q, activation_name, 1.3), rel=1e-6)


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


def test_on_the_critical_line_correlations_have_no_scale():
    """There 1 - c falls by a power of the depth: twice as deep is half as far, and xi_c is infinite."""
    found = critical_point("tanh", 0.3)
    point = phase_point("tanh", found.sigma_w, 0.3)
    assert (point.c.value, point.xi_c) == (1.0, math.inf)
    distances = distances_from(1.0, 0.9, 400, found.q, "tanh", found.sigma_w, 0.3)
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
    [(name, sigma_b) for name in ("tanh", "erf", "selu") for sigma_b in (0.0, 0.01, 0.3, 1.0)]
    + [("sigmoid", 0.0), ("sigmoid", 3.0), ("gelu", 0.5), ("relu", 0.0), ("leaky_relu(0.1)", 0.0)],
)
def test_chi_1_is_1_on_the_critical_line(name, sigma_b):
    """At the sigma_w of the line the fixed length is the line's, chi_1 is 1, and a little to either side it is not."""
    found = critical_point(name, sigma_b)
    assert found.converged
    assert found.stable
    point = phase_point(name, found.sigma_w, sigma_b)
    assert point.q.value == pytest.approx(found.q, rel=1e-6, abs=1e-9)
    assert point.chi_1 == pytest.approx(1.0, abs=1e-7)
    assert phase_point(name, 0.99 * found.sigma_w, sigma_b).chi_1 < 1 - 1e-5
    assert phase_point(name, 1.01 * found.sigma_w, sigma_b).chi_1 > 1 + 1e-5


def test_the_critical_line_of_rectifiers_is_upright():
    """With biases chi_1 is still 1 at the same sigma_w, but no length rests there."""
    found = critical_point("leaky_relu(0.1)", 0.5)
    assert found.sigma_w**2 == pytest.approx(1.980, abs=5e-4)
    assert (found.q, found.stable, found.converged) == (math.inf, False, True)


def test_a_critical_point_out_of_reach_is_not_converged():
    """tanh at a sigma_b of 2,000 would need a length above 1e6; at 20 it is found."""
    found = critical_point("tanh", 2000.0)
    assert math.isnan(found.sigma_w)
    assert not found.converged
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


@pytest.mark.parametrize("sigma_w", [12.0, 50.0, 1e3])
@pytest.mark.parametrize("name", ["tanh", "sigmoid", "selu", "gelu"])
def test_great_lengths_agree_with_adaptive_quadrature(name, sigma_w, plain_activation):
    """Mean squares at q = sigma_w^2 and, for two inputs, a nested sum; the tanh of chaos is a step."""
    activation = plain_activation(name)
    root = float(sigma_w)

    def value(u):
        return float(activation(torch.tensor(u, dtype=torch.float64)))

    def mean(function):
        edges = [0.0, *(bend / root for bend in (0.5, 1.0, 3.0, 10.0, 40.0)), 9.0]
        return sum(
            quad(lambda z: function(z) * math.exp(-z * z / 2) / math.sqrt(2 * math.pi), *ends, epsrel=1e-11, limit=200)[
                0
            ]
            for start, end in pairwise(edges)
            for ends in ((start, end), (-end, -start))
        )

    assert length_map(root**2, name, 1.0, 0.0) == pytest.approx(mean(lambda z: value(root * z) ** 2), rel=1e-8)


@pytest.mark.parametrize(("c", "q"), [(0.2, 400.0), (0.999, 400.0)])
def test_two_inputs_in_deep_chaos_agree_with_another_sum(c, q):
    """By polar coordinates with the radius inside, evenly spaced: tanh of two inputs, and its slope."""
    radius = np.geomspace(1e-5, 10, 1501)[:, None]
    half = math.acos(c) / 2
    # near the lines where an input is 0 the nodes lie as close as the activation bends
    turns = np.concatenate([-np.geomspace(1e-9, math.pi / 2, 500)[::-1], np.geomspace(1e-9, math.pi / 2, 500)])
    angle = np.unique(np.concatenate([line + turns for line in (math.pi / 2 - half, math.pi / 2 + half)]) % math.pi)
    angle = np.concatenate([angle, [angle[0] + math.pi]])
    u1, u2 = (math.sqrt(q) * radius * np.cos(angle + side * half) for side in (1, -1))
    weight = 2 * radius * np.exp(-(radius**2) / 2) / (2 * math.pi)
    slopes = np.trapezoid(
        np.trapezoid(weight / np.cosh(np.clip(u1, -300, 300)) ** 2 / np.cosh(np.clip(u2, -300, 300)) ** 2, angle),
        radius[:, 0],
    )
    assert chi(q, "tanh", 1.0, c) == pytest.approx(slopes, rel=1e-3)
    product = np.trapezoid(np.trapezoid(weight * np.tanh(u1) * np.tanh(u2), angle), radius[:, 0])
    assert correlation_map(c, q, "tanh", 1.0, 0.0) * length_map(q, "tanh", 1.0, 0.0) == pytest.approx(product, rel=1e-3)


@pytest.mark.parametrize("shift", [-1e-3, -1e-6, -1e-9, -1e-12, 0.0, 1e-12, 1e-9, 1e-6, 1e-3])
@pytest.mark.parametrize(("name", "sigma_b"), [("tanh", 0.0), ("tanh", 0.3), ("selu", 0.3), ("relu", 0.0)])
def test_nothing_breaks_near_the_critical_line(name, sigma_b, shift):
    """Across the line all is finite or infinite, never NaN, and the depth scale rises towards it."""
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


def test_theory_of_xavier_layer_by_layer():
    """One gain is another sigma_w^2 in each layer of 3072-128-64-32-3, and again another on the way back."""
    gain = forward_gain("leaky_relu(0.1)")
    scale = xavier_scale([3072, 128, 64, 32, 3], gain)
    assert (scale.forward / gain**2).round(2).tolist() == [1.92, 1.33, 1.33, 1.83]
    assert scale.forward + scale.backward == pytest.approx([2 * gain**2] * 4)
    predicted = predicted_signals(scale, "leaky_relu(0.1)", 0.0, (1.0, 1.0), 0.5)
    half = (1 + 0.1**2) / 2
    assert predicted.mean_square == pytest.approx(np.cumprod(scale.forward * [1, half, half, half]))
    assert predicted.gradient_mean_square[::-1] == pytest.approx(np.cumprod([1, *(scale.backward[:0:-1] * half)]))


def test_prediction_of_unequal_inputs():
    """Each input follows its own length map, and their correlation the map of both lengths."""
    scale, sigma_b = mean_field_scale([50, 50, 50], sigma_w=1.5), 0.3
    predicted = predicted_signals(scale, "tanh", sigma_b, (0.5, 3.0), 0.4)
    q, q_other = 2.25 * 0.5 + 0.09, 2.25 * 3.0 + 0.09
    c = (2.25 * 0.4 * math.sqrt(1.5) + 0.09) / math.sqrt(q * q_other)
    assert predicted.mean_square == pytest.approx([q, length_map(q, "tanh", 1.5, sigma_b)])
    assert predicted.correlation == pytest.approx([c, correlation_map(c, q, "tanh", 1.5, sigma_b, q_other)])
    assert predicted.gradient_mean_square == pytest.approx([chi(q, "tanh", 1.5), 1.0])


def test_equal_inputs_are_predicted_to_stay_equal():
    """Rounding never carries a correlation of 1 over the edge, however deep."""
    scale = mean_field_scale([10] * 100, sigma_w=2.0)
    for name in ("relu", "tanh", "selu"):
        predicted = predicted_signals(scale, name, 0.0, (1.1, 0.7), 1.0 if name == "tanh" else 1.0 + 1e-15)
        assert predicted.correlation[0] == 1
        assert abs(predicted.correlation).max() <= 1


def test_signals_that_fade_keep_their_correlation():
    """Where tanh without biases lets lengths fall below what floats can hold, correlations stay, and nothing breaks."""
    predicted = predicted_signals(mean_field_scale([10] * 201, sigma_w=0.1), "tanh", 0.0, (1.0, 2.0), 0.4)
    assert predicted.mean_square[-1] == 0
    assert predicted.mean_square[150] == pytest.approx(1e-302, rel=0.1, abs=0)
    assert predicted.correlation[[20, 100, 199]] == pytest.approx(predicted.correlation[10], abs=1e-10)


def test_signals_that_explode_are_infinite():
    """A gain of a million in sixty layers of relu: beyond what floats can hold there is no warning, and no number."""
    predicted = predicted_signals(xavier_scale([10] * 61, 1e6), "relu", 0.3, (1.0, 2.0), 0.4)
    assert predicted.mean_square[10] == pytest.approx(1e132 / 2**10, rel=1e-6)
    assert predicted.mean_square[-1] == math.inf
    assert math.isnan(predicted.correlation[-1])
    assert predicted.gradient_mean_square[[0, -1]].tolist() == [math.inf, 1.0]


def test_the_smallest_biases_count():
    """Also a length far below the search grid is that of its formula, sigma_b^2 / (1 - sigma_w^2)."""
    assert length_fixed_point("tanh", 0.9, 1e-8).value == pytest.approx(1e-16 / (1 - 0.81), rel=1e-9, abs=0)


def test_gains_keep_second_moments(activation_name):
    """At the forward gain a signal of length 1 keeps it, at the backward gain a gradient does."""
    [row] = gain_table([activation_name])
    assert length_map(1.0, activation_name, row.forward, 0.0) == pytest.approx(1.0, rel=1e-9)
    assert chi(1.0, activation_name, row.backward) == pytest.approx(1.0, rel=1e-12)
    assert row.forward == forward_gain(activation_name)
    assert row.backward == backward_gain(activation_name)


def test_gains_of_pytorch(activation_name):
    """The table's values are PyTorch's, and where it has none PyTorch has none."""
    [row] = gain_table([activation_name])
    kind, _, slope = activation_name.partition("(")
    parameter = float(slope.rstrip(")")) if slope else None
    if row.pytorch is None:
        with pytest.raises(ValueError, match="Unsupported nonlinearity"):
            torch.nn.init.calculate_gain(kind)
    else:
        assert row.pytorch == pytest.approx(torch.nn.init.calculate_gain(kind, parameter), rel=1e-12)


def test_remarks_on_pytorchs_gains_hold():
    """What the table says of tanh's 5/3, of sigmoid's 1 and of selu's 3/4 is what the theory gives there."""
    rows = {row.activation: row for row in gain_table(["relu", "tanh", "sigmoid", "selu", "leaky_relu(0.1)", "erf"])}
    for name in ("relu", "leaky_relu(0.1)"):
        assert rows[name].forward == pytest.approx(rows[name].backward)
        assert rows[name].forward == pytest.approx(rows[name].pytorch)
    assert rows["tanh"].pytorch > max(rows["tanh"].forward, rows["tanh"].backward)
    for name in ("sigmoid", "selu"):
        assert rows[name].pytorch < min(rows[name].forward, rows[name].backward)
    assert rows["erf"].backward < rows["erf"].forward
    tanh, sigmoid, selu = (phase_point(name, rows[name].pytorch, 0.0) for name in ("tanh", "sigmoid", "selu"))
    assert "q* = 1.18" in rows["tanh"].remark
    assert "1.21" in rows["tanh"].remark
    assert (round(tanh.q.value, 2), round(tanh.chi_1, 2)) == (1.18, 1.21)
    assert "1/18" in rows["sigmoid"].remark
    assert round(1 / sigmoid.chi_1) == 18
    assert "q* = 0.023" in rows["selu"].remark
    assert (round(selu.q.value, 3), round(selu.chi_1, 2)) == (0.023, 1.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: length_map(1.0, "tanh", 0.0, 0.0), "sigma_w must be in 1e-08 .. 1e\\+08 and finite, got 0.0"),
        (lambda: phase_point("tanh", 1e-200, 0.0), "sigma_w must be in 1e-08 .. 1e\\+08 and finite, got 1e-200"),
        (lambda: phase_point("tanh", 1e200, 0.0), "sigma_w must be in 1e-08 .. 1e\\+08 and finite, got 1e\\+200"),
        (lambda: length_map(1.0, "tanh", 1.0, -0.1), "sigma_b must be at least 0 and finite, got -0.1"),
        (lambda: length_map(math.inf, "tanh", 1.0, 0.1), "q must be at least 0 and finite, got inf"),
        (lambda: chi(-1.0, "tanh", 1.0), "q must be at least 0 and finite, got -1.0"),
        (lambda: correlation_map(1.1, 1.0, "tanh", 1.0, 0.0), "c must be in -1 .. 1 and finite, got 1.1"),
        (lambda: phase_point("tanh", math.nan, 0.0), "sigma_w must be in 1e-08 .. 1e\\+08 and finite, got nan"),
        (lambda: critical_point("tanh", -1.0), "sigma_b must be at least 0 and finite, got -1.0"),
    ],
)
def test_numbers_out_of_range_are_refused(call, message):
    """The error names the number, its range and what it was."""
    with pytest.raises(ValueError, match=message):
        call()


def test_unknown_activations_are_refused():
    """The error lists the choices; nothing is guessed, not even from another spelling."""
    with pytest.raises(InputError, match=r"one of relu, tanh, .*leaky_relu\(SLOPE\), got 'ReLU\(\)'"):
        length_map(1.0, "ReLU()", 1.0, 0.0)


@pytest.mark.parametrize("slope", ["1", "1.5", "-0.1", "nan", "inf", "x"])
def test_slopes_out_of_range_are_refused(slope):
    """As on the command line: below 1, or the activation is none."""
    with pytest.raises(InputError, match=r"must have a slope of at least 0 and below 1, .*, got 'leaky_relu"):
        forward_gain(f"leaky_relu({slope})")


def test_theory_needs_no_torch():
    """A flow whose results are cached can draw predicted lines without the seconds that torch takes to import."""
    names = ", ".join(module.__name__ for module in (gains, phases, predictions))
    script = f"import sys, {names}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def expectation(function):
    """Return E[f(z)^2] for z standard normal, by Gauss and Hermite."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(150)
    return float(weights @ np.array([function(z) ** 2 for z in nodes]) / math.sqrt(2 * math.pi))


CLOSED_FORMS = {
    "relu": 1 / 2,
    "leaky_relu(0.0)": 1 / 2,
    "leaky_relu(0.1)": (1 + 0.1**2) / 2,
    "leaky_relu(0.5)": (1 + 0.5**2) / 2,
    "erf": 2 / math.pi * math.asin(2 / 3),
    "gelu": 1 / 3 + 1 / (2 * math.pi * math.sqrt(3)),
    "selu": 1.0,  # its constants were made for this
    "tanh": expectation(math.tanh),
    "sigmoid": expectation(lambda z: 1 / (1 + math.exp(-z))),
}


@pytest.mark.parametrize(("activation", "moment"), CLOSED_FORMS.items())
def test_forward_gains_keep_the_second_moment(activation, moment):
    """gain^2 E[f(z)^2] is 1 for every activation, by closed form or, for two of them, by another quadrature."""
    assert forward_gain(activation) ** 2 * moment == pytest.approx(1, rel=1e-9)


def test_every_activation_offered_has_a_forward_gain():
    """The table above leaves none out."""
    assert {name.split("(")[0] for name in ACTIVATION_NAMES} == {name.split("(")[0] for name in CLOSED_FORMS}


@pytest.mark.parametrize(
    ("activation", "arguments"),
    [("relu", ["relu"]), ("leaky_relu(0.1)", ["leaky_relu", 0.1]), ("leaky_relu(0.01)", ["leaky_relu"])],
)
def test_gains_of_the_relu_family_are_pytorchs(activation, arguments):
    """Here PyTorch's `calculate_gain` follows the same rule; its tanh 5/3 and selu 3/4 are rules of thumb."""
    assert forward_gain(activation) == pytest.approx(nn.init.calculate_gain(*arguments), rel=1e-12)


def test_small_slopes_have_a_forward_gain():
    """A slope that Python writes with an exponent is a slope too."""
    assert forward_gain("leaky_relu(1e-05)") == pytest.approx(math.sqrt(2), rel=1e-9)
