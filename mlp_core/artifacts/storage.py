"""Files in one artifact folder: written whole or not at all, named by a reference with a digest.

Between tasks travel references, never the bytes. The folder is a path, or an address on S3: see `backends`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import platform
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from mlp_core.artifacts.backends import backend_of
from mlp_core.machine import cores

if TYPE_CHECKING:
    from upath import UPath

RESULT_LIBRARIES = ("torch", "numpy", "pillow")
"""Libraries whose version may change what is trained."""
_RECORDED_LIBRARIES = ("torchvision", "scipy", "pandas", "pyarrow", "matplotlib")
_VALUES_IN_A_PIECE = 1 << 22
_CORE_IMPORT = re.compile(r"^\s*from ((?:mlp_core|tasks)(?:\.\w+)+) import", re.MULTILINE)
_FOR_TYPES = re.compile(r"^if TYPE_CHECKING:\n(?:[ \t]+.*\n|\n)+", re.MULTILINE)  # imports that change no number


@dataclass(frozen=True)
class Artifact:
    """A reference to a file in the artifact folder, with the digest and length that it must have.

    Attributes:
        path: Path relative to the artifact folder, with forward slashes.
        sha256: Digest of the bytes, as hex digits.
        size_bytes: Length in bytes.
        rows: Number of rows of a table, 0 for other files.
    """

    path: str
    sha256: str
    size_bytes: int
    rows: int = 0

    @classmethod
    def of(cls, root: Path | UPath, path: Path | UPath, rows: int = 0) -> Artifact:
        """Return a reference to a file that exists, with its digest and length as they are now.

        Args:
            root: The artifact folder.
            path: Path of the file, below it.
            rows: Number of rows if it is a table.

        Raises:
            FileNotFoundError: If there is no such file.
        """
        sha256, size_bytes = backend_of(path).describe()
        name = str(path.relative_to(root))  # type: ignore[arg-type] # both are here, or both on S3
        return cls(name, sha256, size_bytes, rows)

    def check(self, root: Path | UPath) -> None:
        """Check that the file exists and has the digest and length of this reference; on S3 without a download.

        Raises:
            FileNotFoundError: If the file does not exist any more.
            ValueError: If its bytes are not those that were written.
        """
        if backend_of(root / self.path).describe() != (self.sha256, self.size_bytes):
            raise ValueError(self._changed())

    def locate(self, root: Path | UPath) -> Path:
        """Return a path on this machine to read the file from, after a check of its digest; S3 files are downloaded.

        Raises:
            FileNotFoundError: If the file does not exist any more.
            ValueError: If its bytes are not those that were written.
        """
        copy = backend_of(root / self.path).local_copy(self.sha256)
        if copy is None:
            raise ValueError(self._changed())
        return copy

    def _changed(self) -> str:
        return f"{self.path} was changed after it was written; delete it and run the same command again."


@dataclass(frozen=True)
class Provenance:
    """What a table was made from; it is stored in the metadata of the table's file.

    Attributes:
        settings: The settings that decided its content.
        code: Digest of the code that computed it.
        inputs: Digest of each file that it was computed from, by name.
        units: Unit or range of each column, by name.
    """

    settings: Mapping[str, Any]
    code: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)

    def metadata(self) -> dict[str, str]:
        """Return the provenance as metadata of a Parquet file, with library versions and machine; mappings as JSON."""
        return {
            "settings": _json(self.settings),
            "code": self.code,
            "inputs": _json(self.inputs),
            "units": _json(self.units),
            "versions": _json(_all_versions()),
            "machine": machine(),
        }


@cache
def versions() -> dict[str, str]:
    """Return the installed versions of the libraries that may change results: torch, numpy and pillow."""
    return {name: version(name) for name in RESULT_LIBRARIES}


@cache
def _all_versions() -> dict[str, str]:
    """Return those and the versions of what a number should not depend on: where one moved, they are named too."""
    recorded = {name: version(name) for name in _RECORDED_LIBRARIES}
    return {"python": platform.python_version(), "deep-mlp": version("deep-mlp"), **versions(), **recorded}


@cache
def machine() -> str:
    """Return the processor's name and the number of cores that this process may use, such as `Xeon, 2 cores`."""
    name = platform.machine()
    cpu_info = Path("/proc/cpuinfo")
    if cpu_info.exists():
        names = [line.split(":", 1)[1] for line in cpu_info.read_text().splitlines() if line.startswith("model name")]
        name = " ".join(names[0].split()) if names else name
    return f"{name}, {cores()} cores"


def code_modules(*modules: str) -> dict[str, bytes]:
    """Return the source code of modules and of all modules of `mlp_core` and `tasks` that they import, also indirectly.

    The imports are read from the source, without importing anything; those for type checking only do not count.

    Args:
        modules: Dotted names, such as `mlp_core.engine.training`.

    Returns:
        The bytes of each source file by the module's dotted name.

    Raises:
        ModuleNotFoundError: If a module has no source file.

    Example:
        >>> "mlp_core.engine.networks" in code_modules("mlp_core.engine.training")
        True
    """
    sources: dict[str, bytes] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in sources:
            sources[name], imported = _read_source(name)
            waiting += imported
    return sources


