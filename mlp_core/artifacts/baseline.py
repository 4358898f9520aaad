"""The accepted results of an artifact folder, and which figures have moved away from them: drift.

Equal seeds are equal draws, so results are compared member by member. The null hypothesis: each member is the same
network trained by the same rules, and between the two runs there is only rounding noise, as two versions of a library
or two processors make it. It changes a member's accuracy by a random amount of mean 0, whose size is like that in the
other configurations of the experiment, and may shift a configuration by up to one example. It makes a member that
finished diverge, or one that learned no longer learn, as often as the other way round. Under the null hypothesis at
most 5 of 100 comparisons name a figure: means are tested at 1 in 100, which leaves room for tails heavier than normal,
and events at 2 in 100, Bonferroni within both.

- Means: the mean change of a configuration's accuracies, with Student's t. Their spread is the larger of the
  configuration's own and that pooled over the experiment. A pooled spread counts as known no better than from 8 members
  (7 degrees of freedom), so that changes which are skewed, or alike by chance, keep the promise. One example is added
  to each side of the interval: less than one example is no change.
- Events: a member that was there and diverges, or that learned and no longer learns, or either the other way round.
  Over an experiment they are counted by McNemar's exact test. A configuration that lost most of its members is named
  however few they are, unless as many events the other way round show that rounding does it.

A figure that could not show even the largest possible change is not judged.

Sources:
    McNemar 1947, "Note on the sampling error of the difference between correlated proportions or percentages".
    Tarone 1990, "A modified Bonferroni method for discrete data".
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.special import bdtrc, stdtrit

from mlp_core.artifacts.storage import Artifact, Provenance, code_digest, write_table
from mlp_core.errors import InputError
from mlp_core.statistics.intervals import mean_interval, median_interval
from mlp_core.statistics.wording import words

BASELINE = "baseline/accepted.parquet"
RUNS = "baseline/runs"
EVENTS = ("diverged", "never_learned")
"""What happens to a member as a whole; one that diverged neither learned nor never learned."""
MEASURES = ("train_accuracy", "test_accuracy", *EVENTS)
"""What is compared; a member that diverged has no accuracy."""
ALL = "all configurations"
"""Stands where a configuration is named, in the row that counts the events of a whole experiment."""
_ALPHA_MEANS = 0.01
_ALPHA_EVENTS = 0.02 / 4  # two kinds of events, each by experiment and by configuration
_RARE = 1 / 500  # how often rounding alone makes a member diverge or no longer learn, where nothing says otherwise
_KNOWN_BY = 8  # members from which a pooled spread counts as known
_ROUNDING = 1e-9  # accuracies are counts: they are further apart than this, or the same
_LARGEST_COUNT = 0.05  # no test set has fewer than 20 examples
_SHOWN = 5
_BESIDE = ("seeds", "images_remarks")
"""Settings that may differ: members that both sides have are compared."""
_NOT_AS_WRITTEN = (
    pa.ArrowException,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What a table raises that is whole, but another one, or whose metadata were damaged: they have no checksum."""
_UNITS = {
    "experiment": "name of the table of results",
    "configuration": "name=value of what the experiment varies",
    "member": "number",
    "train_accuracy": "0..1",
    "test_accuracy": "0..1",
    "diverged": "0|1",
    "never_learned": "0|1, null for a member that diverged and if it was not recorded",
    "run": "when it was compared, UTC",
    "versions": "libraries",
    "made_otherwise": "versions, code and machine that differ from the baseline's",
    "measure": "train_accuracy|test_accuracy|diverged|never_learned, the last two shares of members",
    "n": "members that both sides have",
    "before": "mean of the baseline",
    "after": "mean of this run",
    "after_low": "lower end of the 95 % interval of that mean, null if n < 2",
    "after_high": "upper end of the same",
    "change": "after - before",
    "low": "lower end of the simultaneous 99 % interval of the change, null for shares and if the spread is not known",
    "high": "upper end of the same",
    "least": "the least change that could be shown; null if the spread is not known, inf if none could be",
    "lost": "members that finished and now diverge, or learned and now do not; 0 for accuracies",
    "gained": "members with which it is the other way round; 0 for accuracies",
    "which": "the members, or of a whole experiment the configurations, that were lost or gained",
    "status": "moved|not moved|not judged",
}


