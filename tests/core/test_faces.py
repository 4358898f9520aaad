"""Drawn faces: laid out as the real ones, reproducible, varied, and neither too easy nor too hard to tell apart."""

import zipfile

import pytest
import torch
from configurations import config_of, configs_of

from mlp_core.data import faces
from mlp_core.data.faces import write_faces
from mlp_core.data.images import decode_images
from mlp_core.engine.members import train_members
from mlp_core.engine.tables import split_of
from mlp_core.experiments.gain_sweep.experiment import gain_sweep_trials
from mlp_core.experiments.images.experiment import images_trial

SETTINGS = {"seed": 2021, "device": "cpu", "batch_size": 64}


def members_of(file):
    """Return each file's bytes by its name."""
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def images_in(file):
    """Return the images of a zip as the experiments get them."""
    return split_of(decode_images(file).to_batches())


def accuracy_of_nearest_mean(train, train_labels, test, test_labels):
    """Return the share of test rows whose nearest class mean is that of their own class."""
    means = torch.stack([train[train_labels == label].mean(0) for label in range(3)])
    return (torch.cdist(test, means).argmin(1) == test_labels).double().mean().item()


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Draw fewer than the default, but more than are drawn at a time."""
    file = tmp_path_factory.mktemp("faces") / "faces.zip"
    write_faces(file, seed=2021, n_train_per_class=600, n_val_per_class=200)
    return images_in(file)


@pytest.fixture(scope="module")
def all_images(tmp_path_factory):
    """Draw what the program draws."""
    file = tmp_path_factory.mktemp("faces") / "faces.zip"
    write_faces(file, seed=2021)
    return images_in(file)


def test_faces_lie_in_the_real_layout(tmp_path):
    """Folders, classes and their numbers are right, and the reader of the real images reads them."""
    file = tmp_path / "faces.zip"
    write_faces(file, seed=0, n_train_per_class=3, n_val_per_class=2)
    table = decode_images(file)
    assert table["source"].to_pylist() == [
        f"afhq/{part}/{name}/{name}_{number:04d}.jpg"
        for part, n in (("train", 3), ("val", 2))
        for name in ("cat", "dog", "wild")
        for number in range(n)
    ]
    assert table["label"].to_pylist() == [0] * 3 + [1] * 3 + [2] * 3 + [0] * 2 + [1] * 2 + [2] * 2


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    """Nothing but the seed decides the zip, not even the time of day."""
    first, second = tmp_path / "first.zip", tmp_path / "second.zip"
    for file in (first, second):
        write_faces(file, seed=7, n_train_per_class=4, n_val_per_class=1)
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        assert {member.date_time for member in archive.infolist()} == {(2021, 8, 1, 0, 0, 0)}


def test_another_seed_gives_other_images(tmp_path):
    """No image of one seed is one of another seed."""
    images = []
    for seed in (7, 8):
        write_faces(tmp_path / "faces.zip", seed=seed, n_train_per_class=4, n_val_per_class=1)
        images.append(set(members_of(tmp_path / "faces.zip").values()))
    assert not images[0] & images[1]


def test_a_part_does_not_depend_on_the_size_of_another(tmp_path):
    """Fewer images to train on leave those to test on as they are, and the reverse."""
    few, many = tmp_path / "few.zip", tmp_path / "many.zip"
    write_faces(few, seed=1, n_train_per_class=2, n_val_per_class=3)
    write_faces(many, seed=1, n_train_per_class=5, n_val_per_class=3)
    many = members_of(many)
    assert all(content == many[name] for name, content in members_of(few).items() if "/val/" in name)


def test_a_class_does_not_depend_on_the_others(tmp_path, monkeypatch):
    """Without cats, the other faces stay as they are."""
    three, two = tmp_path / "three.zip", tmp_path / "two.zip"
    write_faces(three, seed=1, n_train_per_class=2, n_val_per_class=2)
    monkeypatch.setattr(faces, "_SPECIES", {name: faces._SPECIES[name] for name in ("wild", "dog")})
    write_faces(two, seed=1, n_train_per_class=2, n_val_per_class=2)
    expected = {name: content for name, content in members_of(three).items() if "/cat/" not in name}
    assert members_of(two) == expected


def test_no_two_images_are_equal(images):
    """Images differ within a class, between the chunks they are drawn in, and between train and test."""
    pixels = torch.cat([images.train_inputs, images.test_inputs]).flatten(1).numpy()
    assert len(pixels) == 3 * 800
    assert len({image.tobytes() for image in pixels}) == len(pixels)


def test_random_numbers_are_not_used_twice(images):
    """Images of equal number are unrelated in brightness, whichever two classes and parts they are from."""
    train, test = (
        part.float().mean((1, 2, 3)).view(3, -1)[:, :200] for part in (images.train_inputs, images.test_inputs)
    )
    correlation = torch.corrcoef(torch.cat([train, test])).fill_diagonal_(0)
    assert correlation.abs().max() < 0.3


def test_images_are_neither_flat_nor_burnt_out(images):
    """Every image has contrast, and few pixels are at the ends of the scale."""
    pixels = images.train_inputs.float()
    assert pixels.flatten(1).std(1).min() > 10
    assert ((pixels == 0) | (pixels == 255)).double().mean() < 0.05


@pytest.mark.parametrize("margin", [0, 8])
def test_colour_and_brightness_do_not_tell_the_classes(images, margin):
    """The mean colour of an image, or of its middle, gives its class away little better than chance does."""
    inside = slice(margin, 32 - margin)
    train, test = (
        part[:, :, inside, inside].float().mean((2, 3)) for part in (images.train_inputs, images.test_inputs)
    )
    assert accuracy_of_nearest_mean(train, images.train_labels, test, images.test_labels) < 0.45


@pytest.mark.thorough
def test_a_small_network_learns_some_of_it_in_seconds(images):
    """A few epochs on few images take a network beyond mean faces, and leave something to learn."""
    train, test = (part.float().flatten(1) for part in (images.train_inputs, images.test_inputs))
    of_means = accuracy_of_nearest_mean(train, images.train_labels, test, images.test_labels)
    plan = config_of(
        images_trial, [64], 3072, 3, activation="relu", optimizer="adam", learning_rate=3e-4, epochs=10, **SETTINGS
    )
    of_network = train_members(plan, images, [0]).test_accuracy.item()
    assert of_means + 0.1 < of_network < 0.9


@pytest.mark.slow
def test_the_tutorials_network_lands_between_65_and_95_percent(all_images):
    """Thirty epochs of the tutorial's network leave errors, but not many."""
    training = {"activation": "relu", "optimizer": "adam", "learning_rate": 3e-4, "epochs": 30}
    plan = config_of(images_trial, [64, 64, 64], 3072, 3, **training, **SETTINGS)
    accuracies = train_members(plan, all_images, range(2)).test_accuracy
    assert accuracies.min() > 0.65
    assert accuracies.max() < 0.95


@pytest.mark.slow
def test_the_gain_sweep_has_a_peak_inside(all_images):
    """After one epoch, weights that start near the theoretical gain are clearly ahead of small and of large ones."""
    training = {"activation": "leaky_relu(0.1)", "optimizer": "sgd", "learning_rate": 1e-2, "epochs": 1}
    plans = configs_of(
        gain_sweep_trials, [0.1, 1.4, 3.0], "normal", [128, 64, 32], 3072, 3, 1.407, **training, **SETTINGS
    )
    small, middle, large = (train_members(plan, all_images, range(8)).test_accuracy.mean() for plan in plans)
    assert middle > small + 0.1
    assert middle > large + 0.02
