"""Files in one artifact folder: written whole or not at all, named by a reference with a digest.

Between tasks travel references, never the bytes. The folder is a path, or an address on S3; what lies there is read
through copies on this machine that are named by their digest, so that none can be out of date.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import platform
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from mlp_core.artifacts.locks import lock
from mlp_core.machine import cores

if TYPE_CHECKING:
    from upath import UPath

RESULT_LIBRARIES = ("torch", "numpy", "pillow")
"""Libraries whose version may change what is trained."""
_RECORDED_LIBRARIES = ("torchvision", "scipy", "pandas", "pyarrow", "matplotlib")
PARTIAL = f".{'[0-9a-f]' * 16}.partial"
"""Pattern of the names of files that are being written."""
_VALUES_IN_A_PIECE = 1 << 22
_SECONDS_BETWEEN_TRIES = 0.1
_CORE_IMPORT = re.compile(r"^\s*from ((?:mlp_core|tasks)(?:\.\w+)+) import", re.MULTILINE)
_FOR_TYPES = re.compile(r"^if TYPE_CHECKING:\n(?:[ \t]+.*\n|\n)+", re.MULTILINE)  # imports that change no number


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
    def of(cls, root: Path | UPath, path: Path | UPath, rows: int = 0) -> Artifact:
        """Return the reference of a file that exists.

        Raises:
            FileNotFoundError: If it does not.
        """
        sha256, size_bytes = _described(path)
        name = str(path.relative_to(root))  # type: ignore[arg-type] # both are here, or both on S3
        return cls(name, sha256, size_bytes, rows)

    def check(self, root: Path | UPath) -> None:
        """Look whether the file is there and the one that was written; on S3 without reading it.

        Raises:
            FileNotFoundError: If the file is gone.
            ValueError: If its bytes are not those that were written.
        """
        if _described(root / self.path) != (self.sha256, self.size_bytes):
            raise ValueError(self._changed())

    def locate(self, root: Path | UPath) -> Path:
        """Return the path of the file, or of its copy on this machine.

        Raises:
            FileNotFoundError: If the file is gone.
            ValueError: If its bytes are not those that were written.
        """
        path = root / self.path
        if isinstance(path, Path):
            self.check(root)
            return path
        copy = _copy_path(self.sha256, path.suffix)
        if not copy.exists() or file_digest(copy) != self.sha256:
            write_file(copy, lambda file: path.fs.get_file(path.path, str(file)))
            if file_digest(copy) != self.sha256:
                copy.unlink()
                raise ValueError(self._changed())
        return copy

    def _changed(self) -> str:
        return f"{self.path} was changed after it was written; delete it and run the same command again."


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
            "versions": _json(_all_versions()),
            "machine": machine(),
        }


@cache
def versions() -> dict[str, str]:
    """Return the versions of the libraries that may change a number."""
    return {name: version(name) for name in RESULT_LIBRARIES}


@cache
def _all_versions() -> dict[str, str]:
    """Return those and the versions of what a number should not depend on: where one moved, they are named too."""
    beside = {name: version(name) for name in _RECORDED_LIBRARIES}
    return {"python": platform.python_version(), "deep-mlp": version("deep-mlp"), **versions(), **beside}


@cache
def machine() -> str:
    """Return the processor's name and the number of its cores that this process may use."""
    name = platform.machine()
    cpu_info = Path("/proc/cpuinfo")
    if cpu_info.exists():
        names = [line.split(":", 1)[1] for line in cpu_info.read_text().splitlines() if line.startswith("model name")]
        name = " ".join(names[0].split()) if names else name
    return f"{name}, {cores()} cores"


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file; remembered until its size or time of change differs."""
    status = path.stat()
    return _file_digest(path, status.st_size, status.st_mtime_ns, status.st_ino)


@lru_cache(maxsize=100_000)
def _file_digest(path: Path, _size_bytes: int, _changed_ns: int, _inode: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _described(path: Path | UPath) -> tuple[str, int]:
    """Return a file's SHA-256 and length; on S3 those that `write_file` left with it, as a put is all or nothing."""
    if isinstance(path, Path):
        return file_digest(path), path.stat().st_size
    described = path.fs.metadata(path.path)
    if "sha256" not in described:  # it came by another way, such as the copy of a folder
        content = path.read_bytes()
        return hashlib.sha256(content).hexdigest(), len(content)
    return described["sha256"], int(described["size-bytes"])


def _copies() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "deep-mlp"


