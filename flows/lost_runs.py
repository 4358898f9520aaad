"""Runs whose process is gone, by `kill -9` or with its machine: the next run of the program, or its UI, ends them.

Each run holds a lock of the kernel's as long as its process lives, on a file of its own in Prefect's home. A file that
nobody holds is that of a process that is gone. A label of the run says that it has such a file next to its database: a
database that comes from a backup has the runs that were at work without their files.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from uuid import UUID

import click

from mlp_core.artifacts.locks import PREFECT_HOME, acquire, try_acquire
from mlp_core.errors import DeepMlpError
from tasks.process import undisturbed

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.filters import FlowRunFilter

_FOLDER = "deep-mlp-runs"
_PAGE = 200
_LATE_SECONDS = 60  # within which the server hears of a task's end
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_LABEL = "deep-mlp.lock-file"


@contextmanager
def known_to_live(home: Path, server: str, flow_run_id: UUID) -> Iterator[None]:
    """Hold a lock file for a flow run while the context lasts, so that others can see that its process is alive.

    If the file cannot be written or locked, the run goes on without it.

    Args:
        home: Prefect's home folder; the file lies in a subfolder.
        server: API address that the user has set, or empty for the server of this home.
        flow_run_id: The flow run.
    """
    path = home / _FOLDER / f"{flow_run_id}.json"
    partial = path.with_suffix(".partial")
    with ExitStack() as until_end:
        with suppress(OSError, DeepMlpError):  # no room or no locks: then nobody else will end it
            path.parent.mkdir(parents=True, exist_ok=True)
            until_end.callback(partial.unlink, missing_ok=True)
            file = until_end.enter_context(partial.open("w"))
            acquire(file, partial, PREFECT_HOME)
            json.dump({"machine": _machine(), "server": server}, file)
            file.flush()
            partial.rename(path)  # nobody finds it without its lock
            until_end.callback(path.unlink, missing_ok=True)
            if not server:
                _label(flow_run_id, path)
        yield


def _label(flow_run_id: UUID, path: Path) -> None:
    """Say on the server that a flow run has a lock file, if this server's database lies in the same home."""
    from httpx import HTTPError
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL

    if not str(PREFECT_API_DATABASE_CONNECTION_URL.value()).startswith("sqlite"):
        return
    with suppress(HTTPError), get_client(sync_client=True) as client:
        client.update_flow_run_labels(flow_run_id, {_LABEL: path.name})


def end_lost_runs(home: Path, server: str) -> None:
    """Mark as Crashed every run of this machine whose process is gone (its lock is free), and print a line for each.

    Runs of other machines that share this home are left alone: their locks may not be visible here.

    Args:
        home: Prefect's home folder.
        server: Only runs with this server, as `known_to_live` got it, are ended; empty for the server of this home.
    """
    for path in (home / _FOLDER).glob("*.json"):
        with suppress(OSError), path.open("r+") as file:
            if try_acquire(file, path, PREFECT_HOME) and _is_ours(file, server):
                _end(UUID(path.stem))
                path.unlink(missing_ok=True)


def end_restored_runs(home: Path) -> None:
    """Mark as Crashed every run of the database that had a lock file and has none, and print a line for each.

    A run's file outlives its process unless the run ends, so the database was elsewhere when the run was at work.

    Args:
        home: Prefect's home folder, whose server has just been started: nobody else uses its database.
    """
    with undisturbed():
        from prefect.client.orchestration import get_client
        from prefect.client.schemas.filters import FlowRunFilter

    at_work = {"deployment_id": {"is_null_": True}, "state": {"type": {"any_": ["RUNNING", "PENDING"]}}}
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(flow_run_filter=FlowRunFilter.model_validate(at_work))
    for run in runs:
        name = run.labels.get(_LABEL)
        if isinstance(name, str) and not (home / _FOLDER / name).exists():
            _end(run.id)


