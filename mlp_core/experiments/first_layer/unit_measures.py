"""What first-layer units look for: how local, how like the difference of two classes, how fine.

Measures of a unit's weights, taken of trained units, of random ones, of edge filters and of whole faces alike: a
number says little about a unit until it stands between those.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mlp_core.engine.arithmetic import uniform_arithmetic

_UNITS_AT_ONCE = 1024
_GABOR_FREQUENCIES = (4.0, 8.0)  # cycles per image
_LEAST_WAVELENGTH = 4  # pixels
_GABOR_ORIENTATIONS = 4
_GABOR_POSITIONS = (0.25, 0.5, 0.75)  # of the image's height and width


@dataclass(frozen=True)
class UnitMeasures:
    """Four metrics of each unit, float64, each shaped like the weights without channels, height and width.

    Attributes:
        extent: How far the weights reach; see `extent`.
        participation_ratio: Share of the pixels that carry the weights; see `participation_ratio`.
        class_cosine: Likeness to the nearest difference of two class means; see `class_cosine`.
        frequency: Mean spatial frequency; see `spatial_frequency`.
    """

    extent: Tensor
    participation_ratio: Tensor
    class_cosine: Tensor
    frequency: Tensor


@uniform_arithmetic()
def measure_units(weights: Tensor, means: Tensor) -> UnitMeasures:
    """Compute all four metrics of each unit's weights.

    Args:
        weights: `[..., channels, height, width]`; the leading axes may be units, or members and units.
        means: Class means `[classes, channels, height, width]`, see `class_means`.

    Returns:
        The metrics, each `[...]`; NaN for a unit whose weights are all 0 or not finite.

    Example:
        >>> measures = measure_units(gabor_filters(1, 32, 32), torch.eye(2).repeat(1, 512).view(2, 1, 32, 32))
        >>> tuple(measures.participation_ratio.shape), bool((measures.participation_ratio < 0.1).all())
        ((144,), True)
    """
    members = weights if weights.dim() > 4 else weights[None]
    # member by member, so that company does not change last digits
    extents, ratios, frequencies = (
        torch.stack([measure(member) for member in members]).view(weights.shape[:-3])
        for measure in (extent, participation_ratio, spatial_frequency)
    )
    return UnitMeasures(extents, ratios, class_cosine(weights, means), frequencies)


def extent(weights: Tensor) -> Tensor:
    """Return how far a unit's weights reach: the root mean square distance of the squared weights from their centre.

    Unlike a share of pixels, this is about place: it tells a patch from as many pixels scattered over the image. Equal
    weight everywhere gives 1/sqrt(6) = 0.41, a disc of radius r gives r/sqrt(2), one pixel 0.

    Args:
        weights: `[..., channels, height, width]`; a pixel counts by its squared weight, summed over the channels.

    Returns:
        float64 `[...]`, in sides of the image, 0..0.71; NaN for a unit whose weights are all 0.

    Example:
        >>> weights = torch.zeros(3, 32, 32)
        >>> weights[:, 10, 10] = weights[:, 20, 10] = 1.0  # two pixels, 10/32 apart
        >>> extent(weights).item()
        0.15625
    """
    power = weights.double().square().sum(-3)
    total = power.sum((-2, -1))
    variance = torch.zeros_like(total)
    for axis in (-1, -2):
        profile = power.sum(axis)  # over the other axis' pixels
        places = (torch.arange(profile.shape[-1], dtype=torch.float64) + 0.5) / profile.shape[-1]
        centre = (profile * places).sum(-1) / total
        variance = variance + (profile * (places - centre.unsqueeze(-1)).square()).sum(-1) / total
    return variance.sqrt()


def whole_images(images: Tensor, labels: Tensor, n_images: int = 64) -> tuple[Tensor, Tensor]:
    """Return images that units which see whole faces would look like: class means, and single images.

    The mean image over all classes, which they have in common, is subtracted from both.

    Args:
        images: `[n, channels, height, width]`, of any type.
        labels: Integer classes `[n]`.
        n_images: How many single images, spread evenly over all; all of them if there are fewer.

    Returns:
        Class means, float32 `[classes, channels, height, width]`, and images `[n_images, ...]`.

    Example:
        >>> images = torch.tensor([1.0, 3.0, 8.0]).view(3, 1, 1, 1)
        >>> templates, images = whole_images(images, torch.tensor([0, 0, 1]), n_images=2)
        >>> templates.flatten().tolist(), images.flatten().tolist()
        ([-2.0, 4.0], [-3.0, 4.0])
    """
    mean = images.float().mean(0)
    templates = class_means(images, labels) - mean
    chosen = torch.linspace(0, len(images) - 1, min(n_images, len(images))).long()
    return templates, images[chosen].float() - mean


def participation_ratio(weights: Tensor) -> Tensor:
    """Return the share of the pixels that carry a unit's weights: `(sum p)^2 / (n_pixels sum p^2)`.

    p is a pixel's squared weight, summed over the channels. One pixel alone gives 1 / n_pixels, equal weights
    everywhere 1, and equal weights on half of the pixels 1/2, wherever they lie. Random weights do not reach 1: uniform
    ones in three channels give 15/19 = 0.79, as their squares differ by chance.

    Args:
        weights: `[..., channels, height, width]`.

    Returns:
        float64 `[...]`, from 1 / n_pixels to 1; NaN for a unit whose weights are all 0.

    Example:
        >>> weights = torch.zeros(3, 4, 4)
        >>> weights[:, 0, :2] = 1.0
        >>> participation_ratio(weights).item()  # 2 of 16 pixels
        0.125
    """
    power = weights.double().square().sum(-3).flatten(-2)
    ratio: Tensor = power.sum(-1).square() / (power.shape[-1] * power.square().sum(-1))
    return ratio


@uniform_arithmetic()
def class_means(images: Tensor, labels: Tensor) -> Tensor:
    """Return the mean image of each class that occurs, in the order of the labels.

    The images may be raw: normalising scales and shifts all of them alike, which changes the length of the difference
    of two means but no cosine.

    Args:
        images: `[n, channels, height, width]`, of any type.
        labels: Integer classes `[n]`, at least two classes.

    Returns:
        float32 `[classes, channels, height, width]`.

    Example:
        >>> images = torch.tensor([1.0, 3.0, 7.0, 8.0]).view(4, 1, 1, 1)
        >>> class_means(images, torch.tensor([0, 0, 1, 2])).flatten().tolist()
        [2.0, 7.0, 8.0]
    """
    return torch.stack([images[labels == label].float().mean(0) for label in torch.unique(labels)])


def class_cosine(weights: Tensor, means: Tensor) -> Tensor:
    """Return how much a unit resembles a difference of two class means: its largest absolute cosine over all pairs.

    1 means that the unit is such a difference, up to sign and scale; the cosine of a random unit of 3072 weights
    scatters around 0 by 0.018. Two classes with the same mean are left out. The differences are computed one class at a
    time, as a thousand classes have half a million of them.

    Args:
        weights: `[..., channels, height, width]`.
        means: `[classes, channels, height, width]`, see `class_means`.

    Returns:
        float64 `[...]`, 0..1; NaN for a unit whose weights are all 0.

    Example:
        >>> means = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]).view(3, 1, 1, 2)
        >>> round(class_cosine(torch.tensor([[[-3.0, -3.0]]]), means).item(), 4)
        1.0
    """
    centred = means.double().flatten(1)
    centred = centred - centred.mean(0)
    members = weights.reshape(-1, weights.shape[-4] if weights.dim() > 3 else 1, centred.shape[1])
    parts = torch.split(members, max(1, _UNITS_AT_ONCE // members.shape[1]))
    return torch.cat([_class_cosine(part.double(), centred) for part in parts]).view(weights.shape[:-3])


def _class_cosine(members: Tensor, means: Tensor) -> Tensor:
    """Return the cosines of units `[members, units, pixels]`, one after the other; see `class_cosine`."""
    # member by member, so that company does not change last digits
    projections = torch.cat([units @ means.T for units in members])
    norms = torch.cat([units.norm(dim=1) for units in members])
    largest = norms.new_zeros(len(norms))
    for first in range(len(means) - 1):
        others = slice(first + 1, None)
        # differences, not products: near means would cancel
        distances = torch.cdist(means[None, first], means[others], compute_mode="donot_use_mm_for_euclid_dist")
        distances[distances == 0] = math.inf
        lengths = (projections[:, first, None] - projections[:, others]).abs() / distances
        largest = torch.maximum(largest, lengths.amax(1))
    cosines: Tensor = largest / norms
    return cosines


def spatial_frequency(weights: Tensor) -> Tensor:
    """Return a unit's mean spatial frequency in cycles per image, weighted by power, without its mean.

    The power is that of the two-dimensional Fourier transform, summed over the channels; the frequency of a component
    is the length of its two-dimensional frequency, at most sqrt(2) times half the side. The mean (frequency 0) is left
    out: it is no pattern and would pull every unit towards 0.

    Args:
        weights: `[..., channels, height, width]`.

    Returns:
        float64 `[...]`; NaN for a unit whose weights do not vary over the image.

    Example:
        >>> wave = torch.sin(2 * math.pi * 5 * torch.arange(32) / 32).expand(3, 32, 32)
        >>> round(spatial_frequency(wave).item(), 6)
        5.0
    """
    height, width = weights.shape[-2:]
    power = torch.fft.fft2(weights.double()).abs().square().sum(-3)
    power[..., 0, 0] = 0.0
    rows = torch.fft.fftfreq(height, 1 / height, dtype=torch.float64)
    columns = torch.fft.fftfreq(width, 1 / width, dtype=torch.float64)
    radius = torch.hypot(rows[:, None], columns)
    mean: Tensor = (power * radius).sum((-2, -1)) / power.sum((-2, -1))
    return mean


def gabor_filters(channels: int, height: int, width: int) -> Tensor:
    """Return 144 Gabor filters: local edge and line detectors, as convolutional networks have in their first layer.

    `exp(-r^2 / (2 s^2)) cos(2 pi f u + phase)`, where u runs across the edge and f is in cycles per image, with s half
    a wavelength: 2 frequencies x 4 orientations x 9 positions x 2 phases (line and edge) = 144 filters, grey. The
    frequencies are 4 and 8 cycles per image; in images of fewer than 32 rows both are lower, so that the shorter wave
    still has 4 pixels.

    Args:
        channels: Number of channels; all have the same values.
        height: Pixels.
        width: Pixels.

    Returns:
        float32 `[144, channels, height, width]`.

    Example:
        >>> filters = gabor_filters(3, 32, 32)
        >>> tuple(filters.shape), round(participation_ratio(filters).max().item(), 3)
        ((144, 3, 32, 32), 0.066)

    Source:
        Daugman 1985, "Uncertainty relation for resolution in space, spatial frequency, and orientation".
    """
    rows = (torch.arange(height, dtype=torch.float64) + 0.5)[:, None] / height
    columns = (torch.arange(width, dtype=torch.float64) + 0.5) / width
    scale = min(1.0, min(height, width) / (_LEAST_WAVELENGTH * max(_GABOR_FREQUENCIES)))
    filters = [
        torch.exp(-((rows - y) ** 2 + (columns - x) ** 2) * 2 * frequency**2)
        * torch.cos(2 * math.pi * frequency * ((columns - x) * math.cos(angle) + (rows - y) * math.sin(angle)) - phase)
        for frequency in (scale * frequency for frequency in _GABOR_FREQUENCIES)
        for angle in (math.pi * index / _GABOR_ORIENTATIONS for index in range(_GABOR_ORIENTATIONS))
        for y in _GABOR_POSITIONS
        for x in _GABOR_POSITIONS
        for phase in (0.0, math.pi / 2)
    ]
    return torch.stack(filters).float()[:, None].expand(-1, channels, -1, -1)
