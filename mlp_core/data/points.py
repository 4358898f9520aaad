"""Points of two coordinates other than the spirals: moons, circles, Gaussian clusters and exclusive or."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mlp_core.data.datasets import Split, split
from mlp_core.data.sampled_points import INNER_RADIUS, sampled_points
from mlp_core.data.settings import RULED_POINTS
from mlp_core.seeds import derive_seed, generator

_MOONS_MIDDLE = 0.5, 0.25
_GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))


def _here(function: Callable[..., Any], *arguments: object) -> Any:
    return function(*arguments)


def drawn_points(
    kind: str, seed: int, *, classes: int, points: int, noise: float, call: Callable[..., Any] = _here
) -> Split:
    """Draw a toy data set of points in the plane, around the origin, and split it: a fifth is the test set.

    As for the spirals, the standard deviation of the noise is the square of `noise`.

    Args:
        kind: `moons`, `circles` (radius 1 and 0.5), `gauss` (clusters around points on the circle of radius 1) or `xor`
            (the square from -1 to 1, where coordinates of equal sign are one class).
        seed: Root seed; the seeds of points and split derive from it and from the kind.
        classes: Number of clusters of `gauss`; the other kinds have two classes.
        points: Points per class; for `xor` half of all points, as chance decides how many each class gets.
        noise: sigma, the square root of the standard deviation.
        call: Calls the function that imports scikit-learn with its arguments; another process may do it.

    Returns:
        Points float32 `[n, 2]` with labels 0 .. classes - 1.

    Source:
        `sklearn.datasets.make_moons`, `make_circles` and `make_blobs`.

    Example:
        >>> data = drawn_points("moons", 2021, classes=2, points=100, noise=0.4)
        >>> tuple(data.train_inputs.shape), data.train_labels.bincount().sum().item(), len(data.test_labels)
        ((160, 2), 160, 40)
    """
    deviation, state = noise**2, derive_seed(seed, "points", kind) % 2**32
    if kind == "xor":
        return _split(*_exclusive_or(seed, 2 * points, deviation), seed, kind)
    inputs, labels = call(sampled_points, kind, points, deviation, state, _centres(classes).tolist())
    if kind == "moons":
        inputs -= _MOONS_MIDDLE
    return _split(torch.from_numpy(inputs).float(), torch.from_numpy(labels).long(), seed, kind)


def _centres(classes: int) -> Tensor:
    """Return the middles of the clusters of `gauss`, float64 `[classes, 2]`."""
    angles = torch.arange(classes, dtype=torch.float64) * 2 * math.pi / classes
    return torch.stack([angles.sin(), angles.cos()], 1)


def ruled_points(kind: str, classes: int, points: int, radius: float) -> tuple[Tensor, Tensor]:
    """Return points all over a disc around the origin, without chance or noise, with the class that the rule gives.

    The rule is what an infinite sample teaches: the nearer circle, the nearest middle of a cluster, or whether the
    coordinates have the same sign. The points lie evenly over the radius and, by the golden angle, over directions.

    Args:
        kind: One of `RULED_POINTS`.
        classes: Number of clusters of `gauss`; the other kinds have two classes.
        points: Number of points.
        radius: Radius of the disc.

    Returns:
        Points float64 `[points, 2]` and labels int64 `[points]`.

    Raises:
        ValueError: If the kind has no such rule.

    Example:
        >>> inputs, labels = ruled_points("circles", 2, 1000, radius=2.0)
        >>> labels[inputs.norm(dim=1) > 0.75].unique().tolist(), labels.sum().item()
        ([0], 375)
    """
    order = torch.arange(points, dtype=torch.float64)
    radii, angles = (order + 0.5) * radius / points, (order + 0.5) * _GOLDEN_ANGLE  # none on an axis
    inputs = radii.unsqueeze(1) * torch.stack([angles.sin(), angles.cos()], 1)
    if kind == "circles":
        return inputs, (radii < (1 + INNER_RADIUS) / 2).long()
    if kind == "gauss":
        return inputs, torch.cdist(inputs, _centres(classes)).argmin(1)
    if kind == "xor":
        return inputs, (inputs[:, 0] * inputs[:, 1] < 0).long()
    message = f"kind must be one of {', '.join(RULED_POINTS)}, got {kind!r}."
    raise ValueError(message)


def _exclusive_or(seed: int, n: int, deviation: float) -> tuple[Tensor, Tensor]:
    stream = generator(seed, "points", "xor")
    inputs = 2 * torch.rand(n, 2, generator=stream) - 1
    labels = (inputs[:, 0] * inputs[:, 1] < 0).long()
    return inputs + deviation * torch.randn(n, 2, generator=stream), labels


def _split(inputs: Tensor, labels: Tensor, seed: int, kind: str) -> Split:
    return split(inputs, labels, derive_seed(seed, "points", kind, "split"))
