"""The accepted results of an artifact folder, and which figures have moved away from them: drift.

Equal seeds are equal draws, so a configuration is compared member by member: the mean change of its members, with
Student's t interval of that mean. Two intervals side by side would see only what is larger than the spread of the
members; a difference within pairs sees what a new library did to the very same networks. As many figures are looked at,
the intervals are Bonferroni's: all of them together hold their true change in 19 of 20 comparisons, so a night on which
nothing happened names a figure once in twenty nights at the most.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
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
from mlp_core.metrics import mean_interval
from mlp_core.storage import Artifact, Provenance, code_digest, write_table

BASELINE = "baseline/accepted.parquet"
RUNS = "baseline/runs"
MEASURES = ("train_accuracy", "test_accuracy", "diverged")
"""What is compared; a member that diverged has no accuracy and counts 1 in the last, others 0."""
_LEVEL = 0.95
_SHOWN = 5
_BESIDE = ("seeds",)
"""Settings that may differ: members that both sides have are compared."""
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
    """What a table of results was made with."""

    settings: Mapping[str, Any]
    code: str
    versions: Mapping[str, str]
    machine: str


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
        left_out: Why an experiment was not compared, by its name.
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
    """
    origins: dict[str, Origin] = {}
    members: dict[tuple[str, str], dict[int, tuple[float, ...]]] = {}
    for path in sorted((root / "results").glob("*.parquet")):
        if experiments is not None and path.stem not in experiments:
            continue
        table = _read(path)
        if not {"member", "status", "train_accuracy", "test_accuracy", "epochs"} <= set(table.column_names):
            continue
        origins[path.stem] = _origin(table.schema.metadata or {})
        members |= {(path.stem, name): found for name, found in _by_configuration(table).items()}
    return Results(origins, members)


