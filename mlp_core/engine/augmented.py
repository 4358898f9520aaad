"""Augmented images as rows of a network's input, in compiled code: each picked, turned, mirrored and scaled at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from mlp_core.data.augmentation import FRACTION_BITS, normalize, rotate_and_flip, source_steps
from mlp_core.engine.compilation import program


@program
def _augment(images: Any, width: int, indices: Any, steps: Any, out: Any, places: Any, scaled: Any) -> None:
    """Write each image's pixels, from where its steps lead, to a row of `out`.

    Returns nothing: it changes `out`, `places` and `scaled`.

    Args:
        images: uint8 `[images, channels, pixels]`.
        width: Pixels of a row.
        indices: Which images, int64 `[n]`.
        steps: As `source_steps` makes them, int32 `[n, 2, 3]`.
        out: float32 `[n, channels * pixels]`.
        places: int32 `[pixels]`, memory for where each pixel comes from.
        scaled: float32 `[pixels + 1]`, memory for a channel of an image, and a black pixel.
    """
    n_channels, n_pixels = images.shape[1:]
    height = n_pixels // width
    scaled[n_pixels] = -1
    for row in range(len(indices)):
        x_per_column, y_per_column = steps[row, 0, 2], steps[row, 1, 2]
        for line in range(height):
            x = np.int32(steps[row, 0, 0] + line * steps[row, 0, 1])
            y = np.int32(steps[row, 1, 0] + line * steps[row, 1, 1])
            for pixel in range(line * width, (line + 1) * width):
                from_line, from_column = y >> FRACTION_BITS, x >> FRACTION_BITS
                # A negative number is a large one without its sign
                inside = (np.uint32(from_line) < height) & (np.uint32(from_column) < width)
                places[pixel] = from_line * width + from_column if inside else n_pixels
                x, y = np.int32(x + x_per_column), np.int32(y + y_per_column)
        for channel in range(n_channels):
            source = images[indices[row], channel]
            destination = out[row, channel * n_pixels :]
            for pixel in range(n_pixels):
                scaled[pixel] = np.float32(source[pixel]) / np.float32(127.5) - np.float32(1)
            for pixel in range(n_pixels):
                destination[pixel] = scaled[np.uint32(places[pixel])]


def augmented_batch(images: Tensor, indices: Tensor, angles_degrees: Tensor, flips: Tensor, out: Tensor) -> None:
    """Select images by index, rotate, flip and normalise them, and write each to a row of a network's input.

    The numbers are those of `normalize(rotate_and_flip(images[indices], angles_degrees, flips)).flatten(1)`.

    Args:
        images: uint8 `[n_images, channels, height, width]`.
        indices: Which images, in which order, int64 `[n]`.
        angles_degrees: Counter-clockwise, float64 `[n]`, one per row.
        flips: bool `[n]`, one per row.
        out: float32 `[n, channels * height * width]` to write to, contiguous or not, in channel, row, column order.

    Raises:
        ValueError: If `out`, or the angles and flips, are not of as many rows as there are indices, `out` is not as
            wide as an image has numbers, or an index is none of an image: compiled code checks no bounds.

    Example:
        >>> import torch
        >>> from mlp_core.data.augmentation import draw_augmentations
        >>> images = torch.full((5, 3, 32, 32), 255, dtype=torch.uint8)
        >>> angles, flips = draw_augmentations(2, torch.Generator().manual_seed(0))
        >>> rows = torch.empty(2, 3072)
        >>> augmented_batch(images, torch.tensor([4, 0]), angles, flips, rows)
        >>> rows.unique().tolist()
        [-1.0, 1.0]
    """
    shapes = [tuple(part.shape) for part in (out, angles_degrees, flips)]
    expected = [(len(indices), images[0].numel()), (len(indices),), (len(indices),)]
    if shapes != expected:
        message = f"out, angles and flips must have the shapes {expected}, got {shapes}."
        raise ValueError(message)
    if len(indices) and not 0 <= int(indices.min()) <= int(indices.max()) < len(images):
        message = f"indices must be 0 to {len(images) - 1}, got {int(indices.min())} to {int(indices.max())}."
        raise ValueError(message)
    if images.device.type != "cpu":
        turned = rotate_and_flip(images[indices.to(images.device)], angles_degrees, flips)
        out.copy_(normalize(turned).flatten(1))
        return
    height, width = images.shape[2:]
    steps = source_steps(angles_degrees, flips, height, width).numpy()
    places, scaled = np.empty(height * width, np.int32), np.empty(height * width + 1, np.float32)
    _augment(images.flatten(2).numpy(), width, indices.numpy(), steps, out.numpy(), places, scaled)
