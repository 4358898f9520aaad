"""Maps of lengths and correlations against closed forms and against other sums."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from cases import combinations, every_activation
from scipy.integrate import quad

from mlp_core.errors import InputError
from mlp_core.theory.maps import chi, correlation_map, length_map, length_slope
from mlp_core.theory.phases import critical_point, phase_point

CORRELATIONS = [-1.0, -0.9, 0.0, 0.3, 0.9, 0.99999, 1.0]
LENGTHS = [1e-3, 0.3, 1.0, 4.0, 25.0]
RECTIFIERS = [("relu", 0.0), ("leaky_relu(0.1)", 0.1), ("leaky_relu(0.5)", 0.5)]


def standard_normal(reach=12.0, n_nodes=40_001):
    """Return evenly spaced nodes and weights: for analytic functions a rule with no more error than rounding."""
    nodes = np.linspace(-reach, reach, n_nodes)
    weights = np.exp(-(nodes**2) / 2)
    return nodes, weights / weights.sum()


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


@pytest.mark.parametrize(
    ("lengths", "c"),
    combinations([(1e-3, 1e-3), (1.0, 1.0), (25.0, 25.0), (0.1, 10.0)], [-0.9, 0.0, 0.5, 0.99]),
    ids=str,
)
def test_selu_agrees_with_a_nested_sum(lengths, c):
    """The mean over u2 at given u1 has a formula; its sum over u1, half-line by half-line, is what the sectors give."""
    q, q_other = lengths
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
    next_lengths = [length_map(length, "selu", 1.0, 0.0) for length in lengths]
    expected = product / math.sqrt(math.prod(next_lengths))
    assert correlation_map(c, q, "selu", 1.0, 0.0, q_other) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize(("activation_name", "q"), combinations(every_activation(), LENGTHS))
def test_equal_inputs_stay_equal(activation_name, q):
    """At correlation 1 the correlation map is the length map over itself, whether or not lengths are fixed."""
    assert correlation_map(1.0, q, activation_name, 1.2, 0.3) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize(
    ("activation_name", "q", "c"), combinations(every_activation(), [0.3, 4.0], [-0.5, 0.0, 0.4, 0.9])
)
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


@pytest.mark.parametrize(("c", "q"), [pytest.param(0.2, 400.0, marks=pytest.mark.thorough), (0.999, 400.0)])
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
