"""The place where a flow's tasks run: task runner, artifact folder, and a way to stop at once."""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from functools import partial
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from prefect.context import FlowRunContext
from prefect.filesystems import RemoteFileSystem
from prefect.runtime import flow_run
from prefect.settings import PREFECT_TASKS_REFRESH_CACHE, temporary_settings
from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner, ThreadPoolTaskRunner

from mlp_core.artifacts.backends import backend_of
from mlp_core.artifacts.locks import opened_folder, try_acquire
from mlp_core.artifacts.places import artifact_folder
from mlp_core.artifacts.storage import locked
from mlp_core.errors import InputError, ResourceError, Stopped
from mlp_core.machine import cores
from tasks.caching import RECORDS, Records
from tasks.console import Lines, quieten_prefect, stderr_console
from tasks.inventory import KINDS
from tasks.limits import check_tag_limits, waits_told
from tasks.offloading import TERMINAL_SIGNALS, stop_helper
from tasks.preflight import check_run
from tasks.run_settings import Run

if TYPE_CHECKING:
    from upath import UPath

logger = logging.getLogger("deep_mlp")
"""What a user should read; goes to Prefect's log too."""

# Two trainings hand the interpreter to each other all the time; at Python's 5 ms they took a tenth longer
_SWITCH_SECONDS = 0.0002
_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ENAMETOOLONG}
_stopping = threading.Event()
_stopped_runs: set[str] = set()
"""Flow runs that were stopped, in a dask worker: it may work for others too."""
_side_by_side: ContextVar[int] = ContextVar("side_by_side")
_publishing: ContextVar[Callable[[], None]] = ContextVar("publishing")


def checkpoint() -> None:
    """Let a long computation end when its run is being stopped.

    Raises:
        Stopped: If it is.
    """
    if _stopping.is_set() or (_stopped_runs and flow_run.id in _stopped_runs):
        raise Stopped


def _stop_run(flow_run_id: str) -> None:
    _stopped_runs.add(flow_run_id)


def is_stopping() -> bool:
    """Return whether the run in this process is being stopped."""
    return _stopping.is_set()


def waiting_for(what: str) -> Callable[[], None]:
    """Return what to call while a lock is another's: it says so once, and ends the wait with the run."""
    said = False

    def wait() -> None:
        nonlocal said
        checkpoint()
        if not said:
            said = True
            logger.info("waiting for %s", what)

    return wait


def hold_results() -> None:
    """Wait until no other run publishes in this artifact folder; others then wait until this one has ended.

    Two runs of an experiment write the same table, and neither may draw its figures from the other's.
    """
    _publishing.get()()


def _hold_results(root: Path | UPath, until_end: ExitStack) -> None:
    waiting = waiting_for(f"another run that publishes in {root}")
    until_end.enter_context(locked([root / RECORDS / "publishing"], waiting))
    _publishing.set(lambda: None)


def side_by_side() -> int:
    """Return how many tasks of the current run work at the same time."""
    return _side_by_side.get()


def _start_worker(stop: Any, on_console: bool) -> None:
    """Let a worker process stop when the run does, and end when the program is killed; the terminal speaks to that."""
    logger.setLevel(logging.INFO)
    if on_console:
        quieten_prefect()
        logger.addHandler(Lines(stderr_console()))
    for number in TERMINAL_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    program = parent_process()

    def watch() -> None:
        while program is not None and program.is_alive():
            if stop.value:
                _stopping.set()
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _held(root: Path | UPath) -> Iterator[None]:
    """Hold the artifact folder as one of its runs, and clear at the end what Prefect keeps of failed tasks."""
    waiting = waiting_for(f"`deep-mlp artifacts prune` in {root}")
    with backend_of(root).in_use(waiting, written=KINDS, removed=(RECORDS, "images")):
        try:
            yield
        finally:
            for error in (root / RECORDS).glob("[0-9a-f]" * 32):
                error.unlink(missing_ok=True)


class _Processes(ProcessPoolTaskRunner):
    """Worker processes that the terminal's signals do not reach, from their first moment on.

    They are started by threads that the first submissions start, and inherit what those have blocked.
    """

    def submit(self, *args: Any, **kwargs: Any) -> Any:
        """Submit a task with them put off for that moment."""
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, TERMINAL_SIGNALS)
        try:
            return super().submit(*args, **kwargs)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _runner(run: Run, stops: list[Callable[[], object]]) -> TaskRunner[Any]:
    """Return what runs the tasks; `stops` gets one more if its processes have to be told."""
    n_workers = run.workers or cores()
    if run.runner == "threads":
        return ThreadPoolTaskRunner(max_workers=n_workers)
    if run.runner == "processes":
        # No Event: to set one waits for all who wait for it, and a killed worker never answers
        stop = get_context("spawn").RawValue("b", 0)
        stops.append(lambda: setattr(stop, "value", 1))
        on_console = any(isinstance(handler, Lines) for handler in logger.handlers)
        return _Processes(n_workers, initializer=_start_worker, initargs=(stop, on_console))
    from prefect_dask import DaskTaskRunner

    if run.scheduler:
        return DaskTaskRunner(address=run.scheduler)
    # Dask's own defaults listen on every interface
    local = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "processes": True}
    return DaskTaskRunner(cluster_kwargs={**local, "n_workers": n_workers, "threads_per_worker": 1})


