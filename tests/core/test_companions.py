"""The fair companions of wide and deep: which models, how named, and a rate chosen without test examples."""

from dataclasses import replace

import pytest
import torch
from configurations import config_of, configs_of

from mlp_core.data.datasets import spirals, split
from mlp_core.data.polynomial_features import monomials, standardizer
from mlp_core.data.transforms import Standardize, applied
from mlp_core.engine import tuning
from mlp_core.engine.configs import Training
from mlp_core.engine.members import train_members
from mlp_core.engine.tuning import tuned_learning_rate
from mlp_core.experiments.depth_sweep.experiment import depth_sweep_trials
from mlp_core.experiments.generalization.experiment import generalization_trials, tuned_trial, tunings
from mlp_core.experiments.polynomial.experiment import polynomial_trial

SHARED = {"optimizer": "adam", "learning_rate": 1e-3, "batch_size": 64, "seed": 2021, "device": "cpu"}


def compared(degrees=(10, 50), depths=(1, 3), budgets=(100, 5304)):
    return generalization_trials(degrees, depths, budgets, 4, Training(epochs=100, **SHARED))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ["degree=50", "depth=3 width=50"]),
        ({"depths": (5, 1)}, ["degree=50", "depth=5 width=36"]),
        ({"budgets": (100,)}, ["degree=50"]),
        ({"degrees": (10,)}, ["degree=10"]),
        ({"depths": (1,), "budgets": (5000, 5300)}, ["degree=50", "depth=1 width=757"]),
    ],
)
def test_the_widest_and_the_deepest_of_its_size_are_tuned(changes, expected):
    """No accuracy chooses; without a perceptron of about as many parameters the polynomial is tuned alone."""
    assert [tuning.trial.config.name for tuning in tunings(compared(**changes))] == expected


def test_companions_are_configurations_of_their_own_with_the_same_seeds():
    """They train under another name and with another rate, and are shown in the same table as tuned."""
    trials = compared()
    wide, deep = (tuning.trial for tuning in tunings(trials))
    tuned = [tuned_trial(wide, 0.03), tuned_trial(deep, 0.01)]
    assert [trial.config.name for trial in tuned] == [
        "degree=50 standardised learning_rate=0.03",
        "depth=3 width=50 standardised learning_rate=0.01",
    ]
    for trial, as_set in zip(tuned, (wide, deep), strict=True):
        assert trial.config not in [other.config for other in trials]
        assert trial.config.inputs == (*as_set.config.inputs, Standardize())
        assert trial.config.seed_namespace == as_set.config.seed_namespace
        assert [column.name for column in trial.labels.columns] == [column.name for column in as_set.labels.columns]
        assert (trial.labels.column("training"), trial.labels.column("learning_rate")) == (
            "tuned",
            trial.config.learning_rate,
        )
        assert (as_set.labels.column("training"), as_set.labels.column("learning_rate")) == ("as set", 1e-3)


def test_standardised_inputs_have_one_scale():
    """Features of degree 50, from 1e-15 to 1e6, all get mean 0 and deviation 1 on the training set."""
    data = split(*spirals(2021))
    train = monomials(data.train_inputs, 50)
    scaled = standardizer(train)(train)
    assert scaled.dtype == torch.float32
    assert scaled.isfinite().all()
    assert scaled.mean(0).abs().max() < 1e-4
    assert (scaled.std(0) - 1).abs().max() < 1e-3


def test_what_a_transform_learns_is_learned_once():
    """For each part of a map anew, it took most of the time that the map took."""
    data = split(*spirals(2021))
    points, transform = data.test_inputs[:3].clone(), applied((Standardize(),), data)
    before = transform(points)
    data.train_inputs.zero_()
    assert torch.equal(transform(points), before)


@pytest.fixture
def few():
    points, labels = spirals(2021, points_per_arm=200)
    data = split(points, labels)
    inputs = [monomials(part, 5) for part in (data.train_inputs, data.test_inputs)]
    return replace(data, train_inputs=inputs[0].contiguous(), test_inputs=inputs[1].contiguous())


def test_the_rate_is_chosen_without_test_examples(few, monkeypatch):
    """A fifth of the training set validates, the rest is fitted, and the test examples are never seen."""
    seen = []

    def spy(plan, data, *how):
        seen.append((plan.learning_rate, data))
        return train_members(plan, data, *how)

    monkeypatch.setattr(tuning, "train_members", spy)
    plan = config_of(polynomial_trial, 5, 4, epochs=10, **SHARED)
    best = tuned_learning_rate(plan, few, (1e-6, 1e-2, 1e-5))
    assert [rate for rate, _ in seen] == [1e-6, 1e-2, 1e-5]
    known = {tuple(row) for row in few.train_inputs.tolist()}
    for _, data in seen:
        assert (len(data.train_labels), len(data.test_labels)) == (512, 128)
        assert {tuple(row) for row in torch.cat([data.train_inputs, data.test_inputs]).tolist()} == known
    assert best == 1e-2  # with the others nothing is learned yet


def test_a_rate_with_which_all_diverges_is_not_chosen():
    """NaN is no maximum, wherever it stands among the rates."""
    data = split(*spirals(2021, points_per_arm=200))
    (plan,) = configs_of(depth_sweep_trials, [3], 100, 4, activation="relu", epochs=2, **{**SHARED, "optimizer": "sgd"})
    assert train_members(replace(plan, learning_rate=1e30), data, [0]).test_accuracy.isnan()
    for rates in ((1e30, 1e-3), (1e-3, 1e30)):
        assert tuned_learning_rate(plan, data, rates) == 1e-3
