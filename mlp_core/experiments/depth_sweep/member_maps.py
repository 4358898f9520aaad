"""Decision maps of all members of a depth; apart from their figure, so that whoever makes them does without it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True)
class MemberMaps:
    """Decision maps of the members of one configuration on a square around the origin, the best member first.

    Attributes:
        name: Of the configuration, in words.
        classes: Integer classes `[members, M, M]`; the row is x2, ascending from the bottom, the column is x1.
        accuracies: Test accuracy of each member, 0..1, descending.
        median: Median test accuracy of all members that finished, 0..1; NaN if none did.
        middle: Indices of the member in the middle, or of the two whose mean is the median.
        n_finished: Members that did not diverge; can be more than have a map.
        n_diverged: Members that diverged: they have no map.
    """

    name: str
    classes: NDArray[Any]
    accuracies: NDArray[Any]
    median: float
    middle: tuple[int, ...]
    n_finished: int
    n_diverged: int
