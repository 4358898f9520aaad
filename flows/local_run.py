"""One run of a flow from the command line: a server, the flow, its lines on the console, and the times at the end."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager, nullcontext
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from flows.lost_runs import crash, end_lost_runs, end_restored_runs, known_to_live
from flows.prefect_settings import read_prefect_settings
from flows.preloading import (
    all_is_to_be_made,
    load_torch_library,
    preload_helper,
    preload_training,
    preload_until_healthy,
)
from flows.quick_clients import quick_clients
from flows.server import (
    LOOPBACK,
    LocalServer,
    RunLost,
    check_server,
    gone,
    reach_directly,
)
from flows.stopping import STOPPED, ignore_signals, is_asked, say_stopped
from mlp_core.addresses import check_table_address, image_path
from mlp_core.artifacts.paths import artifact_folder
from mlp_core.data.settings import BUNDLED_TABLES, DataSource, is_table
from mlp_core.errors import InputError, ResourceError
from mlp_core.settings import Settings
from tasks.console import ConsoleHandler, silence_prefect_console, stderr_console
from tasks.helper_process import stop_helpers
from tasks.preflight import check_limits, check_run
from tasks.process import uncollected, undisturbed
from tasks.resources import check_resources
from tasks.run_settings import ImageRunSettings, RunSettings
from tasks.stages import TUTORIAL, flow_parameters, stages_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

_DRAIN_SECONDS = 20
_STOPPED_DRAIN_SECONDS = 3
_STOPPED_SECONDS = 5
_FAILED_SECONDS = 30
_REPORT_SECONDS = 1.5
_SECONDS_BETWEEN_LOOKS = 1.0
_LOST_SECONDS = 30
_GIVE_UP_SECONDS = 10
_PAGE = 200


# Not part of the flow's hook: the flow travels to worker processes
_told_of_begin: list[Callable[[Any], object]] = []


def _tell_of_begin(_flow: Any, flow_run: Any, _state: Any) -> None:
    for callback in _told_of_begin:
        callback(flow_run)


def run_flow(name: str, own_settings: Mapping[str, Settings]) -> None:
    """Run a flow from the command line to its end, on the user's Prefect server or on one that is started for it.

    It checks the settings first, prints progress, and at the end the times and the paths of results and report.

    Args:
        name: The command, such as `depth-sweep`.
        own_settings: Values of the flow's parameters; missing ones have the flow's defaults.

    Raises:
        InputError: If a setting is invalid.
        ResourceError: If something that the run needs is missing or fails, such as disk space.
        SweepFailed: If a task failed.
        RunLost: If the server did not answer for half a minute, or a worker process was killed.
        KeyboardInterrupt: If the user stopped it.
    """
    flow_name = name.replace("-", "_")
    parameters = flow_parameters(flow_name) | dict(own_settings)
    run = parameters["run"]
    if not isinstance(run, RunSettings):
        message = f"the parameter run must be settings of a run, got {run!r}"
        raise TypeError(message)
    check_run(run)
    check_limits(run)
    source = parameters.get("source")
    if isinstance(source, DataSource) and is_table(source.data) and source.data not in BUNDLED_TABLES:
        check_table_address(source.data)
    images = image_path(run.images) if isinstance(run, ImageRunSettings) else None
    stages = stages_of(flow_name, parameters)
    check_resources(stages, run)
    started = time.monotonic()
    reach_directly()
    settings = read_prefect_settings()
    configured = settings.api_url
    if configured:
        check_server(configured)
    server = None if configured else LocalServer(settings)
    try:
        if server:
            os.environ["PREFECT_API_URL"] = server.url
        if images:
            from mlp_core.data.images import list_images

            list_images(images)  # while the server starts: a zip's directory takes a moment
        with undisturbed(), uncollected():  # imported while the server starts
            is_fresh = all_is_to_be_made(run)
            if is_fresh and not server:  # which would start more slowly
                preload_helper(stages, run)
                load_torch_library()
            flow = getattr(import_module(f"flows.{flow_name}"), flow_name)
            if server:
                preload_until_healthy(server.url, trains=is_fresh)
                if is_fresh:
                    preload_helper(stages, run)
            if is_fresh:
                preload_training(run)
        if server:
            server.wait()
        url = server.url if server else settings.api_url or ""
        flow_run_ids: list[UUID] = []
        clients = quick_clients(is_local=server is not None, is_started=server is not None and server.started)
        with _watched(url, server, flow_run_ids), clients, ExitStack() as known:
            end_lost_runs(settings.home, configured or "")
            if server and server.started:
                end_restored_runs(settings.home)

            def begun(flow_run: Any) -> None:
                flow_run_ids.append(flow_run.id)
                known.enter_context(known_to_live(settings.home, configured or "", flow_run.id))
                _announce(name, run, _seconds_of_such_runs(flow_run) if urlsplit(url).hostname in LOOPBACK else [])

            _told_of_begin.append(begun)
            flow.on_running(_tell_of_begin)
            _run(flow, parameters, run, started, url, flow_run_ids)
    finally:
        ignore_signals()  # a second Ctrl-C must not leave the server behind
        if server:
            server.release()


@contextmanager
def _watched(url: str, server: LocalServer | None, flow_run_ids: list[UUID]) -> Iterator[None]:
    """End a run that does not end by itself: one that is asked to stop, one that failed, and one whose server is gone.

    Threads of a stopped run may wait for what nobody tells them, such as a place under one of Prefect's limits. And
    Prefect's client would go on asking for a server that is gone, ten minutes and more: the trainings are then stopped
    as by Ctrl-C, which leaves nothing half-written, and what still waits for the server is left behind. A run that
    failed has more time than one that somebody waits to see stopped, for dask's workers need some.
    """
    from tasks.context import is_stopping  # with pyarrow, for which the server's start need not wait

    ended, lost = threading.Event(), threading.Event()
    message = f"the Prefect server at {url} is gone; what was finished is kept: run the same command again."

    def watch() -> None:
        answered = at_work = time.monotonic()
        while not ended.wait(_SECONDS_BETWEEN_LOOKS / 4 if is_stopping() else _SECONDS_BETWEEN_LOOKS):
            if not (is_stopping() or is_asked()):
                at_work = time.monotonic()
            if not gone(url):
                answered = time.monotonic()
                if answered > at_work + (_STOPPED_SECONDS if is_asked() else _FAILED_SECONDS):
                    _end_at_once(server, flow_run_ids)
            elif is_stopping() or time.monotonic() > answered + _LOST_SECONDS:
                break
        else:
            return
        lost.set()
        if not is_stopping():
            os.kill(os.getpid(), signal.SIGINT)
        if not ended.wait(_GIVE_UP_SECONDS):
            click.echo(f"deep-mlp: {message}", err=True)
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        if lost.is_set() or (not isinstance(error, (InputError, ResourceError, KeyboardInterrupt)) and gone(url)):
            raise RunLost(message) from error
        if is_asked() and not isinstance(error, (InputError, ResourceError)):
            raise KeyboardInterrupt from error
        if isinstance(error, BrokenProcessPool):
            message_of_worker = (
                "a worker process was killed, by somebody or by the system when memory was short; "
                "what was finished is kept: run the same command again."
            )
            raise RunLost(message_of_worker) from error
        raise
    finally:
        ended.set()


def _end_at_once(server: LocalServer | None, flow_run_ids: list[UUID]) -> None:
    """End the program with all states reported, though threads still wait."""
    from prefect.client.orchestration import get_client

    def report() -> None:
        with get_client(sync_client=True) as client:
            for flow_run_id in flow_run_ids:
                crash(client, flow_run_id, "it was asked to" if is_asked() else "it failed and did not end")

    reporting = threading.Thread(target=report, daemon=True)
    reporting.start()
    reporting.join(_REPORT_SECONDS)
    if server:
        server.release(_REPORT_SECONDS)
    if not is_asked():
        click.echo("deep-mlp: the run failed and did not end; what was finished is kept.", err=True)
        os._exit(1)
    click.echo(err=True)  # as after Ctrl-C
    say_stopped()
    os._exit(STOPPED)


def _run(
    flow: Any, parameters: dict[str, Settings], run: RunSettings, started: float, url: str, flow_run_ids: list[UUID]
) -> None:
    with _console():
        try:
            report = flow(**parameters)
        finally:
            stop_helpers()  # it ends while the last states are waited for
            stopped = isinstance(sys.exc_info()[1], KeyboardInterrupt)
            rows = _drained(flow_run_ids, url, _STOPPED_DRAIN_SECONDS if stopped else _DRAIN_SECONDS)
    _print_times(rows)
    root = artifact_folder(run.artifacts)
    click.echo(f"\nresults  {root / 'results'}\nreport   {report}\nfinished in {time.monotonic() - started:.1f} s")


def _announce(name: str, run: RunSettings, seconds: list[float]) -> None:
    """Say how long such a run took before, where that is known; of the tutorial also what is about to be done."""
    if name != TUTORIAL and not seconds:
        return
    what = ""
    if name == TUTORIAL:
        what = "the tutorial's own experiments, " if run.seeds == 1 else "every experiment, "
    times = ""
    if seconds:
        last, shortest, longest = (f"{duration:,.0f} s" for duration in (seconds[0], min(seconds), max(seconds)))
        times = f"; such a run took {last} on this machine"
        if shortest != longest:
            times = f"; such runs took {shortest} to {longest} on this machine, the last one {last}"
        times += ", not counting Prefect's start"
    seeds = "1 seed" if run.seeds == 1 else f"{run.seeds} seeds"
    logging.getLogger("deep_mlp").info("%s: %s%s, in %s%s", name, what, seeds, artifact_folder(run.artifacts), times)


def _seconds_of_such_runs(flow_run: Any) -> list[float]:
    """Return how long completed runs of the same flow with the same parameters took, the last one first."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import (
        FlowFilter,
        FlowFilterId,
        FlowRunFilter,
        FlowRunFilterState,
        FlowRunFilterStateType,
    )
    from prefect.client.schemas.objects import StateType
    from prefect.client.schemas.sorting import FlowRunSort

    try:
        with get_client(sync_client=True) as client:
            runs = client.read_flow_runs(
                flow_filter=FlowFilter(id=FlowFilterId(any_=[flow_run.flow_id])),
                flow_run_filter=FlowRunFilter(
                    state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.COMPLETED]))
                ),
                sort=FlowRunSort.END_TIME_DESC,
                limit=100,
            )
    except Exception:  # what is nice to know must not end a run
        return []
    return [run.total_run_time.total_seconds() for run in runs if run.parameters == flow_run.parameters]


