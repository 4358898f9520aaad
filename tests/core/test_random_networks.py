"""Measured signals against plain autograd, and against the theory of infinite width."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from cases import combinations

from mlp_core.errors import InputError
from mlp_core.seeds import generator
from mlp_core.theory import random_networks
from mlp_core.theory.fixed_points import length_fixed_point
from mlp_core.theory.maps import chi
from mlp_core.theory.phases import critical_point, phase_point
from mlp_core.theory.predictions import predicted_signals
from mlp_core.theory.random_networks import gaussian_inputs, input_lengths, measure_signals
from mlp_core.theory.weight_scales import mean_field_scale, xavier_scale

# Theory and measurement may differ by three standard errors, and by this share at this width. There are as many members
# as make three standard errors smaller than it.
TOLERANCES = {300: 0.35, 1000: 0.05}
# Activation, sigma_w, sigma_b, members at width 300 and at width 1000: on the critical line but for gelu, whose lengths
# there hardly come to rest
SETTINGS = [
    ("tanh", critical_point("tanh", 0.3).sigma_w, 0.3, 12, 16),
    ("relu", math.sqrt(2), 0.0, 48, 400),
    ("leaky_relu(0.1)", math.sqrt(2 / 1.01), 0.0, 48, 400),
    ("erf", critical_point("erf", 0.3).sigma_w, 0.3, 12, 16),
    ("gelu", 1.3, 0.5, 16, 64),
    ("selu", critical_point("selu", 0.3).sigma_w, 0.3, 12, 32),
]


def some_inputs(n_features, mean_square=1.0, correlation=0.3):
    return gaussian_inputs(n_features, mean_square, correlation, torch.Generator().manual_seed(5))


def compared(values, expected):
    """Return the deviation of a mean from the theory and three standard errors of it, both as shares of the theory."""
    ratios = values / expected
    return float(ratios.mean()) - 1, 3 * float(ratios.std()) / math.sqrt(len(ratios))


def assert_agreement(name, sigma_w, sigma_b, width, n_members):
    """Start at the length that stays, and hold length and gradients after 20 layers against the theory."""
    q = length_fixed_point(name, sigma_w, sigma_b).value
    inputs = some_inputs(width, (q - sigma_b**2) / sigma_w**2)
    measured = measure_signals(mean_field_scale([width] * 21, sigma_w), name, sigma_b, inputs, range(n_members), 2021)
    for values, expected in (
        (measured.mean_square[:, 19], q),
        (measured.gradient_growth().mean(1), chi(q, name, sigma_w)),
    ):
        deviation, three_errors = compared(values, expected)
        assert abs(deviation) <= three_errors <= TOLERANCES[width]


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_every_number_is_that_of_plain_autograd(activation_name, plain_activation, distribution):
    """A member rebuilt from its streams, forward and backward by PyTorch, gives the same numbers in every layer."""
    sizes, sigma_b, seed, member = (7, 5, 6, 3), 0.3, 11, 4
    scale = xavier_scale(sizes, gain=1.3)
    inputs = torch.randn(2, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    measured = measure_signals(scale, activation_name, sigma_b, inputs, [member], seed, distribution)

    def draw(stream, *shape):
        empty = torch.empty(shape)
        if distribution == "normal":
            return empty.normal_(generator=stream).double()
        return empty.uniform_(-math.sqrt(3), math.sqrt(3), generator=stream).double()

    signal, layers = inputs, []
    for layer, (n_inputs, n_outputs) in enumerate(pairwise(sizes)):
        stream = generator(seed, "signals", member, layer)
        weight, bias = draw(stream, n_outputs, n_inputs) * scale.deviations[layer], draw(stream, n_outputs) * sigma_b
        pre_activations = (signal @ weight.T + bias).requires_grad_()
        pre_activations.retain_grad()
        layers.append(pre_activations)
        signal = plain_activation(activation_name)(pre_activations)
    direction = torch.randn(3, generator=generator(seed, "signals", member, "gradient")).double()
    direction *= math.sqrt(3) / direction.norm()
    (layers[-1][0] @ direction).backward()
    expected = torch.stack([z[0].square().mean() for z in layers]).detach()
    torch.testing.assert_close(measured.mean_square[0], expected)
    expected = torch.stack([(z[0] @ z[1]) / (z[0].norm() * z[1].norm()) for z in layers]).detach()
    torch.testing.assert_close(measured.correlation[0], expected)
    expected = torch.stack([z.grad[0].square().mean() for z in layers])
    torch.testing.assert_close(measured.gradient_mean_square[0], expected)
    assert measured.gradient_mean_square[0, -1] == pytest.approx(1.0)
    torch.testing.assert_close(measured.gradient_growth()[0], expected[:-1] / expected[1:])


def test_members_do_not_depend_on_their_company():
    """Alone or in another order a member gives the same numbers, to the bit; members differ from each other."""
    scale, inputs = xavier_scale([20, 30, 10], gain=1.0), some_inputs(20)
    together = measure_signals(scale, "tanh", 0.1, inputs, range(5), seed=1)
    chosen = measure_signals(scale, "tanh", 0.1, inputs, [4, 2], seed=1)
    for name in ("mean_square", "correlation", "gradient_mean_square"):
        assert torch.equal(getattr(chosen, name), getattr(together, name)[[4, 2]])
    assert len(together.mean_square[:, 0].unique()) == 5
    other = measure_signals(scale, "tanh", 0.1, inputs, range(5), seed=2)
    assert not torch.isclose(other.mean_square, together.mean_square).any()


def test_memory_is_bounded(monkeypatch):
    """However many the members, weights of one layer of one member are held at a time."""
    drawn = []
    draw = random_networks._Networks.draw
    monkeypatch.setattr(random_networks._Networks, "draw", lambda *args: drawn.append(draw(*args)) or drawn[-1])
    measured = measure_signals(mean_field_scale([20, 20, 10], 1.0), "tanh", 0.0, some_inputs(20), range(7), seed=1)
    assert len(measured.mean_square) == 7
    assert max(weights.numel() for weights, _ in drawn) == 400


def test_members_of_equal_number_differ_in_scale_alone():
    """Doubling sigma_w multiplies relu's mean squares by four a layer, and leaves the correlations."""
    inputs = some_inputs(40)
    single, double = (
        measure_signals(mean_field_scale([40] * 4, sigma_w), "relu", 0.0, inputs, range(3), seed=1)
        for sigma_w in (1.0, 2.0)
    )
    torch.testing.assert_close(double.mean_square, single.mean_square * torch.tensor([4.0, 16.0, 64.0]))
    torch.testing.assert_close(
        double.gradient_mean_square, single.gradient_mean_square * torch.tensor([16.0, 4.0, 1.0])
    )
    torch.testing.assert_close(double.correlation, single.correlation)


