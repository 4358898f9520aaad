"""Small networks in compiled code against plain PyTorch: losses, gradients, predictions, and lost members."""

import math

import pytest
import torch
from cases import combinations, every_activation
from torch.nn.functional import cross_entropy

from mlp_core.data.datasets import Split, spirals
from mlp_core.engine.architecture import parameter_count
from mlp_core.engine.arithmetic import uniform_arithmetic
from mlp_core.engine.configs import OPTIMIZERS, TrainConfig, Training
from mlp_core.engine.footprint import training_bytes
from mlp_core.engine.members import train_members
from mlp_core.engine.networks import Ensemble
from mlp_core.engine.small import SmallTraining, predict_small, unpack
from mlp_core.errors import InputError

SIZES = (2, 8, 8, 4)
PLAIN_OPTIMIZERS = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}
LEARNING_RATES = {"adam": 3e-3, "sgd": 0.05}


def generators(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def points(n=300, n_features=2):
    inputs, labels = spirals(1, points_per_arm=75)
    order = torch.randperm(300, generator=torch.Generator().manual_seed(0))[:n]
    return inputs[order].repeat(1, -(-n_features // 2))[:, :n_features], labels[order]


def trained(ensemble, inputs, labels, checkpoint=lambda done: None, **options):
    seeds = range(10, 10 + ensemble.n_members)
    defaults = {"n_epochs": 3, "batch_size": 64, "drop_last": False, "optimizer": "adam", "learning_rate": 0.01}
    return SmallTraining(ensemble, inputs, labels, generators(*seeds), **{**defaults, **options}).run(
        checkpoint=checkpoint
    )


@pytest.mark.parametrize("n_steps", [60, pytest.param(200, marks=pytest.mark.thorough)])
@pytest.mark.parametrize(
    ("activation_name", "optimizer", "drop_last"), combinations(every_activation(), OPTIMIZERS, [False, True])
)
def test_loss_curves_are_those_of_plain_networks(plain_network, activation_name, optimizer, drop_last, n_steps):
    """Over 60 steps and 200, short batches among them, each epoch's loss is within 1e-4 of PyTorch's own loop."""
    inputs, labels = points()
    ensemble = Ensemble(SIZES, activation_name, generators(0, 1))
    n_epochs, rate = n_steps // (4 if drop_last else 5), LEARNING_RATES[optimizer]
    networks = [plain_network(ensemble, activation_name, member) for member in range(2)]
    parameters = [parameter for network in networks for parameter in network.parameters()]
    plain = PLAIN_OPTIMIZERS[optimizer](parameters, lr=rate, fused=True)
    streams, expected = generators(10, 11), torch.zeros(n_epochs, 2)
    for epoch in range(n_epochs):
        orders = [torch.split(torch.randperm(300, generator=stream), 64) for stream in streams]
        steps = list(zip(*orders, strict=True))[: 4 if drop_last else 5]
        n_examples = sum(len(batches[0]) for batches in steps)
        for batches in steps:
            plain.zero_grad()
            pairs = zip(networks, batches, strict=True)
            losses = torch.stack([cross_entropy(network(inputs[batch]), labels[batch]) for network, batch in pairs])
            losses.sum().backward()  # each network gets the gradients of its own loss
            plain.step()
            expected[epoch] += losses.detach() * len(batches[0]) / n_examples
    options = {"n_epochs": n_epochs, "drop_last": drop_last, "optimizer": optimizer, "learning_rate": rate}
    losses = trained(ensemble, inputs, labels, **options)
    torch.testing.assert_close(losses, expected, rtol=1e-4, atol=0)
    assert (expected[-1] < expected[0]).all(), "nothing was learned"


@pytest.mark.parametrize(
    ("activation_name", "n", "sizes"),
    combinations(every_activation(), [1, 33, 64, 300], [SIZES, (2, 4), (2, 1, 4), (3, 40, 33, 2), (1, 5, 7, 11)]),
    ids=str,
)
def test_gradients_are_autograds(plain_activation, activation_name, n, sizes):
    """The same code in float64: a step of SGD at rate 1; the activations are as exact as float32."""
    inputs, labels = points(n, sizes[0])
    labels = labels % sizes[-1]
    ensemble = Ensemble(sizes, activation_name, generators(0, 1))
    ensemble.parameters = ensemble.parameters.double()
    ensemble.layers = ensemble.views(ensemble.parameters)
    start = ensemble.parameters.clone().requires_grad_()
    loss = torch.zeros((), dtype=torch.float64)
    for member in range(2):
        signal = inputs.double().T
        for index, layer in enumerate(ensemble.views(start)):
            signal = layer[member] @ torch.cat([signal, signal.new_ones(1, n)])
            if index < len(sizes) - 2:
                signal = plain_activation(activation_name)(signal)
        loss = loss + cross_entropy(signal.T, labels)
    (expected,) = torch.autograd.grad(loss, start)
    trained(ensemble, inputs.double(), labels, n_epochs=1, batch_size=300, optimizer="sgd", learning_rate=1.0)
    torch.testing.assert_close(start.detach() - ensemble.parameters, expected, rtol=3e-6, atol=3e-7)


def test_without_weights_the_loss_is_that_of_guessing():
    """A network of zeros finds all classes equally probable: ln 4 nats."""
    ensemble = Ensemble(SIZES, "relu", generators(0, 1))
    ensemble.parameters.zero_()
    losses = trained(ensemble, *points(), optimizer="sgd", learning_rate=1e-12)
    torch.testing.assert_close(losses, torch.full((3, 2), math.log(4)), rtol=1e-6, atol=0)


def test_an_epochs_loss_weighs_batches_by_their_size():
    """With a rate too small to matter the epoch's loss is the mean over all 300 points, the short batch's 44 too."""
    ensemble = Ensemble(SIZES, "tanh", generators(0))
    inputs, labels = points()
    expected = cross_entropy(ensemble.logits(inputs)[0].T, labels)
    losses = trained(ensemble, inputs, labels, optimizer="sgd", learning_rate=1e-12)
    torch.testing.assert_close(losses, expected.expand(3, 1), rtol=1e-6, atol=0)


@pytest.mark.parametrize("batch_size", [1, 5, 37, 64, 300, 1000])
def test_a_batch_may_have_any_size(batch_size):
    """What fills up the rows counts nothing: with steps too small to matter the loss is that of all points."""
    ensemble = Ensemble(SIZES, "relu", generators(0))
    inputs, labels = points()
    expected = cross_entropy(ensemble.logits(inputs)[0].T, labels)
    options = {"n_epochs": 1, "batch_size": batch_size, "optimizer": "sgd", "learning_rate": 1e-12}
    torch.testing.assert_close(trained(ensemble, inputs, labels, **options)[0, 0], expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_lost_member_does_not_touch_the_others(activation_name, optimizer):
    """One member with infinite weights gets losses that are not finite; the others are equal to the last bit."""
    results = []
    for infinite in (False, True):
        ensemble = Ensemble(SIZES, activation_name, generators(0, 1, 2))
        if infinite:
            for layer in ensemble.layers:
                layer[1] *= math.inf
        losses = trained(ensemble, *points(), optimizer=optimizer)
        results.append((losses, ensemble.state()))
    (healthy, healthy_state), (sick, sick_state) = results
    assert not sick[:, 1].isfinite().any()
    assert torch.equal(sick[:, ::2], healthy[:, ::2])
    for name, value in healthy_state.items():
        assert torch.equal(sick_state[name][::2], value[::2])


@pytest.mark.parametrize("activation", ["relu", "selu", "gelu"])
@pytest.mark.parametrize("n", [1, 127, 128, 300])
def test_predictions_are_those_of_the_logits(n, activation):
    """Of all members, for any number of examples."""
    ensemble = Ensemble(SIZES, activation, generators(0, 1, 2))
    inputs, _ = points(n)
    assert torch.equal(predict_small(ensemble, inputs), ensemble.logits(inputs).argmax(1))


def test_of_equal_classes_the_first_is_predicted_and_what_is_no_number_is_the_largest():
    """As PyTorch's argmax has it."""
    ensemble = Ensemble((1, 4), "relu", generators(0))
    for biases in (
        [0.0, 1, 1, 0], [1.0, 1, 1, 1], [0, 1, math.nan, math.nan], [math.nan, 1, 2, 3], [-math.inf, 0, 0, 0],
    ):  # fmt: skip
        ensemble.layers[0][0, :, 0], ensemble.layers[0][0, :, 1] = 0, torch.tensor(biases)
        assert predict_small(ensemble, torch.zeros(3, 1))[0].tolist() == 3 * [torch.tensor(biases).argmax().item()]


@pytest.mark.parametrize("sizes", [(2, 8, 4), (200, 4), (200, 8, 4)])
def test_an_epoch_without_a_step_is_refused(sizes):
    """A batch larger than the examples, where the last short batch is left out: by each of the three engines."""
    examples = torch.zeros(9, sizes[0]), torch.zeros(9, dtype=torch.int64)
    config = TrainConfig.of(Training(epochs=1, batch_size=64), "any", "any", sizes, "per_seed_order")
    with pytest.raises(InputError, match=r"batch_size must be at most the 9 training examples, got 64; use a smaller"):
        train_members(config, Split(*examples, *examples), [0])


def test_an_unknown_optimizer_lists_the_choices():
    """A misspelt optimizer is the user's to fix."""
    with pytest.raises(InputError, match=r"optimizer must be one of adam, sgd, got 'rmsprop'\."):
        trained(Ensemble(SIZES, "relu", generators(0)), *points(), optimizer="rmsprop")


def test_inputs_of_another_type_are_refused():
    """Compiled code would write them where they do not fit."""
    inputs, labels = points()
    with pytest.raises(TypeError, match=r"inputs must be torch\.float32 as the parameters are, got torch\.float64"):
        trained(Ensemble(SIZES, "relu", generators(0)), inputs.double(), labels)


@pytest.mark.parametrize("batch_size", [1, 37, 50])
def test_a_member_does_not_depend_on_what_fills_up_its_rows(batch_size):
    """One that nearly overflows is the same after others as alone, also in short batches and from pieces."""
    inputs, labels = points()
    company = Ensemble(SIZES, "relu", generators(0, 1, 2))
    for layer in company.layers:
        layer.mul_(1e12)
    alone = Ensemble.from_state({name: value[2:] for name, value in company.state().items()}, "relu")
    options = {"n_epochs": 2, "batch_size": batch_size, "drop_last": False, "optimizer": "sgd", "learning_rate": 1e-9}
    together = SmallTraining(company, inputs, labels, generators(10, 11, 12), **options).run()
    result = SmallTraining(alone, inputs, labels, generators(12), **options).run()
    assert torch.equal(result[:, 0].nan_to_num(-1.0), together[:, 2].nan_to_num(-1.0))
    for name, value in alone.state().items():
        assert torch.equal(value[0].nan_to_num(-1.0), company.state()[name][2].nan_to_num(-1.0))


def test_training_in_pieces_is_training_at_once(monkeypatch):
    """How many steps are taken at a time changes no bit, also within an epoch."""
    results = []
    for call in (1, 64 * 148 * 2, 10**9):
        monkeypatch.setattr("mlp_core.engine.small._CALL", call)
        ensemble, progress = Ensemble(SIZES, "relu", generators(0, 1)), []
        losses = trained(ensemble, *points(), checkpoint=progress.append)
        results.append((losses, ensemble.parameters, progress))
    (first, first_parameters, progress), *others = results
    assert progress == pytest.approx([step / 30 for step in range(30)])
    for losses, parameters, _ in others:
        assert torch.equal(losses, first)
        assert torch.equal(parameters, first_parameters)
    assert [len(progress) for _, _, progress in results] == [30, 2 * 3 * 3, 2]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_in_turns_is_training_at_once(optimizer):
    """Members that go on by turns, each time by other epochs, end with the same bits; none goes beyond the last."""
    inputs, labels = points()
    options = {"n_epochs": 10, "batch_size": 37, "drop_last": False, "optimizer": optimizer, "learning_rate": 0.01}
    once = Ensemble(SIZES, "tanh", generators(0, 1, 2))
    losses = SmallTraining(once, inputs, labels, generators(10, 11, 12), **options).run()
    turns = Ensemble(SIZES, "tanh", generators(0, 1, 2))
    training = SmallTraining(turns, inputs, labels, generators(10, 11, 12), **options)
    spaces = [training.workspace(), training.workspace(2)]
    with uniform_arithmetic():
        for turn, n_epochs in enumerate((1, 3, 2, 9)):
            for member in (2, 0, 1):
                before = []
                training.advance(member, n_epochs, spaces[turn % 2], before.append)
                assert before[0] == sum((1, 3, 2, 9)[:turn])
                so_far = training.losses(member)
                assert len(so_far) == training.n_epochs_done[member] == min(10, sum((1, 3, 2, 9)[: turn + 1]))
                assert so_far.tolist() == losses[: len(so_far), member].tolist()
    unpack(training.parameters, turns)
    assert torch.equal(turns.parameters, once.parameters)


@pytest.mark.parametrize("sizes", [(2, 20_000, 4), (128, 1024, 10), (2, 362, 362, 4)], ids=str)
def test_the_memory_of_a_wide_network_is_counted(sizes):
    """A batch of its activations takes more than its parameters; members that are trained in turn share it."""
    config = TrainConfig.of(Training(batch_size=128), "wide", "any", sizes, "per_seed_order")
    inputs, labels = torch.zeros(200, sizes[0]), torch.zeros(200, dtype=torch.int64)
    options = {"n_epochs": 1, "batch_size": 128, "drop_last": True, "optimizer": "adam", "learning_rate": 0.01}
    ensemble = Ensemble(sizes, "relu", generators(0))
    space = SmallTraining(ensemble, inputs, labels, generators(0), **options).workspace()
    assert training_bytes(config, 1, len(labels)) > space.work.nbytes + space.gradient.nbytes
    weights = 3 * 4 * parameter_count(sizes)
    assert training_bytes(config, 2, len(labels)) - training_bytes(config, 1, len(labels)) < weights * 1.2
