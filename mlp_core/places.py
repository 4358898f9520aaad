"""Where a run's files lie and its tasks work: this machine and its cores, or S3 and dask as optional extras."""

from __future__ import annotations

import os
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from mlp_core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upath import UPath

    from mlp_core.settings import Run

_EXTRAS = {"dask": ("prefect_dask",), "s3": ("s3fs", "upath")}


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def artifact_folder(location: str) -> Path | UPath:
    """Return the artifact folder that a setting names: an absolute path, or an address on S3.

    Args:
        location: A folder of this machine, or `s3://BUCKET/PREFIX`. Address and keys of S3 are in the environment:
            AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY.

    Raises:
        InputError: If it is on S3 and the packages for that are not installed.

    Example:
        >>> artifact_folder("/tmp/../tmp/artifacts").as_posix()
        '/tmp/artifacts'
    """
    if "://" not in location:
        return Path(location).expanduser().resolve()
    _require("s3", f"--artifacts {location}")
    from upath import UPath

    # Another run may write at any time: a remembered listing would be wrong
    return UPath(location.rstrip("/"), use_listings_cache=False)


def check_run(run: Run) -> None:
    """Refuse a run that this machine cannot do.

    Every task computes on one thread of torch's own, so that as many tasks as cores are as many threads as cores.

    Raises:
        InputError: If more workers are asked for than there are cores, if an extra is not installed, or if the artifact
            folder cannot be used.
    """
    if run.runner == "dask":
        _require("dask", "--runner dask")
    if run.workers > cores():
        message = (
            f"workers must be at most the {cores()} cores of this machine, got {run.workers}; leave --workers out."
        )
        raise InputError(message)
    root = artifact_folder(run.artifacts)
    if isinstance(root, Path):
        nearest = next(path for path in (root, *root.parents) if os.access(path, os.F_OK))
        if nearest.is_dir() and os.access(nearest, os.W_OK):
            return
        what = f"{nearest} is {'read-only' if nearest.is_dir() else 'a file'}"
        message = f"artifacts must be a folder to write to, got {root}, but {what}; choose another --artifacts."
        raise InputError(message)
    from botocore.exceptions import BotoCoreError

    try:
        bucket, prefix, _ = root.fs.split_path(root.path)
        root.fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=1)
    except (OSError, BotoCoreError) as error:
        message = (
            f"artifacts must be in a bucket that this machine can use, got {root}, but {error}; see that the bucket is "
            "there, and set AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        )
        raise InputError(message) from None


def _require(extra: str, wanted_by: str) -> None:
    missing = [name for name in _EXTRAS[extra] if find_spec(name) is None]
    if missing:
        message = (
            f"{wanted_by} needs packages that are not installed ({', '.join(missing)}); "
            f"run pip install 'deep-mlp[{extra}]', in a clone pip install --editable '.[{extra}]'."
        )
        raise InputError(message)


@contextmanager
def local_view(root: Path | UPath, *folders: str) -> Iterator[Path]:
    """Give folders of the artifact folder as folders of this machine, for as long as they are looked at."""
    if isinstance(root, Path):
        yield root
        return
    with TemporaryDirectory() as temporary:
        view = Path(temporary)
        for name in folders:
            (view / name).mkdir()
            for path in (root / name).glob("*.*"):
                (view / name / path.name).write_bytes(path.read_bytes())
        yield view