@pytest.mark.parametrize("correlation", [-1.0, 0.0, 0.37, 1.0])
def test_gaussian_inputs_are_exact(correlation):
    """Mean square and correlation are not near what was asked for, but just that; the directions are random."""
    inputs = gaussian_inputs(30, 2.5, correlation, torch.Generator().manual_seed(1))
    assert (inputs.shape, inputs.dtype) == ((2, 30), torch.float64)
    lengths, measured = input_lengths(inputs)
    assert lengths == pytest.approx((2.5, 2.5), rel=1e-12)
    assert measured == pytest.approx(correlation, abs=1e-12)
    assert not torch.allclose(inputs, gaussian_inputs(30, 2.5, correlation, torch.Generator().manual_seed(2)))


@pytest.mark.parametrize(
    ("name", "sigma_w", "sigma_b", "n_members", "_"),
    [
        pytest.param(
            *setting,
            marks={"tanh": (), "selu": (), "leaky_relu(0.1)": pytest.mark.slow}.get(setting[0], pytest.mark.thorough),
        )
        for setting in SETTINGS
    ],
)
def test_width_300_agrees_with_theory(name, sigma_w, sigma_b, n_members, _):
    """Length and chi_1 of 20 layers of width 300 are within three standard errors of the theory, and within 35 %."""
    assert_agreement(name, sigma_w, sigma_b, 300, n_members)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "sigma_w", "sigma_b", "_", "n_members"), SETTINGS)