@dataclass(frozen=True)
class Origin:
    """What a table of results was made with.

    `common` is what all its configurations have in common, as name=value: their names hold only what differs.
    """

    settings: Mapping[str, Any]
    code: str
    versions: Mapping[str, str]
    machine: str
    common: str = ""

    def __post_init__(self) -> None:
        """Refuse what a damaged file may hold."""
        mappings, texts = (self.settings, self.versions), (self.code, self.machine, self.common)
        if not all(isinstance(one, dict) for one in mappings) or not all(isinstance(one, str) for one in texts):
            message = f"settings and versions must be mappings, the rest texts, got {self!r}"
            raise TypeError(message)


@dataclass(frozen=True)
class Results:
    """The members of every experiment of a folder.

    Attributes:
        origins: Of each experiment.
        members: For each experiment, configuration and member its value of each measure, NaN for none.
        accepted: When they were accepted as the baseline, empty if they were not.
    """

    origins: dict[str, Origin]
    members: dict[tuple[str, str], dict[int, tuple[float, ...]]]
    accepted: str = ""


@dataclass(frozen=True)
class Change:
    """How one figure changed; the units of its attributes are those of the columns of the same names."""

    experiment: str
    configuration: str
    measure: str
    n: int
    before: float
    after: float
    after_low: float
    after_high: float
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
        """Return whether it moved."""
        return self.status == "moved"

    def in_words(self) -> str:
        """Return which figure it is, and from what to what it went.

        Example:
            >>> end = (-0.2, -0.3, -0.1, 0.1, 0, 0, "", "moved")
            >>> print(Change("images", "", "test_accuracy", 8, 0.9, 0.7, 0.6, 0.8, *end).in_words())
            images test accuracy 90.0 % → 70.0 % (change -20.0 [-30.0, -10.0] points, n = 8)
            >>> end = (1.0, math.nan, math.nan, 0.75, 2, 0, "members 0, 1", "moved")
            >>> print(Change("phase", "gain=2", "diverged", 2, 0.0, 1.0, math.nan, math.nan, *end).in_words())
            phase gain=2: 2 of 2 members newly diverged, 0 the other way round (members 0, 1)
        """
        name = " ".join(part for part in (self.experiment, self.configuration) if part)
        if self.measure in EVENTS:
            happened = "newly diverged" if self.measure == "diverged" else "no longer learn"
            which = f" ({self.which})" if self.which else ""
            return f"{name}: {self.lost} of {self.n} members {happened}, {self.gained} the other way round{which}"
        went = f"{name} {self.measure.replace('_', ' ')} {100 * self.before:.1f} % → {100 * self.after:.1f} %"
        interval = "" if math.isnan(self.low) else f" [{100 * self.low:+.1f}, {100 * self.high:+.1f}]"
        return f"{went} (change {100 * self.change:+.1f}{interval} points, n = {self.n})"


