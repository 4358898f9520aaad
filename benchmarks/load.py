"""`python -m benchmarks.load`: a large sweep, then a day of scheduled runs, with memory and open files over time.

The sweep is the gain sweep with many gains and few units. The day is a deployment's schedule at speed: a small depth
sweep every 20 s, by a worker, from the cache from the second run on. Both use one Prefect server, in a home of its own.
Linux only: the numbers are read from /proc.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

from matplotlib.figure import Figure

from benchmarks.services import (
    PATIENCE_SECONDS,
    SERVER,
    WORKER,
    Place,
    descendants,
    give_up,
    place_of_its_own,
    running,
    scheduled,
    wait_until,
)
from flows.server import healthy
from tasks.process import configure

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_SECONDS_BETWEEN_RUNS = 20
_SCHEDULED = {"spirals": {"points": 400}, "sweep": {"depths": [1, 2], "epochs": 5, "batch_size": 32}}
# Okabe and Ito's colours, which the colour-blind tell apart
_COLOURS = {"server": "#0072B2", "program": "#D55E00", "worker": "#D55E00", "runs": "#009E73"}
_DISK_COLOURS = {"database": "#0072B2", "artifacts": "#CC79A7"}


@dataclass
class Samples:
    """Memory and open files of a process, or the sum over several, sampled over time.

    Attributes:
        seconds: Time of each sample since the load began.
        resident_mb: Resident memory in MB; pages that processes share count in each.
        open_files: Number of file descriptors.
    """

    seconds: list[float] = field(default_factory=list)
    resident_mb: list[float] = field(default_factory=list)
    open_files: list[int] = field(default_factory=list)

    def take(self, pids: set[int], seconds: float) -> None:
        """Add a sample of some processes; nothing if there are none or one has just ended."""
        try:
            pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids)
            n_files = sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids)
        except (OSError, IndexError):
            return
        if pages:
            self.seconds.append(round(seconds, 1))
            self.resident_mb.append(round(pages * _PAGE_BYTES / 1e6, 1))
            self.open_files.append(n_files)


class Load:
    """Measurements of one kind of load: processes over time, and disk use before the first run and after each.

    Attributes:
        artifacts: The artifact folder of the runs.
        processes: Samples, one per second, by a name for the processes.
        run_seconds: Duration of each run.
        disk_seconds: When the sizes on disk were measured.
        disk_mb: Sizes of Prefect's database and of the artifact folder.
    """

    def __init__(self, home: Path, artifacts: Path) -> None:
        self._began = time.monotonic()
        self.artifacts = artifacts
        self._folders = {"database": (home, "prefect.db*"), "artifacts": (artifacts, "**/*")}
        self.processes: dict[str, Samples] = {}
        self.run_seconds: list[float] = []
        self.disk_seconds: list[float] = []
        self.disk_mb: dict[str, list[float]] = {name: [] for name in self._folders}
        self._take_sizes()

    @contextmanager
    def watched(self, **processes: Callable[[], set[int]]) -> Iterator[None]:
        """Sample processes once a second while the context lasts.

        Args:
            processes: Functions that return process numbers, by a name for them.
        """
        self.processes = {name: Samples() for name in processes}
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(1):
                for name, numbers in processes.items():
                    self.processes[name].take(numbers(), self._seconds())

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def run_ended(self, seconds: float) -> None:
        """Record the duration of a run, and measure the sizes on disk."""
        self.run_seconds.append(round(seconds, 1))
        self._take_sizes()

    def _seconds(self) -> float:
        return time.monotonic() - self._began

    def _take_sizes(self) -> None:
        self.disk_seconds.append(round(self._seconds(), 1))
        for name, (folder, pattern) in self._folders.items():
            size = sum(map(_size, folder.glob(pattern)))
            self.disk_mb[name].append(round(size / 1e6, 3))

    def as_json(self) -> dict:
        """Return all measurements as a dict for JSON."""
        return {
            "run_seconds": self.run_seconds,
            "disk_seconds": self.disk_seconds,
            "disk_mb": self.disk_mb,
            "processes": {name: asdict(samples) for name, samples in self.processes.items()},
        }

    def summary(self) -> str:
        """Return what grew, in words: medians of the first, the middle and the last quarter of the time."""
        lines = [f"{len(self.run_seconds)} runs of {median(self.run_seconds):.1f} s in {self.disk_seconds[-1]:.0f} s"]
        for name, samples in self.processes.items():
            text = f"  {name}: at most {max(samples.resident_mb):.0f} MB and {max(samples.open_files)} open files"
            if name != "runs":  # which come and go
                memory, files = _quarters(samples.resident_mb), _quarters(samples.open_files)
                text += f"; first, middle, last quarter {memory} MB and {files} open files"
            lines.append(text)
        for name, sizes in self.disk_mb.items():
            text = f"  {name}: {sizes[1] - sizes[0]:.3f} MB by the first run"
            if later := len(sizes) - 2:
                text += f", {(sizes[-1] - sizes[1]) / later:.3f} MB by each later one"
            lines.append(text)
        return "\n".join(lines)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except FileNotFoundError:  # a run is at work
        return 0


def _quarters(values: list[float] | list[int]) -> str:
    quarter = max(1, len(values) // 4)
    first = (len(values) - quarter) // 2
    parts = values[:quarter], values[first : first + quarter], values[-quarter:]
    return " → ".join(f"{median(part):.0f}" for part in parts)


def main() -> None:
    """Run a large sweep and a schedule, write `load.json` and `load.png`, and print a summary."""
    configure()  # server and worker inherit it
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description="Memory and open files under load.")
    parser.add_argument("--configurations", type=int, default=1000, metavar="N", help="gains  [default: 1000]")
    parser.add_argument("--members", type=int, default=100_000, metavar="N", help="in all  [default: 100000]")
    parser.add_argument("--scheduled-runs", type=int, default=24, metavar="N", help="[default: 24]")
    parser.add_argument(
        "--out", type=Path, default=Path("artifacts/load"), metavar="DIR", help="for figure and numbers"
    )
    options = parser.parse_args()
    with place_of_its_own() as place, running(SERVER, place) as server:
        wait_until(lambda: server.poll() is not None or healthy(place.url), "the server is not up", place.log)
        if server.poll() is not None:
            give_up("the server ended", place.log)
        seeds = options.members // options.configurations
        gains = f"0.5:3:{options.configurations}"
        sweep = f"gain-sweep --gains {gains} --seeds {seeds} --hidden-widths 2 --learning-rate 0.1"
        loads = {
            "sweep": _command(sweep.split(), server.pid, place),
            "schedule": _schedule(options.scheduled_runs, server.pid, place),
        }
    options.out.mkdir(parents=True, exist_ok=True)
    numbers = {name: load.as_json() for name, load in loads.items()}
    (options.out / "load.json").write_text(
        json.dumps({"configurations": options.configurations, "seeds": seeds, **numbers})
    )
    titles = {
        "sweep": f"{options.configurations:,} configurations, {seeds:,} members each",
        "schedule": f"{options.scheduled_runs} runs by the schedule",
    }
    _figure(loads, titles).savefig(options.out / "load.png", dpi=100)
    for name, load in loads.items():
        print(f"{name}: {load.summary()}")
    print(options.out / "load.png")


def _command(arguments: list[str], server: int, place: Place) -> Load:
    """Run a command to its end."""
    load = Load(place.home, place.artifacts / "sweep")
    command = [sys.executable, "-m", "flows.command_line", *arguments, "--artifacts", str(load.artifacts)]
    began = time.monotonic()
    with (
        running(command, place) as program,
        load.watched(server=lambda: {server}, program=lambda: {program.pid}),
    ):
        if program.wait():
            give_up(f"{' '.join(arguments)} ended with {program.returncode}", place.log)
    load.run_ended(time.monotonic() - began)
    return load


def _schedule(n_runs: int, server: int, place: Place) -> Load:
    """Deploy by the commands of docs/schedule-it.md, and wait for so many runs of a schedule."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter

    came_by_itself = FlowRunFilter(tags={"all_": ["auto-scheduled"]}, state={"type": {"any_": _ENDED}})
    load = Load(place.home, place.artifacts / "schedule")
    parameters = {"run": {"seeds": 2, "artifacts": str(load.artifacts)}, **_SCHEDULED}
    with (
        running(WORKER, place) as worker,
        get_client(sync_client=True) as client,
        scheduled(client, place, parameters, _SECONDS_BETWEEN_RUNS),
        load.watched(server=lambda: {server}, worker=lambda: {worker.pid}, runs=lambda: descendants(worker.pid)),
    ):
        deadline = time.monotonic() + PATIENCE_SECONDS
        ended: set[object] = set()
        while len(ended) < n_runs:
            for run in client.read_flow_runs(flow_run_filter=came_by_itself):
                if run.id in ended or run.state_name == "Skipped":  # one took longer than the time between two
                    continue
                if run.state_name != "Completed":
                    give_up(f"a run is {run.state_name}: {run.state.message}", place.log)
                ended.add(run.id)
                load.run_ended(run.total_run_time.total_seconds())
                deadline = time.monotonic() + PATIENCE_SECONDS
            if time.monotonic() > deadline:
                give_up(f"no run ended in {PATIENCE_SECONDS} s", place.log)
            time.sleep(1)
    return load


