"""The tutorial's random rotations and flips, a batch at a time: torchvision's to the pixel, without PIL."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

# Images at a time: pixels and addresses stay in a core's second-level cache, and their memory is used again
_CHUNK = 64


def draw_augmentations(n: int, generator: torch.Generator, max_angle_degrees: float = 10.0) -> tuple[Tensor, Tensor]:
    """Draw an angle and a flip per image: angle, flip, angle, flip ..., as torchvision does.

    Args:
        n: Images.
        generator: A CPU generator; the draws are taken from it.
        max_angle_degrees: Angles are uniform between this and its negative.

    Returns:
        Angles in degrees, counter-clockwise, float64 `[n]`, and flips bool `[n]`, half of them true.

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
    """Rotate each image about its centre, then mirror it left to right where told to.

    A pixel comes from the nearest one of the source, or is black, by the arithmetic of PIL's `Image.rotate`.

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
    steps = _fixed_point_steps(angles_degrees, flips, *images.shape[2:]).to(images.device)
    result = torch.empty_like(images)
    for source, step, destination in zip(
        torch.split(images, _CHUNK), torch.split(steps, _CHUNK), torch.split(result, _CHUNK), strict=True
    ):
        destination.copy_(_moved(source, step).view(source.shape))
    return result


def normalize(images: Tensor) -> Tensor:
    """Map bytes to -1 .. 1, `v / 127.5 - 1`, bit for bit torchvision's `((v / 255) - 0.5) / 0.5`.

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
    """Pick images, rotate, flip and normalise them: the rows of a batch or of a whole epoch.

    The same numbers as `normalize(rotate_and_flip(images[indices], angles_degrees, flips)).flatten(1)`.

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
    steps = _fixed_point_steps(angles_degrees, flips, *images.shape[2:]).to(images.device)
    if out is None:
        out = torch.empty(len(indices), images[0].numel(), device=images.device)
    for chosen, step, destination in zip(
        torch.split(indices.to(images.device), _CHUNK),
        torch.split(steps, _CHUNK),
        torch.split(out, _CHUNK),
        strict=True,
    ):
        moved = _moved(images.index_select(0, chosen), step)
        torch.div(moved.flatten(1), 127.5, out=destination).sub_(1)
    return out


def _fixed_point_steps(angles_degrees: Tensor, flips: Tensor, height: int, width: int) -> Tensor:
    """Return where each result's first pixel comes from and how far the source moves per row and per column.

    As 16.16 fixed-point int32 `[n, 6]`: x of the first pixel, x per row, x per column, and the same for y. A
    flip walks each row from its other end. PIL's rounding of sine and cosine to 15 digits is lost in 16 bits.
    """
    radians = -torch.deg2rad(angles_degrees.double().remainder(360))
    cosine, sine = radians.cos(), radians.sin()
    middle_x, middle_y = width / 2, height / 2
    x_first = cosine * -middle_x + sine * -middle_y + middle_x + cosine * 0.5 + sine * 0.5
    y_first = -sine * -middle_x + cosine * -middle_y + middle_y - sine * 0.5 + cosine * 0.5
    steps = torch.stack([x_first, sine, cosine, y_first, cosine, -sine], 1)
    steps = steps.mul_(65536).add_(0.5).floor_().to(torch.int32)
    per_column = steps[:, 2::3]
    steps[:, 0::3] += per_column * (flips.unsqueeze(1) * (width - 1))
    per_column *= 1 - 2 * flips.unsqueeze(1).int()
    return steps


def _moved(images: Tensor, steps: Tensor) -> Tensor:
    """Return uint8 `[n, channels, height * width]`, each pixel fetched from where the steps lead."""
    height, width = images.shape[2:]
    rows = torch.arange(height, dtype=torch.int32, device=images.device).unsqueeze(1)
    columns = torch.arange(width, dtype=torch.int32, device=images.device)
    first, per_row, per_column = steps.view(-1, 2, 3, 1, 1).unbind(2)
    # Black where an address may lead outside: a column before each row, which is also the one after the row
    # above, a row above, and two below, of which the second holds the column after the first
    padded = pad(images, (1, 0, 1, 2)).flatten(2)
    first_padded = first + (1 << 16)
    source = (first_padded + per_row * rows + per_column * columns).bitwise_right_shift_(16)
    x, y = source.unbind(1)  # [n, height, width]
    address = torch.add(x.clamp_(0, width + 1), y.clamp_(0, height + 1), alpha=width + 1)
    return padded.gather(2, address.flatten(1).long().unsqueeze(1).expand(-1, images.shape[1], -1))
