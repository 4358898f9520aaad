"""The compiled first layer of many inputs: its numbers, its steps, and that a member's are its own."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from mlp_core.engine.batches import Batch, one_hot_targets, shared_epochs
from mlp_core.engine.networks import Ensemble, aligned_rows
from mlp_core.engine.products import member_matrices
from mlp_core.engine.training import gradients, reads_rows, train
from mlp_core.engine.wide_layer import ADAM, GRADIENT, SGD, WideLayer

SHAPES = [(512, 8, 64), (529, 13, 33), (3073, 66, 100), (1040, 9, 1), (2049, 16, 7)]  # inputs, units, examples
shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)


def numbers(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


class Case:
    """Two members' first layer with its batch, deltas, and what is beyond both."""

    def __init__(self, n_inputs, n_units, n_examples, n_members=2):
        streams = [torch.Generator().manual_seed(member) for member in range(n_members)]
        self.ensemble = Ensemble([n_inputs - 1, n_units, 3], "relu", streams)
        self.layer = self.ensemble.layers[0]
        self.rows = aligned_rows(n_examples, n_inputs)
        whole_rows = self.rows.as_strided((n_examples, self.rows.stride(0)), self.rows.stride())
        whole_rows.fill_(torch.nan)  # what is beyond the inputs stays so
        self.rows.copy_(numbers(n_examples, n_inputs))
        self.out, self.deltas = (member_matrices(self.layer, n_members, n_units, n_examples) for _ in range(2))
        self.deltas.copy_(numbers(1, n_units, n_examples, seed=1).expand_as(self.deltas))
        self.first = WideLayer(self.layer, self.out, self.deltas)

    @property
    def gradient(self):
        return self.deltas.double() @ self.rows.double()


@shapes
def test_pre_activations_are_the_products(shape):
    case = Case(*shape)
    memory = case.out.as_strided((case.out.stride(0),), (1,)).fill_(9)  # a member's, and the gap before the next
    case.first.multiply(case.rows.mT)
    expected = case.layer.double() @ case.rows.mT.double()
    torch.testing.assert_close(case.out.double(), expected, rtol=1e-5, atol=1e-5)
    assert (memory[case.out[0].numel() :] == 9).all()


@shapes
@pytest.mark.parametrize("kind", [GRADIENT, SGD])
def test_a_gradient_is_written_or_followed(shape, kind):
    """And nothing else of the parameters changes: what fills up the rows stays 0, the next layer what it was."""
    case = Case(*shape)
    before = case.layer.double()
    others = case.ensemble.layers[1].clone()
    if kind == SGD:
        case.first.descent(SGD, case.layer, 0.125)(case.rows)
        torch.testing.assert_close(case.layer.double(), before - 0.125 * case.gradient, rtol=1e-5, atol=1e-4)
    else:
        memory = torch.zeros_like(case.ensemble.parameters)
        target = case.ensemble.views(memory)[0]
        case.first.descent(GRADIENT, target)(case.rows)
        torch.testing.assert_close(target.double(), case.gradient, rtol=1e-5, atol=1e-4)
        assert memory.count_nonzero() == target.count_nonzero()
        assert torch.equal(case.layer.double(), before)
    assert torch.equal(case.ensemble.layers[1], others)
    stored = [layer.count_nonzero() for layer in case.ensemble.layers]
    assert case.ensemble.parameters.count_nonzero() == sum(stored)


