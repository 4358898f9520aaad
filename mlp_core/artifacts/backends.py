"""Where an artifact folder can lie, a folder of this machine or S3: what is done with files and folders in each.

The one place that tells them apart: all others ask `backend_of` a path.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Protocol

from mlp_core.artifacts.locks import acquire, locked_folder, try_acquire
from mlp_core.errors import InputError, ResourceError, disk_error

if TYPE_CHECKING:
    from upath import UPath

_PARTIAL = f".{'[0-9a-f]' * 16}.partial"
"""Pattern of the names of files that are being written."""


class Backend(Protocol):
    """What can be done with a file, or with a folder, wherever it lies."""

    @property
    def local_path(self) -> Path | None:
        """The path on this machine, None for what lies elsewhere."""

    def describe(self) -> tuple[str, int]:
        """Return the SHA-256 and the length of a file.

        Raises:
            FileNotFoundError: If it is gone.
        """

    def write(self, write: Callable[[Path], object]) -> None:
        """Let `write` make a temporary file, then put it in place in one step."""

    def local_copy(self, sha256: str) -> Path | None:
        """Return where a file with these bytes can be read on this machine; None if the file has other bytes.

        Raises:
            FileNotFoundError: If it is gone.
        """

    def locked(self, waiting: Callable[[], None]) -> AbstractContextManager[None]:
        """Hold a folder, made if it is missing, against all who do the same; S3 has no locks, and nothing is held."""

    def local_view(self, folders: Iterable[str]) -> AbstractContextManager[Path]:
        """Give folders below this one as folders of this machine, for as long as they are looked at."""

    def in_use(
        self, waiting: Callable[[], None], written: Iterable[str], removed: Iterable[str]
    ) -> AbstractContextManager[None]:
        """Share an artifact folder with other runs, against who wants it alone.

        What killed runs left half-written is cleared, unless another run is at work.

        Args:
            waiting: Called again and again while somebody has it alone; may raise.
            written: Folders below it that runs write to.
            removed: Those that are removed at the end, before the folder itself, if they are empty.
        """

    def check_usable(self) -> None:
        """Refuse an artifact folder that cannot be used, before anything is written.

        Raises:
            InputError: If a folder can be no place to write to.
            ResourceError: If a bucket is out of reach.
        """

    def free_bytes(self) -> int | None:
        """Return how much room there is; None where nobody knows."""

    def describe_refusals(self) -> AbstractContextManager[None]:
        """Say in one sentence why the disk or the bucket of an artifact folder cannot be read or written.

        Raises:
            InputError: If it is a file, or below one.
            ResourceError: If it cannot for another reason.
        """


@dataclass(frozen=True)
class LocalBackend:
    """A file or folder of this machine."""

    path: Path

    @property
    def local_path(self) -> Path:
        """The path."""
        return self.path

    def describe(self) -> tuple[str, int]:
        """Return SHA-256 and length; the digest is remembered until size or time of change differ."""
        return file_digest(self.path), self.path.stat().st_size

    def write(self, write: Callable[[Path], object]) -> None:
        """Write a temporary file in the same folder, then rename it."""
        with _temporary_file(self.path.parent, write) as temporary:
            temporary.replace(self.path)

    def local_copy(self, sha256: str) -> Path | None:
        """Return the file itself."""
        return self.path if file_digest(self.path) == sha256 else None

    def locked(self, waiting: Callable[[], None]) -> AbstractContextManager[None]:
        """Hold the folder by a lock of the kernel's."""
        return locked_folder(self.path, waiting)

    def local_view(self, folders: Iterable[str]) -> AbstractContextManager[Path]:
        """Give the folder itself."""
        return nullcontext(self.path)

    @contextmanager
    def in_use(self, waiting: Callable[[], None], written: Iterable[str], removed: Iterable[str]) -> Iterator[None]:
        """Share a lock of the kernel's; a run that made nothing leaves no folder."""
        with self.describe_refusals():
            self.path.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_RDONLY)
        try:
            if try_acquire(handle, self.path):
                folders = [self.path.glob(_PARTIAL), *((self.path / name).rglob(_PARTIAL) for name in written)]
                for leftover in list(chain.from_iterable(folders)):
                    leftover.unlink(missing_ok=True)
            acquire(handle, self.path, shared=True, waiting=waiting)
            yield
        finally:
            os.close(handle)
            for empty in (*(self.path / name for name in removed), self.path):
                with suppress(OSError):
                    empty.rmdir()

    def check_usable(self) -> None:
        """Refuse what is no folder, is read-only, or has a name that is too long."""
        nearest = self._nearest()
        longest = max(len(os.fsencode(name)) for name in self.path.parts)
        if not nearest.is_dir():
            what = f"{nearest} is a file"
        elif not os.access(nearest, os.W_OK | os.X_OK):
            what = f"{nearest} is read-only"
        elif longest > os.pathconf(nearest, "PC_NAME_MAX"):
            what = f"a name of {longest} bytes is too long there"
        else:
            return
        message = f"artifacts must be a folder to write to, got {self.path}, but {what}; choose another --artifacts."
        raise InputError(message)

    def free_bytes(self) -> int:
        """Return what is free on the disk."""
        return shutil.disk_usage(self._nearest()).free

    @contextmanager
    def describe_refusals(self) -> Iterator[None]:
        """Name the folder, and what its disk says."""
        try:
            yield
        except BrokenPipeError:  # of whoever read the output, such as `head`
            raise
        except OSError as error:
            message = (
                f"artifacts must be where there is room and permission to read and write, got {self.path}: "
                f"{error.strerror or error}; make room, or choose another --artifacts."
            )
            raise disk_error(error, message) from error

    def _nearest(self) -> Path:
        """Return the folder, or the first above it that exists."""
        return next(path for path in (self.path, *self.path.parents) if os.access(path, os.F_OK))


