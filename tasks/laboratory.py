"""The place where a flow's tasks run: task runner, artifact folder, and a way to stop at once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prefect.context import FlowRunContext
from prefect.filesystems import LocalFileSystem
from prefect.settings import PREFECT_TASKS_REFRESH_CACHE, temporary_settings
from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner, ThreadPoolTaskRunner

from mlp_core.settings import Run

logger = logging.getLogger("deep_mlp")
"""What a user should read; goes to Prefect's log too."""

WORKERS = 2
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


@contextmanager
def laboratory(run: Run) -> Iterator[Path]:
    """Run the tasks of the current flow on the runner, and in the artifact folder, that the settings name.

    To be entered in the body of a flow: a deployment knows its settings no sooner.

    Yields:
        The artifact folder, absolute.
    """
    context = FlowRunContext.get()
    if context is None or context.result_store is None:
        message = "laboratory() works in the body of a flow"
        raise RuntimeError(message)
    root = run.artifacts.expanduser().resolve()
    storage = LocalFileSystem(basepath=str(root / ".records"))
    runner: TaskRunner = {"threads": ThreadPoolTaskRunner, "processes": ProcessPoolTaskRunner}[run.runner](
        max_workers=WORKERS
    )
    inside = context.model_copy(
        update={
            "task_runner": runner,
            "result_store": context.result_store.model_copy(update={"result_storage": storage}),
        }
    )
    _stopping.clear()
    with temporary_settings({PREFECT_TASKS_REFRESH_CACHE: run.refresh}), runner, inside:
        try:
            yield root
        except BaseException:
            _stopping.set()
            raise