@dataclass(frozen=True)
class Comparison:
    """Results beside the baseline.

    Attributes:
        changes: Every figure that both have.
        made_otherwise: In words, what differs in how they were made: versions, code, machine.
        left_out: Of an experiment, by its name, why it was not compared, or which of its configurations were not.
        versions: Libraries of the results.
    """

    changes: list[Change]
    made_otherwise: list[str]
    left_out: dict[str, str]
    versions: str

    @property
    def moved(self) -> list[Change]:
        """Return the figures that moved: events of whole experiments, of configurations, means; the largest first."""
        return sorted(
            (one for one in self.changes if one.moved),
            key=lambda one: (one.measure not in EVENTS, one.configuration != ALL, -abs(one.change)),
        )

    @property
    def judged(self) -> int:
        """Return how many figures could show a change."""
        return sum(one.status != "not judged" for one in self.changes)

    def in_words(self) -> str:
        """Return what moved, from what to what, and what is different in how it was made."""
        moved, counted = self.moved, f"{self.counted()} from the baseline"
        rest = [*self._single_events(), *self._unjudged()]
        if not moved:
            return "; ".join([counted, *rest])
        shown = "; ".join(one.in_words() for one in moved[:_SHOWN])
        more = f"; and {len(moved) - _SHOWN} more" if len(moved) > _SHOWN else ""
        return " ".join([f"{counted}: {shown}{more}.", *(f"Also {one}." for one in rest), self.since()])

    def counted(self) -> str:
        """Return how many figures moved, of how many that were judged.

        Example:
            >>> Comparison([], [], {}, "").counted()
            'none of 0 figures moved'
        """
        return f"{len(self.moved) or 'none'} of {self.judged} figures moved"

    def details(self) -> list[str]:
        """Return events that moved no figure, how many figures were not judged, and what the others could show."""
        least = [one.least for one in self.changes if one.measure not in EVENTS and one.status != "not judged"]
        shown = (
            [f"least change of a mean that could be shown: {_points(min(least), max(least))} points"] if least else []
        )
        return [*self._single_events(), *self._unjudged(), *shown]

    def _unjudged(self) -> list[str]:
        n = len(self.changes) - self.judged
        return [f"not judged: {n} figures, for too few members or examples"] if n else []

    def _single_events(self) -> list[str]:
        """Return in words the events of configurations that did not move and are in no experiment that did."""
        told = {(one.experiment, one.measure) for one in self.moved if one.configuration == ALL}
        single = [
            one.in_words()
            for one in self.changes
            if one.lost + one.gained
            and one.configuration != ALL
            and not one.moved
            and (one.experiment, one.measure) not in told
        ]
        more = [f"and {len(single) - _SHOWN} more configurations with such members"] if len(single) > _SHOWN else []
        return [*single[:_SHOWN], *more]

    def since(self) -> str:
        """Return what is different in how the results were made."""
        return since(self.made_otherwise)


def since(made_otherwise: Sequence[str]) -> str:
    """Return a sentence on what is different in how results were made.

    Example:
        >>> since(["torch 2.13 → 2.14"]), since([])
        ('Changed since: torch 2.13 → 2.14.', 'Versions, code and machine are the same.')
    """
    if not made_otherwise:
        return "Versions, code and machine are the same."
    return f"Changed since: {', '.join(made_otherwise)}."


def read_results(root: Path, experiments: Sequence[str] | None = None) -> Results:
    """Read the members of the experiments whose results are in an artifact folder.

    Args:
        root: The artifact folder.
        experiments: Names of tables; all if left out. Tables without accuracies of members are passed over.

    Raises:
        InputError: If a table is damaged.
    """
    origins: dict[str, Origin] = {}
    members: dict[tuple[str, str], dict[int, tuple[float, ...]]] = {}
    for path in sorted((root / "results").glob("*.parquet")):
        if experiments is not None and path.stem not in experiments:
            continue
        table = _read(path)
        try:
            if not {"member", "status", "train_accuracy", "test_accuracy", "epochs"} <= set(table.column_names):
                continue
            common, by_configuration = _by_configuration(table)
        except _NOT_AS_WRITTEN as error:
            raise _damaged(path, "columns of another kind") from error
        origins[path.stem] = replace(_origin(path, table), common=common)
        members |= {(path.stem, name): found for name, found in by_configuration.items()}
    return Results(origins, members)


def _read(path: Path) -> pa.Table:
    content = path.read_bytes()
    try:
        return pq.read_table(pa.BufferReader(content), page_checksum_verification=True)
    except (OSError, *_NOT_AS_WRITTEN) as error:
        raise _damaged(path, "damaged bytes") from error


def _origin(path: Path, table: pa.Table) -> Origin:
    metadata = {key.decode(errors="replace"): value for key, value in (table.schema.metadata or {}).items()}
    try:
        settings, versions = (json.loads(metadata.get(name, b"{}")) for name in ("settings", "versions"))
        code, machine = (metadata.get(name, b"not recorded").decode() for name in ("code", "machine"))
        return Origin(settings, code, versions, machine)
    except _NOT_AS_WRITTEN as error:
        raise _damaged(path, "other metadata") from error


def _damaged(path: Path, found: str) -> InputError:
    message = f"{path} must be a Parquet file as it was written, got {found}; delete it and make it again."
    return InputError(message)


