"""What the figures of a network on images show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from numpy.typing import NDArray

from mlp_core.data.augmentation import draw_augmentations, rotate_and_flip
from mlp_core.data.datasets import Split
from mlp_core.data.sizes import image_shape
from mlp_core.engine.tables import TrainedModel
from mlp_core.seeds import generator

_N_SAMPLES = 32


def augmented_samples(data: Split, seed: int, classes: Sequence[str]) -> tuple[NDArray[Any], list[int], Sequence[str]]:
    """Return the arguments of `samples_figure`: up to 32 random training images, augmented, their labels, class names.

    Args:
        data: The images.
        seed: Root seed, which decides the choice and the augmentation.
        classes: Class names by label, returned unchanged.
    """
    stream = generator(seed, "samples")
    chosen = torch.randperm(len(data.train_labels), generator=stream)[:_N_SAMPLES]
    images = rotate_and_flip(data.train_inputs[chosen], *draw_augmentations(len(chosen), stream))
    return images.numpy(), data.train_labels[chosen].tolist(), classes


def first_layer_of_member_0(model: TrainedModel) -> tuple[NDArray[Any]]:
    """Return the first layer's weights of member 0 as images `[units, channels, rows, columns]`, in a tuple of one."""
    weights = model.state()["0.weight"][0]
    return (weights.view(-1, *image_shape(weights.shape[1])).numpy(),)