_ENDED = ["COMPLETED", "FAILED", "CRASHED", "CANCELLED"]


def _figure(loads: dict[str, Load], titles: dict[str, str]) -> Figure:
    figure = Figure(figsize=(12, 9), layout="constrained")
    columns = figure.subplots(3, len(loads), squeeze=False, sharex="col").T
    for (memory, files, disk), (name, load) in zip(columns, loads.items(), strict=True):
        for process, samples in load.processes.items():
            look = {"marker": ".", "markersize": 3, "linestyle": "", "color": _COLOURS[process], "label": process}
            memory.plot(samples.seconds, samples.resident_mb, **look)
            files.plot(samples.seconds, samples.open_files, **look)
        for kind, sizes in load.disk_mb.items():
            disk.plot(load.disk_seconds, sizes, ".-", color=_DISK_COLOURS[kind], label=kind)
        memory.set_title(f"{name}: {titles[name]}")
        memory.set_ylabel("memory (MB)")
        files.set_ylabel("open files (number)")
        disk.set_ylabel("on disk (MB)")
        disk.set_xlabel("time (s)")
        for axes in (memory, files, disk):
            axes.set_ylim(bottom=0)
            axes.grid(alpha=0.3)
            axes.legend(markerscale=2)
    return figure


if __name__ == "__main__":
    main()
