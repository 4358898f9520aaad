"""Members of a plan: the same whoever trains next to them, and lost ones are a result."""

import math
import threading
from dataclasses import replace

import pytest
import torch
from configurations import config_of, configs_of

from mlp_core.data.augmentation import draw_augmentations, normalize, rotate_and_flip
from mlp_core.data.datasets import Split, spirals, split
from mlp_core.data.polynomial_features import monomials
from mlp_core.engine.members import member_seed, train_batched, train_members
from mlp_core.engine.networks import Ensemble
from mlp_core.experiments.depth_sweep.experiment import depth_sweep_trials
from mlp_core.experiments.gain_sweep.experiment import gain_sweep_trials
from mlp_core.experiments.images.experiment import images_trial
from mlp_core.experiments.polynomial.experiment import polynomial_trial
from mlp_core.seeds import generator

TRAINING = {"optimizer": "adam", "learning_rate": 1e-3, "epochs": 3, "batch_size": 128, "seed": 2021, "device": "cpu"}


def depth_plan(depth, activation="relu", **changes):
    return configs_of(depth_sweep_trials, [depth], 100, 4, **{**TRAINING, "activation": activation, **changes})[0]


@pytest.fixture(scope="module")
def points():
    return split(*spirals(2021, points_per_arm=200))


@pytest.fixture(scope="module")
def features(points):
    return Split(
        monomials(points.train_inputs, 50),
        points.train_labels,
        monomials(points.test_inputs, 50),
        points.test_labels,
    )


@pytest.fixture(scope="module")
def images():
    """Give 180 and 40 images of three classes that differ in colour."""
    stream = torch.Generator().manual_seed(0)
    parts = []
    for n in (180, 40):
        labels = torch.arange(n) % 3
        pixels = torch.randint(0, 200, (n, 3, 32, 32), generator=stream)
        pixels[torch.arange(n), labels] += 25
        parts += [pixels.to(torch.uint8), labels]
    return Split(*parts)


PLANS = {
    **{f"depth {depth}": (depth_plan(depth), "points") for depth in (1, 2, 3, 4, 5)},
    "sgd": (depth_plan(2, optimizer="sgd", learning_rate=0.1), "points"),
    **{name: (depth_plan(2, name), "points") for name in ("tanh", "sigmoid", "gelu", "erf", "selu", "leaky_relu(0.1)")},
    "polynomial": (config_of(polynomial_trial, 50, 4, **TRAINING), "features"),
    "images": (
        config_of(
            images_trial, [64, 64, 64], 3072, 3, **{**TRAINING, "epochs": 2, "batch_size": 64}, activation="relu"
        ),
        "images",
    ),
    "gain": (
        configs_of(
            gain_sweep_trials,
            [1.4],
            "normal",
            [128, 64, 32],
            3072,
            3,
            1.407,
            **{**TRAINING, "epochs": 1, "batch_size": 64, "optimizer": "sgd", "learning_rate": 0.01},
            activation="leaky_relu(0.1)",
        )[0],
        "images",
    ),
}


@pytest.mark.parametrize("name", PLANS)
def test_a_member_is_the_same_in_any_company(request, name):
    """Alone, in another order or in blocks, a member has the same bits: losses, accuracies and weights."""
    plan, data_name = PLANS[name]
    data = request.getfixturevalue(data_name)
    together = train_members(plan, data, range(7))
    for members in ([0], [6], [6, 2, 4, 0], [0, 1, 2], [3, 4, 5, 6]):
        part = train_members(plan, data, members)
        assert part.member == members
        assert part.seed == [together.seed[member] for member in members]
        for name_, value in part.state.items():
            assert torch.equal(value, together.state[name_][members]), name_
        assert torch.equal(part.train_accuracy, together.train_accuracy[members])
        assert torch.equal(part.test_accuracy, together.test_accuracy[members])
        assert torch.equal(part.train_loss, together.train_loss[members])


