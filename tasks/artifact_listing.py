"""What lies in an artifact folder: which file is what, what it was made with, and which files no result needs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mlp_core.artifacts.backends import file_digest
from mlp_core.errors import InputError

KINDS = ("results", "baseline", "figures", "members", "models", "tables", "images", ".records")
"""Folders of an artifact folder; a file's kind is its folder's name."""
_CACHE = ("members", "models", "tables", "images")
_REFERENCE = re.compile(r'\\*"path\\*": ?\\*"([^"\\]+)\\*", ?\\*"sha256\\*": ?\\*"([0-9a-f]{64})')
"""Path and digest of a file in one of Prefect's records, where JSON stands inside JSON."""


@dataclass(frozen=True)
class StoredFile:
    """A file of an artifact folder and what it says about itself.

    Attributes:
        path: Relative to the folder, with forward slashes.
        kind: One of `KINDS`, or `report`.
        size_bytes: Size of the file.
        changed: When it was written, in seconds since 1970.
        rows: Number of rows of a table; None for other files and for a damaged table.
        metadata: Settings, inputs, versions and the like from which it was made; empty if the file has none.
    """

    path: str
    kind: str
    size_bytes: int
    changed: float
    rows: int | None
    metadata: dict[str, Any]


def stored_files(root: Path) -> list[StoredFile]:
    """Return the files of an artifact folder, sorted by kind and name; files of other programs are left out."""
    files = []
    for path in [*_files(root), *root.glob("report.html")]:
        status = path.stat()
        rows, metadata = _described(path)
        name = path.relative_to(root).as_posix()
        files.append(StoredFile(name, _kind(root, path), status.st_size, status.st_mtime, rows, metadata))
    return files


def unneeded_files(root: Path) -> list[str]:
    """Return the paths of cached files that no result needs, sorted; nothing is deleted.

    A file is needed if it is an input of a result, or of a needed file, by the digests in the tables' metadata: a
    result is made from members, members from data. A file is also needed if all its inputs are needed. A cache record
    is needed as long as every file that it names exists unchanged and is needed. Results, figures and the report are
    always needed.

    Raises:
        InputError: If there is no result or one cannot be read, as then it is unknown what is needed.
    """
    results = sorted((root / "results").glob("*.parquet"))
    if not results:
        message = f"prune goes by the results, got none in {root / 'results'}; run an experiment first."
        raise InputError(message)
    cache = [path for path in _files(root) if _kind(root, path) in _CACHE]
    digests = {path: file_digest(path) for path in cache}
    inputs = {path: set(_described(path)[1].get("inputs", {}).values()) for path in cache}
    wanted: set[str] = set()
    for path in results:
        rows, metadata = _described(path)
        if rows is None:
            name = path.relative_to(root).as_posix()
            message = f"prune must read every result, got {name}, which is damaged; run its command again, then prune."
            raise InputError(message)
        wanted |= set(metadata.get("inputs", {}).values())
    needed: set[Path] = set()
    while (
        new := {path for path in cache if digests[path] in wanted or (inputs[path] and inputs[path] <= wanted)} - needed
    ):
        needed |= new
        wanted |= {digests[path] for path in new}.union(*(inputs[path] for path in new))
    there = {path.relative_to(root).as_posix(): digests[path] for path in needed}
    for path in _files(root):
        if _kind(root, path) in {"results", "figures"}:
            there[path.relative_to(root).as_posix()] = file_digest(path)
    unneeded = [path for path in cache if path not in needed]
    unneeded += [path for path in _files(root) if _kind(root, path) == ".records" and not _holds(path, there)]
    return sorted(path.relative_to(root).as_posix() for path in unneeded)


def _files(root: Path) -> Iterator[Path]:
    for kind in KINDS:
        # what begins with a dot is being written
        yield from sorted(path for path in (root / kind).rglob("[!.]*") if path.is_file())


def _kind(root: Path, path: Path) -> str:
    return path.relative_to(root).parts[0] if path.parent != root else "report"


def _described(path: Path) -> tuple[int | None, dict[str, Any]]:
    """Return the rows of a table, and what a table or weights say of where they come from."""
    if path.suffix == ".safetensors":
        return None, _weights_metadata(path)
    if path.suffix != ".parquet":
        return None, {}
    structured = {"settings", "inputs", "units", "versions"}
    try:
        described = pq.read_metadata(path)
        texts = {key.decode(): value.decode() for key, value in (described.metadata or {}).items()}
        parsed = {key: json.loads(text) for key, text in texts.items() if key in structured}
    except (OSError, RecursionError, ValueError, pa.ArrowException):
        return None, {}
    whole = all(isinstance(value, dict) for value in parsed.values())
    if not whole or not all(isinstance(digest, str) for digest in parsed.get("inputs", {}).values()):
        return None, {}
    return described.num_rows, parsed | {key: text for key, text in texts.items() if key in {"code", "machine"}}


def _weights_metadata(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            settings = json.loads((file.metadata() or {}).get("config", "{}"))
    except (OSError, RecursionError, ValueError, SafetensorError):
        return {}
    return {"settings": settings} if isinstance(settings, dict) else {}


def _holds(record: Path, there: dict[str, str]) -> bool:
    """Return whether all files that a record names are there as it names them."""
    text = record.read_text(errors="replace")
    if record.suffix == ".json":  # ours, of a block of members
        block = f"{record.parent.name}-{record.stem}"
        weights = there.get(f"models/{block}.safetensors", "nothing")
        return there.get(f"members/{block}.parquet", "nothing") in text and weights in text
    return all(there.get(name) == digest for name, digest in _REFERENCE.findall(text))
