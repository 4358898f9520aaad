"""What the members of the depth sweep answer everywhere."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from mlp_core.data.datasets import Split
from mlp_core.data.transforms import applied
from mlp_core.engine.networks import Ensemble
from mlp_core.engine.tables import TrainedModel
from mlp_core.engine.training import predict
from mlp_core.experiments.depth_sweep.member_maps import MemberMaps

_MAP_SIZE, _SIZE_OF_ONE = 60, 240
"""Points along each side of a map; one network a depth has a map four times as large in the figure."""
_MOST, _MOST_OF_MANY = 64, 16
_MANY_DEPTHS = 6


def member_maps(
    models: Sequence[TrainedModel], data: Split
) -> tuple[list[MemberMaps], NDArray[np.float32], NDArray[np.int64]]:
    """Compute the decision map of every member at every depth, on a square grid around the origin.

    Half the side of the square is the largest distance of a training point from the origin. With more than 64 members
    per depth (16 if there are more than six depths) only that many are drawn, evenly spread over the ranks of test
    accuracy: the best, the median and the worst are among them.

    Args:
        models: Trained on the points, one configuration per depth.
        data: The points.

    Returns:
        The maps of each depth, then the test points `[n, 2]` and their labels `[n]`: the arguments of
        `member_maps_figure`.
    """
    most = _MOST if len(models) <= _MANY_DEPTHS else _MOST_OF_MANY
    size = _SIZE_OF_ONE if all(len(model.members) == 1 for model in models) else _MAP_SIZE
    axis = torch.linspace(-1, 1, size) * float(data.train_inputs.norm(dim=1).max())
    x2, x1 = torch.meshgrid(axis, axis, indexing="ij")
    grid = torch.stack([x1.flatten(), x2.flatten()], 1)
    maps = [_maps(model, data, grid, most) for model in models]
    return maps, data.test_inputs.numpy(), data.test_labels.numpy()


def _maps(model: TrainedModel, data: Split, grid: torch.Tensor, most: int) -> MemberMaps:
    accuracies = model.members["test_accuracy"].to_numpy().astype(np.float64)
    finished = np.array([status == "ok" for status in model.members["status"].to_pylist()]) & np.isfinite(accuracies)
    members = np.flatnonzero(finished)
    ranked = members[np.argsort(-accuracies[members], kind="stable")]
    places = evenly_spread(len(ranked), most)
    chosen = ranked[places]
    state = {name: tensor[torch.from_numpy(chosen)] for name, tensor in model.state().items()}
    size = math.isqrt(len(grid))
    classes = np.zeros((0, size, size), np.uint8)
    if len(chosen):
        config = model.trial.config
        answers = predict(Ensemble.from_state(state, config.activation), applied(config.inputs, data)(grid))
        classes = answers.to(torch.uint8).numpy().reshape(len(chosen), size, size)
    labels = model.trial.labels
    depth, width = labels.column("depth"), labels.column("width")
    return MemberMaps(
        f"{depth} hidden layer{'' if depth == 1 else 's'}, {width} wide",
        classes,
        accuracies[chosen],
        float(np.median(accuracies[ranked])) if len(ranked) else math.nan,
        tuple(np.flatnonzero(np.isin(places, _middle(len(ranked)))).tolist()),
        len(ranked),
        len(accuracies) - len(ranked),
    )


def evenly_spread(n: int, most: int) -> NDArray[np.intp]:
    """Return at most `most` of the numbers 0 .. n - 1, evenly spread, always with the first, middle and last.

    Of an even number both in the middle are among them.

    Example:
        >>> evenly_spread(3, 64).tolist(), evenly_spread(9, 5).tolist(), evenly_spread(20, 4).tolist()
        ([0, 1, 2], [0, 2, 4, 6, 8], [0, 9, 10, 19])
    """
    if n <= most:
        return np.arange(n)
    places = np.round(np.linspace(0, n - 1, most)).astype(np.intp)
    middle = _middle(n)
    nearest = np.sort(np.abs(places - (n - 1) / 2).argsort(kind="stable")[: len(middle)])
    places[nearest] = middle
    return places


def _middle(n: int) -> list[int]:
    """Return the place in the middle of n, or both."""
    return sorted({(n - 1) // 2, n // 2})
