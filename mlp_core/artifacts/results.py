"""The results of an artifact folder as a baseline sees them: what is measured of each member, and how it was made."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from mlp_core.errors import InputError

if TYPE_CHECKING:
    from upath import UPath

EVENTS = ("diverged", "never_learned")
"""What happens to a member as a whole; one that diverged neither learned nor never learned."""
MEASURES = ("train_accuracy", "test_accuracy", *EVENTS)
"""What is compared; a member that diverged has no accuracy."""
CORRUPT_FILE_ERRORS = (
    pa.ArrowException,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What a table raises that is whole, but another one, or whose metadata were damaged: they have no checksum."""


@dataclass(frozen=True)
class Origin:
    """How a table of results was made, from the metadata of its file.

    Attributes:
        settings: Settings of the experiment.
        code: Digest of the code that computed it.
        versions: Versions of the libraries.
        machine: Processor and number of cores.
        common: Columns in which all configurations are equal, as `name=value`; their names hold only what differs.
    """

    settings: Mapping[str, Any]
    code: str
    versions: Mapping[str, str]
    machine: str
    common: str = ""

    def __post_init__(self) -> None:
        """Check the types, as a damaged file may hold others; raises a `TypeError`."""
        mappings, texts = (self.settings, self.versions), (self.code, self.machine, self.common)
        if not all(isinstance(mapping, dict) for mapping in mappings) or not all(
            isinstance(text, str) for text in texts
        ):
            message = f"settings and versions must be mappings, the rest texts, got {self!r}"
            raise TypeError(message)


@dataclass(frozen=True)
class Results:
    """Accuracies and failures of all members of all experiments in an artifact folder.

    Attributes:
        origins: By experiment, how its table was made.
        members: By experiment and configuration, then by the member's number, the values of `MEASURES`; NaN for none.
        accepted: Time when they were accepted as the baseline; empty if they are no baseline.
    """

    origins: dict[str, Origin]
    members: dict[tuple[str, str], dict[int, tuple[float, ...]]]
    accepted: str = ""


def read_results(root: Path | UPath, experiments: Sequence[str] | None = None) -> Results:
    """Read accuracies and failures of all members from the tables in the folder `results` of an artifact folder.

    Args:
        root: The artifact folder.
        experiments: Names of the tables to read; all if left out. Tables without accuracies of members are skipped.

    Raises:
        InputError: If a table is damaged.
    """
    origins: dict[str, Origin] = {}
    members: dict[tuple[str, str], dict[int, tuple[float, ...]]] = {}
    paths: list[Path | UPath] = [*(root / "results").glob("*.parquet")]
    for path in sorted(paths, key=lambda path: path.name):
        if experiments is not None and path.stem not in experiments:
            continue
        table = read_whole(path)
        try:
            if not {"member", "status", "train_accuracy", "test_accuracy", "epochs"} <= set(table.column_names):
                continue
            common, by_configuration = _by_configuration(table)
        except CORRUPT_FILE_ERRORS as error:
            raise damaged(path, "columns of another kind") from error
        origins[path.stem] = replace(origin_of(path, table), common=common)
        members |= {(path.stem, name): by_seed for name, by_seed in by_configuration.items()}
    return Results(origins, members)


def read_whole(path: Path | UPath) -> pa.Table:
    """Read a Parquet file and verify its checksums.

    Raises:
        InputError: If the file is damaged.
    """
    content = path.read_bytes()
    try:
        return pq.read_table(pa.BufferReader(content), page_checksum_verification=True)
    except (OSError, *CORRUPT_FILE_ERRORS) as error:
        raise damaged(path, "damaged bytes") from error


def origin_of(path: Path | UPath, table: pa.Table) -> Origin:
    """Read from a table's metadata how it was made: settings, code, versions and machine.

    Args:
        path: Path of the table, for messages.
        table: The table; an entry that is missing is empty, or `not recorded`.

    Raises:
        InputError: If the metadata are damaged.
    """
    metadata = {key.decode(errors="replace"): value for key, value in (table.schema.metadata or {}).items()}
    try:
        settings, versions = (json.loads(metadata.get(name, b"{}")) for name in ("settings", "versions"))
        code, machine = (metadata.get(name, b"not recorded").decode() for name in ("code", "machine"))
        return Origin(settings, code, versions, machine)
    except CORRUPT_FILE_ERRORS as error:
        raise damaged(path, "other metadata") from error


def damaged(path: Path | UPath, instead: str) -> InputError:
    """Return, without raising it, the error for a Parquet file that is not as it was written.

    Args:
        path: Path of the file.
        instead: What is wrong with it, in words.

    Example:
        >>> print(damaged(Path("results/images.parquet"), "damaged bytes"))
        results/images.parquet must be a Parquet file as it was written, got damaged bytes; delete it and make it again.
    """
    message = f"{path} must be a Parquet file as it was written, got {instead}; delete it and make it again."
    return InputError(message)


def _by_configuration(table: pa.Table) -> tuple[str, dict[str, dict[int, tuple[float, ...]]]]:
    """Return what all configurations have in common, and the members of each.

    A configuration is named by those of the columns before `member`, and of epochs, that vary.
    """
    names = [*table.column_names[: table.column_names.index("member")], "epochs"]
    keys = {name: table[name].to_pylist() for name in names}
    varying = [name for name in names if len(table[name].unique()) > 1]
    common = _named({name: values[0] for name, values in keys.items() if values and name not in varying})
    by_configuration: dict[str, dict[int, tuple[float, ...]]] = {}
    measured = [table[name].to_pylist() for name in ("member", "status", "train_accuracy", "test_accuracy")]
    learned = table["learned"].to_pylist() if "learned" in table.column_names else [None] * len(table)
    for row, (member, status, *accuracies) in enumerate(zip(*measured, strict=True)):
        reached = [math.nan if accuracy is None else float(accuracy) for accuracy in accuracies]
        members = by_configuration.setdefault(_named({name: keys[name][row] for name in varying}), {})
        diverged = {"ok": 0.0, "diverged": 1.0}[status]
        never_learned = math.nan if diverged or learned[row] is None else float(not learned[row])
        members[int(member)] = (*reached, diverged, never_learned)
    return common, by_configuration


def _named(values: Mapping[str, Any]) -> str:
    texts = {name: f"{value:.6g}" if isinstance(value, float) else str(value) for name, value in values.items()}
    return " ".join(f"{name}={text}" for name, text in texts.items() if values[name] is not None)