def _by_configuration(table: pa.Table) -> tuple[str, dict[str, dict[int, tuple[float, ...]]]]:
    """Return what all configurations have in common, and the members of each.

    A configuration is named by those of the columns before `member`, and of epochs, that vary.
    """
    names = [*table.column_names[: table.column_names.index("member")], "epochs"]
    keys = {name: table[name].to_pylist() for name in names}
    varying = [name for name in names if len(table[name].unique()) > 1]
    common = _named({name: values[0] for name, values in keys.items() if values and name not in varying})
    found: dict[str, dict[int, tuple[float, ...]]] = {}
    measured = [table[name].to_pylist() for name in ("member", "status", "train_accuracy", "test_accuracy")]
    learned = table["learned"].to_pylist() if "learned" in table.column_names else [None] * len(table)
    for row, (member, status, *accuracies) in enumerate(zip(*measured, strict=True)):
        reached = [math.nan if one is None else float(one) for one in accuracies]
        members = found.setdefault(_named({name: keys[name][row] for name in varying}), {})
        diverged = {"ok": 0.0, "diverged": 1.0}[status]
        never_learned = math.nan if diverged or learned[row] is None else float(not learned[row])
        members[int(member)] = (*reached, diverged, never_learned)
    return common, found


def _named(values: Mapping[str, Any]) -> str:
    texts = {name: f"{value:.6g}" if isinstance(value, float) else str(value) for name, value in values.items()}
    return " ".join(f"{name}={text}" for name, text in texts.items() if values[name] is not None)


def accept(root: Path, now: datetime) -> Artifact:
    """Keep the results of an artifact folder as its baseline.

    Raises:
        InputError: If there are none, if some are missing because their training failed, or if a table is damaged.
    """
    results = read_results(root)
    if not results.members:
        message = f"a baseline needs results, got none in {root / 'results'}; run `deep-mlp tutorial` there first."
        raise InputError(message)
    failures = root / "results/failures.parquet"
    if failed := sorted(_failed(failures) & results.origins.keys()):
        message = (
            f"a baseline needs whole results, got failed trainings of {', '.join(failed)} in {failures}; "
            "run the command that failed again until it completes, then accept."
        )
        raise InputError(message)
    rows = [
        {"experiment": experiment, "configuration": configuration, "member": member}
        | dict(zip(MEASURES, values, strict=True))
        for (experiment, configuration), members in results.members.items()
        for member, values in members.items()
    ]
    table = pa.Table.from_pylist(rows, _baseline_schema())
    tables = {
        name: {field.name: getattr(origin, field.name) for field in fields(Origin)}
        for name, origin in results.origins.items()
    }
    settings = {"accepted": now.astimezone(UTC).isoformat(timespec="seconds"), "tables": tables}
    return write_table(root, BASELINE, table, _provenance(settings, table))


def _baseline_schema() -> pa.Schema:
    texts, numbers = dict.fromkeys(("experiment", "configuration"), pa.string()), dict.fromkeys(MEASURES, pa.float64())
    return pa.schema({**texts, "member": pa.int64(), **numbers})


def _failed(path: Path) -> set[str]:
    """Return the experiments of which some training failed."""
    if not path.exists():
        return set()
    table = _read(path)
    try:
        return set(table["experiment"].to_pylist())
    except _NOT_AS_WRITTEN as error:
        raise _damaged(path, "another table") from error


def _provenance(settings: Mapping[str, Any], table: pa.Table) -> Provenance:
    return Provenance(
        settings, code_digest("mlp_core.artifacts.baseline"), {}, {name: _UNITS[name] for name in table.column_names}
    )


def read_baseline(root: Path) -> Results | None:
    """Return the accepted results of an artifact folder, if there are any.

    Raises:
        InputError: If the file is damaged.
    """
    path = root / BASELINE
    if not path.exists():
        return None
    table = _read(path)
    if not len(table) or not table.schema.equals(_baseline_schema()):
        raise _damaged(path, "another table")
    settings = _origin(path, table).settings
    members: dict[tuple[str, str], dict[int, tuple[float, ...]]] = {}
    try:
        for row in table.to_pylist():
            values = tuple(float(row[name]) for name in MEASURES)
            members.setdefault((row["experiment"], row["configuration"]), {})[row["member"]] = values
        origins = {name: Origin(**found) for name, found in settings["tables"].items()}
        return Results(origins, members, str(settings["accepted"]))
    except _NOT_AS_WRITTEN as error:
        raise _damaged(path, "other metadata") from error


