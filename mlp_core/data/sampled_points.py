"""Points as scikit-learn draws them: what the helper process does, without torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

INNER_RADIUS = 0.5
"""Of the inner one of `circles`; that of the outer one is 1."""


def sampled_points(
    kind: str, points: int, deviation: float, state: int, centres: Sequence[Sequence[float]] = ()
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Draw points of two coordinates with scikit-learn.

    Args:
        kind: `moons`, `circles` or `gauss`.
        points: Points per class.
        deviation: Standard deviation of the noise.
        state: scikit-learn's random state.
        centres: The middles of the clusters of `gauss`.

    Returns:
        Points float64 `[n, 2]` and labels int64 `[n]`, class after class.

    Example:
        >>> inputs, labels = sampled_points("gauss", 3, 0.1, 2021, [[0.0, 1.0], [1.0, 0.0]])
        >>> inputs.shape, labels.tolist()
        ((6, 2), [0, 0, 0, 1, 1, 1])
    """
    from sklearn.datasets import make_blobs, make_circles, make_moons

    drawn: tuple[NDArray[Any], NDArray[Any]]
    both, options = (points, points), {"shuffle": False, "random_state": state}
    if kind == "moons":
        drawn = make_moons(both, noise=deviation, **options)
    elif kind == "circles":
        drawn = make_circles(both, noise=deviation, factor=INNER_RADIUS, **options)
    else:
        drawn = make_blobs([points] * len(centres), centers=centres, cluster_std=deviation, **options)
    return drawn
