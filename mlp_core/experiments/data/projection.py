"""What an image of examples shows; apart from its figure, so that whoever measures it does without matplotlib."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ProjectedExamples:
    """Examples as points of a plane, to draw.

    Attributes:
        points: float64 `[n, 2]`, training examples first.
        labels: Integer class of each point, `[n]`.
        n_train: How many of the points are training examples.
        n_all: How many examples the data have, including those left out of `points`.
        classes: Class names, in the order of the labels.
        axes: Names of the two coordinates.
    """

    points: NDArray[np.float64]
    labels: NDArray[np.int64]
    n_train: int
    n_all: int
    classes: tuple[str, ...]
    axes: tuple[str, str]
