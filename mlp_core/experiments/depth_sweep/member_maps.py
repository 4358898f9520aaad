"""Decision maps of all members of a depth; apart from their figure, so that whoever makes them does without it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True)
class MemberMaps:
    """What the members of one configuration answer everywhere in a square around the origin, the best first.

    Attributes:
        name: Of the configuration.
        classes: Integer classes `[members, M, M]`; the row is x2, ascending from the bottom, the column is x1.
        accuracies: Test accuracy of each member, 0 .. 1, descending.
        median: Place of the member of median accuracy; of two in the middle the better one.
        n_finished: Members that finished; more than are shown where there are many.
        n_diverged: Members that diverged: they have no map.
    """

    name: str
    classes: NDArray[Any]
    accuracies: NDArray[Any]
    median: int
    n_finished: int
    n_diverged: int