@dataclass(frozen=True)
class S3Backend:
    """A file or folder on S3, read through copies on this machine.

    The copies are named by their digest, so that none can be out of date.
    """

    path: UPath

    @property
    def local_path(self) -> None:
        """None."""
        return

    def describe(self) -> tuple[str, int]:
        """Return SHA-256 and length as `write` left them with the file: a put is all or nothing."""
        described = self.path.fs.metadata(self.path.path)
        if "sha256" not in described:  # it came by another way, such as the copy of a folder
            content = self.path.read_bytes()
            return hashlib.sha256(content).hexdigest(), len(content)
        return described["sha256"], int(described["size-bytes"])

    def write(self, write: Callable[[Path], object]) -> None:
        """Put a file with its digest and length; it stays on this machine as a copy."""
        with _temporary_file(_copies(), write) as temporary:
            sha256 = file_digest(temporary)
            described = {"sha256": sha256, "size-bytes": str(temporary.stat().st_size)}
            self.path.fs.put_file(str(temporary), self.path.path, Metadata=described)
            copy = self._copy_path(sha256)
            copy.parent.mkdir(parents=True, exist_ok=True)
            temporary.replace(copy)

    def local_copy(self, sha256: str) -> Path | None:
        """Return the copy, fetched if it is missing or damaged."""
        copy = self._copy_path(sha256)
        if not copy.exists() or file_digest(copy) != sha256:
            LocalBackend(copy).write(lambda file: self.path.fs.get_file(self.path.path, str(file)))
            if file_digest(copy) != sha256:
                copy.unlink()
                return None
        return copy

    def locked(self, waiting: Callable[[], None]) -> AbstractContextManager[None]:
        """Hold nothing."""
        return nullcontext()

    @contextmanager
    def local_view(self, folders: Iterable[str]) -> Iterator[Path]:
        """Give a temporary folder with copies of the files directly in these folders."""
        with TemporaryDirectory() as temporary:
            view = Path(temporary)
            for name in folders:
                (view / name).mkdir(parents=True)
                for path in (self.path / name).glob("*.*"):
                    (view / name / path.name).write_bytes(path.read_bytes())
            yield view

    def in_use(
        self, waiting: Callable[[], None], written: Iterable[str], removed: Iterable[str]
    ) -> AbstractContextManager[None]:
        """Hold nothing: there is nothing half-written."""
        return nullcontext()

    def check_usable(self) -> None:
        """Ask for the name of one file."""
        with self.describe_refusals():
            bucket, prefix, _ = self.path.fs.split_path(self.path.path)
            self.path.fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=1)

    def free_bytes(self) -> None:
        """Return None."""
        return

    @contextmanager
    def describe_refusals(self) -> Iterator[None]:
        """Name the bucket, and what its server says."""
        from botocore.exceptions import BotoCoreError

        try:
            yield
        except BrokenPipeError:  # of whoever read the output, such as `head`
            raise
        except (OSError, BotoCoreError) as error:
            message = (
                f"artifacts must be in a bucket that this machine can use, got {self.path}, but {error}; see that the "
                "bucket is there, and set AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
            )
            raise ResourceError(message) from error

    def _copy_path(self, sha256: str) -> Path:
        return _copies() / sha256[:2] / f"{sha256}{self.path.suffix}"


def backend_of(path: Path | UPath) -> Backend:
    """Return what can be done with a file or folder where it lies.

    Example:
        >>> backend_of(Path("artifacts")).local_path
        PosixPath('artifacts')
    """
    return LocalBackend(path) if isinstance(path, Path) else S3Backend(path)


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file; remembered until its size or time of change differs."""
    status = path.stat()
    return _file_digest(path, status.st_size, status.st_mtime_ns, status.st_ino)


@lru_cache(maxsize=100_000)
def _file_digest(path: Path, _size_bytes: int, _changed_ns: int, _inode: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _copies() -> Path:
    # By hand: platformdirs does not come with the packages that are installed anyway
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "deep-mlp"


@contextmanager
def _temporary_file(folder: Path, write: Callable[[Path], object]) -> Iterator[Path]:
    """Give a file that was written whole, to be moved where it belongs; what is left here is removed."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{secrets.token_hex(8)}.partial"  # as _PARTIAL says
    temporary.touch(exist_ok=False)
    mode = temporary.stat().st_mode  # as the umask has it
    try:
        write(temporary)
        temporary.chmod(mode)  # safetensors makes files that only their owner may read
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
