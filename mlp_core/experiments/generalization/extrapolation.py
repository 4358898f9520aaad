"""A classifier of drawn points asked where it was not trained: on the arms continued, and everywhere on a map."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from mlp_core.data.datasets import Split, spirals
from mlp_core.data.points import ruled_points
from mlp_core.engine.arithmetic import uniform_arithmetic
from mlp_core.experiments.generalization.regions import accuracy_by_radius, decision_islands

ARMS_END = 2.0
RING_WIDTH = 0.1
_POINTS_PER_ARM = 1000  # or per class
# Twice the side costs four times as much and finds the same islands
_MAP_SIZE = 250
_MIN_PIXELS = 3


@dataclass(frozen=True)
class Extrapolation:
    """How members classify points outside their training points; float64 `[members]` unless noted otherwise.

    Accuracies are on the spiral arms, continued without noise to radius 2, or on points all over the disc of radius 2
    whose class the rule of other drawn points gives, see `ruled_points`. The training radius is the largest distance
    of a training point from the origin; where a region holds no point, the accuracy is NaN. An island is a region of
    one class that holds none of the class's training points, on the map from -2 to 2.

    Attributes:
        inside_accuracy: Up to radius 1, the end of the training arms, the outer circle, or the middles of clusters.
        rim_accuracy: From radius 1 to the training radius, where noise alone put some training points.
        outside_accuracy: From the training radius to radius 2.
        ring_accuracy: In rings of width 0.1 from the origin to radius 2, `[members, rings]`.
        islands: Number of islands that lie wholly on the map.
        island_area: Their total area.
        border_islands: Number of islands that reach the edge of the map.
        border_island_area: Their total area on the map.
    """

    inside_accuracy: Tensor
    rim_accuracy: Tensor
    outside_accuracy: Tensor
    ring_accuracy: Tensor
    islands: Tensor
    island_area: Tensor
    border_islands: Tensor
    border_island_area: Tensor


def training_radius(data: Split) -> float:
    """Return the largest distance of a training point from the origin."""
    return float(data.train_inputs.norm(dim=1).max())


@uniform_arithmetic()
def extrapolate(answer: Callable[[Tensor], Tensor], data: Split, kind: str = "spirals") -> Extrapolation:
    """Measure how members classify points to radius 2, most of them outside their training points, and a map.

    Spiral arms are continued to twice their length, without noise: their curve gives the true label, and a point at t
    lies t from the origin. For other kinds the rule by which they are drawn gives it.

    Args:
        answer: Function of points `[n, 2]`; returns the members' predicted classes `[members, n]`.
        data: The points they were trained on.
        kind: `spirals`, `circles`, `gauss` or `xor`.

    Returns:
        Accuracies by region, and islands of the map; NaN accuracy for a region without points.

    Example:
        >>> from mlp_core.data.datasets import split
        >>> found = extrapolate(lambda points: torch.zeros(1, len(points), dtype=torch.int64), split(*spirals()))
        >>> found.inside_accuracy.tolist(), found.outside_accuracy.tolist(), tuple(found.ring_accuracy.shape)
        ([0.25], [0.25], (1, 20))
    """
    n_classes = int(data.train_labels.max()) + 1
    if kind == "spirals":
        points, labels = spirals(arms=n_classes, points_per_arm=_POINTS_PER_ARM, noise=0.0, t_max=ARMS_END)
    else:
        points, labels = ruled_points(kind, n_classes, n_classes * _POINTS_PER_ARM, ARMS_END)
    # a point at the end of the arms may lie beyond it in the last digit
    points = points.double() * (1 - 1e-6)
    answers = answer(points.float())
    rings = [RING_WIDTH * ring for ring in range(round(ARMS_END / RING_WIDTH) + 1)]
    missing = torch.full((len(answers),), torch.nan, dtype=torch.float64)
    inside, rim, outside = (
        accuracy_by_radius(answers, labels, points, [low, high]).accuracy[:, 0] if low < high else missing
        for low, high in pairwise((0.0, 1.0, max(1.0, training_radius(data)), ARMS_END))
    )

    axis = torch.linspace(-ARMS_END, ARMS_END, _MAP_SIZE)
    x2, x1 = torch.meshgrid(axis, axis, indexing="ij")
    grid = torch.stack([x1.flatten(), x2.flatten()], 1)
    maps = torch.cat([answer(part) for part in torch.split(grid, 1024)], 1).view(-1, _MAP_SIZE, _MAP_SIZE).numpy()
    islands = [
        decision_islands(classes, ARMS_END, data.train_inputs, data.train_labels, _MIN_PIXELS) for classes in maps
    ]
    n_islands, area, n_cut, cut_area = torch.tensor(
        [[*island.enclosed, *island.cut] for island in islands], dtype=torch.float64
    ).T
    by_ring = accuracy_by_radius(answers, labels, points, rings).accuracy
    return Extrapolation(inside, rim, outside, by_ring, n_islands, area, n_cut, cut_area)
