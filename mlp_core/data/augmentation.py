"""The tutorial's random rotations and flips, a batch at a time: torchvision's to the pixel, without PIL."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

# Pixels at a time, of 64 images of 32 x 32 in colour: they stay in a core's second-level cache, and their memory is
# used again
_CHUNK_PIXELS = 64 * 3072


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

    Each pixel is the nearest one of the source, or black where that is outside, as in PIL's `Image.rotate`: equal in
    every pixel for images of 32 x 32, up to rounding for large ones.

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
    steps = _steps(angles_degrees, flips, *images.shape[2:]).to(images.device)
    grid = torch.empty(len(images), 2, *images.shape[2:], device=images.device)
    return _moved(images.float(), steps, grid).to(torch.uint8)


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


def augmented_batch(
    images: Tensor, indices: Tensor, angles_degrees: Tensor, flips: Tensor, *, out: Tensor | None = None
) -> Tensor:
    """Select images by index, rotate, flip and normalise them, and flatten each to a row of a network's input.

    It gives the same numbers as `normalize(rotate_and_flip(images[indices], angles_degrees, flips)).flatten(1)`.

    Args:
        images: uint8 `[n_images, channels, height, width]`.
        indices: Which images, in which order, int64 `[n]`.
        angles_degrees: Counter-clockwise, float64 `[n]`, one per row.
        flips: bool `[n]`, one per row.
        out: float32 `[n, channels * height * width]` to write to, contiguous or not; with the same memory for
            every epoch, the kernel need not clear its pages each time.

    Returns:
        float32 `[n, channels * height * width]`, in channel, row, column order; `out` if it was given.

    Example:
        >>> images = torch.full((5, 3, 32, 32), 255, dtype=torch.uint8)
        >>> angles, flips = draw_augmentations(2, torch.Generator().manual_seed(0))
        >>> rows = augmented_batch(images, torch.tensor([4, 0]), angles, flips)
        >>> tuple(rows.shape), rows.unique().tolist()
        ((2, 3072), [-1.0, 1.0])
    """
    steps = _steps(angles_degrees, flips, *images.shape[2:]).to(images.device)
    if out is None:
        out = torch.empty(len(indices), images[0].numel(), device=images.device)
    chunk = max(1, min(_CHUNK_PIXELS // images[0].numel(), len(indices)))
    picked = images.new_empty(chunk, *images.shape[1:])
    scaled = torch.empty(picked.shape, device=images.device)
    grid = torch.empty(chunk, 2, *images.shape[2:], device=images.device)
    for chosen, step, destination in zip(
        torch.split(indices.to(images.device), chunk),
        torch.split(steps, chunk),
        torch.split(out, chunk),
        strict=True,
    ):
        n = len(chosen)
        torch.index_select(images, 0, chosen, out=picked[:n])
        scaled[:n].copy_(picked[:n]).div_(127.5)
        torch.sub(_moved(scaled[:n], step, grid[:n]).flatten(1), 1, out=destination)
    return out


def _steps(angles_degrees: Tensor, flips: Tensor, height: int, width: int) -> Tensor:
    """Return where each result's first pixel comes from and how far the source moves per row and per column.

    Float32 `[n, 2, 3]`: of x the first, per row, per column, and the same of y, where the image spans -1 .. 1.

    The numbers are PIL's, which are whole: 65536ths of a pixel, of which a pixel is the floor. Half a 65536th more, a
    place lies on no edge between pixels, so that the nearest pixel is PIL's. For 32 x 32 pixels float32 holds and adds
    them without an error; of much larger ones a rare pixel comes from its neighbour. PIL's rounding of sine and cosine
    to 15 digits is lost in 16 bits. A flip walks each row from its other end.
    """
    radians = -torch.deg2rad(angles_degrees.double().remainder(360))
    cosine, sine = radians.cos(), radians.sin()
    middle_x, middle_y = width / 2, height / 2
    x_first = cosine * -middle_x + sine * -middle_y + middle_x + cosine * 0.5 + sine * 0.5
    y_first = -sine * -middle_x + cosine * -middle_y + middle_y - sine * 0.5 + cosine * 0.5
    steps = torch.stack([x_first, sine, cosine, y_first, cosine, -sine], 1).view(-1, 2, 3)
    steps.mul_(65536).add_(0.5).floor_()
    first, per_column = steps[:, :, 0], steps[:, :, 2]
    flipped = flips.to(steps.dtype).unsqueeze(1)
    first += per_column * flipped * (width - 1) + 0.5
    per_column *= 1 - 2 * flipped
    steps *= 2 / 65536 / steps.new_tensor([[width], [height]])
    first -= 1
    return steps.float()


def _moved(images: Tensor, steps: Tensor, grid: Tensor) -> Tensor:
    """Return each pixel from where the steps lead, 0 if that is outside.

    Args:
        images: float32 `[n, channels, height, width]`.
        steps: As `_steps` makes them.
        grid: float32 `[n, 2, height, width]` to write to.
    """
    height, width = images.shape[2:]
    rows = torch.arange(height, dtype=torch.float32, device=images.device).unsqueeze(1)
    columns = torch.arange(width, dtype=torch.float32, device=images.device)
    first, per_row, per_column = steps.view(-1, 2, 3, 1, 1).unbind(2)
    torch.add(first + per_row * rows, per_column * columns, out=grid)
    # [n, 2, height, width] in memory: with x and y in turn a broadcast adds two numbers at a time
    return grid_sample(images, grid.permute(0, 2, 3, 1), mode="nearest", padding_mode="zeros", align_corners=False)
