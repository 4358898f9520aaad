"""`python -m benchmarks.soak`: scheduled runs at speed, each tenth disturbed at random; is anything lost or left over?

A run every 15 s that trains anew, by a server, a worker and the automations, in a home of their own. In each ten runs
one is disturbed: its process, its worker, both or the server are killed, and the latter are started again. The seed is
printed; with it the same disturbances come again. Linux only.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.load import PREFECT, ROOT, Load, give_up, running, stopped
from flows.server import healthy
from tasks.process import configure

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

_SECONDS_BETWEEN_RUNS = 15
_PATIENCE_SECONDS = 300
_RUNS_PER_DISTURBANCE = 10
_DISTURBANCES = ("run", "worker", "run and worker", "server")
_TRAINING = {"spirals": {"points": 400}, "sweep": {"depths": [1, 2, 3], "epochs": 200}}
_WORKER = [*PREFECT, "worker", "start", "--pool", "deep-mlp", "--type", "process"]
_SERVER = [*PREFECT, "server", "start"]


class Service:
    """A server or a worker that can be killed and started again."""

    def __init__(self, command: list[str], log: Path) -> None:
        self._command, self._log = command, log
        self._up = ExitStack()
        self.start()

    def start(self) -> None:
        """Start it."""
        self.process = self._up.enter_context(running(self._command, self._log))

    def kill(self) -> None:
        """Kill it, and nothing that it started."""
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """End it, with all that it started."""
        self._up.close()


def main() -> None:
    """Run it and print what was found; exit status 1 if anything was lost or left over."""
    configure()  # server and worker inherit it
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description="Scheduled runs under faults.")
    parser.add_argument("--runs", type=int, default=200, metavar="N", help="that end by themselves  [default: 200]")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), metavar="N", help="of the disturbances")
    options = parser.parse_args()
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, stopped)
    with tempfile.TemporaryDirectory() as folder:
        home, artifacts, log = Path(folder, "prefect"), Path(folder, "artifacts"), Path(folder, "log")
        home.mkdir()
        port = os.environ.get("PREFECT_SERVER_API_PORT", "4200")
        url = f"http://127.0.0.1:{port}/api"
        if healthy(url):
            sys.exit(f"port {port} is in use; set PREFECT_SERVER_API_PORT to a free one.")
        os.environ |= {"PREFECT_HOME": str(home), "PREFECT_SERVER_API_PORT": port, "PREFECT_API_URL": url}
        os.environ["PREFECT_WORKER_QUERY_SECONDS"] = "2"
        print(f"{options.runs} runs, seed {options.seed}", flush=True)
        with ExitStack() as until_end:
            server = Service(_SERVER, log)
            until_end.callback(server.close)
            _wait_until_up(url, log)
            worker = Service(_WORKER, log)
            until_end.callback(worker.close)
            faults = _soak(options.runs, random.Random(options.seed), server, worker, url, log, Load(home, artifacts))
    print("\n".join(faults) or "nothing was lost, and nothing was left over")
    sys.exit(bool(faults))


def _wait_until_up(url: str, log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not healthy(url):
        if time.monotonic() > deadline:
            give_up("the server is not up", log)
        time.sleep(0.5)


def _soak(
    n_runs: int, stream: random.Random, server: Service, worker: Service, url: str, log: Path, load: Load
) -> list[str]:
    """Run the schedule until so many runs have completed; return in words what was lost or left over."""
    from httpx import HTTPError
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter
    from prefect.client.schemas.objects import StateType
    from prefect.client.schemas.schedules import IntervalSchedule
    from prefect.client.schemas.sorting import FlowRunSort

    from flows.automations import create_automations

    disturbed: dict[object, str] = {}
    completed: set[object] = set()
    files_after_first: set[str] = set()
    artifacts = load.artifacts
    with get_client(sync_client=True) as client:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not client.read_work_pools():
            if time.monotonic() > deadline:
                give_up("the worker made no work pool", log)
            time.sleep(0.5)
        create_automations(str(ROOT / "automations.yaml"))
        with log.open("a") as output:
            if subprocess.run(
                [*PREFECT, "deploy", "--name", "depth-sweep"], cwd=ROOT, stdout=output, stderr=output
            ).returncode:
                give_up("nothing was deployed", log)
        deployment = client.read_deployment_by_name("depth-sweep/depth-sweep").id
        parameters = {"run": {"seeds": 2, "artifacts": str(artifacts), "refresh": True}, **_TRAINING}
        every = IntervalSchedule(interval=timedelta(seconds=_SECONDS_BETWEEN_RUNS))
        (schedule,) = client.create_deployment_schedules(deployment, [(every, True)], parameters=parameters)

        def due() -> list[FlowRun]:
            """Return the runs whose time has come."""
            wanted = FlowRunFilter(
                deployment_id={"any_": [deployment]}, expected_start_time={"before_": datetime.now(UTC)}
            )
            found = []
            while page := client.read_flow_runs(
                flow_run_filter=wanted, sort=FlowRunSort.EXPECTED_START_TIME_ASC, limit=200, offset=len(found)
            ):
                found += page
            return found

        with load.watched(server=lambda: {server.process.pid}, worker=lambda: {worker.process.pid}):
            next_at = stream.randrange(_RUNS_PER_DISTURBANCE)
            deadline = time.monotonic() + _PATIENCE_SECONDS
            while len(completed) < n_runs:
                if time.monotonic() > deadline:
                    give_up(f"no run completed in {_PATIENCE_SECONDS} s", log)
                time.sleep(0.5)
                with suppress(HTTPError):
                    for run in due():
                        if run.state_name == "Completed" and run.id not in completed:
                            completed.add(run.id)
                            load.run_ended(run.total_run_time.total_seconds())
                            files_after_first = files_after_first or _files(artifacts)
                            deadline = time.monotonic() + _PATIENCE_SECONDS
                        if run.state_name != "Running" or len(completed) < next_at or run.id in disturbed:
                            continue
                        time.sleep(stream.uniform(0, 3))
                        which = stream.choice(_DISTURBANCES)
                        disturbed[run.id] = which
                        print(f"after {len(completed)} runs: killed the {which} at work on {_name(run)}", flush=True)
                        if "worker" in which:
                            worker.kill()
                        if "run" in which:
                            for pid in _processes_of(run.id):
                                with suppress(ProcessLookupError):
                                    os.kill(pid, signal.SIGKILL)
                        if which == "server":
                            server.kill()
                            time.sleep(stream.uniform(0, 10))
                            server.start()
                            _wait_until_up(url, log)
                        if "worker" in which:
                            worker.start()
                        tens = len(disturbed) * _RUNS_PER_DISTURBANCE
                        next_at = tens + stream.randrange(_RUNS_PER_DISTURBANCE)
        client.delete_deployment_schedule(deployment, schedule.id)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not all(run.state.is_final() for run in due()) and time.monotonic() < deadline:
            time.sleep(1)
        runs = due()
        at_work = [one for one in client.read_task_runs() if one.state_type in (StateType.RUNNING, StateType.PENDING)]
    print(load.summary())
    print("runs:", dict(Counter(run.state_name for run in runs)))
    print("task runs that the server still calls running, of killed runs:", len(at_work))
    faults = [f"{_name(run)} is {run.state_name}" for run in runs if not run.state.is_final()]
    faults += [
        f"{_name(run)} is {run.state_name}, and was not disturbed: {run.state.message}"
        for run in runs
        if run.state_name not in ("Completed", "Skipped") and run.id not in disturbed
    ]
    faults += [
        f"{_name(run)} is {run.state_name} after its {disturbed[run.id]} was killed: {run.state.message}"
        for run in runs
        if run.id in disturbed and run.state_name not in ("Completed", "Crashed")
    ]
    faults += [f"process {pid} of {_name(run)} is left" for run in runs for pid in _processes_of(run.id)]
    faults += [f"left in the artifact folder: {name}" for name in sorted(_files(artifacts) - files_after_first)]
    return faults


def _name(run: FlowRun) -> str:
    """Return what tells one of the runs, which all have the same name: when it was due."""
    return f"the run of {run.expected_start_time:%H:%M:%S}"


def _files(artifacts: Path) -> set[str]:
    return {str(path.relative_to(artifacts)) for path in artifacts.rglob("*") if path.is_file()}


def _processes_of(flow_run_id: object) -> list[int]:
    """Return the processes of a run, by their environment."""
    processes = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if f"PREFECT__FLOW_RUN_ID={flow_run_id}".encode() in path.read_bytes():
                processes.append(int(path.parent.name))
    return processes


if __name__ == "__main__":
    main()
