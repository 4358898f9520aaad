"""Dask's scheduler and workers: how many tasks at a time, whose code they have, and what they say."""

from __future__ import annotations

import logging
import platform
from importlib import import_module
from typing import Any

from prefect.runtime import flow_run

from mlp_core.artifacts.storage import code_digest, versions
from mlp_core.errors import InputError
from mlp_core.experiments.catalog import FOLDERS
from tasks.console import ConsoleHandler, silence_prefect_console
from tasks.context import logger
from tasks.process import configure

_FINDS_THE_REST = "deep_mlp_program"  # imported first: `tasks` may be a module of the user's there
_CODE = (
    "tasks.training",
    "tasks.results",
    "tasks.data",
    *(f"mlp_core.experiments.{name}.experiment" for name in FOLDERS),
)


def dask_runner(scheduler: str, n_workers: int) -> Any:
    """Return Prefect's task runner on a dask scheduler, or, if the address is empty, on workers of its own."""
    from prefect_dask.task_runners import DaskTaskRunner

    if scheduler:
        return DaskTaskRunner(address=scheduler)
    # Dask's own defaults listen on every interface
    local = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "processes": True}
    return DaskTaskRunner(cluster_kwargs={**local, "n_workers": n_workers, "threads_per_worker": 1})


def count_workers(scheduler: str, client: Any) -> int:
    """Return how many tasks the workers of a dask scheduler work on at the same time.

    Raises:
        InputError: If the scheduler cannot be reached or has no workers: tasks would wait for ever.
    """
    try:
        n_workers = int(sum(client.nthreads().values()))
        reason = "it has no workers"
    except OSError as error:
        n_workers, reason = 0, str(error)
    if n_workers == 0:
        message = (
            f"scheduler must be a dask scheduler with workers, got {scheduler}, but {reason}; "
            f"start one with `dask scheduler`, and workers with `dask worker {scheduler}`."
        )
        raise InputError(message)
    return n_workers


def prepare_workers(scheduler: str, client: Any) -> None:
    """Let workers find this project's packages, check their versions, and show their lines on this console.

    Args:
        scheduler: Address of the user's scheduler; empty if this run started its own, whose workers show nothing else.
        client: Dask's client.

    Raises:
        InputError: If scheduler or workers have no deep-mlp, or other code or libraries than this process: their
            results would be kept as those of this version.
    """
    from distributed.diagnostics.plugin import ForwardLoggingPlugin

    try:
        client.run_on_scheduler(import_module, _FINDS_THE_REST)
        client.run(import_module, _FINDS_THE_REST)
        theirs = {scheduler: client.run_on_scheduler(installed), **client.run(installed)}
    except ImportError as error:
        raise InputError(_other_version(scheduler, f"a process without it: {error}")) from error
    ours = installed()
    for address, there in theirs.items():
        other = [f"{name} {there[name]}, here {version}" for name, version in ours.items() if there[name] != version]
        if other:
            raise InputError(_other_version(scheduler, f"{address} with {other[0]}"))
    client.run(configure)
    client.run(logger.setLevel, logging.INFO)
    for lines in (handler for handler in logger.handlers if isinstance(handler, ConsoleHandler)):
        topic = f"lines of {flow_run.id}"
        client.subscribe_topic(topic, lambda event, lines=lines: lines.handle(logging.makeLogRecord(event[1])))
        forward: Any = ForwardLoggingPlugin
        client.register_plugin(forward(logger.name, logging.INFO, topic), name=topic)
        if not scheduler:
            client.run(silence_prefect_console)


def installed() -> dict[str, str]:
    """Return what decides results in this process: versions of Python and libraries, and a digest of the code.

    The digest is that of the first call: a process goes on with the code that it has imported.
    """
    return {"Python": platform.python_version(), **versions(), "the code": code_digest(*_CODE)[:12]}


def _other_version(scheduler: str, what: str) -> str:
    return (
        f"scheduler must be one whose processes have the same deep-mlp as this one, got {scheduler}, where there is "
        f"{what}; install the same there, and start scheduler and workers again."
    )
