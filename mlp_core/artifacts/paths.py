"""The artifact folder that a setting names, and the packages that S3 and dask need as optional extras."""

from __future__ import annotations

import errno
import os
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from mlp_core.artifacts.backends import backend_of
from mlp_core.errors import InputError

if TYPE_CHECKING:
    from upath import UPath

_NO_NAME = errno.ELOOP, errno.ENAMETOOLONG  # since 3.13 pathlib passes over both
_EXTRAS = {"dask": ("prefect_dask",), "s3": ("s3fs", "upath")}


def artifact_folder(location: str) -> Path | UPath:
    """Turn the text of `--artifacts` into an absolute path without links and `..`, or into a path on S3.

    Args:
        location: A folder of this machine, or `s3://BUCKET/PREFIX`. Address and keys of S3 are in the environment:
            AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY.

    Raises:
        InputError: If it cannot be the name of a folder, or it is on S3 and the packages for that are not installed.

    Example:
        >>> artifact_folder("/tmp/../tmp/artifacts").as_posix()
        '/tmp/artifacts'
    """
    if "://" not in location:
        try:
            root = Path(os.path.realpath(Path(location).expanduser()))
            try:
                root.stat()
            except OSError as error:
                if error.errno in _NO_NAME:
                    raise ValueError(error.strerror) from error
        except (RuntimeError, ValueError) as error:  # nobody's home, a zero byte
            reason = str(error).rstrip(".")
            message = f"artifacts must be the name of a folder, got {location!r}: {reason}; choose another --artifacts."
            raise InputError(message) from error
        return root
    require_extra("s3", f"--artifacts {location}")
    from upath import UPath

    # Another run may write at any time: a remembered listing would be wrong
    return UPath(location.rstrip("/"), use_listings_cache=False)


def require_extra(extra: str, wanted_by: str) -> None:
    """Check that the packages of an optional extra of this project are installed.

    Args:
        extra: Name of the extra in `pyproject.toml`: `s3` or `dask`.
        wanted_by: Option that needs it, for the message.

    Raises:
        InputError: If one of its packages is missing.
    """
    missing = [name for name in _EXTRAS[extra] if find_spec(name) is None]
    if missing:
        message = (
            f"{wanted_by} needs packages that are not installed ({', '.join(missing)}); "
            f"run pip install 'deep-mlp[{extra}]', in a clone pip install --editable '.[{extra}]'."
        )
        raise InputError(message)


def local_view(root: Path | UPath, *folders: str) -> AbstractContextManager[Path]:
    """Return a context manager that gives a folder of this machine with these subfolders of the artifact folder.

    It is the artifact folder itself, or, if that is on S3, a temporary copy of the subfolders.

    Example:
        >>> with local_view(Path("artifacts"), "results") as folder:
        ...     folder
        PosixPath('artifacts')
    """
    return backend_of(root).local_view(folders)
