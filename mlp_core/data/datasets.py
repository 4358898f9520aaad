"""The tutorial's spirals and their split."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from mlp_core.data.sizes import TEST_SHARE
from mlp_core.errors import InputError


@dataclass(frozen=True)
class Split:
    """A data set, split into train and test examples and, where they are needed, validation examples.

    Attributes:
        train_inputs: float32 `[n_train, features]`, or images uint8 `[n_train, channels, height, width]`.
        train_labels: int64 `[n_train]`.
        test_inputs: As the train inputs, `[n_test, ...]`.
        test_labels: int64 `[n_test]`.
        classes: Names of the classes in the order of the labels; None if they have no names.
        about: For a table, how its columns were used, see `mlp_core.data.tables.described`; otherwise None.
        validation_inputs: Examples to choose a learning rate or configuration on, `[n_validation, ...]`; None if none
            were taken from the training examples.
        validation_labels: int64 `[n_validation]`, or None.
    """

    train_inputs: Tensor
    train_labels: Tensor
    test_inputs: Tensor
    test_labels: Tensor
    classes: tuple[Any, ...] | None = None
    about: Mapping[str, Any] | None = None
    validation_inputs: Tensor | None = None
    validation_labels: Tensor | None = None

    @classmethod
    def from_arrays(
        cls, inputs: ArrayLike, labels: ArrayLike, *, test_share: float = TEST_SHARE, seed: int = 0
    ) -> Split:
        """Shuffle your own examples and split them into a train and a test set.

        Labels may be names; they are numbered in sorted order, and `classes` holds the names.

        Args:
            inputs: `[n, features]`, numbers.
            labels: `[n]`, of any type that can be sorted.
            test_share: Share of the test set, above 0 and below 1, rounded down to whole examples.
            seed: Seed of the shuffle.

        Raises:
            InputError: If the arrays do not fit together, hold what is no finite number, or leave a part empty.

        Example:
            >>> data = Split.from_arrays([[0.0], [1.0], [2.0], [3.0], [4.0]], ["a", "b", "a", "b", "a"])
            >>> data.classes, len(data.train_labels), len(data.test_labels)
            (('a', 'b'), 4, 1)
        """
        examples, names = np.asarray(inputs, dtype=np.float32), np.asarray(labels)
        if examples.ndim != 2 or names.shape != examples.shape[:1]:
            message = f"inputs must be [n, features] and labels [n], got shapes {examples.shape} and {names.shape}."
            raise InputError(message)
        if not np.isfinite(examples).all():
            message = f"inputs must be finite numbers, got {int((~np.isfinite(examples)).sum())} that are not."
            raise InputError(message)
        n_test = int(test_share * len(examples))
        if not 0 < n_test < len(examples):
            message = f"test_share must leave examples in both parts, got {test_share} of {len(examples)} examples."
            raise InputError(message)
        classes, numbers = np.unique(names, return_inverse=True)
        parts = split(torch.from_numpy(examples), torch.from_numpy(numbers).long(), seed, test_share=test_share)
        return replace(parts, classes=tuple(classes.tolist()))

    @classmethod
    def from_parts(
        cls,
        train_inputs: ArrayLike,
        train_labels: ArrayLike,
        test_inputs: ArrayLike,
        test_labels: ArrayLike,
        classes: Sequence[Any] | None = None,
    ) -> Split:
        """Return a `Split` of examples that are split already; nothing is shuffled or checked.

        Args:
            train_inputs: `[n_train, features]`; converted to float32.
            train_labels: `[n_train]`, integers 0 .. number of classes - 1.
            test_inputs: `[n_test, features]`.
            test_labels: `[n_test]`.
            classes: Names of the classes in the order of the labels.
        """
        inputs = (torch.as_tensor(np.asarray(part), dtype=torch.float32) for part in (train_inputs, test_inputs))
        labels = (torch.as_tensor(np.asarray(part)).long() for part in (train_labels, test_labels))
        (train, test), (train_numbers, test_numbers) = inputs, labels
        return cls(train, train_numbers, test, test_numbers, None if classes is None else tuple(classes))


def spirals(
    seed: int = 2021, *, arms: int = 4, points_per_arm: int = 1000, noise: float = 0.4, t_max: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Draw points on spiral arms around the origin, one class per arm.

    Arm k at t in [0, t_max]: `x1 = t (sin(2 pi / K (2t + k)) + noise^2 e)`, `x2 = t (cos(...) + noise^2 e')`.
    The tutorial squares its sigma; so do we, and with its seed the tensors are equal to its own bit for bit.

    Its arms end at t = 1. Continued beyond, the curves give true labels where no model was trained: without noise a
    point lies t from the origin, and at every radius neighbouring arms stay 2 pi / K apart in angle and nearly half a
    unit across, however far they go on. The noise grows with t: the curve nearest to a point of the tutorial's noise is
    its own 9 times in 10 near t = 1 and 6 times in 10 near t = 2.

    Args:
        seed: Seed of the stream, used as it stands (not derived), as the tutorial does.
        arms: Arms and classes K, at least 2.
        points_per_arm: Points on each arm, at least 1.
        noise: sigma; the standard deviation of the noise at t = 1 is its square.
        t_max: Where the arms end, above 0.

    Returns:
        Points float32 `[arms * points_per_arm, 2]` and labels int64 `[arms * points_per_arm]`, arm by arm.

    Example:
        >>> points, labels = spirals(2021)
        >>> tuple(points.shape), labels.bincount().tolist()
        ((4000, 2), [1000, 1000, 1000, 1000])
        >>> clean, _ = spirals(noise=0.0, t_max=2.0)
        >>> round(clean.norm(dim=1).max().item(), 6)
        2.0

    Source:
        Neuromatch Academy, Deep Learning, W1D3 tutorial 2, section 1.
    """
    stream = torch.Generator().manual_seed(seed)
    time = torch.linspace(0, t_max, points_per_arm)
    points = torch.empty(arms * points_per_arm, 2)
    for arm, block in enumerate(points.view(arms, points_per_arm, 2)):
        angle = 2 * math.pi / arms * (2 * time + arm)
        for axis, curve in enumerate((torch.sin(angle), torch.cos(angle))):
            block[:, axis] = time * (curve + noise**2 * torch.randn(points_per_arm, generator=stream))
    return points, torch.arange(arms).repeat_interleave(points_per_arm)


def split(inputs: Tensor, labels: Tensor, seed: int = 2021, *, test_share: float = TEST_SHARE) -> Split:
    """Shuffle examples and split them: the first fifth becomes the test set, the rest the train set.

    Args:
        inputs: `[n, features]` or images `[n, ...]`.
        labels: `[n]`.
        seed: Seed of the permutation, used as it stands, as the tutorial does.
        test_share: Share of the test set, rounded down to whole examples.

    Example:
        >>> parts = split(*spirals(2021))
        >>> len(parts.train_labels), len(parts.test_labels)
        (3200, 800)
    """
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(seed))
    n_test = int(test_share * len(inputs))
    test, train = order[:n_test], order[n_test:]
    return Split(inputs[train], labels[train], inputs[test], labels[test])
