"""The place where a flow's tasks run: task runner, artifact folder, and a way to stop at once."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from functools import partial
from multiprocessing import get_context, parent_process, resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from prefect.context import FlowRunContext
from prefect.settings import PREFECT_TASKS_REFRESH_CACHE, temporary_settings
from prefect.task_runners import ProcessPoolTaskRunner, ThreadPoolTaskRunner

from mlp_core.artifacts.backends import backend_of
from mlp_core.artifacts.locks import opened_folder, try_acquire
from mlp_core.artifacts.paths import artifact_folder
from mlp_core.errors import InputError, ResourceError
from mlp_core.machine import cores
from tasks.artifact_listing import KINDS
from tasks.caching import result_storage_in
from tasks.console import ConsoleHandler, silence_prefect_console, stderr_console
from tasks.context import RECORDS, RunContext, logger, stop_run
from tasks.dask_cluster import count_workers, dask_runner, prepare_workers
from tasks.helper_process import stop_helpers
from tasks.limits import check_tag_limits, report_waits
from tasks.preflight import check_run
from tasks.process import TERMINAL_SIGNALS, configure, flow_at_work, terminal_signals_blocked
from tasks.run_settings import RunSettings

if TYPE_CHECKING:
    from upath import UPath


def _start_worker(stop: Any, token: str, on_console: bool) -> None:
    """Let a worker process stop when the run does, and end when the program is killed; the terminal speaks to that."""
    configure()
    logger.setLevel(logging.INFO)
    if on_console:
        silence_prefect_console()
        logger.addHandler(ConsoleHandler(stderr_console()))
    for number in TERMINAL_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    program = parent_process()

    def watch() -> None:
        while program is not None and program.is_alive():
            if stop.value:
                stop_run(token)
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _shared_lock(context: RunContext) -> Iterator[None]:
    """Hold the artifact folder as one of its runs, and clear at the end what Prefect keeps of failed tasks."""
    root = context.root
    waiting = context.waiting_for(f"`deep-mlp artifacts prune` in {root}")
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
        with terminal_signals_blocked():
            return super().submit(*args, **kwargs)


def _runner(run: RunSettings, token: str, stops: list[Callable[[], object]]) -> Any:
    """Return what runs the tasks; `stops` gets one more if its processes have to be told."""
    n_workers = run.workers or cores()
    if run.runner == "threads":
        return ThreadPoolTaskRunner(max_workers=n_workers)
    if run.runner == "processes":
        with terminal_signals_blocked():
            resource_tracker.ensure_running()  # one that ends with the terminal leaves another that knows too little
        # No Event: to set one waits for all who wait for it, and a killed worker never answers
        stop = get_context("spawn").RawValue("b", 0)
        stops.append(lambda: setattr(stop, "value", 1))
        on_console = any(isinstance(handler, ConsoleHandler) for handler in logger.handlers)
        return _Processes(n_workers, initializer=_start_worker, initargs=(stop, token, on_console))
    return dask_runner(run.scheduler, n_workers)


@contextmanager
def _described_refusals(root: Path | UPath) -> Iterator[None]:
    """Raise what the disk or S3 refuses as one sentence."""
    try:
        yield
    except Exception as error:
        if sentence := backend_of(root).describe_refusal(error):
            raise ResourceError(sentence) from error
        raise


@contextmanager
def exclusive_lock(root: Path) -> Iterator[None]:
    """Hold an artifact folder while no run works in it; a run that starts meanwhile waits.

    Raises:
        InputError: If a run is working in it.
    """
    with opened_folder(root) as folder:
        if not try_acquire(folder, root):
            message = f"artifacts must be a folder that no run is at work in, got {root}; wait until the run has ended."
            raise InputError(message)
        yield


@contextmanager
def run_environment(run: RunSettings) -> Iterator[RunContext]:
    """Set up the current flow's task runner, artifact folder and cache as the settings say, while the context lasts.

    It must be entered in the body of a flow: a deployment knows its settings only then. If the body raises an error,
    all tasks of the run are stopped. Why the flow's context is entered once more, instead of calling
    `Flow.with_options`: docs/decisions/0008-prefect-runner-and-results.md.

    Yields:
        The run's context, to pass to its tasks.

    Raises:
        InputError: If the settings ask for what this machine does not have.
        ResourceError: If the disk of the artifact folder is full or refuses to write.
    """
    of_flow = FlowRunContext.get()
    if of_flow is None or of_flow.result_store is None or of_flow.flow is None or of_flow.flow_run is None:
        message = "run_environment() works in the body of a flow"
        raise RuntimeError(message)
    check_run(run)
    root, token = artifact_folder(run.artifacts), uuid4().hex
    stops: list[Callable[[], object]] = [partial(stop_run, token), stop_helpers]
    runner = _runner(run, token, stops)
    inside = of_flow.model_copy(
        update={
            "task_runner": runner,
            "result_store": of_flow.result_store.model_copy(update={"result_storage": result_storage_in(root)}),
        }
    )
    # To change one setting, Prefect reads all of them anew
    refreshed = temporary_settings({PREFECT_TASKS_REFRESH_CACHE: True}) if run.refresh else nullcontext()
    check_tag_limits(of_flow.flow.name.replace("-", "_"))
    context = RunContext(str(root), run.workers or cores(), run.time_limit_seconds, run.refresh, token)
    with (
        flow_at_work(),
        _described_refusals(root),
        _shared_lock(context),
        refreshed,
        runner,
        inside,
        report_waits(of_flow.flow_run.id),
    ):
        if run.scheduler:
            context = replace(context, n_parallel=count_workers(run.scheduler, runner.client))
        try:
            if run.runner == "dask":
                prepare_workers(run.scheduler, runner.client)
            yield context
        except BaseException:
            for stop in stops:
                stop()
            if run.runner == "dask":
                with suppress(Exception):  # the scheduler may be what is gone
                    runner.client.run(stop_run, token)
            raise