def accepted_baseline(root: Path) -> Results:
    """Return the accepted results of an artifact folder.

    Raises:
        InputError: If there are none, or if the file is damaged.
    """
    baseline = read_baseline(root)
    if baseline is None:
        message = f"a baseline must be accepted first, got none at {root / BASELINE}; run `deep-mlp baseline accept`."
        raise InputError(message)
    return baseline


def baseline_in_words(baseline: Results) -> str:
    """Return when the baseline was accepted, with what it was made, and the median test accuracies."""
    lines = [f"accepted {baseline.accepted}"]
    for experiment, origin in baseline.origins.items():
        versions = ", ".join(f"{name} {version}" for name, version in origin.versions.items())
        lines += ["", f"{experiment}: {versions}; {origin.machine}"]
        for (name, configuration), members in baseline.members.items():
            if name == experiment:
                found = median_interval(np.array([accuracy for _, accuracy, *_ in members.values()]))
                lines.append(f"  {configuration or 'all members'}: median test accuracy {words(found)}")
    return "\n".join(lines)


def comparison_in_words(comparison: Comparison) -> str:
    """Return what moved, a line each, what was not compared, and what is different in how the results were made.

    Raises:
        InputError: If nothing was compared.
    """
    if not comparison.changes:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in comparison.left_out.items()) or "no results"
        message = f"a comparison needs an experiment with the baseline's settings, got none ({reasons})."
        raise InputError(message)
    moved = [f"  {one.in_words()}" for one in comparison.moved]
    left_out = [f"not compared: {name} ({reason})" for name, reason in comparison.left_out.items()]
    return "\n".join([comparison.counted(), *moved, *comparison.details(), *left_out, comparison.since()])


def _points(low: float, high: float) -> str:
    ends = list(dict.fromkeys(f"{100 * end:.1f}" for end in (low, high)))
    return " to ".join(ends)


def compare(baseline: Results, results: Results) -> Comparison:
    """Compare results with the baseline: experiments with the same settings, their configurations member by member.

    Example:
        >>> origin = Origin({"epochs": 100}, "", {"torch": "2.13"}, "")
        >>> before = Results({"images": origin}, {("images", ""): {0: (1, 0.90, 0, 0), 1: (1, 0.80, 0, 0)}})
        >>> origin = Origin({"epochs": 100}, "", {"torch": "2.14"}, "")
        >>> after = Results({"images": origin}, {("images", ""): {0: (1, 0.8001, 0, 0), 1: (1, 0.6999, 0, 0)}})
        >>> found = compare(before, after)
        >>> [(one.measure, round(one.change, 3)) for one in found.moved], found.made_otherwise
        ([('test_accuracy', -0.1)], ['torch 2.13 → 2.14'])
    """
    left_out: dict[str, str] = {}
    pairs: dict[tuple[str, str], _Pairs] = {}
    origins: list[tuple[Origin, Origin, str]] = []
    for name, origin in results.origins.items():
        if name not in baseline.origins:
            left_out[name] = "not in the baseline"
        elif differing := _differing(baseline.origins[name].settings, origin.settings, _BESIDE):
            left_out[name] = f"other settings: {', '.join(differing)}"
        else:
            origins.append((baseline.origins[name], origin, name))
            same = _same_configurations(baseline, results, name)
            if alone := _alone(baseline, results, name, same):
                left_out[name] = alone
            pairs |= _pairs(baseline, results, name, same)
    pairs = {key: both for key, both in pairs.items() if both.members}
    changes = [*_means(pairs), *_events(pairs)]
    versions = dict(item for _, after, _ in origins for item in after.versions.items())
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    return Comparison(changes, _made_otherwise(origins), left_out, listed)


def _same_configurations(baseline: Results, results: Results, experiment: str) -> dict[str, str]:
    """Return the baseline's name of each configuration that both have, by its name in the results.

    A name holds what varies in its own table, and where trainings failed less may vary: two names are of one
    configuration if each says only what is true of the other.
    """
    before, after = (
        [
            (name, set(name.split()), {*name.split(), *side.origins[experiment].common.split()})
            for one, name in side.members
            if one == experiment
        ]
        for side in (baseline, results)
    )
    return {
        name: other
        for name, said, true in after
        for other, other_said, other_true in before
        if said <= other_true and other_said <= true
    }


