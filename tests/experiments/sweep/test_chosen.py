"""What is shown of a sweep's chosen configuration: epoch by epoch, and class by class."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from drawn import texts

from mlp_core.artifacts.units import settings_of
from mlp_core.data.datasets import Split
from mlp_core.data.transforms import HoldOut
from mlp_core.engine.configs import Training
from mlp_core.engine.members import train_members
from mlp_core.engine.tables import TrainedModel, joined_members, member_table
from mlp_core.experiments.measures import weights_of
from mlp_core.experiments.sweep.chosen_figures import classes_figure, epochs_figure
from mlp_core.experiments.sweep.experiment import Sweep, sweep_trials
from mlp_core.experiments.sweep.measures import chosen_history, class_table
from mlp_core.statistics.intervals import median_interval

N_MEMBERS = 6


@pytest.fixture(scope="module")
def data():
    """Give three clusters in the plane that overlap."""
    generator = torch.Generator().manual_seed(7)
    labels = torch.arange(3).repeat(100)
    middles = torch.tensor([[0.0, 1.0], [1.0, 0.0], [-1.0, -1.0]])
    inputs = middles[labels] + 0.8 * torch.randn(300, 2, generator=generator)
    train, test = torch.arange(300) % 4 != 0, torch.arange(300) % 4 == 0
    return Split(inputs[train], labels[train], inputs[test], labels[test], ("a", "b", "c"))


def trained(data, patience=0, rates=(0.0001, 0.05)):
    """Return a slow and a fast configuration, trained as a task does."""
    settings = Sweep(
        depths=(1,), widths=(8,), activations=("relu",), starts=("pytorch",), learning_rates=rates,
        batch_sizes=(16,), epochs=(12,), early_stopping=patience,
    )  # fmt: skip
    models = []
    for trial in sweep_trials(settings, 2, 3, {"relu": 2**0.5}, Training()):
        (held_out,) = trial.config.inputs
        assert isinstance(held_out, HoldOut)
        members = train_members(trial.config, held_out.split(data), range(N_MEMBERS))
        table = joined_members([member_table(members)], N_MEMBERS)
        models.append(TrainedModel(trial, lambda table=table: table, lambda members=members: members.state))
    return models


def test_each_class_has_the_median_of_its_members(data):
    """Of the chosen configuration alone, the fast one, and as its networks answer."""
    models = trained(data)
    settings = settings_of(class_table(models, data))
    assert settings["configuration"] == models[1].trial.config.name
    answers = weights_of(models[1]).logits(data.test_inputs).argmax(1)  # [members, n]
    for label, reported in enumerate(settings["class_accuracies"]):
        of_class = data.test_labels == label
        expected = median_interval((answers[:, of_class] == label).double().mean(1).numpy())
        assert (reported["class"], reported["examples"], reported["n"]) == (
            "abc"[label],
            int(of_class.sum()),
            N_MEMBERS,
        )
        assert reported["median"] == pytest.approx(expected.estimate)
        if expected.has_interval:
            assert (reported["low"], reported["high"]) == pytest.approx((expected.low, expected.high))


def test_a_class_without_test_examples_has_no_accuracy(data):
    """It is not 0 %, nor 100 %."""
    kept = data.test_labels != 1
    few = replace(data, test_inputs=data.test_inputs[kept], test_labels=data.test_labels[kept])
    reported = settings_of(class_table(trained(data), few))["class_accuracies"][1]
    assert reported == {"class": "b", "examples": 0, "n": 0, "median": None, "low": None, "high": None}


def test_the_figure_shows_every_member_of_the_chosen_one(data):
    """Loss above and validation accuracy below, a line for each member and one for the median."""
    models = trained(data)
    history, name = chosen_history(class_table(models, data), models)
    assert name == models[1].trial.config.name
    figure = epochs_figure(history, name)
    for axes, column in zip(figure.axes, ("train_loss", "validation_accuracy"), strict=True):
        assert len(axes.lines) == N_MEMBERS + 1
        factor = 100 if column == "validation_accuracy" else 1
        own = history[history["member"] == 2].sort_values("epoch")[column]
        assert axes.lines[2].get_ydata() == pytest.approx(factor * own.to_numpy())
    assert not history["kept"].to_numpy()[history["epoch"] < 12].any()


def test_early_stopping_ends_lines_and_marks_what_is_kept(data):
    """A member's line ends where its training did, its dot lies on its best epoch."""
    models = trained(data, patience=2, rates=(0.05,))
    history, name = chosen_history(class_table(models, data), models)
    lengths = history.groupby("member")["epoch"].max()
    kept = history[history["kept"]].set_index("member")
    assert (lengths < 12).any()
    for member, rows in history.groupby("member"):
        best = rows["validation_accuracy"].max()
        assert kept.loc[member, "validation_accuracy"] == best
        assert kept.loc[member, "epoch"] == rows.loc[rows["validation_accuracy"] == best, "epoch"].min()
    losses, accuracies = epochs_figure(history, name).axes
    (dots,) = (line for line in accuracies.lines if line.get_marker() == "o")
    early = kept[kept["epoch"] < lengths]
    assert sorted(dots.get_xdata()) == sorted(early["epoch"])
    assert np.isfinite(losses.lines[0].get_ydata()).sum() == lengths[0]


@pytest.mark.parametrize(("members", "words"), [(0, "all members"), (1, "of one member"), (2, "of 2 members")])
def test_the_confusion_matrix_counts_its_members(members, words):
    """None, one and two."""
    table = pd.DataFrame({"members": members, "count": [3, 1, 0, 4]})
    assert words in texts(classes_figure(table, {"class_names": ["a", "b"]}))