@cache  # each task asks for another choice of the same modules
def _read_source(name: str) -> tuple[bytes, list[str]]:
    """Return the source of a module, and the modules that `code_modules` finds in it."""
    specification = importlib.util.find_spec(name)
    if specification is None or specification.origin is None:
        message = f"no source for {name}"
        raise ModuleNotFoundError(message)
    source = Path(specification.origin).read_bytes()
    return source, _CORE_IMPORT.findall(_FOR_TYPES.sub("", source.decode()))


@cache
def code_digest(*modules: str) -> str:
    """Return a SHA-256 of the source code of modules and of all project modules that they import, also indirectly.

    It is part of cache keys: a cached result is recomputed when any line of this code has changed.

    Args:
        modules: Dotted names, as in `code_modules`.

    Example:
        >>> code_digest("mlp_core.engine.training") == code_digest("mlp_core.data.polynomial_features")
        False
    """
    digest = hashlib.sha256()
    for name, source in sorted(code_modules(*modules).items()):
        digest.update(f"{name}\0{len(source)}\0".encode() + source)
    return digest.hexdigest()


def settings_digest(settings: Mapping[str, Any], *more: str) -> str:
    """Return the SHA-256, as hex digits, of settings and more texts; the order of the settings' keys does not matter.

    Args:
        settings: Values that JSON can hold; others are taken as their `str`.
        *more: Further texts; their order matters.
    """
    return hashlib.sha256("\0".join([_json(settings), *more]).encode()).hexdigest()


def write_file(path: Path | UPath, write: Callable[[Path], object]) -> None:
    """Write a file in one step: call `write` with a temporary path, then move that file to `path`.

    A reader sees the old file or the new one, never a part of one. If `write` fails, the old file stays and the
    temporary one is deleted. Missing folders are made. Of a file on S3 a copy stays on this machine.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     root = Path(folder)
        ...     write_file(root / "notes" / "a.txt", lambda file: file.write_text("whole"))
        ...     Artifact.of(root, root / "notes" / "a.txt").size_bytes
        5
    """
    backend_of(path).write(write)


@contextmanager
def locked(folders: Iterable[Path | UPath], waiting: Callable[[], None]) -> Iterator[None]:
    """Hold exclusive locks on folders, against other threads and processes that call this function.

    The kernel keeps the locks: a killed process cannot leave one behind. On S3 there are none, and nothing is locked.

    Args:
        folders: Made if they are missing, locked in the order of their names, so that two processes cannot wait for
            each other, and removed at the end if they are empty.
        waiting: Called ten times a second while others hold a lock; may raise.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as root, locked([Path(root) / "a", Path(root) / "b"], lambda: None):
        ...     sorted(path.name for path in Path(root).iterdir())
        ['a', 'b']
    """
    with ExitStack() as locks:
        for folder in sorted(set(folders), key=str):
            locks.enter_context(backend_of(folder).locked(waiting))
        yield


def write_table(root: Path | UPath, name: str, table: pa.Table, provenance: Provenance) -> Artifact:
    """Write a table as Parquet with its provenance in the file's metadata.

    Args:
        root: The artifact folder.
        name: Path below it, ending in `.parquet`.
        table: The table; equal tables give equal bytes.
        provenance: Settings, code, inputs and units; every column needs a unit.

    Raises:
        ValueError: If a column has no unit.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> table, provenance = pa.table({"depth": [1, 2]}), Provenance({}, "", {}, {"depth": "hidden layers"})
        >>> with TemporaryDirectory() as folder:
        ...     artifact = write_table(Path(folder), "results/depths.parquet", table, provenance)
        ...     artifact.path, artifact.rows, read_table(Path(folder), artifact)["depth"].to_pylist()
        ('results/depths.parquet', 2, [1, 2])
    """
    if missing := set(table.column_names) - set(provenance.units):
        message = f"every column needs a unit, missing {sorted(missing)}"
        raise ValueError(message)
    path = root / name
    described = table.replace_schema_metadata(provenance.metadata())
    # Parquet's own numbers for nested values take four times the memory of a table of images, in one piece
    values_per_row = sum(_values(column.type) for column in table.schema)
    n_rows = max(1, _VALUES_IN_A_PIECE // values_per_row)
    write_file(
        path,
        lambda file: pq.write_table(
            described, file, row_group_size=n_rows, compression="zstd", write_page_checksum=True
        ),
    )
    return Artifact.of(root, path, table.num_rows)


def _values(column_type: pa.DataType) -> int:
    if pa.types.is_fixed_size_binary(column_type):
        return int(column_type.byte_width)
    return int(getattr(column_type, "list_size", 1))


def read_table(root: Path | UPath, artifact: Artifact) -> pa.Table:
    """Read a table of the artifact folder after a check that its bytes are those that were written.

    Raises:
        FileNotFoundError: If the file does not exist any more.
        ValueError: If its bytes changed.
    """
    # Half the time of `pyarrow.parquet.read_table`, which looks for a whole data set
    with pq.ParquetFile(artifact.locate(root), page_checksum_verification=True) as file:
        return file.read()


def read_pieces(root: Path | UPath, artifact: Artifact) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a table in batches, in order, so that only one part of the file is in memory at a time.

    Raises:
        FileNotFoundError: If the file does not exist any more.
        ValueError: If its bytes changed.
    """
    with pq.ParquetFile(artifact.locate(root), page_checksum_verification=True) as file:
        for piece in range(file.num_row_groups):
            yield from file.read_row_group(piece).to_batches()


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=str, separators=(",", ":"))
