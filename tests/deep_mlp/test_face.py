"""The public face: an ensemble on one's own data, what it gives, and what it refuses."""

import json
import os
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

import deep_mlp as dm
from deep_mlp._modules import MODULES
from mlp_core.activations import ACTIVATION_FAMILIES

TRAINING = {"seeds": 8, "epochs": 60, "learning_rate": 0.02}


@pytest.fixture(scope="module")
def data():
    return dm.spirals(points_per_arm=100)


@pytest.fixture(scope="module")
def ensemble(data):
    return dm.train(data, hidden=(12,), **TRAINING)


def test_every_public_name_is_there_and_documented():
    """What `__all__` lists can be imported, and says what it is."""
    assert sorted(dm.__all__) == dm.__all__
    for name in dm.__all__:
        assert getattr(dm, name).__doc__
    assert set(dm.__all__) < set(dir(dm))
    assert dm.__version__
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        dm.nothing  # noqa: B018 - the access itself fails


def test_importing_the_face_loads_nothing_heavy():
    """A notebook's first cell answers at once; torch is loaded by the first training."""
    program = "import deep_mlp, json, sys; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert {"torch", "numpy", "pandas", "sklearn", "matplotlib", "prefect"}.isdisjoint(json.loads(done.stdout))


def test_more_seeds_leave_the_first_as_they_are(data, ensemble):
    """A network is decided by its index, whoever trains alongside it."""
    more = dm.train(data, hidden=(12,), **{**TRAINING, "seeds": 11})
    assert np.array_equal(more.test_accuracy[:8], ensemble.test_accuracy)
    other = dm.train(data, hidden=(12,), **TRAINING, seed=7)
    assert not np.array_equal(other.test_accuracy, ensemble.test_accuracy)


def test_predictions_and_plain_networks_give_the_recorded_accuracy(data, ensemble):
    """What `predict` and a plain Sequential answer is as often right as the ensemble says."""
    inputs, labels = data.test_inputs, data.test_labels.numpy()
    assert np.array_equal((ensemble.predict(inputs) == labels).mean(1), ensemble.test_accuracy)
    assert np.allclose(ensemble.predict_proba(inputs).sum(2), 1)
    for seed in (0, 7):
        answers = ensemble.module(seed=seed)(inputs).argmax(1).numpy()
        assert (answers == labels).mean() == ensemble.test_accuracy[seed]


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "gelu", "erf", "selu", "leaky_relu(0.3)"])
def test_every_activation_becomes_plain_pytorch(data, name):
    """A network of any activation answers as its ensemble."""
    trained = dm.train(data, hidden=(4, 3), activation=name, seeds=1, epochs=1)
    plain = torch.softmax(trained.module()(data.test_inputs), 1).detach().numpy()
    assert np.allclose(plain, trained.predict_proba(data.test_inputs)[0], atol=1e-6)


def test_every_activation_has_a_module():
    """Whoever adds an activation adds its module."""
    assert set(MODULES) == set(ACTIVATION_FAMILIES)


def test_the_summary_counts_and_bounds(ensemble):
    """The median lies in its interval, and nothing is counted twice."""
    summary = ensemble.summary()
    assert (summary.n, summary.diverged) == (8, 0)
    assert summary.low <= summary.median <= summary.high
    assert summary.mean == pytest.approx(ensemble.test_accuracy.mean())
    assert summary.parameters == 2 * 12 + 12 + 12 * 4 + 4
    assert list(ensemble.to_frame()["test_accuracy"]) == list(ensemble.test_accuracy)


def test_networks_that_diverge_are_counted(data):
    """They have no accuracy, and no summary counts them as finished."""
    lost = dm.train(data, hidden=(4,), optimizer="sgd", learning_rate=1e30, seeds=2, epochs=2)
    summary = lost.summary()
    assert (summary.n, summary.diverged, summary.never_learned) == (0, 2, 2)
    assert np.isnan(summary.mean)
    assert "2 diverged" in repr(lost)
    assert lost.plot().axes
    assert "<table>" in lost._repr_html_()


def test_a_notebook_shows_one_block_of_html(ensemble):
    """A page of Markdown keeps a block as it is; of elements that follow it, it may drop some."""
    block = ElementTree.fromstring(ensemble._repr_html_())
    assert [part.tag for part in block] == ["table", "svg"]
    assert len(block.findall("svg/circle")) == 8


@pytest.mark.parametrize(("seeds", "words"), [(1, "one network"), (2, "2 networks")])
def test_one_network_is_counted_as_one(data, seeds, words):
    """In text and in the figure."""
    trained = dm.train(data, hidden=(4,), seeds=seeds, epochs=1)
    assert f"TrainedEnsemble of {words} 2-4-4, " in repr(trained)
    assert f"{words}, 0 diverged" in [axes.get_title("left") for axes in trained.plot().axes]