@contextmanager
def _console() -> Iterator[None]:
    """Show the project's own lines, next to a spinner on a terminal, and Prefect's warnings."""
    console = stderr_console()
    own = logging.getLogger("deep_mlp")
    silence_prefect_console()
    # Rich takes a file for a terminal too where FORCE_COLOR is set, as CI does
    spinner = "line" if console.options.ascii_only else "dots"
    with console.status("starting", spinner=spinner) if sys.stderr.isatty() else nullcontext() as status:
        lines = ConsoleHandler(console, status)
        own.addHandler(lines)
        own.setLevel(logging.INFO)
        try:
            yield
        finally:
            own.removeHandler(lines)


def _drained(flow_run_ids: list[UUID], url: str, seconds: float) -> list[Any]:
    """Wait until the server has stored the end of every task run, and return them.

    The server stores them up to a second late; a server that is stopped sooner would show them as running for ever.
    One that refuses to tell costs the times of the tasks, and hides neither the run's end nor its error.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterId,
        TaskRunFilter,
        TaskRunFilterState,
        TaskRunFilterStateType,
    )
    from prefect.client.schemas.objects import TERMINAL_STATES, StateType
    from prefect.logging.handlers import APILogHandler

    APILogHandler().flush()
    if not flow_run_ids:
        return []
    wanted = FlowRunFilter(id=FlowRunFilterId(any_=flow_run_ids))
    at_work = TaskRunFilterStateType(any_=[kind for kind in StateType if kind not in TERMINAL_STATES])
    unfinished = TaskRunFilter(state=TaskRunFilterState(type=at_work))
    deadline = time.monotonic() + seconds
    rows: list[Any] = []
    try:
        with get_client(sync_client=True) as client:
            seen = -1
            while time.monotonic() < deadline:
                # All rows only when none is missing: to read them slows the server down, which has the last to store
                if not client.read_task_runs(flow_run_filter=wanted, task_run_filter=unfinished, limit=1):
                    rows = _task_runs(client, wanted)
                    if len(rows) == seen and all(row.state and row.state.is_final() for row in rows):
                        return rows
                    seen = len(rows)
                time.sleep(0.1)
            rows = _task_runs(client, wanted)
    except Exception as error:
        if gone(url):
            raise
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        logging.getLogger("deep_mlp").warning("the server does not tell the times of all tasks: %s", reason)
    return rows


def _task_runs(client: Any, wanted: Any) -> list[Any]:
    rows: list[Any] = []
    while page := client.read_task_runs(flow_run_filter=wanted, limit=_PAGE, offset=len(rows)):
        rows += page
        if len(page) < _PAGE:
            break
    return rows


def _print_times(rows: list[Any]) -> None:
    from tasks.caching import is_from_cache
    from tasks.training import train_configurations

    by_experiment: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        for tag in row.tags:
            by_experiment[tag].append(row)
    click.echo(f"\n{'experiment':<14}{'trainings':>10}{'cached':>8}{'work':>10}")
    for experiment in sorted(by_experiment):
        rows = by_experiment[experiment]
        trainings = [row for row in rows if row.task_key == train_configurations.task_key]
        cached = sum(is_from_cache(row.state) for row in trainings)
        seconds = sum(row.total_run_time.total_seconds() for row in rows)
        click.echo(f"{experiment:<14}{len(trainings):>10}{cached:>8}{seconds:>8.1f} s")