def _copy_path(sha256: str, suffix: str) -> Path:
    return _copies() / sha256[:2] / f"{sha256}{suffix}"


@cache
def code_digest(*modules: str) -> str:
    """Return a digest of modules and of every module of core and tasks that they import, directly or not.

    A cached number is stale when any line of the code behind it has changed. The imports are read from the source,
    so that nobody has to keep a list and nothing heavy is imported.

    Args:
        modules: Dotted names, such as `mlp_core.engine.training`.

    Example:
        >>> code_digest("mlp_core.engine.training") == code_digest("mlp_core.data.polynomial_features")
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
        waiting += _CORE_IMPORT.findall(_FOR_TYPES.sub("", sources[name].decode()))
    digest = hashlib.sha256()
    for name in sorted(sources):
        digest.update(f"{name}\0{len(sources[name])}\0".encode() + sources[name])
    return digest.hexdigest()


def settings_digest(settings: Mapping[str, Any], *more: str) -> str:
    """Return a digest of JSON-like settings, whatever the order of their keys, and of more texts."""
    return hashlib.sha256("\0".join([_json(settings), *more]).encode()).hexdigest()


def write_file(path: Path | UPath, write: Callable[[Path], object]) -> None:
    """Let `write` make a temporary file, then put it at `path` in one step.

    Whoever reads `path` sees the old file or the new one, never half of one; a failure leaves no file behind. What goes
    to S3 stays on this machine as a copy.
    """
    folder = path.parent if isinstance(path, Path) else _copies()
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{secrets.token_hex(8)}.partial"  # as PARTIAL says
    temporary.touch(exist_ok=False)
    mode = temporary.stat().st_mode  # as the umask has it
    try:
        write(temporary)
        temporary.chmod(mode)  # safetensors makes files that only their owner may read
        if not isinstance(path, Path):
            path = _uploaded(temporary, path)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _uploaded(file: Path, path: UPath) -> Path:
    """Put a file on S3, its digest and length beside it, and return where its copy on this machine belongs."""
    sha256 = file_digest(file)
    described = {"sha256": sha256, "size-bytes": str(file.stat().st_size)}
    path.fs.put_file(str(file), path.path, Metadata=described)
    copy = _copy_path(sha256, path.suffix)
    copy.parent.mkdir(parents=True, exist_ok=True)
    return copy


@contextmanager
def locked(folders: Iterable[Path | UPath], waiting: Callable[[], None]) -> Iterator[None]:
    """Hold folders, made if they are missing, against all who do the same, in this process and in others.

    The locks are the kernel's: a killed process cannot leave one behind. S3 has none, and nothing is held there.

    Args:
        folders: Held in the order of their names, so that two who want the same ones cannot wait for each other. Those
            that are empty at the end are removed.
        waiting: Called again and again while others hold them; may raise.
    """
    with ExitStack() as held:
        for folder in sorted({folder for folder in folders if isinstance(folder, Path)}):
            held.enter_context(_locked(folder, waiting))
        yield


@contextmanager
def _locked(folder: Path, waiting: Callable[[], None]) -> Iterator[None]:
    handle = _lock(folder, waiting)
    try:
        yield
    finally:
        with suppress(OSError):
            folder.rmdir()
        os.close(handle)


def _lock(folder: Path, waiting: Callable[[], None]) -> int:
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:
            continue
        except FileExistsError:  # it was there, and its last holder removed it while mkdir looked what it is
            if folder.is_file():
                raise
            continue
        try:
            while not lock(handle, folder, wait=False):
                waiting()
                time.sleep(_SECONDS_BETWEEN_TRIES)
            if _is_still(handle, folder):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # whoever held it before found nothing to keep, and removed it


def _is_still(handle: int, folder: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), folder.stat())
    except FileNotFoundError:
        return False


def write_table(root: Path | UPath, name: str, table: pa.Table, provenance: Provenance) -> Artifact:
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
    """Read a table after checking that the file is the one that was written.

    Raises:
        FileNotFoundError: If it is gone.
        ValueError: If its bytes changed.
    """
    return pq.read_table(artifact.locate(root), page_checksum_verification=True)


def read_pieces(root: Path | UPath, artifact: Artifact) -> Iterator[pa.RecordBatch]:
    """Read a table piece by piece, as it was written, in the memory of one piece; raises what `read_table` does."""
    with pq.ParquetFile(artifact.locate(root), page_checksum_verification=True) as file:
        for piece in range(file.num_row_groups):
            yield from file.read_row_group(piece).to_batches()


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=str, separators=(",", ":"))
