"""What is measured: works with their data, sizes and model FLOPs."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from mlp_core.data import datasets
from mlp_core.data.faces import write_faces
from mlp_core.data.images import decode_images, list_images
from mlp_core.data.polynomial_features import monomials
from mlp_core.engine.configs import TrainConfig
from mlp_core.engine.tables import split_of
from mlp_core.experiments.depth_sweep import experiment as depth_sweep
from mlp_core.experiments.gain_sweep import experiment as gain_sweep
from mlp_core.experiments.gain_sweep.experiment import GainSweep
from mlp_core.experiments.images import experiment as images
from mlp_core.experiments.interface import Data, Experiment, Setup
from mlp_core.experiments.polynomial import experiment as polynomial
from mlp_core.experiments.polynomial.experiment import Polynomial
from mlp_core.settings import Settings

SEED = 2021
ARMS = 4
PIXELS = 3 * 32 * 32


class Outcome(NamedTuple):
    """What a method returns for a piece of work.

    Attributes:
        accuracies: Test accuracy of each model, 0..1; empty if nothing was trained.
        training_seconds: Seconds from the first to the last step; NaN if the method does not measure it.
    """

    accuracies: list[float]
    training_seconds: float = math.nan


@dataclass(frozen=True)
class ImageFiles:
    """Images in the two forms in which the methods read them.

    Attributes:
        zip: The zip that the project reads.
        folder: Folder with the same files in `train/CLASS/` and `test/CLASS/`, for torchvision.
        n_train: Number of training images.
        n_test: Number of test images.
        n_classes: Number of classes.
    """

    zip: Path
    folder: Path
    n_train: int
    n_test: int
    n_classes: int


@dataclass(frozen=True)
class Work:
    """A piece of work that is the same for all methods, such as training one configuration.

    Attributes:
        row: Row of the table, as on the command line.
        name: What is done, in words.
        configs: Configurations, trained as the tutorial trains them.
        n_members: Members per configuration and gain.
        image_files: The images; None for spirals.
        task: `train`, `augment` (an epoch's images, without training) or `decide` (the decision map).
        n_alone: How many models a method that trains one after the other has to train; None for one of each.
    """

    row: str
    name: str
    configs: tuple[TrainConfig, ...]
    n_members: int = 1
    image_files: ImageFiles | None = None
    task: str = "train"
    n_alone: int | None = None

    def alone(self) -> Work:
        """Return the part for a method without ensembles: one member per configuration and gain, at most `n_alone`.

        Its time per model is the same for the rest.
        """
        single = tuple(replace(config, gains=(gain,)) for config in self.configs for gain in config.gains)
        return replace(self, n_members=1, configs=single[: self.n_alone])

    @property
    def n_models(self) -> int:
        """Return the number of models that are trained."""
        return self.n_members * sum(len(config.gains) for config in self.configs)

    @property
    def sizes(self) -> tuple[int, int]:
        """Return the numbers of training and test examples."""
        if self.image_files:
            return self.image_files.n_train, self.image_files.n_test
        split = load(self)
        return len(split.train_labels), len(split.test_labels)

    def warm_up(self) -> Work:
        """Return a short piece of the work: one epoch of the first configuration."""
        return replace(self, configs=tuple(replace(config, epochs=1) for config in self.configs[:1]))

    def training_gflop(self) -> float:
        """Return the GFLOP that training all models takes, by `training_flops`."""
        n_train, _ = self.sizes
        each = (
            config.epochs * n_train * training_flops(config.layer_sizes) * len(config.gains) for config in self.configs
        )
        return self.n_members * sum(each) / 1e9

    def evaluation_gflop(self) -> float:
        """Return the GFLOP of classifying every training and test example once with all models."""
        each = (sum(self.sizes) * forward_flops(config.layer_sizes) * len(config.gains) for config in self.configs)
        return self.n_members * sum(each) / 1e9


def forward_flops(layer_sizes: Sequence[int]) -> int:
    """Return the FLOPs of classifying one example with a network: 2 per multiply-add, biases not counted.

    Example:
        >>> forward_flops([2, 14, 4])
        168
    """
    return 2 * sum(n_inputs * n_outputs for n_inputs, n_outputs in pairwise(layer_sizes))


def training_flops(layer_sizes: Sequence[int]) -> int:
    """Return the FLOPs of the forward and backward pass of one example.

    Example:
        >>> training_flops([2, 14, 4]) == 3 * 168 - 2 * 2 * 14
        True
    """
    return 3 * forward_flops(layer_sizes) - forward_flops(layer_sizes[:2])


def depth_configs() -> tuple[TrainConfig, ...]:
    """Return the configurations of the tutorial's section 1: the depth sweep."""
    return _configs(depth_sweep.EXPERIMENT, depth_sweep.DepthSweep(), 2, ARMS)


def polynomial_configs() -> tuple[TrainConfig, ...]:
    """Return the configuration of the tutorial's section 1.1: the polynomial, in a tuple of one."""
    return _configs(polynomial.EXPERIMENT, polynomial.Polynomial(), 2, ARMS)


def images_configs(n_classes: int) -> tuple[TrainConfig, ...]:
    """Return the configuration of the tutorial's section 2: the network on images, in a tuple of one."""
    return _configs(images.EXPERIMENT, images.Images(), PIXELS, n_classes)


def gain_configs(n_classes: int, sweep: GainSweep = GainSweep()) -> tuple[TrainConfig, ...]:
    """Return the configurations of the tutorial's bonus, one per gain, or of another gain sweep."""
    return _configs(gain_sweep.EXPERIMENT, sweep, PIXELS, n_classes)


def _configs(experiment: Experiment, settings: Settings, n_inputs: int, n_classes: int) -> tuple[TrainConfig, ...]:
    data = Data(n_inputs, tuple(map(str, range(n_classes))), 0, 0)
    return tuple(trial.config for trial in experiment.trials(Setup(settings, data, seed=SEED)))


def draw_images(folder: Path, n_train_per_class: int, n_test_per_class: int) -> ImageFiles:
    """Draw synthetic face images into a new folder, as a zip and unpacked.

    Args:
        folder: The folder; it must not exist.
        n_train_per_class: Training images of each class.
        n_test_per_class: Test images of each class.
    """
    source = folder / "faces.zip"
    folder.mkdir()
    write_faces(source, seed=SEED, n_train_per_class=n_train_per_class, n_val_per_class=n_test_per_class)
    return unpack_images(source, folder)


def unpack_images(source: Path, folder: Path) -> ImageFiles:
    """Unpack a zip of images into a folder for torchvision, and describe both.

    Raises:
        InputError: If the zip does not have the layout that the project reads.
    """
    entries = list_images(source).images
    with zipfile.ZipFile(source) as archive:
        for entry in entries:
            path = folder / entry.split / entry.class_name / Path(entry.name).name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(archive.read(entry.name))
    n_train = sum(entry.split == "train" for entry in entries)
    n_classes = len({entry.class_name for entry in entries})
    return ImageFiles(source, folder, n_train, len(entries) - n_train, n_classes)


def load(work: Work) -> datasets.Split:
    """Return the examples of a work (images, spirals or their polynomial features), as `train_members` takes them."""
    if work.image_files:
        return _load_images(work.image_files)
    return _load_spirals(expanded=bool(work.configs[0].inputs))


@cache
def _load_images(image_files: ImageFiles) -> datasets.Split:
    return split_of(decode_images(image_files.zip).to_batches())


@cache
def _load_spirals(*, expanded: bool) -> datasets.Split:
    split = datasets.split(*datasets.spirals(SEED, arms=ARMS), SEED)
    if not expanded:
        return split
    degree = Polynomial().degree
    return replace(
        split,
        # contiguous, as the project stores them
        train_inputs=monomials(split.train_inputs, degree).contiguous(),
        test_inputs=monomials(split.test_inputs, degree).contiguous(),
    )