@pytest.mark.parametrize("name", PLANS)
def test_a_training_that_is_stopped_leaves_no_thread(request, name):
    """Also in the midst of an epoch, and while the error is still looked at: a failed task keeps it."""
    plan, data_name = PLANS[name]
    steps, n_threads = [0], threading.active_count()
    with pytest.raises(IndexError) as error:
        train_members(plan, request.getfixturevalue(data_name), [0], lambda done: steps.pop())
    assert error.value.__traceback__
    assert threading.active_count() == n_threads


def test_plans_trained_together_give_what_each_gives_alone(images):
    """Bit for bit, whichever members are asked for, also where a plan has several gains."""
    plan, _ = PLANS["gain"]
    plans = [plan, replace(plan, name="two", gains=(0.5, 3.0)), replace(plan, gains=(0.9,))]
    for members in ([0], [1, 2]):
        for each, together in zip(plans, train_batched(plans, images, members), strict=True):
            alone = train_members(each, images, members)
            assert (together.member, together.seed) == (alone.member, alone.seed)
            assert all(torch.equal(together.state[name], value) for name, value in alone.state.items())
            assert torch.equal(together.train_loss, alone.train_loss)
            assert torch.equal(together.test_accuracy, alone.test_accuracy)
            assert torch.equal(together.train_accuracy, alone.train_accuracy)


@pytest.mark.parametrize("batch_size", [50, 37])
@pytest.mark.parametrize("batches", ["per_seed_order", "shared_order"])
def test_a_member_is_the_same_in_any_company_with_odd_batches(points, batches, batch_size):
    """Rows that fill no cache line change nothing: to the bit."""
    plan = replace(depth_plan(2, batch_size=batch_size), batches=batches)
    together, alone = train_members(plan, points, range(5)), train_members(plan, points, [3])
    assert torch.equal(alone.train_loss[0], together.train_loss[3])
    assert all(torch.equal(value[0], together.state[name][3]) for name, value in alone.state.items())


def test_the_same_plan_twice_is_the_same(points):
    """Equal settings give equal results; another root seed gives other members."""
    first, second = (train_members(depth_plan(2), points, range(3)) for _ in range(2))
    assert torch.equal(first.train_loss, second.train_loss)
    assert torch.equal(first.test_accuracy, second.test_accuracy)
    other = train_members(depth_plan(2, seed=2022), points, range(3))
    assert set(other.seed).isdisjoint(first.seed)
    assert not torch.isclose(other.train_loss, first.train_loss, rtol=1e-5).any()


def test_members_share_their_seed_between_configurations():
    """A member's seed is that of its number and experiment, so that configurations are compared in pairs."""
    shallow, deep = depth_plan(1), depth_plan(5)
    assert [member_seed(shallow, member) for member in range(5)] == [member_seed(deep, member) for member in range(5)]
    others = {member_seed(PLANS[name][0], 0) for name in ("depth 1", "polynomial", "images", "gain")}
    assert len(others) == 4


def test_weights_start_from_the_members_own_stream(points):
    """With steps too small to matter the weights stay those drawn from the member's seed."""
    plan = depth_plan(2, optimizer="sgd", learning_rate=1e-30)
    trained = train_members(plan, points, [4])
    start = Ensemble(plan.layer_sizes, "relu", [generator(member_seed(plan, 4), "weights")]).state()
    assert all(torch.equal(value, start[name]) for name, value in trained.state.items())


def test_accuracies_are_those_of_plain_networks(plain_network, points, images):
    """On all test examples, images neither turned nor flipped, plain networks are right as often."""
    for name, data, inputs in (
        ("depth 3", points, points.test_inputs),
        ("images", images, normalize(images.test_inputs).flatten(1)),
    ):
        plan, _ = PLANS[name]
        trained = train_members(plan, data, range(3))
        ensemble = Ensemble.from_state(trained.state, plan.activation)
        for member in range(3):
            answers = plain_network(ensemble, plan.activation, member)(inputs).argmax(1)
            share = (answers == data.test_labels).sum().item() / len(data.test_labels)
            assert trained.test_accuracy[member].item() == share


