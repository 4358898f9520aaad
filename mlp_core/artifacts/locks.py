"""The kernel's locks on files and folders: a killed process cannot leave one behind.

They keep the processes of one machine apart. On a file system that machines share, such as NFS, a lock on a folder is
not seen by the others, and one on a file is, if the server has locks.
"""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO

from mlp_core.errors import InputError

ARTIFACTS = "artifacts", "choose another --artifacts"
PREFECT_HOME = "PREFECT_HOME", "set it to another folder"


def lock(
    file: int | IO[str], path: Path, setting: tuple[str, str] = ARTIFACTS, *, shared: bool = False, wait: bool = True
) -> bool:
    """Lock an open file or folder, until it is closed; a lock that it holds already is changed.

    Args:
        file: On NFS it must be open for reading if the lock is shared, and for writing if it is not.
        path: Where it lies.
        setting: That says so, and the way out if there are no locks: `ARTIFACTS` or `PREFECT_HOME`.
        shared: Whether others may hold it too, if they share it.
        wait: Whether to wait for those who hold it.

    Returns:
        Whether it is locked now.

    Raises:
        InputError: If the file system has no locks.
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(file, kind if wait else kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        name, way_out = setting
        message = (
            f"{name} must be on a file system that has locks, got {path} on {_file_system(path)}: "
            f"{error.strerror}; {way_out}."
        )
        raise InputError(message) from error
    return True


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