def _read(path: Path) -> pa.Table:
    try:
        return pq.read_table(pa.BufferReader(path.read_bytes()), page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        message = f"{path} must be a Parquet file, got {error}; delete it and make it again."
        raise InputError(message) from error


def _origin(metadata: Mapping[bytes, bytes]) -> Origin:
    return Origin(
        json.loads(metadata.get(b"settings", b"{}")),
        metadata.get(b"code", b"not recorded").decode(),
        json.loads(metadata.get(b"versions", b"{}")),
        metadata.get(b"machine", b"not recorded").decode(),
    )


def _by_configuration(table: pa.Table) -> dict[str, dict[int, tuple[float, ...]]]:
    """Return the members of each configuration; it is named by the columns before `member` that vary, and epochs."""
    names = [*table.column_names[: table.column_names.index("member")], "epochs"]
    keys = {name: table[name].to_pylist() for name in names if len(table[name].unique()) > 1}
    found: dict[str, dict[int, tuple[float, ...]]] = {}
    measured = (table[name].to_pylist() for name in ("member", "status", "train_accuracy", "test_accuracy"))
    for row, (member, status, *accuracies) in enumerate(zip(*measured, strict=True)):
        name = " ".join(f"{key}={_text(values[row])}" for key, values in keys.items() if values[row] is not None)
        reached = [math.nan if one is None else one for one in accuracies]
        found.setdefault(name, {})[member] = (*reached, float(status == "diverged"))
    return found


def _text(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def accept(root: Path, now: datetime) -> Artifact:
    """Keep the results of an artifact folder as its baseline.

    Raises:
        InputError: If there are none.
    """
    results = read_results(root)
    if not results.members:
        message = f"a baseline needs results, got none in {root / 'results'}; run `deep-mlp tutorial` there first."
        raise InputError(message)
    rows = [
        {"experiment": experiment, "configuration": configuration, "member": member}
        | dict(zip(MEASURES, values, strict=True))
        for (experiment, configuration), members in results.members.items()
        for member, values in members.items()
    ]
    table = pa.Table.from_pylist(rows)
    tables = {
        name: {field.name: getattr(origin, field.name) for field in fields(Origin)}
        for name, origin in results.origins.items()
    }
    settings = {"accepted": now.astimezone(UTC).isoformat(timespec="seconds"), "tables": tables}
    return write_table(root, BASELINE, table, _provenance(settings, table))


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
    settings = _origin(table.schema.metadata or {}).settings
    members: dict[tuple[str, str], dict[int, tuple[float, ...]]] = {}
    for row in table.to_pylist():
        values = tuple(row[name] for name in MEASURES)
        members.setdefault((row["experiment"], row["configuration"]), {})[row["member"]] = values
    origins = {name: Origin(**found) for name, found in settings["tables"].items()}
    return Results(origins, members, settings["accepted"])


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
    """Return when the baseline was accepted, with what it was made, and the mean test accuracies."""
    lines = [f"accepted {baseline.accepted}"]
    for experiment, origin in baseline.origins.items():
        versions = ", ".join(f"{name} {version}" for name, version in origin.versions.items())
        lines += ["", f"{experiment}: {versions}; {origin.machine}"]
        for (name, configuration), members in baseline.members.items():
            if name == experiment:
                found = mean_interval(np.array([accuracy for _, accuracy, _ in members.values()])).within(0.0, 1.0)
                lines.append(f"  {configuration or 'all members'}: test accuracy {words(found)}")
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
    """Compare results with the baseline, experiment by experiment with the same settings, member by member.

    Example:
        >>> origin = Origin({"epochs": 100}, "", {"torch": "2.13"}, "")
        >>> before = Results({"images": origin}, {("images", ""): {0: (1.0, 0.90, 0.0), 1: (1.0, 0.80, 0.0)}})
        >>> origin = Origin({"epochs": 100}, "", {"torch": "2.14"}, "")
        >>> after = Results({"images": origin}, {("images", ""): {0: (1.0, 0.80, 0.0), 1: (1.0, 0.70, 0.0)}})
        >>> found = compare(before, after)
        >>> [(one.measure, round(one.change, 3)) for one in found.moved], found.made_otherwise
        ([('test_accuracy', -0.1)], ['torch 2.13 → 2.14'])
    """
    left_out = {}
    for name, origin in results.origins.items():
        if name not in baseline.origins:
            left_out[name] = "not in the baseline"
        elif differing := _differing(baseline.origins[name].settings, origin.settings, _BESIDE):
            left_out[name] = f"other settings: {', '.join(differing)}"
    compared = [name for name in results.origins if name not in left_out]
    pairs = {}
    for key, members in results.members.items():
        common = sorted(members.keys() & baseline.members.get(key, {}).keys())
        for index, measure in enumerate(MEASURES if key[0] in compared else ()):
            both = np.array([(baseline.members[key][member][index], members[member][index]) for member in common])
            pairs[*key, measure] = both[np.isfinite(both).all(axis=1)] if common else np.empty((0, 2))
    pairs = {key: both for key, both in pairs.items() if len(both)}
    judged = sum(len(both) > 1 for both in pairs.values())
    changes = [_change(key, both, judged) for key, both in pairs.items()]
    origins = [(baseline.origins[name], results.origins[name], name) for name in compared]
    versions = dict(item for _, after, _ in origins for item in after.versions.items())
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    return Comparison(changes, _made_otherwise(origins), left_out, listed)


def _change(key: tuple[str, str, str], both: NDArray[np.float64], judged: int) -> Change:
    before, after = mean_interval(both[:, 0]), mean_interval(both[:, 1]).within(0.0, 1.0)
    differences = both[:, 1] - both[:, 0]
    change, n = float(differences.mean()), len(differences)
    low = high = math.nan
    if n > 1:
        factor = float(stdtrit(n - 1, 1 - (1 - _LEVEL) / (2 * judged)))
        half_width = factor * float(differences.std(ddof=1)) / math.sqrt(n)
        low, high = change - half_width, change + half_width
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
    schema = {"run": pa.timestamp("ms", "UTC"), "versions": pa.string(), "made_otherwise": pa.string()}
    kinds = {"str": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}
    schema |= {field.name: kinds[str(field.type)] for field in fields(Change)}
    table = pa.Table.from_pylist(rows, pa.schema(schema))
    settings = {"left_out": comparison.left_out}
    return write_table(root, f"{RUNS}/{run:%Y-%m-%dT%H%M%S.%fZ}.parquet", table, _provenance(settings, table))


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
    """Return the rows of the last comparisons of an artifact folder, in the order of time, if there are any."""
    paths = sorted((root / RUNS).glob("*.parquet"))[-last:]
    return pa.concat_tables([_read(path) for path in paths]) if paths else None
