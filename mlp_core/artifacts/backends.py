"""Where an artifact folder can lie, a folder of this machine or S3: what is done with files and folders in each.

The one place that tells them apart: all others ask `backend_of` a path.
"""

from __future__ import annotations

import errno
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

_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ENAMETOOLONG}
_PARTIAL = f".{'[0-9a-f]' * 16}.partial"
"""Pattern of the names of files that are being written."""


class Backend(Protocol):
    """The operations on a file or folder of an artifact folder, the same on this machine and on S3."""

    @property
    def local_path(self) -> Path | None:
        """The path on this machine; None for a file or folder on S3."""

    def describe(self) -> tuple[str, int]:
        """Return the SHA-256 of a file, as hex digits, and its length in bytes.

        Raises:
            FileNotFoundError: If the file does not exist any more.
        """

    def write(self, write: Callable[[Path], object]) -> None:
        """Call `write` with the path of a temporary file, then move that file into place in one step."""

    def local_copy(self, sha256: str) -> Path | None:
        """Return a path on this machine to read the file from, or None if its SHA-256 is not the one given.

        From S3 the file is downloaded, unless a copy is there already.

        Raises:
            FileNotFoundError: If the file does not exist any more.
        """

    def locked(self, waiting: Callable[[], None]) -> AbstractContextManager[None]:
        """Return a context manager that holds an exclusive lock on a folder, which is made if it is missing.

        S3 has no locks, and nothing is locked there. `waiting` is called again and again while others hold the lock; it
        may raise.
        """

    def local_view(self, folders: Iterable[str]) -> AbstractContextManager[Path]:
        """Return a context manager that gives a folder of this machine with these subfolders, to read from.

        On this machine it is the folder itself, from S3 a temporary copy, deleted at the end.
        """

    def in_use(
        self, waiting: Callable[[], None], written: Iterable[str], removed: Iterable[str]
    ) -> AbstractContextManager[None]:
        """Return a context manager that holds a shared lock on an artifact folder, for the time of a run.

        Several runs hold it together; a process that needs the folder alone waits. Files that killed runs left
        half-written are deleted, unless another run is at work. S3 has no locks.

        Args:
            waiting: Called again and again while another process has the folder alone; may raise.
            written: Subfolders that runs write to.
            removed: Subfolders that are removed at the end if they are empty; then the folder itself, if it is empty.
        """

    def check_usable(self) -> None:
        """Check that an artifact folder can be used, before anything is written.

        Raises:
            InputError: If a folder can be no place to write to.
            ResourceError: If a bucket is out of reach.
        """

    def free_bytes(self) -> int | None:
        """Return the free bytes of the disk; None on S3, where they are not known."""

    def describe_refusals(self) -> AbstractContextManager[None]:
        """Return a context manager that replaces errors of the disk or of S3 by one with a sentence for the user.

        Raises:
            InputError: If it is a file, or below one.
            ResourceError: If it cannot for another reason.
        """

    def describe_refusal(self, error: BaseException) -> str:
        """Return a sentence for the user if a disk or S3 refused something during a run, or ""."""


