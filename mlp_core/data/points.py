"""Points of two coordinates other than the spirals: moons, circles, Gaussian clusters and exclusive or."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mlp_core.data.datasets import Split, split
from mlp_core.seeds import derive_seed, generator

_MOONS_MIDDLE = 0.5, 0.25
_INNER_RADIUS = 0.5


def drawn_points(kind: str, seed: int, *, classes: int, points: int, noise: float) -> Split:
    """Draw a toy data set of points in the plane, around the origin, and split it: a fifth is the test set.

    As for the spirals, the standard deviation of the noise is the square of `noise`.

    Args:
        kind: `moons`, `circles` (radius 1 and 0.5), `gauss` (clusters around points on the circle of radius 1) or `xor`
            (the square from -1 to 1, where coordinates of equal sign are one class).
        seed: Root seed; the seeds of points and split derive from it and from the kind.
        classes: Number of clusters of `gauss`; the other kinds have two classes.
        points: Points per class; for `xor` half of all points, as chance decides how many each class gets.
        noise: sigma, the square root of the standard deviation.

    Returns:
        Points float32 `[n, 2]` with labels 0 .. classes - 1.

    Source:
        `sklearn.datasets.make_moons`, `make_circles` and `make_blobs`.

    Example:
        >>> data = drawn_points("moons", 2021, classes=2, points=100, noise=0.4)
        >>> tuple(data.train_inputs.shape), data.train_labels.bincount().sum().item(), len(data.test_labels)
        ((160, 2), 160, 40)
    """
    from sklearn.datasets import make_blobs, make_circles, make_moons

    deviation, state = noise**2, derive_seed(seed, "points", kind) % 2**32
    both = (points, points)
    if kind == "moons":
        inputs, labels = make_moons(both, shuffle=False, noise=deviation, random_state=state)
        inputs -= _MOONS_MIDDLE
    elif kind == "circles":
        inputs, labels = make_circles(both, shuffle=False, noise=deviation, random_state=state, factor=_INNER_RADIUS)
    elif kind == "gauss":
        angles = [2 * math.pi * cluster / classes for cluster in range(classes)]
        centres = [(math.sin(angle), math.cos(angle)) for angle in angles]
        inputs, labels = make_blobs(
            [points] * classes, centers=centres, cluster_std=deviation, shuffle=False, random_state=state
        )
    else:
        return _split(*_exclusive_or(seed, 2 * points, deviation), seed, kind)
    return _split(torch.from_numpy(inputs).float(), torch.from_numpy(labels).long(), seed, kind)


def _exclusive_or(seed: int, n: int, deviation: float) -> tuple[Tensor, Tensor]:
    stream = generator(seed, "points", "xor")
    inputs = 2 * torch.rand(n, 2, generator=stream) - 1
    labels = (inputs[:, 0] * inputs[:, 1] < 0).long()
    return inputs + deviation * torch.randn(n, 2, generator=stream), labels


def _split(inputs: Tensor, labels: Tensor, seed: int, kind: str) -> Split:
    return split(inputs, labels, derive_seed(seed, "points", kind, "split"))
