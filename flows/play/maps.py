"""Decision maps: what networks answer at each point of a square, together or alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlp_core.engine.arithmetic import uniform_arithmetic
from mlp_core.engine.networks import Ensemble

MAP_SIDE = 96
"""Points of a map of trained networks along each axis; the page smooths them."""
PREVIEW_SIDE = 48
"""The same while they train: a quarter of the work."""
_PART, _LEAST_PART = 1 << 16, 256
"""Points times units computed at a time, so that they stay in the second-level cache; and points at the least."""


@dataclass(frozen=True)
class DecisionMap:
    """The class that networks predict together at each point of a square grid.

    Attributes:
        classes: Class of highest mean probability, uint8 `[side, side]`; rows from the bottom (x2), columns x1.
        certainty: That mean probability, scaled from chance (0) to 1 (255), uint8 `[side, side]`.
        n: Number of networks in the mean.
        epoch: The epochs that they have been trained; those of the one that has been trained least.
    """

    classes: NDArray[np.uint8]
    certainty: NDArray[np.uint8]
    n: int
    epoch: int


def decision_map(probabilities: NDArray[np.float32], n: int, epoch: int) -> DecisionMap:
    """Return the decision map for summed class probabilities of several networks.

    Args:
        probabilities: Sum over the networks, `[classes, points]`, points in the order of `square`.
        n: Number of networks.
        epoch: The epochs that they have been trained.

    Example:
        >>> half = np.full((2, MAP_SIDE**2), 0.5, np.float32)
        >>> shown = decision_map(half, 1, epoch=0)
        >>> shown.classes.shape, int(shown.certainty.max())
        ((96, 96), 0)
    """
    n_classes, n_points = probabilities.shape
    chance, side = 1 / n_classes, round(n_points**0.5)
    share = (probabilities.max(0) / n - chance) / (1 - chance)
    certainty = np.rint(255 * np.clip(share, 0, 1)).astype(np.uint8)
    classes = probabilities.argmax(0).astype(np.uint8)
    return DecisionMap(classes.reshape(side, side), certainty.reshape(side, side), n, epoch)


def square(extent: float, side: int) -> Tensor:
    """Return the grid points of a decision map, float32 `[side^2, 2]`; x1 changes fastest, rows from the bottom.

    Args:
        extent: Half the side of the square, which is centred on the origin.
        side: Points along each axis.

    Example:
        >>> square(2.0, 3)[0].tolist(), square(2.0, 3)[-1].tolist()
        ([-2.0, -2.0], [2.0, 2.0])
    """
    axis = torch.linspace(-extent, extent, side)
    x2, x1 = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([x1.flatten(), x2.flatten()], 1)


def class_probabilities(
    ensemble: Ensemble,
    points: Tensor,
    inputs: Callable[[Tensor], Tensor] = lambda points: points,
    checkpoint: Callable[[], object] = lambda: None,
) -> NDArray[np.float32]:
    """Return the probabilities of the members' classes at points, float32 `[members, classes, points]`.

    Args:
        ensemble: The members.
        points: float32 `[points, 2]`.
        inputs: Turns points into the members' inputs.
        checkpoint: Called every few milliseconds; it may raise to stop.

    Example:
        >>> ensemble = Ensemble([2, 4], "relu", [torch.Generator()])
        >>> class_probabilities(ensemble, square(1.0, 3)).sum(1).round(5).tolist()
        [[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]]
    """
    n_inputs, *widths = ensemble.layer_sizes
    n_units = max(n_inputs, max(widths) * ensemble.n_members)
    logits = []
    with uniform_arithmetic():
        for part in torch.split(points, max(_LEAST_PART, _PART // n_units)):
            checkpoint()
            logits.append(ensemble.logits(inputs(part)))
        return torch.softmax(torch.cat(logits, 2), 1).numpy()
