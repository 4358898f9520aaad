"""What an image of examples shows; apart from its figure, so that whoever measures it does without matplotlib."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ProjectedExamples:
    """Examples as points of a plane.

    Attributes:
        points: float64 `[n, 2]`, those to train on first.
        labels: Integer classes `[n]`.
        n_train: How many are to train on.
        n_all: How many examples there are, those that are not shown too.
        classes: Names in the order of the labels.
        axes: What the two coordinates are.
    """

    points: NDArray[np.float64]
    labels: NDArray[np.int64]
    n_train: int
    n_all: int
    classes: tuple[str, ...]
    axes: tuple[str, str]