def _is_ours(file: IO[str], server: str) -> bool:
    try:
        written = json.load(file)
        same_machine = any(part and part == other for part, other in zip(written["machine"], _machine(), strict=True))
        return same_machine and written["server"] == server
    except (ValueError, KeyError, TypeError):
        return False


def _machine() -> list[str]:
    """Return what tells machines apart: a name, and since when it is up, which its containers share."""
    return [socket.gethostname(), _BOOT.read_text().strip() if _BOOT.exists() else ""]


def _end(flow_run_id: UUID) -> None:
    with undisturbed():
        from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        name = crash(client, flow_run_id, "its process was killed, or its machine went down")
    if name:
        click.echo(f"deep-mlp: the process of run {name} is gone; it is marked Crashed.", err=True)


def crash(client: SyncPrefectClient, flow_run_id: UUID, reason: str) -> str:
    """Mark a flow run and its unfinished tasks as Crashed, unless the run has already ended.

    Args:
        client: Client of the server.
        flow_run_id: The run.
        reason: Why, for the message of the state.

    Returns:
        The run's name; empty if it had ended or does not exist.
    """
    from prefect.client.schemas.filters import FlowRunFilter
    from prefect.exceptions import ObjectNotFound
    from prefect.states import Crashed

    try:
        flow_run = client.read_flow_run(flow_run_id)
    except ObjectNotFound:
        return ""
    if flow_run.state is None or flow_run.state.is_final():
        return ""
    state: Any = Crashed(message=f"Stopped: {reason}; what was finished is kept, run the same command again.")
    client.set_flow_run_state(flow_run_id, state, force=True)
    _end_tasks(client, FlowRunFilter.model_validate({"id": {"any_": [flow_run_id]}}), state)
    return str(flow_run.name)


def end_left_tasks(client: SyncPrefectClient, tag: str, flow_run_id: UUID) -> None:
    """End the tasks that the server still lists as pending or running although their runs are over.

    A worker, or the server itself, ends a run whose process is gone, but none of its tasks; and where the clock is set
    back, the server misses some ends. Tasks of crashed and cancelled runs become Crashed, and those of runs that failed
    more than a minute ago; those of runs that completed as long ago become Completed.

    Args:
        client: Client of the server.
        tag: Tag of this program's runs; other runs are not touched.
        flow_run_id: A run that begins now; tasks of its earlier attempts become Crashed too.
    """
    from prefect.client.schemas.filters import FlowRunFilter
    from prefect.states import Completed, Crashed

    heard = {"before_": datetime.now(UTC) - timedelta(seconds=_LATE_SECONDS)}
    crashed: Any = Crashed(message="Its run ended before it.")
    completed: Any = Completed(message="Its run has completed.")
    for of, state in (
        ({"tags": {"all_": [tag]}, "state": {"type": {"any_": ["CRASHED", "CANCELLED"]}}}, crashed),
        ({"tags": {"all_": [tag]}, "state": {"type": {"any_": ["FAILED"]}}, "end_time": heard}, crashed),
        ({"id": {"any_": [flow_run_id]}}, crashed),
        ({"tags": {"all_": [tag]}, "state": {"type": {"any_": ["COMPLETED"]}}, "end_time": heard}, completed),
    ):
        _end_tasks(client, FlowRunFilter.model_validate(of), state)


def _end_tasks(client: SyncPrefectClient, of: FlowRunFilter, state: Any) -> None:
    """Give a state to the tasks of some runs that have not ended."""
    from prefect.client.schemas.filters import TaskRunFilter

    open_tasks = TaskRunFilter.model_validate({"state": {"type": {"any_": ["PENDING", "RUNNING"]}}})
    seen: set[UUID] = set()
    while page := [
        task_run.id
        for task_run in client.read_task_runs(flow_run_filter=of, task_run_filter=open_tasks, limit=_PAGE)
        if task_run.id not in seen
    ]:
        for task_run_id in page:
            client.set_task_run_state(task_run_id, state, force=True)
        seen.update(page)
