"""The place where a flow's tasks run: task runner, artifact folder, and a way to stop at once."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import get_context, parent_process
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from prefect.context import FlowRunContext
from prefect.filesystems import LocalFileSystem
from prefect.settings import PREFECT_TASKS_REFRESH_CACHE, temporary_settings
from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner, ThreadPoolTaskRunner

from mlp_core.errors import InputError
from mlp_core.memory import available_bytes, check_memory
from mlp_core.settings import Run, Settings
from tasks.caching import RECORDS
from tasks.console import Lines, quieten_prefect, stderr_console

logger = logging.getLogger("deep_mlp")
"""What a user should read; goes to Prefect's log too."""

WORKERS = 2
# Two trainings hand the interpreter to each other all the time; at Python's 5 ms they took a tenth longer
_SWITCH_SECONDS = 0.0002
_stopping = threading.Event()


class Stopped(Exception):
    """The run is being stopped; nothing of this task is kept."""


def checkpoint() -> None:
    """Let a long computation end when its run is being stopped.

    Raises:
        Stopped: If it is.
    """
    if _stopping.is_set():
        raise Stopped


def _start_worker(stop: Event, on_console: bool) -> None:
    """Let a worker process stop when the run does, and end when the program is killed; Ctrl-C is for the program."""
    logger.setLevel(logging.INFO)
    if on_console:
        quieten_prefect()
        logger.addHandler(Lines(stderr_console()))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    program = parent_process()

    def watch() -> None:
        while not stop.wait(0.5):
            if program is None or not program.is_alive():
                os._exit(1)
        _stopping.set()

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _held(root: Path) -> Iterator[None]:
    """Hold the artifact folder, and clear what killed runs left half-written unless another run is at work in it.

    A run that made nothing leaves no folder. The lock is the kernel's: a killed process cannot leave it behind.
    """
    root.mkdir(parents=True, exist_ok=True)
    folder = os.open(root, os.O_RDONLY)
    try:
        with suppress(BlockingIOError):
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for leftover in list(root.rglob(".*.partial")):
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        fcntl.flock(folder, fcntl.LOCK_SH)
        yield
    finally:
        os.close(folder)
        for error in (root / RECORDS).glob("[0-9a-f]" * 32):  # what Prefect keeps of a failed task
            error.unlink(missing_ok=True)
        for empty in (root / RECORDS, root / "images", root):
            with suppress(OSError):
                empty.rmdir()


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """Hold an artifact folder while no run is at work in it; one that starts meanwhile waits.

    Raises:
        InputError: If a run is.
    """
    folder = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        message = f"artifacts must be a folder that no run is at work in, got {root}; wait until the run has ended."
        raise InputError(message) from None
    finally:
        os.close(folder)


@contextmanager
def laboratory(run: Run) -> Iterator[Path]:
    """Run the tasks of the current flow on the runner, and in the artifact folder, that the settings name.

    To be entered in the body of a flow: a deployment knows its settings no sooner.

    Yields:
        The artifact folder, absolute.

    Raises:
        InputError: If the run cannot fit into memory.
    """
    context = FlowRunContext.get()
    if context is None or context.result_store is None:
        message = "laboratory() works in the body of a flow"
        raise RuntimeError(message)
    check_memory((model for model in (context.parameters or {}).values() if isinstance(model, Settings)), WORKERS, available_bytes())
    root = run.artifacts.expanduser().resolve()
    storage = LocalFileSystem(basepath=str(root / RECORDS))
    stops: list[Any] = [_stopping]
    runner: TaskRunner[Any] = ThreadPoolTaskRunner(max_workers=WORKERS)
    if run.runner == "processes":
        stops.append(get_context("spawn").Event())
        on_console = any(isinstance(handler, Lines) for handler in logger.handlers)
        runner = ProcessPoolTaskRunner(WORKERS, initializer=_start_worker, initargs=(stops[-1], on_console))
    inside = context.model_copy(
        update={
            "task_runner": runner,
            "result_store": context.result_store.model_copy(update={"result_storage": storage}),
        }
    )
    logger.setLevel(logging.INFO)
    _stopping.clear()
    with _held(root), temporary_settings({PREFECT_TASKS_REFRESH_CACHE: run.refresh}), runner, inside:
        usual_switch_seconds = sys.getswitchinterval()
        sys.setswitchinterval(_SWITCH_SECONDS)
        try:
            yield root
        except BaseException:
            for stop in stops:
                stop.set()
            raise
        finally:
            sys.setswitchinterval(usual_switch_seconds)