@shapes
@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_three_steps_of_adam_are_those_of_pytorch(shape, decay):
    case = Case(*shape)
    plain = case.layer.double().clone().requires_grad_()
    optimizer = torch.optim.AdamW([plain], lr=0.01, weight_decay=decay)
    moments = [case.ensemble.views(torch.zeros_like(case.ensemble.parameters))[0] for _ in range(2)]
    step = case.first.descent(ADAM, case.layer, 0.01, decay, moments, torch.ones(2, dtype=torch.float64).numpy())
    for number in range(3):
        case.deltas.copy_(numbers(*case.deltas.shape, seed=number))
        plain.grad = case.gradient
        optimizer.step()
        step(case.rows)
    # A gradient near 0 makes a step of any size up to the rate: the few of these are left out
    far = (plain.detach() - case.layer.double()).abs() > 1e-5
    assert far.double().mean() < 1e-3
    torch.testing.assert_close(moments[0].double(), optimizer.state[plain]["exp_avg"], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(moments[1].double(), optimizer.state[plain]["exp_avg_sq"], rtol=1e-4, atol=1e-4)


def test_a_member_is_the_same_in_any_company():
    """Weights, losses and the layers above, to the last bit, with each optimizer."""
    inputs, labels = numbers(70, 600), torch.arange(70) % 3
    for optimizer in ("adam", "sgd"):
        trained = []
        for members in ([0, 1, 2], [2]):
            ensemble = Ensemble([600, 11, 3], "tanh", [torch.Generator().manual_seed(member) for member in members])
            stream = torch.Generator().manual_seed(0)
            batches = shared_epochs(inputs, labels, stream, n_classes=3, n_epochs=3, batch_size=32)
            losses = train(ensemble, batches, optimizer=optimizer, learning_rate=0.01, weight_decay=0.1)
            trained.append([losses[:, -1], *(layer[-1] for layer in ensemble.layers)])
        for together, alone in zip(*trained, strict=True):
            assert torch.equal(together, alone)


@pytest.mark.parametrize(("optimizer", "decay"), [("adam", 0.0), ("adam", 0.1), ("sgd", 0.0), ("sgd", 0.1)])
def test_losses_are_those_of_plain_networks(plain_network, optimizer, decay):
    """Over 60 steps, short batches among them, each epoch's loss is within 1e-4 of PyTorch's own loop."""
    inputs, labels = numbers(70, 600), torch.arange(70) % 3
    ensemble = Ensemble([600, 11, 8, 3], "tanh", [torch.Generator().manual_seed(member) for member in range(2)])
    plain = [plain_network(ensemble, "tanh", member) for member in range(2)]
    kind = torch.optim.AdamW if optimizer == "adam" else torch.optim.SGD
    rate = {"adam": 3e-3, "sgd": 0.05}[optimizer]
    decays = {"weight_decay": decay} if optimizer == "adam" else {}
    steppers = [kind(network.parameters(), lr=rate, **decays) for network in plain]
    expected = []
    batches = shared_epochs(inputs, labels, torch.Generator().manual_seed(0), n_classes=3, n_epochs=20, batch_size=32)
    for epoch in batches:
        total = torch.zeros(2)
        for batch in epoch:
            rows, wanted = batch.inputs[:-1].T.clone(), batch.targets.argmin(0)
            for member, (network, stepper) in enumerate(zip(plain, steppers, strict=True)):
                loss = cross_entropy(network(rows), wanted)
                stepper.zero_grad()
                loss.backward()
                before = [parameter.detach().clone() for parameter in network.parameters()]
                stepper.step()
                if optimizer == "sgd" and decay:  # decoupled, unlike PyTorch's
                    with torch.no_grad():
                        for parameter, old in zip(network.parameters(), before, strict=True):
                            parameter -= rate * decay * old
                total[member] += loss.detach() * len(wanted) / len(labels)
        expected.append(total)
    batches = shared_epochs(inputs, labels, torch.Generator().manual_seed(0), n_classes=3, n_epochs=20, batch_size=32)
    losses = train(ensemble, batches, optimizer=optimizer, learning_rate=rate, weight_decay=decay)
    torch.testing.assert_close(losses, torch.stack(expected), rtol=1e-4, atol=1e-5)
    assert (losses[-1] < losses[0]).all()


def test_other_batches_are_left_to_the_library():
    """Each member's own, and rows that are not filled up: the code would read beyond their memory."""
    ensemble = Ensemble([600, 11, 3], "relu", [torch.Generator()])
    layer, rows = ensemble.layers[0], aligned_rows(5, 601)
    rows.copy_(numbers(5, 601))
    assert reads_rows(layer, rows.mT)
    others = [rows.clone().mT, rows.mT.contiguous(), rows.mT[None], rows.mT.double()]
    assert not any(reads_rows(layer, inputs) for inputs in others)
    targets = one_hot_targets(torch.arange(5) % 3, 3, 5)
    by_this, by_library = (gradients(ensemble, Batch(inputs, targets)) for inputs in (rows.mT, others[0]))
    for ours, theirs in zip(by_this, by_library, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
