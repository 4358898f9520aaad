"""Units to draw; apart from their figure, so that whoever chooses them does without matplotlib."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True)
class UnitRow:
    """Units to draw side by side.

    Attributes:
        name: Of the row.
        weights: Finite floats `[units, 3, height, width]`, the most local first.
        extents: Of each unit, in image sides.
    """

    name: str
    weights: NDArray[Any]
    extents: NDArray[Any]
