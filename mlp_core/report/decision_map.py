"""What a decision map shows; apart from its figure, so that whoever measures it does without matplotlib."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True)
class DecisionMap:
    """Classes that one model answers on a grid of points, in a square around the origin, with its test points.

    Attributes:
        title: Name of the model.
        classes: Integer classes `[M, M]`, -1 for none; the row is x2, ascending from the bottom, the column is x1.
        extent: The square reaches from -extent to extent on both axes.
        test_points: Test examples `[n, 2]`, columns x1 and x2.
        test_labels: Their true classes, integers `[n]`.
        training_radius: Radius around the origin inside which all training points lie.
    """

    title: str
    classes: NDArray[Any]
    extent: float
    test_points: NDArray[Any]
    test_labels: NDArray[Any]
    training_radius: float