def test_train_accuracy_on_images_is_that_of_one_more_augmented_pass(plain_network, images):
    """As in the tutorial: every image once, rotated and flipped anew, by a stream of its own."""
    plan, _ = PLANS["images"]
    trained = train_members(plan, images, range(3))
    stream = generator(plan.seed, "images", "evaluation")
    order = torch.randperm(180, generator=stream)
    turned = rotate_and_flip(images.train_inputs[order], *draw_augmentations(180, stream))
    ensemble = Ensemble.from_state(trained.state, "relu")
    for member in range(3):
        answers = plain_network(ensemble, "relu", member)(normalize(turned).flatten(1)).argmax(1)
        right = (answers == images.train_labels[order]).sum().item()
        assert trained.train_accuracy[member].item() == right / 180


def test_training_teaches(points, images):
    """On spirals and on colourful images all members end far above chance and below their first loss."""
    for plan, data, chance in (
        (depth_plan(2, epochs=60, learning_rate=0.01), points, 1 / 4),
        (replace(PLANS["images"][0], epochs=5), images, 1 / 3),
    ):
        trained = train_members(plan, data, range(4))
        assert trained.train_loss.shape == (4, plan.epochs)
        assert (trained.train_loss[:, -1] < 0.8 * trained.train_loss[:, 0]).all()
        assert (trained.train_accuracy > chance + 0.2).all()
        assert (trained.test_accuracy > chance + 0.2).all()


def test_diverged_members_have_no_accuracy_and_harm_nobody():
    """With huge steps some members are lost: NaN accuracies for them, and for the others what they get alone."""
    data = split(*spirals(2021, points_per_arm=100))
    plan = depth_plan(3, "leaky_relu(0.1)", optimizer="sgd", learning_rate=4.0, epochs=10, batch_size=64, seed=1)
    together = train_members(plan, data, range(8))
    diverged = together.test_accuracy.isnan()
    assert 0 < diverged.sum() < 8
    assert torch.equal(diverged, together.train_accuracy.isnan())
    assert torch.equal(diverged, ~together.train_loss.isfinite().all(1))
    healthy = [member for member in range(8) if not diverged[member]]
    alone = train_members(plan, data, healthy)
    assert torch.equal(alone.train_loss, together.train_loss[healthy])
    assert torch.equal(alone.test_accuracy, together.test_accuracy[healthy])


def test_a_member_lost_in_its_last_step_has_diverged(points):
    """Finite losses do not save a member whose weights are no longer finite."""
    plan = depth_plan(1, optimizer="sgd", learning_rate=math.inf, epochs=1, batch_size=640)
    trained = train_members(plan, points, range(2))
    assert trained.train_loss.isfinite().all()
    assert trained.test_accuracy.isnan().all()
    assert trained.train_accuracy.isnan().all()


@pytest.mark.parametrize("name", ["depth 1", "polynomial", "images"])
def test_a_checkpoint_is_told_how_much_is_done(request, name):
    """From nothing to all, in order: before each of six steps of a large network, seldom for a small one."""
    plan, data_name = PLANS[name]
    progress = []
    train_members(plan, request.getfixturevalue(data_name), [0, 1], checkpoint=progress.append)
    assert progress == sorted(progress)
    assert (progress[0], progress[-1]) == (0, 1)
    assert len(progress) == {"depth 1": 1 + 2, "polynomial": 1 + 3, "images": 1 + 2 * 3}[name]


def test_a_long_training_of_small_networks_can_be_stopped_in_between(points):
    """Within an epoch too: no call takes long."""
    plan = depth_plan(2, epochs=5000)
    progress = []

    def stop(done):
        progress.append(done)
        if len(progress) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_members(plan, points, [0], stop)
    assert 0 < progress[-1] < 0.5
