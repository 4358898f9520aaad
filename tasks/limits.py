"""Prefect's limits on how many tasks with a tag run at once: one of 0 is refused, and who waits for a full one says so.

Prefect itself says nothing: a task waits before it begins, as long as it takes.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from uuid import UUID

from httpx import HTTPError
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
)
from prefect.client.schemas.objects import StateType, TaskRun
from prefect.client.schemas.responses import GlobalConcurrencyLimitResponse as Limit
from prefect.context import TagsContext

from mlp_core.errors import InputError
from tasks.context import logger

_SECONDS_BETWEEN_LOOKS = 3.0
_END_SECONDS = 1.0  # a server that is gone does not answer sooner
_PAGE = 200
_TAG = "tag:"


def check_tag_limits(*experiments: str) -> None:
    """Refuse a run whose tasks could never start because Prefect's concurrency limit on one of their tags is 0.

    Args:
        experiments: Tags of its tasks, in addition to the current ones.

    Raises:
        InputError: If a limit is 0.
    """
    with get_client(sync_client=True) as client:
        limits = _limits(client)
    limited = {*TagsContext.get().current_tags, *experiments} & limits.keys()
    for tag in sorted(limited):
        if limits[tag].limit == 0:
            message = (
                f"the limit on tasks with the tag {tag} must be at least 1, got 0, with which none may begin; "
                f"raise it in Prefect's UI, or `prefect concurrency-limit delete {tag}`."
            )
            raise InputError(message)


@contextmanager
def report_waits(flow_run_id: UUID) -> Iterator[None]:
    """Log which concurrency limit a run waits for, once for each limit, while none of its tasks is running.

    A thread looks every three seconds while the context lasts.

    Args:
        flow_run_id: The run.
    """
    ended = threading.Event()
    reported: set[str] = set()

    def watch() -> None:
        while not ended.wait(_SECONDS_BETWEEN_LOOKS):
            with suppress(HTTPError, OSError):  # a server that is gone ends the run elsewhere
                for limit in _waited_for(flow_run_id):
                    if limit.name not in reported:
                        reported.add(limit.name)
                        tag = limit.name.removeprefix(_TAG)
                        logger.info(
                            "waiting for the limit on tasks with the tag %s, of which %d of %d are at work; see "
                            "`prefect concurrency-limit inspect %s`",
                            *(tag, limit.active_slots, limit.limit, tag),
                        )

    # In a copy of this context, so that the line reaches the run's log too
    watching = threading.Thread(target=copy_context().run, args=(watch,), daemon=True)
    watching.start()
    try:
        yield
    finally:
        ended.set()
        watching.join(_END_SECONDS)


def _limits(client: SyncPrefectClient) -> dict[str, Limit]:
    """Return the limits on tags that are in force, by tag."""
    limits: list[Limit] = []
    while page := client.read_global_concurrency_limits(limit=_PAGE, offset=len(limits)):
        limits += page
        if len(page) < _PAGE:
            break
    return {limit.name.removeprefix(_TAG): limit for limit in limits if limit.active and limit.name.startswith(_TAG)}


def _waited_for(flow_run_id: UUID) -> list[Limit]:
    with get_client(sync_client=True) as client:
        full = {tag: limit for tag, limit in _limits(client).items() if limit.active_slots >= limit.limit}
        if not full or _some_tasks(client, flow_run_id, StateType.RUNNING):
            return []
        waiting = _some_tasks(client, flow_run_id, StateType.PENDING)
    return [full[tag] for tag in sorted({tag for task_run in waiting for tag in task_run.tags} & set(full))]


def _some_tasks(client: SyncPrefectClient, flow_run_id: UUID, state: StateType) -> list[TaskRun]:
    of_run = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id]))
    in_state = TaskRunFilter(state=TaskRunFilterState(type=TaskRunFilterStateType(any_=[state])))
    return client.read_task_runs(flow_run_filter=of_run, task_run_filter=in_state, limit=_PAGE)
