"""The tutorial's random rotations and flips, a batch at a time: torchvision's to the pixel, without PIL."""

from __future__ import annotations

import torch
from torch import Tensor

FRACTION_BITS = 16
"""Places in an image are whole numbers of 65536ths of a pixel, as PIL's are."""


def draw_augmentations(n: int, generator: torch.Generator, max_angle_degrees: float = 10.0) -> tuple[Tensor, Tensor]:
    """Draw for each image a random rotation angle and whether to flip it.

    Random numbers are drawn in torchvision's order: angle, flip, angle, flip ...

    Args:
        n: Number of images.
        generator: CPU generator to draw from.
        max_angle_degrees: Angles are uniform between this and its negative.

    Returns:
        Angles in degrees, counter-clockwise, float64 `[n]`, and flips bool `[n]`, each true with probability 1/2.

    Example:
        >>> angles, flips = draw_augmentations(1000, torch.Generator().manual_seed(0))
        >>> bool(angles.abs().max() <= 10), 400 < int(flips.sum()) < 600
        (True, True)
    """
    draws = torch.rand(n, 2, generator=generator)
    # torchvision draws float32 angles with a fused multiply-add: one rounding, here from float64
    angles = draws[:, 0].double().mul_(2 * max_angle_degrees).sub_(max_angle_degrees).float().double()
    return angles, draws[:, 1] < 0.5


def rotate_and_flip(images: Tensor, angles_degrees: Tensor, flips: Tensor) -> Tensor:
    """Rotate each image about its centre, then mirror it left to right where `flips` is true.

    Each pixel is the nearest one of the source, or black where that is outside: every pixel equals that of PIL's
    `Image.rotate`.

    Args:
        images: uint8 `[n, channels, height, width]`.
        angles_degrees: Counter-clockwise, float64 `[n]`.
        flips: bool `[n]`.

    Returns:
        uint8 `[n, channels, height, width]`.

    Example:
        >>> image = torch.tensor([[[[1, 2], [3, 4]]]], dtype=torch.uint8)
        >>> rotate_and_flip(image, torch.tensor([0.0]), torch.tensor([True])).tolist()
        [[[[2, 1], [4, 3]]]]

    Source:
        Pillow 13, `src/PIL/Image.py`, `rotate`; `src/libImaging/Geometry.c`, `affine_fixed`.
    """
    height, width = images.shape[2:]
    steps = source_steps(angles_degrees, flips, height, width).to(images.device)
    rows = torch.arange(height, dtype=steps.dtype, device=steps.device).unsqueeze(1)
    columns = torch.arange(width, dtype=steps.dtype, device=steps.device)
    first, per_row, per_column = steps.view(-1, 2, 3, 1, 1).unbind(2)
    x, y = (first + per_row * rows + per_column * columns).bitwise_right_shift(FRACTION_BITS).unbind(1)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    places = torch.where(inside, y * width + x, 0).long().flatten(1).unsqueeze(1)
    moved = images.flatten(2).gather(2, places.expand(-1, images.shape[1], -1))
    return moved.view(images.shape) * inside.unsqueeze(1)


def normalize(images: Tensor) -> Tensor:
    """Map bytes 0 .. 255 to -1 .. 1 by `v / 127.5 - 1`; equal bit for bit to torchvision's `((v / 255) - 0.5) / 0.5`.

    Args:
        images: uint8, any shape.

    Returns:
        float32, the same shape.

    Example:
        >>> normalize(torch.tensor([0, 51, 255], dtype=torch.uint8))
        tensor([-1.0000, -0.6000,  1.0000])
    """
    return images.div(127.5).sub_(1)


def source_steps(angles_degrees: Tensor, flips: Tensor, height: int, width: int) -> Tensor:
    """Return where each result's first pixel comes from and how far the source moves per row and per column.

    The numbers are PIL's: whole 65536ths of a pixel, of which a pixel is the floor. PIL's rounding of sine and cosine
    to 15 digits is lost in 16 bits. A flip walks each row from its other end.

    Args:
        angles_degrees: Counter-clockwise, `[n]`.
        flips: bool `[n]`.
        height: Rows of pixels, below 32768.
        width: Columns of pixels, below 32768.

    Returns:
        int32 `[n, 2, 3]`: of x the first place, the step per row and per column, and the same of y.

    Example:
        >>> source_steps(torch.tensor([0.0]), torch.tensor([True]), 2, 2).tolist()  # a row from its other end
        [[[98304, 0, -65536], [32768, 65536, 0]]]
    """
    radians = -torch.deg2rad(angles_degrees.double().remainder(360))
    cosine, sine = radians.cos(), radians.sin()
    middle_x, middle_y = width / 2, height / 2
    x_first = cosine * -middle_x + sine * -middle_y + middle_x + cosine * 0.5 + sine * 0.5
    y_first = -sine * -middle_x + cosine * -middle_y + middle_y - sine * 0.5 + cosine * 0.5
    steps = torch.stack([x_first, sine, cosine, y_first, cosine, -sine], 1).view(-1, 2, 3)
    steps.mul_(2**FRACTION_BITS).add_(0.5).floor_()
    first, per_column = steps[:, :, 0], steps[:, :, 2]
    flipped = flips.to(steps.dtype).unsqueeze(1)
    first += per_column * flipped * (width - 1)
    per_column *= 1 - 2 * flipped
    return steps.int()
