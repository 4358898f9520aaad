"""Networks of one layer on many inputs, in compiled code, against plain PyTorch and against each other."""

import math

import pytest
import torch
from cases import combinations
from torch.nn.functional import cross_entropy

from mlp_core.engine.configs import OPTIMIZERS
from mlp_core.engine.linear import train_linear
from mlp_core.engine.networks import Ensemble

PLAIN_OPTIMIZERS = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}


def generators(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def examples(n, n_features, n_classes):
    """Return examples whose class can be learned."""
    (stream,) = generators(0)
    inputs = torch.randn(n, n_features, generator=stream)
    return inputs, (inputs[:, :n_classes] + inputs[:, -n_classes:]).argmax(1)


def trained(ensemble, inputs, labels, streams, **options):
    defaults = {"n_epochs": 3, "batch_size": 64, "drop_last": False, "optimizer": "adam", "learning_rate": 0.01}
    return train_linear(ensemble, inputs, labels, streams, **{**defaults, **options})


@pytest.mark.parametrize(
    ("sizes", "optimizer", "drop_last"),
    combinations([(300, 4), (129, 3), (143, 2), (200, 7)], OPTIMIZERS, [False, True]),
    ids=str,
)
def test_loss_curves_are_those_of_plain_networks(plain_network, sizes, optimizer, drop_last):
    """Over 200 steps, short batches among them, each epoch's loss is within 1e-4 of PyTorch's own loop."""
    inputs, labels = examples(300, *sizes)
    ensemble = Ensemble(sizes, "relu", generators(0, 1))
    n_epochs, rate = 40, {"adam": 1e-3, "sgd": 0.02}[optimizer]
    networks = [plain_network(ensemble, "relu", member) for member in range(2)]
    parameters = [parameter for network in networks for parameter in network.parameters()]
    plain = PLAIN_OPTIMIZERS[optimizer](parameters, lr=rate, fused=True)
    (stream,), expected = generators(10), torch.zeros(n_epochs, 2)
    for epoch in range(n_epochs):
        batches = torch.split(torch.randperm(300, generator=stream), 64)[: 4 if drop_last else 5]
        for batch in batches:
            plain.zero_grad()
            losses = torch.stack([cross_entropy(network(inputs[batch]), labels[batch]) for network in networks])
            losses.sum().backward()  # each network gets the gradients of its own loss
            plain.step()
            expected[epoch] += losses.detach() * len(batch) / sum(map(len, batches))
    options = {"n_epochs": n_epochs, "drop_last": drop_last, "optimizer": optimizer, "learning_rate": rate}
    losses = trained(ensemble, inputs, labels, generators(10), **options)
    torch.testing.assert_close(losses, expected, rtol=1e-4, atol=0)
    assert (expected[-1] < 0.9 * expected[0]).all(), "nothing was learned"


@pytest.mark.parametrize("n_classes", [2, 3, 4, 11])
@pytest.mark.parametrize("n", [1, 33, 64, 130])
def test_gradients_are_autograds(n, n_classes):
    """The same code in float64, with weighted classes: a step of SGD at rate 1."""
    inputs, labels = examples(n, 150, n_classes)
    ensemble = Ensemble((150, n_classes), "relu", generators(0, 1))
    ensemble.parameters = ensemble.parameters.double()
    ensemble.layers = ensemble.views(ensemble.parameters)
    start, weights = ensemble.layers[0].clone().requires_grad_(), torch.linspace(0.5, 2, n_classes)
    loss = torch.zeros((), dtype=torch.float64)
    for member in range(2):
        logits = inputs.double() @ start[member, :, :-1].T + start[member, :, -1]
        loss = loss + (cross_entropy(logits, labels, reduction="none") * weights[labels]).mean()
    (expected,) = torch.autograd.grad(loss, start)
    options = {"n_epochs": 1, "batch_size": 300, "optimizer": "sgd", "learning_rate": 1.0, "class_weights": weights}
    losses = trained(ensemble, inputs.double(), labels, generators(5), **options)
    torch.testing.assert_close(start.detach() - ensemble.layers[0], expected, rtol=3e-6, atol=3e-7)
    torch.testing.assert_close(losses.sum(), loss.detach(), rtol=3e-6, atol=0)


@pytest.mark.parametrize("shares_order", [True, False])
def test_a_member_is_the_same_in_any_company(shares_order):
    """To the bit, with the others' order or its own; a lost one does not touch it."""
    inputs, labels = examples(200, 140, 3)
    company, alone = Ensemble((140, 3), "relu", generators(0, 1, 2)), Ensemble((140, 3), "relu", generators(2))
    company.layers[0][1] *= math.inf
    streams = [generators(7), generators(7)] if shares_order else [generators(5, 6, 7), generators(7)]
    losses, losses_alone = trained(company, inputs, labels, streams[0]), trained(alone, inputs, labels, streams[1])
    assert torch.equal(losses[:, 2], losses_alone[:, 0])
    assert torch.equal(company.layers[0][2], alone.layers[0][0])
    assert not losses[:, 1].isfinite().any()


def test_what_follows_an_epoch_sees_its_weights_and_may_end_the_training():
    """The losses are those of the epochs until then."""
    ensemble, seen = Ensemble((140, 3), "relu", generators(0)), []

    def after_epoch(epoch):
        seen.append(ensemble.parameters.clone())
        return epoch < 1

    losses = trained(ensemble, *examples(100, 140, 3), generators(1), after_epoch=after_epoch)
    assert losses.shape == (2, 1)
    assert not torch.equal(*seen)
    assert torch.equal(seen[-1], ensemble.parameters)


def test_training_in_pieces_is_training_at_once(monkeypatch):
    """How many steps are taken at a time changes no bit, and each piece is told to the checkpoint."""
    results = []
    for call in (1, 10**9):
        monkeypatch.setattr("mlp_core.engine.linear._CALL", call)
        ensemble, progress = Ensemble((140, 3), "relu", generators(0, 1)), []
        losses = trained(ensemble, *examples(200, 140, 3), generators(1), checkpoint=progress.append)
        results.append((losses, ensemble.parameters, progress))
    (first, first_parameters, progress), (losses, parameters, few) = results
    assert progress == pytest.approx([step / 12 for step in range(12)])
    assert few == pytest.approx([0, 1 / 3, 2 / 3])
    assert torch.equal(losses, first)
    assert torch.equal(parameters, first_parameters)