def _count_workers(run: Run, runner: TaskRunner[Any]) -> int:
    """Return how many tasks a runner that is up works on at the same time.

    Raises:
        InputError: If the scheduler cannot be reached or has no workers: tasks would wait for ever.
    """
    if not run.scheduler:
        return run.workers or cores()
    try:
        n_workers = sum(runner.client.nthreads().values())  # type: ignore[attr-defined]
        reason = "it has no workers"
    except OSError as error:
        n_workers, reason = 0, str(error)
    if n_workers == 0:
        message = (
            f"scheduler must be a dask scheduler with workers, got {run.scheduler}, but {reason}; "
            f"start one with `dask scheduler`, and workers with `dask worker {run.scheduler}`."
        )
        raise InputError(message)
    return n_workers


def _listen_to_dask(run: Run, client: Any) -> None:
    """Show the project's own lines of dask's workers on this console; those that this run started show nothing else."""
    from distributed.diagnostics.plugin import ForwardLoggingPlugin

    client.run(logger.setLevel, logging.INFO)
    for lines in (handler for handler in logger.handlers if isinstance(handler, Lines)):
        topic = f"lines of {flow_run.id}"
        client.subscribe_topic(topic, lambda event, lines=lines: lines.handle(logging.makeLogRecord(event[1])))
        client.register_plugin(ForwardLoggingPlugin(logger.name, logging.INFO, topic), name=topic)
        if not run.scheduler:
            client.run(quieten_prefect)


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """Hold an artifact folder while no run is at work in it; one that starts meanwhile waits.

    Raises:
        InputError: If a run is.
    """
    with opened_folder(root) as folder:
        if not try_acquire(folder, root):
            message = f"artifacts must be a folder that no run is at work in, got {root}; wait until the run has ended."
            raise InputError(message)
        yield


@contextmanager
def laboratory(run: Run) -> Iterator[Path | UPath]:
    """Run the tasks of the current flow on the runner, and in the artifact folder, that the settings name.

    To be entered in the body of a flow: a deployment knows its settings no sooner.

    Yields:
        The artifact folder.

    Raises:
        InputError: If the settings ask for what this machine does not have.
        ResourceError: If the disk of the artifact folder is full or refuses.
    """
    context = FlowRunContext.get()
    if context is None or context.result_store is None:
        message = "laboratory() works in the body of a flow"
        raise RuntimeError(message)
    check_run(run)
    root = artifact_folder(run.artifacts)
    records = str(root / RECORDS)
    storage: Any = Records(basepath=records)
    if backend_of(root).local_path is None:  # keys come from each machine's environment: settings travel with tasks
        storage = RemoteFileSystem(basepath=records, settings={"use_listings_cache": False})
    stops: list[Callable[[], object]] = [_stopping.set, stop_helper]
    runner = _runner(run, stops)
    inside = context.model_copy(
        update={
            "task_runner": runner,
            "result_store": context.result_store.model_copy(update={"result_storage": storage}),
        }
    )
    logger.setLevel(logging.INFO)
    _stopping.clear()
    refreshed = temporary_settings({PREFECT_TASKS_REFRESH_CACHE: run.refresh})
    if context.flow:
        check_tag_limits(context.flow.name.replace("-", "_"))
    told = waits_told(UUID(flow_run.id)) if flow_run.id else nullcontext()
    with _held(root), refreshed, runner, inside, told, ExitStack() as until_end:
        counted = _side_by_side.set(_count_workers(run, runner))
        publishing = _publishing.set(partial(_hold_results, root, until_end))
        if run.runner == "dask":
            _listen_to_dask(run, runner.client)  # type: ignore[attr-defined]
        usual_switch_seconds = sys.getswitchinterval()
        sys.setswitchinterval(_SWITCH_SECONDS)
        try:
            yield root
        except BaseException as error:
            for stop in stops:
                stop()
            if run.runner == "dask":
                with suppress(Exception):  # the scheduler may be what is gone
                    runner.client.run(_stop_run, flow_run.id)  # type: ignore[attr-defined]
            if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
                message = (
                    f"artifacts must be where there is room and permission to write, got {root}: "
                    f"{error.strerror or error}; what was finished is kept: make room, or choose another --artifacts."
                )
                raise ResourceError(message) from error
            raise
        finally:
            sys.setswitchinterval(usual_switch_seconds)
            _side_by_side.reset(counted)
            _publishing.reset(publishing)
