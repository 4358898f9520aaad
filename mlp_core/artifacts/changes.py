"""How results changed since the baseline, as numbers and in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mlp_core.artifacts.results import EVENTS
from mlp_core.errors import InputError

ALL = "all configurations"
"""Stands where a configuration is named, in the row that counts the events of a whole experiment."""
LISTED = 5
"""Most names in a sentence."""


@dataclass(frozen=True)
class Change:
    """How one metric of a configuration, or an event of a whole experiment, changed since the baseline.

    Attributes have the names, meanings and units of the columns in `baseline.py`; `status` is `moved` for a significant
    change, `not moved`, or `not judged` if the data could not show any change. NaN where a value does not exist.
    """

    experiment: str
    configuration: str
    measure: str
    n: int
    before: float
    after: float
    change: float
    low: float
    high: float
    least: float
    lost: int
    gained: int
    which: str
    status: str

    @property
    def moved(self) -> bool:
        """Return whether the change is significant: its status is `moved`."""
        return self.status == "moved"

    def describe(self) -> str:
        """Return the change in words: experiment, configuration, metric, both values, interval of the change and n.

        Example:
            >>> end = (-0.2, -0.3, -0.1, 0.1, 0, 0, "", "moved")
            >>> print(Change("images", "", "test_accuracy", 8, 0.9, 0.7, *end).describe())
            images test accuracy 90.0 % → 70.0 % (change -20.0 [-30.0, -10.0] points, n = 8)
            >>> end = (1.0, math.nan, math.nan, 0.75, 2, 0, "members 0, 1", "moved")
            >>> print(Change("phase_diagram", "gain=2", "diverged", 2, 0.0, 1.0, *end).describe())
            phase_diagram gain=2: 2 of 2 members newly diverged, 0 the other way round (members 0, 1)
        """
        name = " ".join(part for part in (self.experiment, self.configuration) if part)
        if self.measure in EVENTS:
            happened = "newly diverged" if self.measure == "diverged" else "no longer learn"
            which = f" ({self.which})" if self.which else ""
            members = f"{self.n} member{'s' * (self.n != 1)}"
            return f"{name}: {self.lost} of {members} {happened}, {self.gained} the other way round{which}"
        went = f"{name} {self.measure.replace('_', ' ')} {100 * self.before:.1f} % → {100 * self.after:.1f} %"
        interval = "" if math.isnan(self.low) else f" [{100 * self.low:+.1f}, {100 * self.high:+.1f}]"
        return f"{went} (change {100 * self.change:+.1f}{interval} points, n = {self.n})"


@dataclass(frozen=True)
class Comparison:
    """The differences between results and the baseline.

    Attributes:
        changes: The change of each metric that both have, significant or not.
        made_otherwise: Differences in versions, code and machine, such as `torch 2.13 → 2.14`.
        left_out: For an experiment that was not compared as a whole, the reason or the configurations left out.
        versions: Libraries of the results and their versions, as one text.
    """

    changes: list[Change]
    made_otherwise: list[str]
    left_out: dict[str, str]
    versions: str

    @property
    def moved(self) -> list[Change]:
        """Return the significant changes: first events of whole experiments, then of configurations, then means.

        Within each of these the largest change is first.
        """
        return sorted(
            (change for change in self.changes if change.moved),
            key=lambda change: (change.measure not in EVENTS, change.configuration != ALL, -abs(change.change)),
        )

    @property
    def judged(self) -> int:
        """Return the number of metrics that were tested, because their data could show a change."""
        return sum(change.status != "not judged" for change in self.changes)

    def describe(self) -> str:
        """Return a summary in one paragraph: the number of significant changes, the first 5, and their possible causes.

        Causes are differences in versions, code and machine. Single events and metrics not tested are counted too.
        """
        moved, counted = self.moved, f"{self.counted()} from the baseline"
        rest = [*self._single_events(), *self._unjudged()]
        if not moved:
            return "; ".join([counted, *rest])
        listed = "; ".join(change.describe() for change in moved[:LISTED])
        more = f"; and {len(moved) - LISTED} more" if len(moved) > LISTED else ""
        return " ".join([f"{counted}: {listed}{more}.", *(f"Also {sentence}." for sentence in rest), self.since()])

    def counted(self) -> str:
        """Return how many metrics changed significantly, of how many that were tested, as a sentence.

        Example:
            >>> Comparison([], [], {}, "").counted()
            'none of 0 metrics moved'
        """
        return f"{len(self.moved) or 'none'} of {self.judged} metrics moved"

    def details(self) -> list[str]:
        """Return sentences on what the significant changes leave out.

        They are: events that were not significant, the number of metrics not tested, and the least change of a mean
        that the tests could show.
        """
        least = [
            change.least for change in self.changes if change.measure not in EVENTS and change.status != "not judged"
        ]
        sentences = (
            [f"least change of a mean that could be shown: {_points(min(least), max(least))} points"] if least else []
        )
        return [*self._single_events(), *self._unjudged(), *sentences]

    def _unjudged(self) -> list[str]:
        n = len(self.changes) - self.judged
        return [f"not judged: {n} metrics, for too few members or examples"] if n else []

    def _single_events(self) -> list[str]:
        """Return in words the events of configurations that did not move and are in no experiment that did."""
        already_moved = {(change.experiment, change.measure) for change in self.moved if change.configuration == ALL}
        single = [
            change.describe()
            for change in self.changes
            if change.lost + change.gained
            and change.configuration != ALL
            and not change.moved
            and (change.experiment, change.measure) not in already_moved
        ]
        more = [f"and {len(single) - LISTED} more configurations with such members"] if len(single) > LISTED else []
        return [*single[:LISTED], *more]

    def since(self) -> str:
        """Return a sentence on the differences in versions, code and machine, see the function `since`."""
        return since(self.made_otherwise)


def since(made_otherwise: Sequence[str]) -> str:
    """Return a sentence that lists the differences in versions, code and machine, or says that there are none.

    Example:
        >>> since(["torch 2.13 → 2.14"]), since([])
        ('Changed since: torch 2.13 → 2.14.', 'Versions, code and machine are the same.')
    """
    if not made_otherwise:
        return "Versions, code and machine are the same."
    return f"Changed since: {', '.join(made_otherwise)}."


def describe_comparison(comparison: Comparison) -> str:
    """Return a comparison as text for the terminal.

    Its lines: the number of significant changes, each of them, details, what was not compared and why, and the
    differences in versions, code and machine.

    Raises:
        InputError: If nothing was compared.
    """
    if not comparison.changes:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in comparison.left_out.items()) or "no results"
        message = f"a comparison needs an experiment with the baseline's settings, got none ({reasons})."
        raise InputError(message)
    moved = [f"  {change.describe()}" for change in comparison.moved]
    left_out = [f"not compared: {name} ({reason})" for name, reason in comparison.left_out.items()]
    return "\n".join([comparison.counted(), *moved, *comparison.details(), *left_out, comparison.since()])


def _points(low: float, high: float) -> str:
    ends = list(dict.fromkeys(f"{100 * end:.1f}" for end in (low, high)))
    return " to ".join(ends)


def first_listed(parts: Sequence[str]) -> str:
    """Join the first 5 names of a list with commas, and add how many more there are.

    Example:
        >>> first_listed(["0", "1"]), first_listed([str(one) for one in range(8)])
        ('0, 1', '0, 1, 2, 3, 4 and 3 more')
    """
    more = f" and {len(parts) - LISTED} more" if len(parts) > LISTED else ""
    return f"{', '.join(parts[:LISTED])}{more}"
