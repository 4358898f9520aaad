"""Initial weights, activations and logits of an ensemble, compared with plain PyTorch networks."""

import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from mlp_core.engine.architecture import parameter_count
from mlp_core.engine.networks import Ensemble, Initialization, activation
from mlp_core.errors import InputError

SIZES = (5, 7, 6, 4)
XAVIER = {"xavier_normal": nn.init.xavier_normal_, "xavier_uniform": nn.init.xavier_uniform_}


def generators(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def inputs(n=11, n_features=5):
    return torch.randn(n, n_features, generator=torch.Generator().manual_seed(99))


@pytest.mark.parametrize("sizes", [(2, 14, 4), (2, 4, 4, 4, 4, 4, 4), (1325, 4), (48, 64, 64, 64, 3)])
def test_a_member_starts_as_plain_linear_layers_do(sizes):
    """With the same seed, weights and biases are those of a stack of `nn.Linear`, bit for bit."""
    state = Ensemble(sizes, "relu", generators(7, 2021)).state()
    for member, seed in enumerate((7, 2021)):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            layers = [nn.Linear(n_inputs, n_outputs) for n_inputs, n_outputs in pairwise(sizes)]
        for index, layer in enumerate(layers):
            assert torch.equal(state[f"{2 * index}.weight"][member], layer.weight)
            assert torch.equal(state[f"{2 * index}.bias"][member], layer.bias)


@pytest.mark.parametrize("gain", [0.1, 1.0, 3.0])
@pytest.mark.parametrize("scheme", XAVIER)
def test_xavier_weights_are_pytorchs(scheme, gain):
    """Weights equal those of `torch.nn.init`, biases those of `nn.Linear`, drawn after them from one stream."""
    (stream,) = generators(3)
    state = Ensemble([30, 20, 3], "relu", generators(3), Initialization(scheme, (gain,))).state()
    for index, (n_inputs, n_outputs) in enumerate([(30, 20), (20, 3)]):
        weight = XAVIER[scheme](torch.empty(n_outputs, n_inputs), gain, generator=stream)
        bias = nn.init.uniform_(torch.empty(n_outputs), -(n_inputs**-0.5), n_inputs**-0.5, generator=stream)
        torch.testing.assert_close(state[f"{2 * index}.weight"][0], weight, rtol=1e-6, atol=0)
        torch.testing.assert_close(state[f"{2 * index}.bias"][0], bias, rtol=1e-6, atol=0)


def test_moments_and_bounds_of_each_scheme():
    """Mean, deviation and largest value of many weights are those of the formulas, the biases' always PyTorch's."""
    n_inputs, n_outputs, gain = 300, 100, 1.7
    xavier = gain * math.sqrt(2 / (n_inputs + n_outputs))
    expected = {
        "pytorch": (n_inputs**-0.5 / math.sqrt(3), n_inputs**-0.5),
        "xavier_normal": (xavier, math.inf),
        "xavier_uniform": (xavier, xavier * math.sqrt(3)),
    }
    for scheme, (deviation, bound) in expected.items():
        initialization = Initialization(scheme, (gain,))
        state = Ensemble([n_inputs, n_outputs], "relu", generators(*range(20)), initialization).state()
        weight, bias = state["0.weight"], state["0.bias"]
        n = weight.numel()
        assert abs(weight.mean().item()) < 4 * deviation / math.sqrt(n)
        assert weight.std().item() == pytest.approx(deviation, rel=4 / math.sqrt(2 * n))
        if bound < math.inf:
            assert 0.999 * bound < weight.abs().max().item() <= bound * (1 + 1e-6)
        else:
            assert weight.abs().max().item() > 4 * deviation
        assert 0.99 * n_inputs**-0.5 < bias.abs().max().item() <= n_inputs**-0.5 * (1 + 1e-6)
        assert bias.std().item() == pytest.approx(n_inputs**-0.5 / math.sqrt(3), rel=0.05)


def test_one_gain_is_four_points_of_the_phase_diagram():
    """At gain 1 the layers of 3072-128-64-32-3 have fan-in x variance 1.92, 1.33, 1.33 and 1.83."""
    xavier = Initialization("xavier_normal")
    state = Ensemble([3072, 128, 64, 32, 3], "relu", generators(*range(40)), xavier).state()
    variances = [weight.shape[2] * weight.var().item() for name, weight in state.items() if "weight" in name]
    assert variances == pytest.approx([1.92, 1.33, 1.33, 1.83], rel=0.05)


def test_gains_scale_the_same_draws():
    """Two gains give a member the same weights but for the factor, and the same biases."""
    weak, strong = (
        Ensemble(SIZES, "relu", generators(1), Initialization("xavier_uniform", (gain,))).state() for gain in (0.5, 2.0)
    )
    for name, value in weak.items():
        torch.testing.assert_close(strong[name], value * (4 if "weight" in name else 1), rtol=1e-6, atol=0)


def test_an_unknown_scheme_is_refused():
    """A misspelt initialization is an error with the choices, never silently another one."""
    with pytest.raises(ValueError, match="pytorch, xavier_normal, xavier_uniform"):
        Ensemble(SIZES, "relu", generators(0), Initialization("xavier-normal"))


@pytest.mark.parametrize("scheme", ["pytorch", *XAVIER])
def test_a_members_parameters_do_not_depend_on_company(scheme):
    """A member starts the same alone, in any company and at any place."""
    company = Ensemble(SIZES, "relu", generators(4, 5, 6), Initialization(scheme)).state()
    alone = Ensemble(SIZES, "relu", generators(6), Initialization(scheme)).state()
    turned = Ensemble(SIZES, "relu", generators(6, 5, 4), Initialization(scheme)).state()
    for name, value in company.items():
        assert torch.equal(alone[name][0], value[2])
        assert torch.equal(turned[name].flip(0), value)


@pytest.mark.parametrize("sizes", [(5, 4), SIZES])
def test_a_state_loads_into_a_plain_sequential(plain_network, activation_name, sizes):
    """Each member's parameters in a plain `Sequential` give the ensemble's logits."""
    ensemble = Ensemble(sizes, activation_name, generators(0, 1, 2))
    logits = ensemble.logits(inputs())
    for member in range(3):
        expected = plain_network(ensemble, activation_name, member)(inputs()).T
        torch.testing.assert_close(logits[member], expected.detach(), rtol=1e-5, atol=1e-6)


def test_parameters_are_counted_with_their_biases(plain_network):
    """The count is that of a plain network."""
    network = plain_network(Ensemble(SIZES, "relu", generators(0)), "relu", 0)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameter_count(SIZES)


def test_an_ensemble_comes_back_from_its_state():
    """State and back gives the same parameters and logits, and the state is a copy."""
    ensemble = Ensemble(SIZES, "tanh", generators(0, 1, 2))
    state = ensemble.state()
    again = Ensemble.from_state(state, "tanh")
    assert (again.layer_sizes, again.n_members) == (SIZES, 3)
    assert all(torch.equal(value, state[name]) for name, value in again.state().items())
    assert torch.equal(again.logits(inputs()), ensemble.logits(inputs()))
    before = state["0.weight"].clone()
    ensemble.layers[0].zero_()
    assert torch.equal(state["0.weight"], before)
    assert torch.equal(again.state()["0.weight"], before)


@pytest.mark.parametrize("n_members", [1, 3])
def test_activations_and_derivatives_are_pytorchs(plain_activation, activation_name, n_members):
    """Values written next to the constant row, and gradients from what was saved, are autograd's."""
    stream = torch.Generator().manual_seed(0)
    z = 2 * torch.randn(n_members, 7, 64, generator=stream)
    gradient = torch.randn(z.shape, generator=stream)
    expected = plain_activation(activation_name)(z.requires_grad_())
    (expected_gradient,) = torch.autograd.grad(expected, z, gradient)
    z.requires_grad_(False)

    signal = torch.ones(n_members, 8, 64)
    function = activation(activation_name)
    function.forward(z, signal[:, :-1])
    function.backward(gradient, z if function.saves_input else signal[:, :-1])
    torch.testing.assert_close(signal[:, :-1], expected.detach(), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-5, atol=1e-6)
    assert bool((signal[:, -1] == 1).all())


@pytest.mark.parametrize("name", ["swish", "leaky_relu", "ReLU()", ""])
def test_an_unknown_activation_lists_the_choices(name):
    """Nothing but a canonical name is accepted."""
    with pytest.raises(InputError, match=r"must be one of relu, .*leaky_relu\(SLOPE\), got"):
        Ensemble(SIZES, name, generators(0))
