"""Files in one artifact folder: written whole or not at all, named by a reference with a digest.

Between tasks travel references, never the bytes.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import platform
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

_NUMBER_MAKERS = ("torch", "numpy", "pillow")
"""Libraries whose version may change a number."""
_VALUES_IN_A_PIECE = 1 << 22
_CORE_IMPORT = re.compile(r"^\s*from (mlp_core\.\w+) import", re.MULTILINE)


@dataclass(frozen=True)
class Artifact:
    """A file below the artifact folder and what it must be.

    Attributes:
        path: Relative to the artifact folder, with forward slashes.
        sha256: Digest of the bytes.
        size_bytes: Length.
        rows: Rows of a table, 0 for other files.
    """

    path: str
    sha256: str
    size_bytes: int
    rows: int = 0

    @classmethod
    def of(cls, root: Path, path: Path, rows: int = 0) -> Artifact:
        """Return the reference of a file that exists."""
        size_bytes = path.stat().st_size
        return cls(path.relative_to(root).as_posix(), file_digest(path), size_bytes, rows)

    def locate(self, root: Path) -> Path:
        """Return the file's path.

        Raises:
            FileNotFoundError: If the file is gone.
            ValueError: If its bytes are not those that were written.
        """
        path = root / self.path
        if path.stat().st_size != self.size_bytes or file_digest(path) != self.sha256:
            message = f"{self.path} was changed after it was written; delete it and run the same command again."
            raise ValueError(message)
        return path


@dataclass(frozen=True)
class Provenance:
    """What a table carries about where it comes from.

    Attributes:
        settings: The settings that decided its content.
        code: Digest of the code that computed it.
        inputs: Digest of each file it was computed from, by name.
        units: Unit or range of each column.
    """

    settings: Mapping[str, Any]
    code: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)

    def metadata(self) -> dict[str, str]:
        """Return the key-value metadata of a Parquet file; structured values as JSON."""
        return {
            "settings": _json(self.settings),
            "code": self.code,
            "inputs": _json(self.inputs),
            "units": _json(self.units),
            "versions": _json({"python": platform.python_version(), "deep-mlp": version("deep-mlp"), **versions()}),
            "machine": machine(),
        }


@cache
def versions() -> dict[str, str]:
    """Return the versions of the libraries that may change a number."""
    return {name: version(name) for name in _NUMBER_MAKERS}


@cache
def machine() -> str:
    """Return the processor's name and the number of its cores that this process may use."""
    name = platform.machine()
    cpu_info = Path("/proc/cpuinfo")
    if cpu_info.exists():
        names = [line.split(":", 1)[1] for line in cpu_info.read_text().splitlines() if line.startswith("model name")]
        name = " ".join(names[0].split()) if names else name
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {cores} cores"


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file; remembered until its size or time of change differs."""
    status = path.stat()
    return _file_digest(path, status.st_size, status.st_mtime_ns, status.st_ino)


@lru_cache(maxsize=100_000)
def _file_digest(path: Path, _size_bytes: int, _changed_ns: int, _inode: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def code_digest(*modules: str) -> str:
    """Return a digest of modules and of every `mlp_core` module that they import, directly or not.

    A cached number is stale when any line of the code behind it has changed. The imports are read from the source,
    so that nobody has to keep a list and nothing heavy is imported.

    Args:
        modules: Dotted names, such as `mlp_core.training`.

    Example:
        >>> code_digest("mlp_core.training") == code_digest("mlp_core.features")
        False
    """
    sources: dict[str, bytes] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name in sources:
            continue
        specification = importlib.util.find_spec(name)
        if specification is None or specification.origin is None:
            message = f"no source for {name}"
            raise ModuleNotFoundError(message)
        sources[name] = Path(specification.origin).read_bytes()
        waiting += _CORE_IMPORT.findall(sources[name].decode())
    digest = hashlib.sha256()
    for name in sorted(sources):
        digest.update(f"{name}\0{len(sources[name])}\0".encode() + sources[name])
    return digest.hexdigest()


def settings_digest(settings: Mapping[str, Any], *more: str) -> str:
    """Return a digest of JSON-like settings, whatever the order of their keys, and of more texts."""
    return hashlib.sha256("\0".join([_json(settings), *more]).encode()).hexdigest()


def write_file(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a temporary file beside `path`, then move it there in one step.

    Whoever reads `path` sees the old file or the new one, never half of one; a failure leaves no file behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{secrets.token_hex(8)}.partial"
    temporary.touch(exist_ok=False)
    mode = temporary.stat().st_mode  # as the umask has it
    try:
        write(temporary)
        temporary.chmod(mode)  # safetensors makes files that only their owner may read
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_table(root: Path, name: str, table: pa.Table, provenance: Provenance) -> Artifact:
    """Write a table as Parquet with its provenance in the file's metadata.

    Args:
        root: The artifact folder.
        name: Path below it, ending in `.parquet`.
        table: The table; equal tables give equal bytes.
        provenance: Settings, code, inputs and units; every column needs a unit.

    Raises:
        ValueError: If a column has no unit.
    """
    if missing := set(table.column_names) - set(provenance.units):
        message = f"every column needs a unit, missing {sorted(missing)}"
        raise ValueError(message)
    path = root / name
    described = table.replace_schema_metadata(provenance.metadata())
    # Parquet's own numbers for nested values take four times the memory of a table of photographs, in one piece
    values_per_row = sum(getattr(column.type, "list_size", 1) for column in table.schema)
    n_rows = max(1, _VALUES_IN_A_PIECE // values_per_row)
    write_file(
        path,
        lambda file: pq.write_table(
            described, file, row_group_size=n_rows, compression="zstd", write_page_checksum=True
        ),
    )
    return Artifact.of(root, path, table.num_rows)


def read_table(root: Path, artifact: Artifact, columns: list[str] | None = None) -> pa.Table:
    """Read a table after checking that the file is the one that was written.

    Raises:
        FileNotFoundError: If it is gone.
        ValueError: If its bytes changed.
    """
    return pq.read_table(artifact.locate(root), columns=columns, page_checksum_verification=True)


def read_pieces(root: Path, artifact: Artifact) -> Iterator[pa.RecordBatch]:
    """Read a table piece by piece, as it was written, in the memory of one piece; raises what `read_table` does."""
    with pq.ParquetFile(artifact.locate(root), page_checksum_verification=True) as file:
        for piece in range(file.num_row_groups):
            yield from file.read_row_group(piece).to_batches()


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=str, separators=(",", ":"))
