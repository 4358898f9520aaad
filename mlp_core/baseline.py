"""The accepted results of an artifact folder, and which figures have moved away from them: drift.

Equal seeds are equal draws, so a configuration is compared member by member: the mean change of its members, with
Student's t interval of that mean. Two intervals side by side would see only what is larger than the spread of the
members; a difference within pairs sees what a new library did to the very same networks. As many figures are looked at,
the intervals are Bonferroni's: all of them together hold their true change in 19 of 20 comparisons, so a night on which
nothing happened names a figure once in twenty nights at the most. Accuracies are counts, and a few members soon change
by the same by chance: an interval is as wide as if their spread were known no better than to a count.
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
from scipy.special import stdtrit

from mlp_core.errors import InputError
from mlp_core.findings import words
from mlp_core.metrics import mean_interval, median_interval
from mlp_core.storage import Artifact, Provenance, code_digest, write_table

BASELINE = "baseline/accepted.parquet"
RUNS = "baseline/runs"
MEASURES = ("train_accuracy", "test_accuracy", "diverged")
"""What is compared; a member that diverged has no accuracy and counts 1 in the last, others 0."""
_LEVEL = 0.95
_ROUNDING = 1e-9  # accuracies are counts: they are further apart than this, or the same
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
    "run": "when it was compared, UTC",
    "versions": "libraries",
    "made_otherwise": "versions, code and machine that differ from the baseline's",
    "measure": "train_accuracy|test_accuracy|diverged, the last a share of members",
    "n": "members that both sides have",
    "before": "mean of the baseline",
    "after": "mean of this run",
    "after_low": "lower end of the 95 % interval of that mean, null if n < 2",
    "after_high": "upper end of the same",
    "change": "after - before",
    "low": "lower end of the simultaneous 95 % interval of the change, null if n < 2",
    "high": "upper end of the same",
    "moved": "true if the interval of the change leaves out 0",
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
            raise TypeError


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
    moved: bool

    def in_words(self) -> str:
        """Return which figure it is, and from what to what it went.

        Example:
            >>> print(Change("images", "", "test_accuracy", 8, 0.9, 0.7, 0.6, 0.8, -0.2, -0.3, -0.1, True).in_words())
            images test accuracy 90.0 % → 70.0 % (change -20.0 [-30.0, -10.0] points, n = 8)
        """
        name = " ".join(part for part in (self.experiment, self.configuration) if part)
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
        """Return the figures that moved, the largest change first."""
        return sorted((one for one in self.changes if one.moved), key=lambda one: -abs(one.change))

    def in_words(self) -> str:
        """Return what moved, from what to what, and what is different in how it was made."""
        moved, judged = self.moved, sum(one.n > 1 for one in self.changes)
        if not moved:
            return f"none of {judged} figures moved from the baseline"
        shown = "; ".join(one.in_words() for one in moved[:_SHOWN])
        more = f"; and {len(moved) - _SHOWN} more" if len(moved) > _SHOWN else ""
        return f"{len(moved)} of {judged} figures moved from the baseline: {shown}{more}. {self.since()}"

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
    measured = (table[name].to_pylist() for name in ("member", "status", "train_accuracy", "test_accuracy"))
    for row, (member, status, *accuracies) in enumerate(zip(*measured, strict=True)):
        reached = [math.nan if one is None else float(one) for one in accuracies]
        members = found.setdefault(_named({name: keys[name][row] for name in varying}), {})
        members[int(member)] = (*reached, {"ok": 0.0, "diverged": 1.0}[status])
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
        settings, code_digest("mlp_core.baseline"), {}, {name: _UNITS[name] for name in table.column_names}
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
                found = median_interval(np.array([accuracy for _, accuracy, _ in members.values()]))
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
    judged = sum(one.n > 1 for one in comparison.changes)
    moved = [f"  {one.in_words()}" for one in comparison.moved]
    left_out = [f"not compared: {name} ({reason})" for name, reason in comparison.left_out.items()]
    return "\n".join([f"{len(moved) or 'none'} of {judged} figures moved", *moved, *left_out, comparison.since()])


def compare(baseline: Results, results: Results) -> Comparison:
    """Compare results with the baseline: experiments with the same settings, their configurations member by member.

    Example:
        >>> origin = Origin({"epochs": 100}, "", {"torch": "2.13"}, "")
        >>> before = Results({"images": origin}, {("images", ""): {0: (1.0, 0.90, 0.0), 1: (1.0, 0.80, 0.0)}})
        >>> origin = Origin({"epochs": 100}, "", {"torch": "2.14"}, "")
        >>> after = Results({"images": origin}, {("images", ""): {0: (1.0, 0.801, 0.0), 1: (1.0, 0.699, 0.0)}})
        >>> found = compare(before, after)
        >>> [(one.measure, round(one.change, 3)) for one in found.moved], found.made_otherwise
        ([('test_accuracy', -0.1)], ['torch 2.13 → 2.14'])
    """
    left_out: dict[str, str] = {}
    pairs: dict[tuple[str, str, str], NDArray[np.float64]] = {}
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
    pairs = {key: both for key, both in pairs.items() if len(both)}
    judged = sum(len(both) > 1 for both in pairs.values())
    values: dict[tuple[str, str], list[NDArray[np.float64]]] = {}
    for (name, _, measure), both in pairs.items():
        values.setdefault((name, measure), []).append(both)
    counts = {key: _count(np.concatenate(found)) for key, found in values.items()}
    changes = [_change(key, both, judged, counts[key[0], key[2]]) for key, both in pairs.items()]
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


def _pairs(
    baseline: Results, results: Results, experiment: str, same: Mapping[str, str]
) -> dict[tuple[str, str, str], NDArray[np.float64]]:
    """Return before and after of the members that both sides have, `[n, 2]`, by the baseline's names."""
    found = {}
    for name, other in same.items():
        before, after = baseline.members[experiment, other], results.members[experiment, name]
        common = sorted(before.keys() & after.keys())
        values = np.array([(before[member], after[member]) for member in common]).reshape(-1, 2, len(MEASURES))
        for index, measure in enumerate(MEASURES):
            both = values[..., index]
            found[experiment, other, measure] = both[np.isfinite(both).all(axis=1)]
    return found


def _count(values: NDArray[np.float64]) -> float:
    """Return what one example more makes of an accuracy: the least distance of two values that occur."""
    distances = np.diff(np.unique(values))
    return float(min(distances[distances > _ROUNDING], default=_ROUNDING))


def _change(key: tuple[str, str, str], both: NDArray[np.float64], judged: int, count: float) -> Change:
    before, after = mean_interval(both[:, 0]), mean_interval(both[:, 1]).within(0.0, 1.0)
    differences = both[:, 1] - both[:, 0]
    change, n = float(differences.mean()), len(differences)
    low = high = math.nan
    if n > 1:
        # If one of n members changes by one count, their variance is count^2 / n. Three quarters of that on top of what
        # was found keep the promise of 19 in 20 for accuracies on a few examples, and for members that diverge at
        # random; with all of it 8 of 8 members that diverge would be no news among a whole tutorial's 800 figures.
        variance = float(differences.var(ddof=1)) + 0.75 * count**2 / n
        half_width = float(stdtrit(n - 1, 1 - (1 - _LEVEL) / (2 * judged))) * math.sqrt(variance / n)
        low, high = max(-1.0, change - half_width), min(1.0, change + half_width)
    moved = low > 0 or high < 0
    return Change(*key, n, before.mean, after.mean, after.low, after.high, change, low, high, moved)


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
    kinds = {"str": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}
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