def test_width_1000_agrees_with_theory(name, sigma_w, sigma_b, _, n_members):
    """Length and chi_1 of 20 layers of width 1000 are within three standard errors of the theory, and within 5 %."""
    assert_agreement(name, sigma_w, sigma_b, 1000, n_members)


@pytest.mark.parametrize(
    ("network", "distribution"),
    combinations(
        [("tanh", 0.9, 0.2), ("tanh", 1.3, 0.3), ("tanh", 2.5, 0.2), ("selu", 1.0, 0.0), ("relu", 1.2, 0.3)],
        ["normal", "uniform"],
    ),
    ids=str,
)
def test_whole_courses_agree_with_theory(network, distribution):
    """In order, near criticality and in chaos the lines of q, c and gradients run through the measured dots."""
    name, sigma_w, sigma_b = network
    inputs, scale = some_inputs(200, 2.0, 0.3), mean_field_scale([200] * 9, sigma_w)
    measured = measure_signals(scale, name, sigma_b, inputs, range(24), 7, distribution)
    predicted = predicted_signals(scale, name, sigma_b, *input_lengths(inputs))
    for kind in ("mean_square", "correlation", "gradient_mean_square"):
        values, line = getattr(measured, kind).numpy(), getattr(predicted, kind)
        errors = values.std(0, ddof=1) / math.sqrt(len(values))
        # Three dozen dots per course: four standard errors, and 1 / width for the bias of a finite width
        assert (abs(values.mean(0) - line) <= 4 * errors + line / 200).all()


@pytest.mark.parametrize(
    ("name", "sigma_w", "sigma_b"),
    [
        ("tanh", 0.9, 0.2),
        pytest.param("erf", 0.7, 0.3, marks=pytest.mark.thorough),
        pytest.param("leaky_relu(0.1)", 1.1, 0.3, marks=pytest.mark.thorough),
        pytest.param("gelu", 1.0, 0.3, marks=pytest.mark.thorough),
    ],
)
def test_the_fitted_depth_scale_is_that_of_the_theory(name, sigma_w, sigma_b):
    """In order 1 - c falls by exp(-1 / xi_c) a layer: the slope of its logarithm over layers 6 to 20."""
    width, n_skipped = 300, 5
    scale = mean_field_scale([width] * 21, sigma_w)
    measured = measure_signals(scale, name, sigma_b, some_inputs(width, correlation=0.9), range(12), 11)
    courses = (1 - measured.correlation[:, n_skipped:]).log().numpy()
    slopes = np.polyfit(np.arange(courses.shape[1]), courses.T, 1)[0]
    deviation, three_errors = compared(torch.from_numpy(-slopes), 1 / phase_point(name, sigma_w, sigma_b).xi_c)
    assert abs(deviation) <= three_errors < 0.15


@pytest.mark.thorough
def test_xavier_holds_forward_and_backward():
    """On 3072-128-64-32-3 with inputs like pixels the predicted lines run through the measured dots."""
    scale = xavier_scale([3072, 128, 64, 32, 3], gain=1.4)
    inputs = torch.rand(2, 3072, generator=torch.Generator().manual_seed(3)) * torch.tensor([[1.0], [0.5]]) - 0.2
    measured = measure_signals(scale, "leaky_relu(0.1)", 0.0, inputs, range(160), seed=1)
    predicted = predicted_signals(scale, "leaky_relu(0.1)", 0.0, *input_lengths(inputs))
    for kind in ("mean_square", "gradient_mean_square"):
        values, line = getattr(measured, kind).numpy(), getattr(predicted, kind)
        errors = values.std(0, ddof=1) / math.sqrt(len(values))
        assert (abs(values.mean(0) - line) <= 3 * errors + 1e-12).all()
        assert (errors < 0.1 * line).all()
    assert not np.allclose(predicted.mean_square[1:], predicted.mean_square[:-1], rtol=0.1)