@dataclass(frozen=True)
class LocalBackend:
    """A file or folder of this machine."""

    path: Path

    @property
    def local_path(self) -> Path:
        """The path."""
        return self.path

    def describe(self) -> tuple[str, int]:
        """Return SHA-256 and length; the digest is cached until size or time of change differs."""
        return file_digest(self.path), self.path.stat().st_size

    def write(self, write: Callable[[Path], object]) -> None:
        """Write a temporary file in the same folder, then rename it."""
        with _temporary_file(self.path.parent, write) as temporary:
            temporary.replace(self.path)

    def local_copy(self, sha256: str) -> Path | None:
        """Return the file itself, or None if its bytes are others."""
        return self.path if file_digest(self.path) == sha256 else None

    def locked(self, waiting: Callable[[], None]) -> AbstractContextManager[None]:
        """Return a context manager that holds the kernel's lock on the folder, see `locks.locked_folder`."""
        return locked_folder(self.path, waiting)

    def local_view(self, folders: Iterable[str]) -> AbstractContextManager[Path]:
        """Return a context manager that gives the folder itself."""
        return nullcontext(self.path)

    @contextmanager
    def in_use(self, waiting: Callable[[], None], written: Iterable[str], removed: Iterable[str]) -> Iterator[None]:
        """Hold the kernel's lock on the folder together with other runs; empty folders are removed at the end."""
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
        """Check that the folder, or the nearest one above it, can be written to and the name is not too long."""
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
        """Return the free bytes of the disk."""
        return shutil.disk_usage(self._nearest()).free

    @contextmanager
    def describe_refusals(self) -> Iterator[None]:
        """Replace an `OSError` by an error that names the folder, the reason and the way out."""
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

    def describe_refusal(self, error: BaseException) -> str:
        """Return the sentence for an `OSError` of a disk that is full, read-only or broken."""
        if not isinstance(error, OSError) or error.errno not in _DISK_ERRORS:
            return ""
        return (
            f"artifacts must be where there is room and permission to write, got {self.path}: "
            f"{error.strerror or error}; what was finished is kept: make room, or choose another --artifacts."
        )

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
        """Return SHA-256 and length from the metadata that `write` stored; of other files they are computed."""
        described = self.path.fs.metadata(self.path.path)
        if "sha256" not in described:  # it came by another way, such as the copy of a folder
            content = self.path.read_bytes()
            return hashlib.sha256(content).hexdigest(), len(content)
        return described["sha256"], int(described["size-bytes"])

    def write(self, write: Callable[[Path], object]) -> None:
        """Upload the file with its digest and length as metadata; a copy stays on this machine."""
        with _temporary_file(_copies(), write) as temporary:
            sha256 = file_digest(temporary)
            described = {"sha256": sha256, "size-bytes": str(temporary.stat().st_size)}
            self.path.fs.put_file(str(temporary), self.path.path, Metadata=described)
            copy = self._copy_path(sha256)
            copy.parent.mkdir(parents=True, exist_ok=True)
            temporary.replace(copy)

    def local_copy(self, sha256: str) -> Path | None:
        """Return the copy on this machine, downloaded if it is missing or damaged; None if the bytes are others."""
        copy = self._copy_path(sha256)
        if not copy.exists() or file_digest(copy) != sha256:
            LocalBackend(copy).write(lambda file: self.path.fs.get_file(self.path.path, str(file)))
            if file_digest(copy) != sha256:
                copy.unlink()
                return None
        return copy

    def locked(self, waiting: Callable[[], None]) -> AbstractContextManager[None]:
        """Return a context manager that does nothing: S3 has no locks."""
        return nullcontext()

    @contextmanager
    def local_view(self, folders: Iterable[str]) -> Iterator[Path]:
        """Give a temporary folder with copies of the files directly in these subfolders, deleted at the end."""
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
        """Return a context manager that does nothing: S3 has no locks and no half-written files."""
        return nullcontext()

    def check_usable(self) -> None:
        """Check that the bucket answers, by asking for the name of one file."""
        with self.describe_refusals():
            bucket, prefix, _ = self.path.fs.split_path(self.path.path)
            self.path.fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=1)

    def free_bytes(self) -> None:
        """Return None."""
        return

    @contextmanager
    def describe_refusals(self) -> Iterator[None]:
        """Replace an error of S3 by a `ResourceError` that names the bucket, the reason and the way out."""
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

    def describe_refusal(self, error: BaseException) -> str:
        """Return the sentence for an error of S3, such as keys that have expired."""
        from botocore.exceptions import BotoCoreError, ClientError

        # s3fs raises errors of the system, with S3's own as their cause unless they come from another process
        if not isinstance(error, (BotoCoreError, ClientError, PermissionError)) and not isinstance(
            error.__cause__, ClientError
        ):
            return ""
        return (
            f"artifacts must be in a bucket that this machine can use, got {self.path}, but {error}; what was finished "
            "is kept: see that the bucket is there and that the keys are valid, and run the same command again."
        )

    def _copy_path(self, sha256: str) -> Path:
        return _copies() / sha256[:2] / f"{sha256}{self.path.suffix}"


def backend_of(path: Path | UPath) -> Backend:
    """Return the operations on a file or folder: `LocalBackend` for a path of this machine, `S3Backend` for S3.

    Example:
        >>> backend_of(Path("artifacts")).local_path
        PosixPath('artifacts')
    """
    return LocalBackend(path) if isinstance(path, Path) else S3Backend(path)


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file as hex digits; cached until the file's size or time of change differs."""
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
