"""Units to draw; apart from their figure, so that whoever chooses them does without matplotlib."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True)
class UnitRow:
    """Units to draw in one row of a figure.

    Attributes:
        name: Title of the row.
        weights: Floats `[units, channels, height, width]`, the most local unit first; not finite where the member
            diverged.
        extents: Extent of each unit, in image sides; NaN for a unit without finite weights.
    """

    name: str
    weights: NDArray[Any]
    extents: NDArray[Any]
