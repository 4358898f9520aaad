"""What is measured before the first step: on constructed networks, against autograd, of the very members trained."""

import math

import pytest
import torch
from configurations import configs_of
from torch import nn

from mlp_core.data.datasets import Split
from mlp_core.engine.members import train_members, untrained_members
from mlp_core.engine.networks import Ensemble
from mlp_core.experiments.ablation.init_diagnostics import dead_units, gradient_mean_squares, measure_at_init
from mlp_core.experiments.depth_sweep.experiment import depth_sweep_trials

TRAINING = {"optimizer": "adam", "learning_rate": 1e-3, "batch_size": 32, "seed": 2021, "device": "cpu"}


def ensemble_of(sizes, activation, members=3):
    return Ensemble(sizes, activation, [torch.Generator().manual_seed(seed) for seed in range(members)])


def points(n=64, n_classes=4):
    stream = torch.Generator().manual_seed(7)
    return torch.randn(n, 2, generator=stream), torch.randint(n_classes, (n,), generator=stream)


@pytest.fixture
def data():
    """Give 64 points of four classes to train and to test on."""
    return Split(*points(), *points())


@pytest.fixture
def half_dead():
    """Give two members of 2-2-2-4 with relu: one with a dead unit, one with a dead first layer."""
    ensemble = ensemble_of([2, 2, 2, 4], "relu", members=2)
    ensemble.parameters.zero_()
    first, second, _ = ensemble.layers
    first[0] = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])  # x1, and always -1
    first[1, :, 2] = -1.0
    second[0, :, 2] = 1.0  # a constant 1 is no dead unit
    second[1, :, 2] = 1.0
    return ensemble


def test_a_dead_unit_is_one_that_no_point_wakes(half_dead):
    """A unit that a single point wakes is alive, one that is negative everywhere is dead, a constant one is alive."""
    inputs = torch.tensor([[-1.0, 0.0], [-2.0, 5.0], [0.1, 0.0]])
    first, second = dead_units(half_dead, inputs)
    assert first.tolist() == [[False, True], [True, True]]
    assert second.tolist() == [[False, False], [False, False]]
    assert dead_units(half_dead, inputs[:2])[0].tolist() == [[True, True], [True, True]]


def test_no_gradient_passes_a_dead_layer(half_dead):
    """Before a layer of dead units the gradient is exactly 0, behind it is not."""
    inputs, labels = points()
    half_dead.layers[2][:, :, :-1] = torch.eye(4)[:, :2]
    half_dead.layers[1][:, :, :-1] = 0.5
    squares = gradient_mean_squares(half_dead, inputs, labels)
    assert squares[1, 0] == 0
    assert (squares[0] > 0).all()
    assert squares[1, 2] > 0


@pytest.mark.parametrize("name", ["relu", "tanh", "gelu", "leaky_relu(0.1)"])
def test_gradients_are_autograds(name, plain_network):
    """The mean square over a layer's weights and biases is that of a plain network's gradient on all points."""
    inputs, labels = points()
    ensemble = ensemble_of([2, 5, 5, 4], name)
    squares = gradient_mean_squares(ensemble, inputs, labels)
    for member in range(3):
        network = plain_network(ensemble, name, member)
        nn.functional.cross_entropy(network(inputs), labels).backward()
        layers = [module for module in network if isinstance(module, nn.Linear)]
        expected = [
            torch.cat([layer.weight.grad.flatten(), layer.bias.grad]).double().square().mean().item()
            for layer in layers
        ]
        assert squares[member].tolist() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_the_members_diagnosed_are_those_trained(data, activation):
    """Untrained, they are the same as after a training whose steps are too small to move them."""
    (plan,) = configs_of(
        depth_sweep_trials, [2], 30, 4, **TRAINING | {"learning_rate": 1e-30}, activation=activation, epochs=1
    )
    untrained = untrained_members(plan, [5, 2]).state()
    trained = train_members(plan, data, [5, 2]).state
    assert all(torch.equal(untrained[name], trained[name]) for name in untrained)
    assert {name: tensor.shape[0] for name, tensor in untrained.items()} == dict.fromkeys(untrained, 2)


def test_a_diagnosis_counts_dead_units_and_layers(data):
    """The share is over all hidden units; layers count if nothing in them lives; both are a matter of relu alone."""
    (plan,) = configs_of(depth_sweep_trials, [5], 112, 4, **TRAINING, activation="relu", epochs=1)
    members = range(32)
    diagnosis = measure_at_init(plan, data, members)
    dead = dead_units(untrained_members(plan, members), data.train_inputs)
    for member in members:
        layers = [layer[member].tolist() for layer in dead]
        assert diagnosis.dead_share[member].item() == pytest.approx(sum(sum(layer) for layer in layers) / 20)
        assert diagnosis.dead_layers[member] == sum(all(layer) for layer in layers)
    assert diagnosis.dead_layers.max() > 0
    assert (diagnosis.first_gradient_mean_square[diagnosis.dead_layers > 0] == 0).all()
    assert (diagnosis.first_gradient_mean_square[diagnosis.dead_layers == 0] > 0).all()
    assert (diagnosis.last_gradient_mean_square > 0).all()


def test_other_activations_cannot_die(data):
    """For tanh the shares are missing, not 0."""
    (plan,) = configs_of(depth_sweep_trials, [2], 30, 4, **TRAINING, activation="tanh", epochs=1)
    diagnosis = measure_at_init(plan, data, [0, 1])
    assert all(math.isnan(value) for value in [*diagnosis.dead_share, *diagnosis.dead_layers])
    assert (diagnosis.first_gradient_mean_square > 0).all()


def test_a_member_is_diagnosed_alike_in_any_company(data):
    """Which other members are looked at changes nothing."""
    (plan,) = configs_of(depth_sweep_trials, [3], 100, 4, **TRAINING, activation="relu", epochs=1)
    alone, company = measure_at_init(plan, data, [3]), measure_at_init(plan, data, [0, 3, 9])
    assert alone.dead_share[0] == company.dead_share[1]
    assert alone.first_gradient_mean_square[0].item() == pytest.approx(
        company.first_gradient_mean_square[1].item(), rel=1e-5
    )