@pytest.mark.thorough
def test_relu_scatters_as_finite_width_theory_says():
    """The relative second moment of q is `(1 + 5 / width)^(layers - 1) (1 + 2 / width)`, its mean is exact."""
    width, n_layers, n_members = 24, 3, 1500
    scale = mean_field_scale([width] * (n_layers + 1), math.sqrt(2))
    measured = measure_signals(scale, "relu", 0.0, some_inputs(width, 0.5), range(n_members), seed=1)
    q = measured.mean_square[:, -1]
    deviation, three_errors = compared(q, 1.0)
    assert abs(deviation) <= three_errors < 0.06
    deviation, three_errors = compared(q.square(), (1 + 5 / width) ** (n_layers - 1) * (1 + 2 / width))
    assert abs(deviation) <= three_errors < 0.3
    assert q.log().mean() < -0.2


@pytest.mark.parametrize(("name", "sigma_w"), [("relu", 3.0), ("tanh", 0.1), ("relu", 0.3)])
def test_a_hundred_layers_neither_overflow_nor_fade(name, sigma_w):
    """Exploding and vanishing signals stay numbers, in both directions, where float32 would have none."""
    measured = measure_signals(mean_field_scale([50] * 101, sigma_w), name, 0.0, some_inputs(50), range(2), seed=1)
    for values in (measured.mean_square, measured.gradient_mean_square):
        assert values.isfinite().all()
        assert (values > 0).all()
    assert measured.correlation.isfinite().all()
    assert measured.mean_square.log10().abs().max() > 50


def test_dead_networks_are_results():
    """Where every relu of a layer is off, nothing goes on: lengths and gradients are 0, correlations NaN."""
    measured = measure_signals(mean_field_scale([2] + [1] * 8, 1.0), "relu", 0.0, some_inputs(2), range(30), seed=1)
    dead = measured.mean_square[:, -1] == 0
    assert dead.any()
    assert measured.correlation[dead, -1].isnan().all()
    assert (measured.gradient_mean_square[dead, 0] == 0).all()
    assert (measured.gradient_mean_square[:, -1] == 1).all()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"activation_name": "swish"}, InputError, "activation must be one of relu, .*, got 'swish'"),
        ({"distribution": "cauchy"}, InputError, "distribution must be normal or uniform, got 'cauchy'"),
        ({"inputs": torch.ones(3, 20)}, ValueError, r"two examples of 20 features, got shape \[3, 20\]"),
        ({"inputs": torch.ones(2, 21)}, ValueError, r"two examples of 20 features, got shape \[2, 21\]"),
    ],
)
def test_wrong_arguments_are_refused(arguments, error, message):
    """The error says what was expected and what came."""
    valid = {"activation_name": "relu", "inputs": some_inputs(20)}
    with pytest.raises(error, match=message):
        measure_signals(mean_field_scale([20, 20], 1.0), sigma_b=0.0, members=[0], seed=1, **{**valid, **arguments})


@pytest.mark.parametrize("arguments", [(1, 1.0, 0.0), (5, 0.0, 0.0), (5, math.nan, 0.0), (5, 1.0, 1.5)])
def test_impossible_inputs_are_refused(arguments):
    """The error names the three rules and the values."""
    with pytest.raises(ValueError, match=r"n_features must be at least 2, .*, got \("):
        gaussian_inputs(*arguments, torch.Generator())
