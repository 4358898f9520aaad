"""`python -m benchmarks.soak`: scheduled runs at speed, each tenth disturbed at random; is anything lost or left over?

A run every 12 s that trains anew, by a server, a worker and the automations, in a home of their own. In each ten runs
one is disturbed: its process or its worker or both are killed, the server is killed and started again, or the disk with
the results is full. A last run takes everything from the cache. The seed is printed; with it the same disturbances come
again. Linux only; who is not root cannot mount the disk that fills up, and does without.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from benchmarks.load import Load
from benchmarks.services import (
    PATIENCE_SECONDS,
    SERVER,
    WORKER,
    Place,
    give_up,
    place_of_its_own,
    running,
    scheduled,
    wait_until,
)
from flows.server import healthy
from tasks.process import configure

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

_SECONDS_BETWEEN_RUNS = 12
_RUNS_PER_DISTURBANCE = 10
_DISK_MB = 64
_GRACE_SECONDS = 30
_TRAINING = {"spirals": {"points": 400}, "sweep": {"depths": [1, 2, 3], "epochs": 200}}
# In which states a disturbed run may end if not Completed, and what its message then has to say
_ENDS = {
    "run killed": ("Crashed", "SIGKILL"),
    "worker killed": (),
    "run and worker killed": ("Crashed", "No sign of life|Not begun"),
    "server restarted": (),
    "disk full": ("Failed", "No space left on device|must leave what fits on the disk"),
}


@dataclass(frozen=True)
class Disturbance:
    """A fault that is injected into one run.

    Attributes:
        after: How many runs have ended before it.
        what: Kind of the fault, such as `worker killed`.
        delay: Seconds from the start of the run's tasks.
        pause: Seconds until a killed server is started again.
    """

    after: int
    what: str
    delay: float
    pause: float


def plan(n_runs: int, seed: int, *, disk: bool) -> list[Disturbance]:
    """Return one random fault for every ten runs, in order.

    Args:
        n_runs: Number of runs.
        seed: Equal seeds give equal plans.
        disk: Whether the fault `disk full` is possible.

    Example:
        >>> [(one.after, one.what) for one in plan(20, 23, disk=True)]
        [(4, 'run killed'), (16, 'disk full')]
    """
    stream = random.Random(seed)
    kinds = [kind for kind in _ENDS if disk or kind != "disk full"]
    return [
        Disturbance(
            first + stream.randrange(min(_RUNS_PER_DISTURBANCE, n_runs - first)),
            stream.choice(kinds),
            stream.uniform(0, 3),
            stream.uniform(0, 10),
        )
        for first in range(0, n_runs, _RUNS_PER_DISTURBANCE)
    ]


class Service:
    """A server or worker process that can be killed and started again; it is started at once."""

    def __init__(self, command: list[str], place: Place, until_end: ExitStack) -> None:
        self._command, self._place, self._until_end = command, place, until_end
        self.start()

    def start(self) -> None:
        """Start the process."""
        self.process = self._until_end.enter_context(running(self._command, self._place))

    def kill(self) -> None:
        """Kill the process, but none of its children."""
        self.process.kill()
        self.process.wait()


def main() -> None:
    """Run the soak test and print its faults; exit status 1 if anything was lost or left over."""
    configure()  # server and worker inherit it
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description="Scheduled runs under faults.")
    parser.add_argument("--runs", type=int, default=200, metavar="N", help="of the schedule  [default: 200]")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), metavar="N", help="of the disturbances")
    options = parser.parse_args()
    with place_of_its_own() as place, ExitStack() as until_end:
        disk = _mounted(place.artifacts, until_end)
        print(f"{options.runs} runs, seed {options.seed}{'' if disk else ', no full disk'}", flush=True)
        with ExitStack() as until_soaked:
            server = Service(SERVER, place, until_soaked)
            wait_until(lambda: healthy(place.url), "the server is not up", place.log)
            worker = Service(WORKER, place, until_soaked)
            faults = Soak(place, server, worker, plan(options.runs, options.seed, disk=disk)).run(options.runs)
        faults += _of_the_database(place.home)
        print("\n".join(faults) or "nothing was lost, and nothing was left over", flush=True)
    sys.exit(bool(faults))


def _mounted(artifacts: Path, until_end: ExitStack) -> bool:
    """Mount a small disk for the results, if this user may."""
    artifacts.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_MB}m", "tmpfs", str(artifacts)]
    if os.geteuid() or subprocess.run(mount, check=False).returncode:
        return False
    until_end.callback(subprocess.run, ["umount", "--lazy", str(artifacts)], check=False)
    return True


def _of_the_database(home: Path) -> list[str]:
    """Return what is wrong with Prefect's database, now that no server is up."""
    with closing(sqlite3.connect(home / "prefect.db")) as database:
        (answer,) = database.execute("PRAGMA integrity_check").fetchone()
    return [] if answer == "ok" else [f"the database: {answer}"]