def test_pairs_are_compared_and_few_seeds_decide_nothing(data, ensemble):
    """A wide network beats one of a single unit with 8 pairs; with 5 the verdict is open."""
    narrow = dm.train(data, hidden=(1,), **TRAINING)
    comparison = dm.compare(ensemble, narrow)
    assert (comparison.n, comparison.verdict, dm.compare(narrow, ensemble).verdict) == (8, "better", "worse")
    assert comparison.low <= comparison.difference <= comparison.high
    assert "better" in str(comparison)
    few = dm.train(data, hidden=(1,), **{**TRAINING, "seeds": 5})
    assert dm.compare(ensemble, few).verdict == "undecided"
    assert "train more" in str(dm.compare(ensemble, few))
    with pytest.raises(dm.InputError, match="root seeds of two ensembles must be equal, got 2021 and 1"):
        dm.compare(ensemble, dm.train(data, hidden=(1,), seeds=1, epochs=1, seed=1))


def test_ones_own_arrays_are_cut_and_keep_their_names():
    """Labels may be text; the same seed gives the same cut."""
    inputs = np.random.default_rng(0).normal(size=(50, 3))
    labels = np.where(inputs[:, 0] > 0, "yes", "no")
    first, again = (dm.Split.from_arrays(inputs, labels, seed=3) for _ in range(2))
    assert first.classes == ("no", "yes")
    assert (len(first.train_labels), len(first.test_labels)) == (40, 10)
    assert torch.equal(first.train_inputs, again.train_inputs)
    trained = dm.train(first, hidden=(8,), epochs=60, learning_rate=0.05, seeds=2)
    assert set(trained.predict(inputs).ravel()) <= {"no", "yes"}
    assert trained.summary().median > 0.7


@pytest.mark.parametrize(
    ("inputs", "labels", "options", "sentence"),
    [
        ([1.0, 2.0], [0, 1], {}, r"inputs must be \[n, features\] and labels \[n\], got shapes \(2,\) and \(2,\)"),
        ([[1.0], [2.0]], [0], {}, r"got shapes \(2, 1\) and \(1,\)"),
        ([[1.0], [np.nan]], [0, 1], {}, "inputs must be finite numbers, got 1 that are not"),
        ([[1.0], [2.0]], [0, 1], {}, "test_share must leave examples in both parts, got 0.2 of 2 examples"),
        ([[1.0]] * 9, [0, 1] * 4 + [0], {"test_share": 1.0}, "test_share must leave examples in both parts"),
    ],
)
def test_arrays_that_are_no_examples_are_refused(inputs, labels, options, sentence):
    """One sentence says what does not fit."""
    with pytest.raises(dm.InputError, match=sentence):
        dm.Split.from_arrays(inputs, labels, **options)


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ({"activation": "swish"}, "activation must be one of relu, .*, got 'swish'"),
        ({"hidden": (0,)}, r"hidden must have layers of at least 1 unit, got \(0,\)"),
        ({"start": "he"}, "start must be one of pytorch, xavier_normal, xavier_uniform, got 'he'"),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"seeds": 0}, "seeds must be at least 1, got 0"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0, got 0.0"),
        ({"optimizer": "lion"}, "optimizer must be one of adam, sgd, got 'lion'"),
    ],
)
def test_settings_that_break_a_rule_are_refused(data, setting, sentence):
    """One sentence names the setting, the rule and the value."""
    with pytest.raises(dm.InputError, match=sentence):
        dm.train(data, **{"epochs": 1, "seeds": 1, **setting})
    with pytest.raises(dm.InputError, match="seed must be an index from 0 to 0, got 5"):
        dm.train(data, epochs=1, seeds=1).module(seed=5)


def test_theory_is_one_call_away():
    """The tutorial's gain, and an activation that there is not."""
    assert dm.theory("LeakyReLU(0.1)").forward_gain() == pytest.approx(np.sqrt(2 / 1.01))
    assert dm.theory("relu").critical_point().sigma_w == pytest.approx(np.sqrt(2))
    with pytest.raises(dm.InputError, match="activation must be one of"):
        dm.theory("swish")


IN_A_POOL = """
import multiprocessing
import torch
import deep_mlp as dm

inputs = torch.randn(1000, 2, generator=torch.Generator().manual_seed(0))
labels = (inputs[:, 0] > 0).long()
data = dm.Split(inputs[:800], labels[:800], inputs[800:], labels[800:])

def probabilities(number):
    return dm.train(data, hidden=(256,), seeds=8, epochs=1).predict_proba(inputs).tolist()

probabilities(0)
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(pool.map(probabilities, [0, 0]) == [probabilities(0)] * 2)
"""


@pytest.mark.thorough
def test_it_learns_in_processes_that_were_forked_from_one_that_has_learned():
    """As of `multiprocessing.Pool` on Linux in a notebook: torch waited there for threads that are gone, for ever."""
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}  # with one there is nobody to wait for
    done = subprocess.run(
        [sys.executable, "-c", IN_A_POOL], capture_output=True, text=True, timeout=180, env=environment
    )
    assert (done.stdout, done.returncode) == ("True\n", 0), done.stderr
