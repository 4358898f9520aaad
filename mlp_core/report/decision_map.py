"""What a decision map shows; apart from its figure, so that whoever measures it does without matplotlib."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True)
class DecisionMap:
    """What one model answers everywhere in a square around the origin.

    Attributes:
        title: Name of the model.
        classes: Integer classes `[M, M]`; the row is x2, ascending from the bottom, the column is x1.
        extent: The square reaches from -extent to extent on both axes.
        test_points: `[n, 2]`, columns x1 and x2.
        test_labels: Integer classes `[n]`.
        training_radius: Radius around the origin inside which all training points lie.
    """

    title: str
    classes: NDArray[Any]
    extent: float
    test_points: NDArray[Any]
    test_labels: NDArray[Any]
    training_radius: float
