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
        if not all(isinstance(mapping, dict) for mapping in mappings) or not all(
            isinstance(text, str) for text in texts
        ):
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


def read_results(root: Path | UPath, experiments: Sequence[str] | None = None) -> Results:
    """Read the members of the experiments whose results are in an artifact folder.

    Args:
        root: The artifact folder.
        experiments: Names of tables; all if left out. Tables without accuracies of members are passed over.

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
    """Read a table whose bytes are whole.

    Raises:
        InputError: If they are not.
    """
    content = path.read_bytes()
    try:
        return pq.read_table(pa.BufferReader(content), page_checksum_verification=True)
    except (OSError, *CORRUPT_FILE_ERRORS) as error:
        raise damaged(path, "damaged bytes") from error


def origin_of(path: Path | UPath, table: pa.Table) -> Origin:
    """Return what a table was made with, by its metadata.

    Raises:
        InputError: If they are damaged.
    """
    metadata = {key.decode(errors="replace"): value for key, value in (table.schema.metadata or {}).items()}
    try:
        settings, versions = (json.loads(metadata.get(name, b"{}")) for name in ("settings", "versions"))
        code, machine = (metadata.get(name, b"not recorded").decode() for name in ("code", "machine"))
        return Origin(settings, code, versions, machine)
    except CORRUPT_FILE_ERRORS as error:
        raise damaged(path, "other metadata") from error


def damaged(path: Path | UPath, instead: str) -> InputError:
    """Return the error of a file that is not as it was written.

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