def _alone(baseline: Results, results: Results, experiment: str, same: Mapping[str, str]) -> str:
    """Return in words which configurations only one side has."""
    parts = []
    for side, matched, where in (
        (baseline, set(same.values()), "the baseline"),
        (results, set(same), "these results"),
    ):
        names = [name for one, name in side.members if one == experiment and name not in matched]
        if names:
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            parts.append(f"{', '.join(names[:_SHOWN]) or 'its one configuration'}{more} only in {where}")
    return "; ".join(parts)


@dataclass(frozen=True)
class _Pairs:
    """The members of a configuration that both sides have.

    Attributes:
        members: Their numbers, `[n]`.
        values: Before and after, `[n, 2, measures]`, NaN for no accuracy.
    """

    members: list[int]
    values: NDArray[np.float64]

    def accuracies(self, measure: str) -> NDArray[np.float64]:
        """Return before and after of the members that finished on both sides, `[n, 2]`."""
        both = self.values[..., MEASURES.index(measure)]
        return both[np.isfinite(both).all(axis=1)]

    def happened(self, event: str) -> tuple[list[int], NDArray[np.bool_]]:
        """Return the members to which the event could happen on both sides, and whether it did, `[n, 2]`."""
        both = self.values[..., MEASURES.index(event)]
        known = np.flatnonzero(np.isfinite(both).all(axis=1))
        return [self.members[place] for place in known], both[known] > 0


def _pairs(
    baseline: Results, results: Results, experiment: str, same: Mapping[str, str]
) -> dict[tuple[str, str], _Pairs]:
    """Return the members that both sides have, by the baseline's names of the configurations."""
    found = {}
    for name, other in same.items():
        before, after = baseline.members[experiment, other], results.members[experiment, name]
        common = sorted(before.keys() & after.keys())
        values = np.array([(before[member], after[member]) for member in common]).reshape(-1, 2, len(MEASURES))
        found[experiment, other] = _Pairs(common, values)
    return found


def _count(values: NDArray[np.float64]) -> float:
    """Return what one example more makes of an accuracy: the least distance of two values that occur."""
    distances = np.diff(np.unique(values))
    return float(min(distances[distances > _ROUNDING], default=_ROUNDING))


def _means(pairs: Mapping[tuple[str, str], _Pairs]) -> list[Change]:
    """Return the changes of the mean accuracies of configurations of which any member finished on both sides."""
    accuracies = {
        (*key, measure): both
        for key, one in pairs.items()
        for measure in MEASURES
        if measure not in EVENTS and len(both := one.accuracies(measure))
    }
    by_experiment: dict[tuple[str, str], list[NDArray[np.float64]]] = {}
    for (experiment, _, measure), both in accuracies.items():
        by_experiment.setdefault((experiment, measure), []).append(both)
    spreads = {key: _spread(values) for key, values in by_experiment.items()}
    return [
        _mean_change(key, both, spreads[key[0], key[2]], _ALPHA_MEANS / len(accuracies))
        for key, both in accuracies.items()
    ]


@dataclass(frozen=True)
class _Spread:
    """How the changes of an experiment's members scatter about their configuration's mean.

    Attributes:
        variance: Pooled over the configurations; NaN if each has one member.
        freedom: Its degrees of freedom.
        count: What one example more makes of an accuracy.
    """

    variance: float
    freedom: int
    count: float


def _spread(values: Sequence[NDArray[np.float64]]) -> _Spread:
    differences = [both[:, 1] - both[:, 0] for both in values]
    freedom = sum(len(one) - 1 for one in differences)
    squares = sum(float(((one - one.mean()) ** 2).sum()) for one in differences)
    count = min(_count(np.concatenate(values)), _LARGEST_COUNT)
    return _Spread(squares / freedom if freedom else math.nan, freedom, count)


