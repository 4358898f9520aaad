"""Training with validation examples: what stops it, which weights are kept, decay and class weights."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from cases import combinations, every_activation
from torch import nn

from mlp_core.data.datasets import Split, spirals, split
from mlp_core.data.transforms import HoldOut, Standardize
from mlp_core.engine.batches import per_seed_epochs
from mlp_core.engine.configs import TrainConfig, Training
from mlp_core.engine.members import balanced_weights, train_members
from mlp_core.engine.networks import Ensemble
from mlp_core.engine.small import SmallTraining
from mlp_core.engine.tables import history_rows, member_table, result_rows
from mlp_core.engine.training import accuracy, train
from mlp_core.experiments.sweep.experiment import Sweep, sweep_trials

SMALL, LARGE = (2, 8, 4), (2, 300, 4)
"""Shapes that compiled code trains, and that products of a library train."""
SHAPES = pytest.mark.parametrize("sizes", [SMALL, LARGE], ids=["small", "large"])


@pytest.fixture(scope="module")
def data():
    return HoldOut(0.25, 2021, "sweep").split(split(*spirals(points_per_arm=60)))


def config(sizes, **training):
    defaults = {"epochs": 8, "batch_size": 32, "learning_rate": 0.05}
    return TrainConfig.of(Training(**{**defaults, **training}), "one", "sweep", sizes, "per_seed_order")


def test_a_part_of_each_class_is_set_aside():
    """A quarter of each class, the same each time, and every example in one part only."""
    whole = split(*spirals(points_per_arm=50))
    parts = HoldOut(0.25, 1, "sweep").split(whole)
    shares = parts.validation_labels.bincount() / whole.train_labels.bincount()
    assert ((shares - 0.25).abs() < 0.02).all()
    together = torch.cat([parts.train_inputs, parts.validation_inputs])
    assert sorted(map(tuple, together.tolist())) == sorted(map(tuple, whole.train_inputs.tolist()))
    assert torch.equal(HoldOut(0.25, 1, "sweep").split(whole).validation_inputs, parts.validation_inputs)
    assert not torch.equal(HoldOut(0.25, 2, "sweep").split(whole).validation_inputs, parts.validation_inputs)


def test_a_rare_class_stays_in_both_parts():
    """Two examples: one to train on, one to validate; a single one trains."""
    labels = torch.tensor([0] * 20 + [1] * 2 + [2])
    parts = HoldOut(0.9, 0, "sweep").split(Split(torch.arange(23.0)[:, None], labels, torch.zeros(1, 1), labels[:1]))
    assert parts.train_labels.bincount().tolist() == [2, 1, 1]
    assert parts.validation_labels.bincount(minlength=3).tolist() == [18, 1, 0]


def test_later_transforms_take_the_validation_examples_along(data):
    """By what the training part says."""
    scaled = Standardize().split(data)
    mean, deviation = data.train_inputs.mean(0), data.train_inputs.std(0, unbiased=False)
    torch.testing.assert_close(scaled.validation_inputs, (data.validation_inputs - mean) / deviation, atol=1e-2, rtol=0)


@SHAPES
def test_validation_changes_no_member(sizes, data):
    """Without early stop a member has the bits that it has alone; its accuracy of the last epoch is what it has."""
    alone = replace(data, validation_inputs=None, validation_labels=None)
    watched, unwatched = (train_members(config(sizes), examples, range(2)) for examples in (data, alone))
    assert torch.equal(watched.train_loss, unwatched.train_loss)
    for name, parameters in watched.state.items():
        assert torch.equal(parameters, unwatched.state[name])
    assert unwatched.validation is None
    assert watched.validation.kept_epoch.tolist() == [8, 8]
    ensemble = Ensemble.from_state(watched.state, "relu")
    reached = accuracy(ensemble, data.validation_inputs, data.validation_labels)
    assert watched.validation.accuracy[:, -1].tolist() == reached.tolist()


@SHAPES
def test_a_member_that_stops_early_has_its_best_weights(sizes, data):
    """Its weights are those of a training that ends at that epoch, and what follows was not trained."""
    stopped = train_members(config(sizes, patience=1, epochs=12), data, range(3))
    validation = stopped.validation
    full = train_members(config(sizes, epochs=12), data, range(3)).validation.accuracy
    assert (validation.kept_epoch < 11).any(), "nobody stopped early: the test sees nothing"
    for member, kept in enumerate(validation.kept_epoch.tolist()):
        shorter = train_members(config(sizes, epochs=kept), data, [member])
        for name, parameters in shorter.state.items():
            assert torch.equal(parameters[0], stopped.state[name][member])
        trained = int(np.isfinite(validation.accuracy[member]).sum())
        assert trained == min(kept + 1, 12)
        assert validation.accuracy[member, :trained].tolist() == full[member, :trained].tolist()
        assert stopped.train_loss[member].isfinite().sum() == trained
    assert stopped.test_accuracy.isfinite().all(), "who stops early has not diverged"


@SHAPES
def test_a_member_that_diverges_has_no_accuracy(sizes, data):
    """Whatever its epochs before that reached on validation examples."""
    lost = train_members(config(sizes, learning_rate=float("inf"), patience=2), data, range(2))
    assert lost.test_accuracy.isnan().all()


def test_tables_hold_the_epochs_that_were_trained(data):
    """The history ends where a member stopped; the result has the accuracy and the loss of the right epochs."""
    (trial,) = sweep_trials(
        Sweep(depths=(1,), widths=(8,), activations=("relu",), starts=("pytorch",), learning_rates=(0.05,),
              batch_sizes=(32,), epochs=(12,), early_stopping=1), 2, 4, {}, Training(),
    )  # fmt: skip
    trained = train_members(trial.config, data, range(3))
    members = member_table(trained)
    history, result = history_rows(trial, members).to_pandas(), result_rows(trial, members).to_pandas()
    for member, rows in history.groupby("member"):
        own = result.iloc[member]
        assert rows["epoch"].tolist() == list(range(1, own["trained_epochs"] + 1))
        assert rows["validation_accuracy"].iloc[own["kept_epoch"] - 1] == own["validation_accuracy"]
        assert rows["train_loss"].iloc[-1] == np.float32(own["final_train_loss"])
    assert len(history) < 36


@pytest.mark.parametrize(
    ("activation_name", "sizes", "optimizer", "weighted"),
    combinations(every_activation(), [SMALL, LARGE], ["adam", "sgd"], [False, True]),
    ids=str,
)
def test_decay_and_class_weights_are_pytorchs(plain_network, activation_name, sizes, optimizer, weighted):
    """Losses of three epochs are those of torch.optim.AdamW or SGD, with or without weighted cross-entropy."""
    inputs, labels = spirals(1, points_per_arm=40)
    inputs, labels = inputs[:130], labels[:130]  # classes of different size
    weights = balanced_weights(labels, 4) if weighted else None
    ensemble = Ensemble(sizes, activation_name, [torch.Generator().manual_seed(5)])
    plain = plain_network(ensemble, activation_name, 0)
    kinds = {"adam": torch.optim.AdamW, "sgd": torch.optim.SGD}
    steps = kinds[optimizer](plain.parameters(), lr=0.05, weight_decay=0.3)
    stream, expected = torch.Generator().manual_seed(9), []
    for _ in range(3):
        losses = []
        for batch in torch.split(torch.randperm(130, generator=stream), 64)[:2]:
            steps.zero_grad()
            each = nn.functional.cross_entropy(plain(inputs[batch]), labels[batch], reduction="none")
            loss = (each * (weights[labels[batch]] if weighted else 1)).mean()
            loss.backward()
            steps.step()
            losses.append(loss.item())
        expected.append(np.mean(losses))
    streams = [torch.Generator().manual_seed(9)]
    options = {"optimizer": optimizer, "learning_rate": 0.05, "weight_decay": 0.3, "class_weights": weights}
    batches = {"n_epochs": 3, "batch_size": 64, "drop_last": True}
    if sizes == SMALL:
        losses = SmallTraining(ensemble, inputs, labels, streams, **batches, **options).run()
    else:
        losses = train(ensemble, per_seed_epochs(inputs, labels, streams, n_classes=4, **batches), **options)
    np.testing.assert_allclose(losses.flatten().numpy(), expected, rtol=1e-4)
    for name, stacked in ensemble.state().items():
        torch.testing.assert_close(stacked[0], plain.state_dict()[name], rtol=1e-3, atol=2e-5)