class Soak:
    """Scheduled runs with injected faults, and the checks of what they leave."""

    def __init__(self, place: Place, server: Service, worker: Service, disturbances: list[Disturbance]) -> None:
        self._place, self._server, self._worker = place, server, worker
        self._to_come = disturbances
        self._disturbed: dict[UUID, Disturbance] = {}
        self._ended: set[UUID] = set()
        self._results: dict[str, str] = {}
        self._since = datetime.now(UTC)
        self._load = Load(place.home, place.artifacts)

    def run(self, n_runs: int) -> list[str]:
        """Let a number of scheduled runs end, then check states, tasks, processes and files.

        Returns:
            In words what was lost or left over; empty if nothing was.
        """
        from prefect.client.orchestration import get_client

        parameters = {"run": {"seeds": 2, "artifacts": str(self._place.artifacts), "refresh": True}, **_TRAINING}
        watched = {"server": lambda: {self._server.process.pid}, "worker": lambda: {self._worker.process.pid}}
        with get_client(sync_client=True) as client:
            with (
                scheduled(client, self._place, parameters, _SECONDS_BETWEEN_RUNS) as deployment,
                self._load.watched(**watched),
            ):
                self._until_ended(client, deployment, n_runs)
            wait_until(
                lambda: all(run.state.is_final() for run in _due(client, deployment)), "a run goes on", self._place.log
            )
            runs = _due(client, deployment)
            parameters["run"]["refresh"] = False
            last = client.create_flow_run_from_deployment(deployment, parameters=parameters).id
            wait_until(lambda: client.read_flow_run(last).state.is_final(), "the last run goes on", self._place.log)
            faults = [*self._of_runs(runs), *self._of_the_last(client, last), *self._of_tasks(client)]
            self._tell(client, runs)
            return [*faults, *self._of_processes([*runs, client.read_flow_run(last)]), *self._of_files()]

    def _until_ended(self, client: SyncPrefectClient, deployment: UUID, n_runs: int) -> None:
        from httpx import HTTPError

        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(self._ended) < n_runs:
            if time.monotonic() > deadline:
                give_up(f"no run completed in {PATIENCE_SECONDS} s", self._place.log)
            time.sleep(0.5)
            with suppress(HTTPError):  # a server that is being killed
                runs = _due(client, deployment, self._since)
                self._since = next((run.expected_start_time for run in runs if not run.state.is_final()), self._since)
                for run in runs:
                    if run.state_name == "Completed" and run.id not in self._ended:
                        self._load.run_ended(run.total_run_time.total_seconds())
                        self._results = self._results or _digests(self._place.artifacts)
                        deadline = time.monotonic() + PATIENCE_SECONDS
                    if run.state.is_final():
                        self._ended.add(run.id)
                    awaited = self._to_come and self._to_come[0].after <= len(self._ended)
                    if awaited and run.id not in self._disturbed and _trains(client, run):
                        self._disturb(client, run, self._to_come.pop(0))

    def _disturb(self, client: SyncPrefectClient, run: FlowRun, disturbance: Disturbance) -> None:
        time.sleep(disturbance.delay)
        self._disturbed[run.id] = disturbance
        what = disturbance.what
        print(f"after {len(self._ended)} runs, at work on {_name(run)}: {what}", flush=True)
        if what == "disk full":
            self._fill_the_disk_until(lambda: client.read_flow_run(run.id).state.is_final())
        if "worker" in what:
            self._worker.kill()
        if "run" in what.split():
            for pid in _processes_of(run.id):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if what == "server restarted":
            self._server.kill()
            time.sleep(disturbance.pause)
            self._server.start()
            wait_until(lambda: healthy(self._place.url), "the server is not up again", self._place.log)
        if "worker" in what:
            self._worker.start()

    def _fill_the_disk_until(self, ended: Callable[[], bool]) -> None:
        ballast = self._place.artifacts / "ballast"
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while file.write(bytes(1 << 16)):
                pass
        wait_until(ended, "a run on a full disk goes on", self._place.log)
        ballast.unlink()

    def _tell(self, client: SyncPrefectClient, runs: list[FlowRun]) -> None:
        """Print what grew, how runs ended, and what is said of each disturbance."""
        print(self._load.summary())
        print("runs:", dict(Counter(run.state_name for run in runs)))
        for run in runs:
            if run.id in self._disturbed:
                reason = run.state.message or "; ".join(_warnings(client, run.id)[:3]) or "nothing, as it went on"
                print(f"  {self._disturbed[run.id].what}: {run.state_name}: {reason}")
        for disturbance in self._to_come:
            print(f"  {disturbance.what} after {disturbance.after} runs: not done, as no run was at work")

    def _of_runs(self, runs: list[FlowRun]) -> list[str]:
        """Return which runs did not come, or ended as nobody asked."""
        faults = []
        for run in runs:
            kind = self._disturbed[run.id].what if run.id in self._disturbed else "not disturbed"
            allowed, message = _ENDS.get(kind) or ("", "")
            if run.state_name not in ("Completed", "Skipped", allowed):
                faults.append(f"{_name(run)} is {run.state_name}, {kind}: {run.state.message}")
            elif run.state_name == allowed and not re.search(message, run.state.message or ""):
                faults.append(f"{_name(run)} is {run.state_name}, {kind}, and does not say so: {run.state.message}")
        times = [run.expected_start_time for run in runs]
        every = timedelta(seconds=_SECONDS_BETWEEN_RUNS)
        faults += [f"no run came at {moment + every:%H:%M:%S}" for moment in times[:-1] if moment + every not in times]
        return faults

    def _of_the_last(self, client: SyncPrefectClient, last: UUID) -> list[str]:
        """Return what the run that should find everything in the cache did not find."""
        from prefect.client.schemas.filters import FlowRunFilter

        name = client.read_flow_run(last).state_name
        faults = [] if name == "Completed" else [f"the last run is {name}"]
        tasks = client.read_task_runs(flow_run_filter=FlowRunFilter(id={"any_": [last]}))
        trained = [task for task in tasks if task.name.startswith("train ")]
        return faults + [
            f"{task.name} is {task.state_name} in the last run" for task in trained if task.state_name != "Cached"
        ]

    def _of_tasks(self, client: SyncPrefectClient) -> list[str]:
        """Return which tasks the server calls running though no run is at work; it hears of their ends late.

        NotReady is the end of those whose inputs failed.
        """
        from prefect.client.schemas.filters import TaskRunFilter

        wanted = TaskRunFilter(state={"type": {"any_": ["PENDING", "RUNNING"]}})
        left = _after_a_grace(
            lambda: [task for task in client.read_task_runs(task_run_filter=wanted) if task.state_name != "NotReady"]
        )
        return [f"the task {task.name} is {task.state_name}" for task in left]

    def _of_processes(self, runs: list[FlowRun]) -> list[str]:
        """Return which processes are left; a run's helper sees within a second that the run is gone."""
        left = _after_a_grace(lambda: [(run, pid) for run in runs for pid in _processes_of(run.id)])
        return [f"process {pid} of {_name(run)} is left: {_command_line(pid)}" for run, pid in left]

    def _of_files(self) -> list[str]:
        """Return which results differ from the first run's, and what else lies there now."""
        now = _digests(self._place.artifacts)
        return [
            *(f"left in the artifact folder: {name}" for name in sorted(now.keys() - self._results.keys())),
            *(f"gone from the artifact folder: {name}" for name in sorted(self._results.keys() - now.keys())),
            *(
                f"changed since the first run: {name}"
                for name, digest in self._results.items()
                if name.startswith("results/") and now.get(name, digest) != digest
            ),
        ]


