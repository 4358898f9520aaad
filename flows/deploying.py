"""A step of `prefect deploy`: where the clone lies, its queues and limits, what deploying again does to schedules."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import click
import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolUpdate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ObjectNotFound

from flows.experiment import TAG
from mlp_core.errors import InputError

_AT_ONCE = 4  # each run has a task for every core of its machine: more of them only wait for each other


def prepare() -> dict[str, str]:
    """Prepare the server for `prefect deploy` and return `{"directory": folder}`, the folder that is deployed.

    It creates the work queues that prefect.yaml names, limits their pool to four runs at a time unless somebody has set
    a limit, and prints what deploying will change in the schedules; all that only once per process. The folder is the
    current one, not the environment's PWD, which may be that of the shell.

    Raises:
        InputError: If prefect.yaml is not in the current folder.
    """
    folder = Path.cwd()
    file = folder / "prefect.yaml"
    if not file.is_file():
        message = (
            f"prefect deploy must be run in the clone, where prefect.yaml lies, got {folder}; change to the clone."
        )
        raise InputError(message)
    _prepare_server(file)
    return {"directory": str(folder)}


@cache
def _prepare_server(file: Path) -> None:
    described = {
        f"{deployment['entrypoint'].rpartition('.')[2].replace('_', '-')}/{deployment['name']}": deployment
        for deployment in yaml.safe_load(file.read_text(encoding="utf-8"))["deployments"]
    }
    with get_client(sync_client=True) as client:
        for entry in described.values():
            _make_queue(client, entry["work_pool"]["name"], entry["work_pool"]["work_queue_name"])
        for pool in sorted({entry["work_pool"]["name"] for entry in described.values()}):
            _limit_pool(client, pool)
        for deployment in _deployments(client):
            name = f"{client.read_flow(deployment.flow_id).name}/{deployment.name}"
            if name not in described:
                click.echo(
                    f"deep-mlp: {name} is not in prefect.yaml, and stays on the server with its schedules; "
                    f"`prefect deployment delete {name}` removes it."
                )
                continue
            for line in _keep_schedules(client, deployment, described[name].get("schedules", [])):
                click.echo(f"deep-mlp: {name}: {line}")


def _make_queue(client: SyncPrefectClient, pool: str, name: str) -> None:
    """Make a queue from which one run goes at a time; one that is there stays as it is."""
    try:
        client.read_work_queue_by_name(name, work_pool_name=pool)
    except ObjectNotFound:
        client.create_work_queue(name, "One run at a time.", concurrency_limit=1, work_pool_name=pool)


def _limit_pool(client: SyncPrefectClient, pool: str) -> None:
    """Let a few runs of a pool go at a time, the others wait; a limit that somebody has set stays."""
    if client.read_work_pool(pool).concurrency_limit is None:
        client.update_work_pool(pool, WorkPoolUpdate(concurrency_limit=_AT_ONCE))
        click.echo(
            f"deep-mlp: the work pool {pool} now runs {_AT_ONCE} at a time, others wait; "
            f"`prefect work-pool set-concurrency-limit {pool} N` sets another limit."
        )


def _deployments(client: SyncPrefectClient) -> list[DeploymentResponse]:
    return client.read_deployments(deployment_filter=DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG])))


def _keep_schedules(
    client: SyncPrefectClient, deployment: DeploymentResponse, described: list[dict[str, Any]]
) -> Iterator[str]:
    """Make Prefect leave the schedules that somebody added, and yield what it changes of the others.

    Prefect keeps which schedules are switched on as long as each has a slug; else it makes all of them anew.
    """
    there = {schedule.slug: schedule for schedule in deployment.schedules if schedule.slug}
    for schedule in deployment.schedules:
        if not schedule.slug:
            client.update_deployment_schedule(deployment.id, schedule.id, slug=f"added-{schedule.id}")
        if deployment.paused and schedule.active:  # Prefect switches a deployment on, but no schedule
            client.update_deployment_schedule(deployment.id, schedule.id, active=False)
    for wanted in described:
        slug, cron = wanted["slug"], wanted["cron"]
        if slug not in there:
            yield f"the schedule {slug!r} is not on the server, and is switched on: {cron}"
            continue
        if deployment.paused or not there[slug].active:
            yield f"the schedule {slug!r} stays switched off"
        now = there[slug].schedule
        if not isinstance(now, CronSchedule) or (now.cron, now.timezone) != (cron, wanted["timezone"]):
            yield f"the schedule {slug!r} is that of prefect.yaml again: {cron} {wanted['timezone']}, not {_words(now)}"


def _words(schedule: Any) -> str:
    return " ".join(str(value) for value in schedule.model_dump(exclude_none=True, exclude={"day_or"}).values())