def _mean_change(key: tuple[str, str, str], both: NDArray[np.float64], spread: _Spread, alpha: float) -> Change:
    before, after = mean_interval(both[:, 0]), mean_interval(both[:, 1]).within(0.0, 1.0)
    differences = both[:, 1] - both[:, 0]
    change, n = float(differences.mean()), len(differences)
    least = low = high = math.nan
    if spread.freedom:
        own = float(differences.var(ddof=1)) if n > 1 else 0.0
        freedom = max(n - 1, min(spread.freedom, _KNOWN_BY - 1))
        # If one of n members changes by one count, their variance is count^2 / n. Three quarters of that on top of what
        # was measured keep the promise where accuracies are of a few examples and members change alike by chance.
        variance = max(own, spread.variance) + 0.75 * spread.count**2 / n
        least = float(stdtrit(freedom, 1 - alpha / 2)) * math.sqrt(variance / n) + spread.count
        low, high = max(-1.0, change - least), min(1.0, change + least)
    possible = max(before.mean, 1 - before.mean)
    status = "moved" if low > 0 or high < 0 else "not moved" if least <= possible else "not judged"
    return Change(*key, n, before.mean, after.mean, after.low, after.high, change, low, high, least, 0, 0, "", status)


def _events(pairs: Mapping[tuple[str, str], _Pairs]) -> list[Change]:
    """Return what happened to members as a whole, by configuration and by experiment."""
    changes: list[Change] = []
    for event in EVENTS:
        happened = {key: found for key, one in pairs.items() if len((found := one.happened(event))[0])}
        experiments: dict[str, list[str]] = {}
        for experiment, configuration in happened:
            experiments.setdefault(experiment, []).append(configuration)
        totals = {
            experiment: _flips(np.concatenate([happened[experiment, name][1] for name in names]))
            for experiment, names in experiments.items()
        }
        alpha = _alpha_of_experiments([lost + gained for lost, gained, _ in totals.values()])
        needed = _least_discordant(alpha)
        for experiment, names in experiments.items():
            total = totals[experiment]
            experiment_moved = _mcnemar(*total[:2]) <= alpha
            for name in names:
                members, both = happened[experiment, name]
                flips = _flips(both)
                least = _least_lost(flips, total, len(happened))
                moved = max(flips[:2]) >= least
                if len(names) == 1:
                    least, moved = min(least, needed), moved or experiment_moved
                which = [members[place] for place in np.nonzero(both[:, 0] != both[:, 1])[0]]
                changes.append(_event((experiment, name, event), both, least, _listed("member", which), moved))
            if len(names) > 1:
                where = [
                    f"{name} {sum(flips[:2])} of {flips[2]}"
                    for name in names
                    if sum((flips := _flips(happened[experiment, name][1]))[:2])
                ]
                both = np.concatenate([happened[experiment, name][1] for name in names])
                changes.append(_event((experiment, ALL, event), both, needed, _cut(where), experiment_moved))
    return changes


def _event(key: tuple[str, str, str], both: NDArray[np.bool_], least: float, which: str, moved: bool) -> Change:
    lost, gained, n = _flips(both)
    before, after = (float(share) for share in both.mean(axis=0))
    status = "moved" if moved else "not moved" if least <= n else "not judged"
    none = (math.nan,) * 2
    return Change(*key, n, before, after, *none, after - before, *none, least / n, lost, gained, which, status)


def _flips(both: NDArray[np.bool_]) -> tuple[int, int, int]:
    """Return how many members were lost, how many were gained, and how many there are."""
    before, after = both[:, 0], both[:, 1]
    return int((after & ~before).sum()), int((before & ~after).sum()), len(both)


def _mcnemar(lost: int, gained: int) -> float:
    """Return the two-sided exact p-value: of the members that changed, each was as likely lost as gained.

    Example:
        >>> _mcnemar(8, 0), _mcnemar(3, 3)
        (0.0078125, 1.0)
    """
    most, n = max(lost, gained), lost + gained
    return min(1.0, 2 * float(bdtrc(most - 1, n, 0.5))) if n else 1.0


def _least_discordant(alpha: float) -> int:
    """Return how many members must change, all in one direction, to be significant."""
    return math.ceil(1 - math.log2(alpha))


def _alpha_of_experiments(discordant: Sequence[int]) -> float:
    """Return the level of each experiment's test: those that could show nothing at that level do not share in it.

    Source:
        Tarone 1990.
    """
    n_tests = 1
    while sum(n >= _least_discordant(_ALPHA_EVENTS / n_tests) for n in discordant) > n_tests:
        n_tests += 1
    return _ALPHA_EVENTS / n_tests


