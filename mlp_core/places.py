"""Where a run's files lie and its tasks work: this machine and its cores, or S3 and dask as optional extras."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from contextlib import contextmanager
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import TYPE_CHECKING

from mlp_core.control_groups import own_groups
from mlp_core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upath import UPath

    from mlp_core.settings import Run

_THREADS = 30  # of a run with its server and helper, without its workers
_LIMITS = {"v": resource.RLIMIT_AS, "d": resource.RLIMIT_DATA}  # as `ulimit` calls them
_NO_NAME = errno.ELOOP, errno.ENAMETOOLONG  # since 3.13 pathlib passes over both
_EXTRAS = {"dask": ("prefect_dask",), "s3": ("s3fs", "upath")}


def cores(root: Path = Path("/")) -> int:
    """Return the number of cores that this process may use at the same time, rounded up where it is a share of them.

    Args:
        root: Where the kernel's files begin.
    """
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for group in own_groups("cpu", root):
        for names in (["cpu.max"], ["cpu.cfs_quota_us", "cpu.cfs_period_us"]):
            try:
                quota, period = map(int, " ".join((group / name).read_text() for name in names).split())
            except (OSError, ValueError):  # no such group, or one without a limit
                continue
            if quota > 0:  # -1 in version 1: no limit
                n_cores = min(n_cores, -(-quota // period))
    return n_cores


def devices() -> list[str]:
    """Return the devices that PyTorch can train on here, the fastest first; it takes a second to be asked."""
    import torch

    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    return [name for name, there in available.items() if there]


def artifact_folder(location: str) -> Path | UPath:
    """Return the artifact folder that a setting names: an absolute path, or an address on S3.

    Args:
        location: A folder of this machine, or `s3://BUCKET/PREFIX`. Address and keys of S3 are in the environment:
            AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY.

    Raises:
        InputError: If it is no name of a folder, or on S3 and the packages for that are not installed.

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
            return root
        except (RuntimeError, ValueError) as error:  # nobody's home, a zero byte
            reason = str(error).rstrip(".")
            message = f"artifacts must be the name of a folder, got {location!r}: {reason}; choose another --artifacts."
            raise InputError(message) from error
    _require("s3", f"--artifacts {location}")
    from upath import UPath

    # Another run may write at any time: a remembered listing would be wrong
    return UPath(location.rstrip("/"), use_listings_cache=False)


def check_run(run: Run) -> None:
    """Refuse a run that this machine cannot do.

    Every task computes on one thread of torch's own, so that as many tasks as cores are as many threads as cores.

    Raises:
        InputError: If more workers are asked for than there are cores, if an extra is not installed, if worker
            processes cannot be started here, or if the artifact folder cannot be used.
    """
    if run.runner == "dask":
        _require("dask", "--runner dask")
    if run.runner != "threads" and not run.scheduler:
        _check_worker_processes(run.runner)
    if run.workers > cores():
        message = (
            f"workers must be at most the {cores()} cores that the program may use here, got {run.workers}; "
            "leave --workers out."
        )
        raise InputError(message)
    root = artifact_folder(run.artifacts)
    if isinstance(root, Path):
        nearest = next(path for path in (root, *root.parents) if os.access(path, os.F_OK))
        longest = max(len(os.fsencode(name)) for name in root.parts)
        if not nearest.is_dir():
            what = f"{nearest} is a file"
        elif not os.access(nearest, os.W_OK | os.X_OK):
            what = f"{nearest} is read-only"
        elif longest > os.pathconf(nearest, "PC_NAME_MAX"):
            what = f"a name of {longest} bytes is too long there"
        else:
            return
        message = f"artifacts must be a folder to write to, got {root}, but {what}; choose another --artifacts."
        raise InputError(message)
    with refusals_in_words(root):
        bucket, prefix, _ = root.fs.split_path(root.path)
        root.fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=1)


def check_limits(run: Run) -> None:
    """Refuse a run in a shell, job or container that limits memory or threads too far for any.

    Raises:
        InputError: If PyTorch does not fit below `ulimit -v` or `ulimit -d`, or a run's threads below `ulimit -u` or
            the number of processes of a control group.
    """
    limits = {flag: resource.getrlimit(limit)[0] for flag, limit in _LIMITS.items()}
    tight = {n_bytes: flag for flag, n_bytes in limits.items() if n_bytes != resource.RLIM_INFINITY}
    if tight:
        _check_torch(min(tight), tight[min(tight)])
    _check_threads(_THREADS + (run.workers or cores()))


def _check_torch(n_bytes: int, flag: str) -> None:
    # In a process of its own: where there is too little room it may be killed
    asked = subprocess.run([sys.executable, "-c", "import torch"], capture_output=True, text=True, check=False)
    if asked.returncode:
        reason = (asked.stderr.strip().splitlines() or ["it was killed while it was loaded"])[-1]
        message = (
            f"ulimit -{flag} must leave room for PyTorch, got {n_bytes // 1024:,} kB: {reason}; "
            f"set it to more, or run `ulimit -{flag} unlimited` first."
        )
        raise InputError(message)


def _check_threads(n_threads: int) -> None:
    done, threads = Event(), list[Thread]()
    try:
        for _ in range(n_threads):
            thread = Thread(target=done.wait)
            thread.start()
            threads.append(thread)
    except RuntimeError as error:
        message = (
            f"the system must let the program start {n_threads} threads, got {len(threads)}; "
            "end other programs, or raise the limit (ulimit -u or -v, or a container's or job's number of processes)."
        )
        raise InputError(message) from error
    finally:
        done.set()
        for thread in threads:
            thread.join()


def _check_worker_processes(runner: str) -> None:
    """Refuse worker processes from a script that each of them would run again, and without semaphores."""
    script = getattr(sys.modules["__main__"], "__file__", None)
    if script and Path(script).is_file() and b"__main__" not in Path(script).read_bytes():
        message = (
            f'runner must be threads in a script without `if __name__ == "__main__":`, got {runner!r} in {script}: '
            "each worker process would run the script again; put the calls of flows below that line."
        )
        raise InputError(message)
    try:
        get_context("fork").Semaphore()  # whose way of making one leaves nothing behind
    except (ImportError, OSError) as error:
        message = (
            f"runner must be threads where processes cannot share semaphores, got {runner!r}: "
            f"{getattr(error, 'strerror', None) or error}; use --runner threads, or make /dev/shm writable."
        )
        raise InputError(message) from error


@contextmanager
def refusals_in_words(root: Path | UPath) -> Iterator[None]:
    """Say in one sentence why the disk or the bucket of an artifact folder cannot be read or written.

    Raises:
        InputError: If it cannot.
    """
    try:
        yield
    except BrokenPipeError:  # of whoever read the output, such as `head`
        raise
    except _refusals(root) as error:
        if isinstance(root, Path):
            message = (
                f"artifacts must be where there is room and permission to read and write, got {root}: "
                f"{getattr(error, 'strerror', None) or error}; make room, or choose another --artifacts."
            )
        else:
            message = (
                f"artifacts must be in a bucket that this machine can use, got {root}, but {error}; see that the "
                "bucket is there, and set AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
            )
        raise InputError(message) from error


def _refusals(root: Path | UPath) -> tuple[type[Exception], ...]:
    if isinstance(root, Path):
        return (OSError,)
    from botocore.exceptions import BotoCoreError

    return OSError, BotoCoreError


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
            (view / name).mkdir(parents=True)
            for path in (root / name).glob("*.*"):
                (view / name / path.name).write_bytes(path.read_bytes())
        yield view
