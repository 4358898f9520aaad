"""The kernel's locks on files and folders: a killed process cannot leave one behind.

They keep the processes of one machine apart. On a file system that machines share, such as NFS, a lock on a folder is
not seen by the others, and one on a file is, if the server has locks.

The library `filelock` has no locks on folders and none that are shared but in a database, and where a file system has
no locks it goes on with marker files, which a killed process leaves behind.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from mlp_core.errors import InputError

ARTIFACTS = "artifacts", "choose another --artifacts"
PREFECT_HOME = "PREFECT_HOME", "set it to another folder"
_SECONDS_BETWEEN_TRIES = 0.1


def acquire(
    file: int | IO[str],
    path: Path,
    setting: tuple[str, str] = ARTIFACTS,
    *,
    shared: bool = False,
    waiting: Callable[[], None] | None = None,
) -> None:
    """Lock an open file or folder until it is closed; wait as long as others hold the lock.

    Args:
        file: As in `try_acquire`.
        path: As in `try_acquire`.
        setting: As in `try_acquire`.
        shared: As in `try_acquire`.
        waiting: Called ten times a second while others hold the lock; may raise. Without it the kernel waits.

    Raises:
        InputError: If the file system has no locks.

    Example:
        >>> from tempfile import TemporaryFile
        >>> with TemporaryFile("w") as file:
        ...     acquire(file, Path("a temporary file"))
        ...     try_acquire(file, Path("a temporary file"), shared=True)  # a lock that it holds already is changed
        True
    """
    if waiting is None:
        _flock(file, path, setting, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        return
    while not try_acquire(file, path, setting, shared=shared):
        waiting()
        time.sleep(_SECONDS_BETWEEN_TRIES)


def try_acquire(file: int | IO[str], path: Path, setting: tuple[str, str] = ARTIFACTS, *, shared: bool = False) -> bool:
    """Lock an open file or folder until it is closed, without waiting; fail if others hold the lock.

    A file that is locked already changes from exclusive to shared, or back.

    Args:
        file: Descriptor or file. On NFS it must be open for reading for a shared lock, for writing for an exclusive
            one.
        path: Path of the file, for messages.
        setting: Name of the setting that gave the path, and the way out if there are no locks: `ARTIFACTS` or
            `PREFECT_HOME`.
        shared: True for a lock that several may hold together, false for an exclusive one.

    Returns:
        Whether the file is locked now.

    Raises:
        InputError: If the file system has no locks.
    """
    try:
        _flock(file, path, setting, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def opened_folder(folder: Path) -> Iterator[int]:
    """Open a folder and give its file descriptor, which `acquire` can lock; it is closed at the end.

    Raises:
        OSError: If there is no such folder, or it cannot be read.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        yield handle
    finally:
        os.close(handle)


@contextmanager
def locked_folder(folder: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold an exclusive lock on a folder, against other threads and processes that call this function.

    The folder is made if it is missing, and removed at the end if it is empty.

    Args:
        folder: Path of the folder.
        waiting: Called ten times a second while others hold the lock; may raise.

    Raises:
        InputError: If the file system has no locks.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as temporary, locked_folder(Path(temporary) / "held", lambda: None):
        ...     (Path(temporary) / "held").is_dir()
        True
    """
    handle = _handle_of_locked(folder, waiting)
    try:
        yield
    finally:
        with suppress(OSError):
            folder.rmdir()
        os.close(handle)


def _handle_of_locked(folder: Path, waiting: Callable[[], None]) -> int:
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
            acquire(handle, folder, waiting=waiting)
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


def _flock(file: int | IO[str], path: Path, setting: tuple[str, str], operation: int) -> None:
    try:
        fcntl.flock(file, operation)
    except BlockingIOError:
        raise
    except OSError as error:
        name, way_out = setting
        message = (
            f"{name} must be on a file system that has locks, got {path} on {_file_system(path)}: "
            f"{error.strerror}; {way_out}."
        )
        raise InputError(message) from error


def _file_system(path: Path) -> str:
    """Return the kind of file system that a path is on, such as nfs4."""
    kinds = {}
    try:
        for line in Path("/proc/self/mounts").read_text(errors="replace").splitlines():
            _, folder, kind, *_ = line.split(" ")
            kinds[Path(folder.replace("\\040", " "))] = kind  # of several in one place the last counts
    except OSError:  # not Linux
        pass
    return next((kinds[folder] for folder in (path, *path.absolute().parents) if folder in kinds), "its disk")
