"""Refuse a run that this machine cannot do, before anything is started."""

from __future__ import annotations

import resource
import subprocess
import sys
from multiprocessing import get_context
from pathlib import Path
from threading import Event, Thread

from mlp_core.artifacts.backends import backend_of
from mlp_core.artifacts.paths import artifact_folder, require_extra
from mlp_core.errors import InputError
from mlp_core.machine import cores
from tasks.run_settings import RunSettings

_THREADS = 30  # of a run with its server and helper, without its workers
_LIMITS = {"v": resource.RLIMIT_AS, "d": resource.RLIMIT_DATA}  # as `ulimit` calls them


def check_run(run: RunSettings) -> None:
    """Refuse a run whose workers, runner, packages or artifact folder this machine does not allow.

    Every task computes on one thread, so that as many tasks as cores use as many threads as cores.

    Raises:
        InputError: If there are more workers than cores, an extra package is not installed, worker processes cannot be
            started here, or the artifact folder cannot be used.
        ResourceError: If the S3 bucket of the artifact folder cannot be reached.
    """
    if run.runner == "dask":
        require_extra("dask", "--runner dask")
    if run.runner != "threads" and not run.scheduler:
        _check_worker_processes(run.runner)
    if run.workers > cores():
        message = (
            f"workers must be at most the {cores()} cores that the program may use here, got {run.workers}; "
            "leave --workers out."
        )
        raise InputError(message)
    backend_of(artifact_folder(run.artifacts)).check_usable()


def check_limits(run: RunSettings) -> None:
    """Refuse a run if limits on memory or threads (of a shell, job or container) are too low for any run.

    Raises:
        InputError: If PyTorch needs more memory than `ulimit -v` or `ulimit -d` allows, or a run more threads than
            `ulimit -u` or the control group's number of processes allows.
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