def _least_lost(flips: tuple[int, int, int], total: tuple[int, int, int], n_configurations: int) -> float:
    """Return how many members of a configuration must be lost, or gained, for it to be named; inf if all are too few.

    More than half, and more than chance does where each is lost as often as events the other way round say.
    """
    lost, gained, n = flips
    others = total[1] if lost >= gained else total[0]
    # one more than were seen: a few events say little of how frequent they are
    seen = ((others, total[2]), (min(lost, gained), n))
    share = min(1.0, max([_RARE, *((events + 1) / members for events, members in seen if events)]))
    for least in range(n // 2 + 1, n + 1):
        if bdtrc(least - 1, n, share) * n_configurations <= _ALPHA_EVENTS:
            return least
    return math.inf


def _listed(noun: str, numbers: Sequence[int]) -> str:
    return f"{noun}{'s' if len(numbers) > 1 else ''} {_cut([str(one) for one in numbers])}" if numbers else ""


def _cut(parts: Sequence[str]) -> str:
    more = f" and {len(parts) - _SHOWN} more" if len(parts) > _SHOWN else ""
    return f"{', '.join(parts[:_SHOWN])}{more}"


def _differing(before: Mapping[str, Any], after: Mapping[str, Any], beside: Sequence[str] = ()) -> list[str]:
    names = [name for name in dict.fromkeys((*before, *after)) if name not in beside]
    return [f"{name} {before.get(name)} → {after.get(name)}" for name in names if before.get(name) != after.get(name)]


def _made_otherwise(origins: Sequence[tuple[Origin, Origin, str]]) -> list[str]:
    found: list[str] = []
    for before, after, _ in origins:
        found += _differing(before.versions, after.versions)
    if code := [name for before, after, name in origins if before.code != after.code]:
        found.append(f"code behind {', '.join(code)}")
    found += [
        f"machine {before.machine} → {after.machine}" for before, after, _ in origins if before.machine != after.machine
    ]
    return list(dict.fromkeys(found))


def keep_comparison(root: Path, comparison: Comparison, now: datetime) -> Artifact:
    """Write a comparison as a file of its own, so that two runs at a time lose nothing: the points of the trend."""
    run = now.astimezone(UTC)
    stamps = {"run": run, "versions": comparison.versions, "made_otherwise": ", ".join(comparison.made_otherwise)}
    rows = [
        stamps
        | {
            field.name: None if isinstance(value := getattr(change, field.name), float) and math.isnan(value) else value
            for field in fields(Change)
        }
        for change in comparison.changes
    ]
    table = pa.Table.from_pylist(rows, _comparison_schema())
    settings = {"left_out": comparison.left_out}
    return write_table(root, f"{RUNS}/{run:%Y-%m-%dT%H%M%S.%fZ}.parquet", table, _provenance(settings, table))


def _comparison_schema() -> pa.Schema:
    columns = {"run": pa.timestamp("ms", "UTC"), "versions": pa.string(), "made_otherwise": pa.string()}
    kinds = {"str": pa.string(), "int": pa.int64(), "float": pa.float64()}
    return pa.schema(columns | {field.name: kinds[str(field.type)] for field in fields(Change)})


def changes_of(rows: Sequence[Mapping[str, Any]]) -> list[Change]:
    """Return the changes of rows of a comparison's table."""
    found = []
    for row in rows:
        values: dict[str, Any] = {
            field.name: math.nan if row[field.name] is None else row[field.name] for field in fields(Change)
        }
        found.append(Change(**values))
    return found


def read_comparisons(root: Path, last: int = 100) -> pa.Table | None:
    """Return the rows of the last comparisons of an artifact folder, in the order of time, if there are any.

    Raises:
        InputError: If one of them is damaged.
    """
    tables: list[pa.Table] = []
    for path in sorted((root / RUNS).glob("*.parquet"))[-last:]:
        table = _read(path)
        if not len(table) or not table.schema.equals(_comparison_schema()):
            raise _damaged(path, "another table")
        tables.append(table)
    return pa.concat_tables(tables) if tables else None