def _due(client: SyncPrefectClient, deployment: UUID, since: datetime | None = None) -> list[FlowRun]:
    """Return the scheduled runs whose time has come, or those of them that were due since some time."""
    from prefect.client.schemas.filters import FlowRunFilter
    from prefect.client.schemas.sorting import FlowRunSort

    wanted = FlowRunFilter(
        deployment_id={"any_": [deployment]},
        tags={"all_": ["auto-scheduled"]},
        expected_start_time={"before_": datetime.now(UTC), "after_": since},
    )
    runs: list[FlowRun] = []
    while page := client.read_flow_runs(
        flow_run_filter=wanted, sort=FlowRunSort.EXPECTED_START_TIME_ASC, limit=200, offset=len(runs)
    ):
        runs += page
    return runs


def _trains(client: SyncPrefectClient, run: FlowRun) -> bool:
    """Return whether a run is at work and has begun its tasks: one that has not may yet be skipped."""
    from prefect.client.schemas.filters import FlowRunFilter

    of_run = FlowRunFilter(id={"any_": [run.id]})
    return run.state_name == "Running" and bool(client.read_task_runs(flow_run_filter=of_run, limit=1))


def _warnings(client: SyncPrefectClient, flow_run_id: UUID) -> list[str]:
    """Return what a run warned of in its log."""
    from prefect.client.schemas.filters import LogFilter

    logs = client.read_logs(LogFilter(flow_run_id={"any_": [flow_run_id]}, level={"ge_": 30}))
    return [line.message.splitlines()[0] for line in logs]


def _after_a_grace(left: Callable[[], list[Any]]) -> list[Any]:
    """Return what is still left after half a minute, or at once nothing."""
    deadline = time.monotonic() + _GRACE_SECONDS
    while (now := left()) and time.monotonic() < deadline:
        time.sleep(0.5)
    return now


def _name(run: FlowRun) -> str:
    """Return what tells one of the runs, which all have the same name: when it was due."""
    return f"the run of {run.expected_start_time:%H:%M:%S}"


def _digests(artifacts: Path) -> dict[str, str]:
    """Return the digests of all files, by their names."""
    return {
        str(path.relative_to(artifacts)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in artifacts.rglob("*")
        if path.is_file()
    }


def _processes_of(flow_run_id: object) -> list[int]:
    """Return the processes of a run, by their environment."""
    processes = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if f"PREFECT__FLOW_RUN_ID={flow_run_id}".encode() in path.read_bytes():
                processes.append(int(path.parent.name))
    return processes


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")[:200]
    except OSError:
        return "gone"


if __name__ == "__main__":
    main()
