"""The accepted results of an artifact folder, and the comparisons that were kept: their files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mlp_core.artifacts.changes import Change, Comparison
from mlp_core.artifacts.results import (
    CORRUPT_FILE_ERRORS,
    MEASURES,
    Origin,
    Results,
    damaged,
    origin_of,
    read_results,
    read_whole,
)
from mlp_core.artifacts.storage import Artifact, Provenance, code_digest, write_table
from mlp_core.errors import InputError
from mlp_core.statistics.intervals import median_interval
from mlp_core.statistics.wording import format_interval

if TYPE_CHECKING:
    from upath import UPath

BASELINE = "baseline/accepted.parquet"
RUNS = "baseline/runs"
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
    "change": "after - before",
    "low": "lower end of the simultaneous 99.5 % interval of the change, null for shares and without a known spread",
    "high": "upper end of the same",
    "least": "the least change that could be shown; null if the spread is not known, inf if none could be",
    "lost": "members that finished and now diverge, or learned and now do not; 0 for accuracies",
    "gained": "members with which it is the other way round; 0 for accuracies",
    "which": "the members, or of a whole experiment the configurations, that were lost or gained",
    "status": "moved|not moved|not judged",
}


def accept(root: Path | UPath, now: datetime, experiments: Sequence[str] | None = None) -> Artifact:
    """Write the results of an artifact folder to `baseline/accepted.parquet`, in place of an earlier baseline.

    Args:
        root: The artifact folder.
        now: Time to record, with its time zone.
        experiments: Names of the experiments to accept; all if left out, those of other versions too.

    Raises:
        InputError: If there are none, if some are missing because their training failed, or if a table is damaged.
    """
    results = read_results(root, experiments)
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


def _failed(path: Path | UPath) -> set[str]:
    """Return the experiments of which some training failed."""
    if not path.exists():
        return set()
    table = read_whole(path)
    try:
        return set(table["experiment"].to_pylist())
    except CORRUPT_FILE_ERRORS as error:
        raise damaged(path, "another table") from error


def _provenance(settings: Mapping[str, Any], table: pa.Table) -> Provenance:
    return Provenance(
        settings,
        code_digest("mlp_core.artifacts.baseline", "mlp_core.artifacts.comparison"),
        {},
        {name: _UNITS[name] for name in table.column_names},
    )


def read_baseline(root: Path | UPath) -> Results | None:
    """Return the accepted results of an artifact folder, or None if none were accepted.

    Raises:
        InputError: If the file is damaged.
    """
    path = root / BASELINE
    if not path.exists():
        return None
    table = read_whole(path)
    if not len(table) or not table.schema.equals(_baseline_schema()):
        raise damaged(path, "another table")
    settings = origin_of(path, table).settings
    members: dict[tuple[str, str], dict[int, tuple[float, ...]]] = {}
    try:
        for row in table.to_pylist():
            values = tuple(float(row[name]) for name in MEASURES)
            members.setdefault((row["experiment"], row["configuration"]), {})[row["member"]] = values
        origins = {name: Origin(**fields) for name, fields in settings["tables"].items()}
        return Results(origins, members, str(settings["accepted"]))
    except CORRUPT_FILE_ERRORS as error:
        raise damaged(path, "other metadata") from error


def accepted_baseline(root: Path | UPath) -> Results:
    """Return the accepted results of an artifact folder, as `read_baseline` does, but never None.

    Raises:
        InputError: If none were accepted, or if the file is damaged.
    """
    baseline = read_baseline(root)
    if baseline is None:
        message = f"a baseline must be accepted first, got none at {root / BASELINE}; run `deep-mlp baseline accept`."
        raise InputError(message)
    return baseline


def describe_baseline(baseline: Results) -> str:
    """Return a text on the baseline for the terminal.

    It gives the time of acceptance, library versions and machine of each experiment, and the median test accuracy of
    each configuration with its interval.
    """
    lines = [f"accepted {baseline.accepted}"]
    for experiment, origin in baseline.origins.items():
        versions = ", ".join(f"{name} {version}" for name, version in origin.versions.items())
        lines += ["", f"{experiment}: {versions}; {origin.machine}"]
        for (name, configuration), members in baseline.members.items():
            if name == experiment:
                median = median_interval(np.array([accuracy for _, accuracy, *_ in members.values()]))
                lines.append(f"  {configuration or 'all members'}: median test accuracy {format_interval(median)}")
    return "\n".join(lines)


def keep_comparison(root: Path | UPath, comparison: Comparison, now: datetime) -> Artifact:
    """Write a comparison with the baseline to a new table `baseline/runs/TIME.parquet`, a row per change.

    The trend over time is drawn from these tables. Each has its own file, so that two runs at the same time do not
    overwrite each other. NaN is stored as null.

    Args:
        root: The artifact folder.
        comparison: The comparison.
        now: Time of the comparison, with its time zone.
    """
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
    """Turn the rows of a table that `keep_comparison` wrote into changes again; null becomes NaN."""
    changes = []
    for row in rows:
        values: dict[str, Any] = {
            field.name: math.nan if row[field.name] is None else row[field.name] for field in fields(Change)
        }
        changes.append(Change(**values))
    return changes


def read_comparisons(root: Path | UPath, last: int = 100) -> pa.Table | None:
    """Return one table with the rows of the last comparisons of an artifact folder, in order of time.

    Args:
        root: The artifact folder.
        last: How many comparisons at most; each has several rows.

    Returns:
        The table; None if there are no comparisons.

    Raises:
        InputError: If one of them is damaged.
    """
    tables: list[pa.Table] = []
    schema = _comparison_schema()
    paths: list[Path | UPath] = [*(root / RUNS).glob("*.parquet")]
    for path in sorted(paths, key=lambda path: path.name)[-last:]:
        table = read_whole(path)
        # Tables of earlier versions have more columns
        if not len(table) or not set(schema) <= set(table.schema):
            raise damaged(path, "another table")
        tables.append(table.select(schema.names))
    return pa.concat_tables(tables) if tables else None
