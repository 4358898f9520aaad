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
        weights: Floats `[units, 3, height, width]`, the most local first; not finite where the member diverged.
        extents: Of each unit, in image sides; NaN where there is none.
    """

    name: str
    weights: NDArray[Any]
    extents: NDArray[Any]
