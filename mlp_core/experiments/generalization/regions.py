"""Where a classifier of the plane is right, by radius, and where it answers what no example taught it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import scipy.ndimage
import torch
from numpy.typing import NDArray
from scipy.spatial import KDTree
from torch import Tensor

_EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=int)


@dataclass(frozen=True)
class RadiusBands:
    """Accuracy in rings around the origin, as `accuracy_by_radius` returns it.

    Attributes:
        low: Inner radius of each ring, float64 `[bands]`; only the first ring holds points that lie on it.
        high: Outer radius, float64 `[bands]`; points on it belong to the ring.
        n: Points in the ring, int64 `[bands]`.
        accuracy: Share of them classified correctly, float64 `[members, bands]`; NaN where there are no points.
    """

    low: Tensor
    high: Tensor
    n: Tensor
    accuracy: Tensor


def accuracy_by_radius(predictions: Tensor, labels: Tensor, points: Tensor, edges: Sequence[float]) -> RadiusBands:
    """Return each member's accuracy in rings around the origin.

    With the edges 0, the training radius and infinity, the two rings are inside and outside the training region.
    Guessing gives 1 / K, but a model can do worse: a model that continues its answers at the arms' ends straight
    outwards is right to radius 1.25, where the spirals have turned by half a sector, and wrong on every arm from there
    to beyond radius 2.

    Args:
        predictions: Predicted integer classes `[members, n]`, as `mlp_core.engine.training.predict` returns them.
        labels: True integer classes `[n]`.
        points: Coordinates `[n, 2]`.
        edges: Ascending radii, at least two; points outside all rings are left out.

    Raises:
        ValueError: If the edges are fewer than two or not ascending.

    Example:
        >>> points, labels = torch.tensor([[0.0, 0.5], [0.0, 2.0], [2.0, 0.0]]), torch.tensor([0, 1, 1])
        >>> accuracy_by_radius(torch.tensor([[0, 1, 0]]), labels, points, [0.0, 1.0, 3.0]).accuracy
        tensor([[1.0000, 0.5000]], dtype=torch.float64)
    """
    if len(edges) < 2 or any(high <= low for low, high in pairwise(edges)):
        message = f"edges must be at least two rising radii, got {list(edges)!r}."
        raise ValueError(message)
    limits = torch.tensor(edges, dtype=torch.float64)
    radii = points.double().norm(dim=1)
    rings = (radii > limits[:-1, None]) & (radii <= limits[1:, None])
    rings[0] |= radii == limits[0]
    n = rings.sum(1)
    correct = (predictions == labels).double() @ rings.T.double()
    return RadiusBands(limits[:-1], limits[1:], n, correct / n)


def nearest_neighbour(points: Tensor, train_inputs: Tensor, train_labels: Tensor) -> Tensor:
    """Return the label of the nearest training point of each point: a classifier that memorises and learns nothing.

    It uses a k-d tree: distances to all training points took 15 times as long for a map of 500 x 500.

    Args:
        points: Points to classify, `[n, 2]`.
        train_inputs: Training points, `[n_train, 2]`.
        train_labels: Their classes, int64 `[n_train]`.

    Returns:
        Classes, int64 `[n]`.

    Example:
        >>> train_inputs, train_labels = torch.tensor([[0.0, 0.0], [1.0, 1.0]]), torch.tensor([3, 5])
        >>> nearest_neighbour(torch.tensor([[0.4, 0.4], [9.0, 9.0]]), train_inputs, train_labels)
        tensor([3, 5])
    """
    _, nearest = KDTree(train_inputs.numpy()).query(points.numpy())
    return train_labels[torch.from_numpy(nearest)]


@dataclass(frozen=True)
class Islands:
    """The islands of a decision map, largest first; see `decision_islands`.

    Attributes:
        classes: The class of each island, `[islands]`.
        areas: Area of each island in the plane of x1 and x2, float64 `[islands]`.
        at_border: Whether the island touches the edge of the map, bool `[islands]`.
    """

    classes: NDArray[np.int64]
    areas: NDArray[np.float64]
    at_border: NDArray[np.bool_]

    @property
    def enclosed(self) -> tuple[int, float]:
        """Return number and total area of the islands wholly on the map: they are surely apart from their class."""
        return int((~self.at_border).sum()), float(self.areas[~self.at_border].sum())

    @property
    def cut(self) -> tuple[int, float]:
        """Return number and total area of the islands at the edge of the map, which may join their class beyond it."""
        return int(self.at_border.sum()), float(self.areas[self.at_border].sum())


def decision_islands(
    classes: NDArray[np.integer], extent: float, points: Tensor, labels: Tensor, min_pixels: int = 9
) -> Islands:
    """Return the islands of a decision map: regions of a class that hold none of its training points.

    A region is a set of connected pixels of one class; pixels that touch at a corner are connected, so that a thin
    slanting band is one region. A patch around one noisy training point is not an island: that is overfitting. Islands
    at the edge of the map are marked, as they may belong to a larger region outside it. Regions of fewer than
    `min_pixels` pixels do not count, as the grid itself can produce them.

    Args:
        classes: Predicted integer classes `[M, M]`; the row is x2, ascending, the column x1, from -extent to extent.
        extent: Half the side of the map.
        points: Training points `[n, 2]`; those outside the map are ignored.
        labels: Their classes `[n]`.
        min_pixels: Size of the smallest island; 9 pixels are 3 x 3, an area of 6e-4 on a map of 500 x 500 over [-2, 2].

    Returns:
        The islands of all classes.

    Raises:
        ValueError: If the map is not square.

    Example:
        >>> drawn = np.array([[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]])
        >>> found = decision_islands(drawn, 1.5, torch.tensor([[-1.5, -1.5]]), torch.tensor([0]), min_pixels=1)
        >>> found.classes.tolist(), found.areas.tolist(), found.enclosed, found.cut
        ([1], [1.0], (1, 1.0), (0, 0.0))
    """
    size = len(classes)
    if classes.shape != (size, size):
        message = f"classes must be a square map, got shape {classes.shape}."
        raise ValueError(message)
    spacing = 2 * extent / (size - 1)
    pixels = np.rint((points.double().numpy() + extent) / spacing).astype(int)
    on_map = ((pixels >= 0) & (pixels < size)).all(1)
    columns, rows = pixels[on_map].T
    point_labels = labels.numpy()[on_map]

    found_classes, found_pixels, found_borders = [], [], []
    for label in np.unique(classes):
        regions, n_regions = scipy.ndimage.label(classes == label, _EIGHT_NEIGHBOURS)
        n_pixels = np.bincount(regions.ravel(), minlength=n_regions + 1)
        own = point_labels == label
        taught = np.isin(np.arange(n_regions + 1), regions[rows[own], columns[own]])
        taught[0] = True  # region 0 is all that belongs to the other classes
        islands = np.flatnonzero(~taught & (n_pixels >= min_pixels))
        edge = np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]])
        found_classes.append(np.full(len(islands), label, dtype=np.int64))
        found_pixels.append(n_pixels[islands])
        found_borders.append(np.isin(islands, edge))
    areas = np.concatenate(found_pixels).astype(np.float64) * spacing**2
    order = np.argsort(-areas, kind="stable")
    return Islands(np.concatenate(found_classes)[order], areas[order], np.concatenate(found_borders)[order])
