"""The training loop against plain PyTorch: loss curves, gradients, and what a lost member does to others."""

import math

import pytest
import torch
from cases import combinations, every_activation
from torch.nn.functional import cross_entropy

from mlp_core.data.datasets import spirals
from mlp_core.engine.batches import Batch, one_hot_targets, per_seed_epochs, shared_epochs
from mlp_core.engine.configs import OPTIMIZERS
from mlp_core.engine.networks import Ensemble
from mlp_core.engine.training import accuracy, gradients, predict, train
from mlp_core.errors import InputError

SIZES = (2, 8, 8, 4)
PLAIN_OPTIMIZERS = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}
LEARNING_RATES = {"adam": 3e-3, "sgd": 0.05}


def generators(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def small_spirals():
    """Return 300 points: four batches of 64 and one of 44."""
    return spirals(1, points_per_arm=75)


def epochs(kind, n_epochs, n_members, batch_size=64, n_features=2):
    inputs, labels = small_spirals()
    inputs = inputs.repeat(1, n_features // 2)
    options = {"n_classes": 4, "n_epochs": n_epochs, "batch_size": batch_size}
    if kind == "per_seed_order":
        return per_seed_epochs(inputs, labels, generators(*range(10, 10 + n_members)), **options)
    return shared_epochs(inputs, labels, *generators(10), **options)


def examples_of(batch, member):
    """Return inputs and labels of a batch as a plain network takes them."""
    inputs, targets = (part[member] if part.dim() == 3 else part for part in batch)
    return inputs[:-1].T.clone(), targets.argmin(0)


KINDS = ["per_seed_order", "shared_order"]


@pytest.mark.parametrize("n_epochs", [12, pytest.param(40, marks=pytest.mark.thorough)])
@pytest.mark.parametrize(("activation_name", "optimizer", "kind"), combinations(every_activation(), OPTIMIZERS, KINDS))
def test_loss_curves_are_those_of_plain_networks(plain_network, activation_name, optimizer, kind, n_epochs):
    """Over 60 steps and 200, short batches among them, each loss is within 1e-4 of PyTorch's own loop."""
    n_members, rate = 2, LEARNING_RATES[optimizer]
    ensemble = Ensemble(SIZES, activation_name, generators(*range(n_members)))
    networks = [plain_network(ensemble, activation_name, member) for member in range(n_members)]
    parameters = [parameter for network in networks for parameter in network.parameters()]
    plain = PLAIN_OPTIMIZERS[optimizer](parameters, lr=rate, fused=True)
    expected, sizes = [], []

    def steps():
        """Yield every batch as an epoch of its own, so that the history is one loss per step."""
        for batches in epochs(kind, n_epochs, n_members):
            for batch in batches:
                plain.zero_grad()
                examples = [examples_of(batch, member) for member in range(n_members)]
                pairs = zip(networks, examples, strict=True)
                losses = torch.stack([cross_entropy(network(inputs), labels) for network, (inputs, labels) in pairs])
                losses.sum().backward()  # each network gets the gradients of its own loss
                plain.step()
                expected.append(losses.detach())
                sizes.append(batch.targets.shape[-1])
                yield [batch]

    losses = train(ensemble, steps(), optimizer=optimizer, learning_rate=rate)
    assert sizes == [64, 64, 64, 64, 44] * n_epochs
    reference = torch.stack(expected)
    torch.testing.assert_close(losses, reference, rtol=1e-4, atol=0)
    assert (reference[-5:].mean(0) < reference[:5].mean(0)).all(), "nothing was learned"


@pytest.mark.parametrize(
    ("activation_name", "kind", "batch_size", "sizes"),
    combinations(
        every_activation(),
        KINDS,
        [64, 1],
        [SIZES, (2, 4), (2, 1, 4), (2, 40, 40, 4), (70, 66, 4), (70, 66, 66, 4)],
    ),
    ids=str,
)
def test_gradients_are_autograds(plain_activation, activation_name, kind, batch_size, sizes):
    """In float64 they agree with autograd's to 1e-10, and so does a step of SGD at rate 1; long rows are filled up."""
    ensemble = Ensemble(sizes, activation_name, generators(0, 1, 2))
    ensemble.parameters = ensemble.parameters.double()
    ensemble.layers = ensemble.views(ensemble.parameters)
    some_epochs = epochs(kind, 1, 3, batch_size, sizes[0])
    batch = Batch(*(part.double() for part in next(next(some_epochs))))

    start = ensemble.parameters.clone().requires_grad_()
    loss = torch.zeros((), dtype=torch.float64)
    plain = Ensemble(sizes, activation_name, generators(0, 1, 2))
    for member in range(3):
        examples, labels = examples_of(batch, member)
        signal = examples.T
        for index, layer in enumerate(plain.views(start)):
            signal = layer[member] @ torch.cat([signal, signal.new_ones(1, len(labels))])
            if index < len(sizes) - 2:
                signal = plain_activation(activation_name)(signal)
        loss = loss + cross_entropy(signal.T, labels)
    (expected,) = torch.autograd.grad(loss, start)

    for gradient, wanted in zip(gradients(ensemble, batch), ensemble.views(expected), strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=1e-10, atol=1e-14)
    train(ensemble, [[batch]], optimizer="sgd", learning_rate=1.0)
    torch.testing.assert_close(start.detach() - ensemble.parameters, expected, rtol=1e-10, atol=1e-14)


def test_without_weights_the_loss_is_that_of_guessing():
    """A network of zeros finds all classes equally probable: ln 4 nats."""
    ensemble = Ensemble(SIZES, "relu", generators(0, 1))
    ensemble.parameters.zero_()
    losses = train(ensemble, epochs("per_seed_order", 1, 2), optimizer="sgd", learning_rate=1e-12)
    torch.testing.assert_close(losses, torch.full((1, 2), math.log(4)), rtol=1e-6, atol=0)


def test_an_epochs_loss_weighs_batches_by_their_size():
    """With a rate too small to matter the epoch's loss is the mean over all 300 points, the short batch's 44 too."""
    ensemble = Ensemble(SIZES, "tanh", generators(0))
    points, labels = small_spirals()
    expected = cross_entropy(ensemble.logits(points)[0].T, labels)
    losses = train(ensemble, epochs("per_seed_order", 1, 1), optimizer="sgd", learning_rate=1e-12)
    torch.testing.assert_close(losses[0, 0], expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize(("activation_name", "optimizer", "kind"), combinations(every_activation(), OPTIMIZERS, KINDS))
def test_a_lost_member_does_not_touch_the_others(activation_name, optimizer, kind):
    """One member with infinite weights gets losses that are not finite; the others are equal to the last bit."""
    results = []
    for infinite in (False, True):
        ensemble = Ensemble(SIZES, activation_name, generators(0, 1, 2))
        if infinite:
            for layer in ensemble.layers:
                layer[1] *= math.inf
        losses = train(ensemble, epochs(kind, 2, 3), optimizer=optimizer, learning_rate=0.01)
        results.append((losses, ensemble.state()))
    (healthy, healthy_state), (sick, sick_state) = results
    assert not sick[:, 1].isfinite().any()
    assert torch.equal(sick[:, ::2], healthy[:, ::2])
    for name, value in healthy_state.items():
        assert torch.equal(sick_state[name][::2], value[::2])


def test_an_unknown_optimizer_lists_the_choices():
    """A misspelt optimizer is the user's to fix."""
    ensemble = Ensemble(SIZES, "relu", generators(0))
    with pytest.raises(InputError, match=r"optimizer must be one of adam, sgd, got 'rmsprop'\."):
        train(ensemble, [], optimizer="rmsprop", learning_rate=0.1)


def test_a_checkpoint_can_stop_the_training():
    """It is called before every step; what it raises comes out, and the step is not made."""

    class Stopped(Exception):
        pass

    calls = []

    def stop_at_the_third():
        calls.append(None)
        if len(calls) == 3:
            raise Stopped

    stopped, two_steps = (Ensemble(SIZES, "relu", generators(0)) for _ in range(2))
    with pytest.raises(Stopped):
        train(
            stopped,
            epochs("per_seed_order", 2, 1),
            optimizer="sgd",
            learning_rate=0.1,
            checkpoint=stop_at_the_third,
        )
    first, second, *_ = next(iter(epochs("per_seed_order", 1, 1)))
    train(two_steps, [[first, second]], optimizer="sgd", learning_rate=0.1)
    assert torch.equal(stopped.parameters, two_steps.parameters)


def test_predictions_are_those_of_plain_networks(plain_network):
    """Classes and accuracies are a plain network's, however many examples are taken at a time."""
    ensemble = Ensemble(SIZES, "relu", generators(0, 1, 2))
    points, labels = small_spirals()
    expected = torch.stack([plain_network(ensemble, "relu", member)(points).argmax(1) for member in range(3)])
    for chunk in (1, 7, 2048):
        assert torch.equal(predict(ensemble, points, chunk=chunk), expected)
    shares = [(row == labels).sum().item() / 300 for row in expected]
    assert accuracy(ensemble, points, labels).tolist() == shares


def test_the_optimizers_are_those_of_the_settings():
    """What the settings offer, the loop can do."""
    from typing import get_args

    from mlp_core.settings import OptimizerName

    assert get_args(OptimizerName) == OPTIMIZERS


def test_targets_are_one_hot_labels_over_minus_the_batch_size():
    """Each column holds one number, at its label."""
    targets = one_hot_targets(torch.tensor([2, 0]), n_classes=3, batch_size=8)
    assert targets.T.tolist() == [[0, 0, -1 / 8], [-1 / 8, 0, 0]]
