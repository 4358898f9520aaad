"""`deep-mlp artifacts`: look at an artifact folder, and delete from it what no result needs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlp_core.artifacts.backends import backend_of
from mlp_core.artifacts.paths import artifact_folder
from mlp_core.errors import InputError
from mlp_core.settings import validated
from tasks.run_settings import RunSettings

if TYPE_CHECKING:
    from upath import UPath

_HEAD_ROWS = 8


def on_artifacts(command: Callable[..., None]) -> Callable[..., None]:
    """Decorate a click command: add the option `--artifacts` and pass the opened folder as the first argument.

    Args:
        command: Function of the folder (`Path` or `UPath`) and its own options.

    Returns:
        The command with the option. Errors of the disk or bucket become one sentence.

    Raises:
        InputError: When the command runs, if the name is no folder or bucket, or the disk or bucket refuses access.
    """
    default = RunSettings().artifacts
    help_text = f"Folder with results.  [default: {default}]"

    @click.option("--artifacts", type=str, metavar="DIR", default=default, help=help_text)
    @wraps(command)
    def with_folder(artifacts: str, **options: Any) -> None:
        root = artifact_folder(validated(RunSettings, {"artifacts": artifacts}).artifacts)
        with backend_of(root).describe_refusals():
            command(root, **options)

    return with_folder


@click.group()
def artifacts() -> None:
    """List, show and prune what is in an artifact folder."""


@artifacts.command("list")
@on_artifacts
def list_files(root: Path | UPath) -> None:
    """List all files: kind, rows, size, age, and the settings that each was made with."""
    from tasks.artifact_listing import stored_files

    files = stored_files(local_folder(root))
    now = time.time()
    totals: dict[str, tuple[int, int]] = {}
    click.echo(f"{'kind':<9}{'rows':>9}{'size':>10}{'age':>7}  file and settings")
    for file in files:
        count, size_bytes = totals.get(file.kind, (0, 0))
        totals[file.kind] = count + 1, size_bytes + file.size_bytes
        if file.kind != ".records":
            rows = "" if file.rows is None else f"{file.rows:,}"
            line = f"{file.path}  {_settings(file.metadata)}".rstrip()
            click.echo(f"{file.kind:<9}{rows:>9}{_size(file.size_bytes):>10}{_age(now - file.changed):>7}  {line}")
    click.echo()
    for kind, (count, size_bytes) in totals.items():
        click.echo(f"{kind:<9}{count:>9,}{_size(size_bytes):>10}")


@artifacts.command()
@click.argument("file", type=str, metavar="FILE")
@on_artifacts
def show(root: Path | UPath, file: str) -> None:
    """Show what a file was made with, and the first rows of a table; FILE as `list` names it, or a part of that."""
    from tasks.artifact_listing import stored_files

    root = local_folder(root)
    files = [stored for stored in stored_files(root) if stored.kind != ".records"]
    matches = [stored for stored in files if stored.path == file] or [stored for stored in files if file in stored.path]
    if len(matches) != 1:
        names = ", ".join(stored.path for stored in matches[:5]) + (", ..." if len(matches) > 5 else "")
        message = (
            f"FILE must name one file of {root}, got {file!r}, which fits {names or 'none'}; "
            "`deep-mlp artifacts list` has all names."
        )
        raise InputError(message)
    stored = matches[0]
    click.echo(f"{stored.path}: {_size(stored.size_bytes)}, {_age(time.time() - stored.changed)} old")
    for name, value in stored.metadata.items():
        click.echo(f"{name}: {value if isinstance(value, str) else json.dumps(value, sort_keys=True)}")
    if stored.rows is not None:
        import pyarrow.parquet as pq

        head = next(pq.ParquetFile(root / stored.path).iter_batches(_HEAD_ROWS), None)
        head_text = "" if head is None else f"\n{head.to_pandas().to_string(index=False, max_colwidth=40)}"
        click.echo(f"{head_text}\n{stored.rows:,} row{'s' * (stored.rows != 1)}")


@artifacts.command()
@on_artifacts
@click.option("--yes", is_flag=True, help="Delete; without it the files are only named.")
def prune(root: Path | UPath, yes: bool) -> None:
    """Name what the cache holds and no result needs, or delete it; results, figures and the report stay."""
    from tasks.artifact_listing import unneeded_files
    from tasks.execution import exclusive_lock

    root = local_folder(root)
    with exclusive_lock(root):
        unneeded = unneeded_files(root)
        size_bytes = sum((root / path).stat().st_size for path in unneeded)
        for path in unneeded:
            click.echo(path)
            if yes:
                (root / path).unlink()
                with suppress(OSError):  # a record's own folder, if it was the last one there
                    (root / path).parent.rmdir()
    done = "deleted" if yes else "to delete with --yes"
    click.echo(f"{len(unneeded):,} files, {_size(size_bytes)}, {done}")


def local_folder(artifacts: Path | UPath) -> Path:
    """Return an artifact folder as a local path, or refuse it.

    Raises:
        InputError: If it is an S3 bucket, or does not exist.
    """
    root = backend_of(artifacts).local_path
    if root is None:
        message = (
            f"artifacts must be a folder of this machine here, got {str(artifacts)!r}; list a bucket with tools for it."
        )
        raise InputError(message)
    if not root.is_dir():
        message = f"artifacts must be a folder that exists, got {str(root)!r}; name the folder that a run wrote to."
        raise InputError(message)
    return root


def _settings(metadata: dict[str, Any]) -> str:
    settings = metadata.get("settings") or {}
    named = [settings[name] for name in ("experiment", "configuration") if name in settings]
    text = " ".join(named) if named else json.dumps(settings, sort_keys=True) if settings else ""
    return text if len(text) <= 100 else f"{text[:97]}..."


# `humanize` writes "300 Bytes" and "an hour": too wide for a column
def _size(n_bytes: float) -> str:
    for unit in ("B", "kB", "MB"):
        if n_bytes < 1000:
            return f"{n_bytes:.0f} {unit}" if unit == "B" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} GB"


def _age(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0, seconds):.0f} s"
