"""`python -m benchmarks.load`: a large sweep, then a day of scheduled runs, with memory and open files over time.

The sweep is the gain sweep with many gains and few units. The schedule is one small command again and again, cached
from its second run on. Both use one Prefect server, in a home of its own. Linux only: the numbers are read from /proc.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from matplotlib.figure import Figure

from flows.server import healthy

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_SCHEDULED = "depth-sweep --points 400 --depths 1,2 --epochs 5 --batch-size 32 --seeds 2"


@dataclass
class Samples:
    """What a process took over time.

    Attributes:
        seconds: Since its start.
        resident_mb: Memory, shared pages too.
        open_files: Descriptors.
    """

    seconds: list[float] = field(default_factory=list)
    resident_mb: list[float] = field(default_factory=list)
    open_files: list[int] = field(default_factory=list)

    def take(self, pid: int, seconds: float) -> None:
        """Add a sample, unless the process is gone."""
        try:
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            n_files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        except (OSError, IndexError):
            return
        self.seconds.append(round(seconds, 1))
        self.resident_mb.append(round(pages * _PAGE_BYTES / 1e6, 1))
        self.open_files.append(n_files)


def main() -> None:
    """Run both, write `load.json` and `load.png`, and print the numbers."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description="Memory and open files under load.")
    parser.add_argument("--configurations", type=int, default=1000, metavar="N", help="gains  [default: 1000]")
    parser.add_argument("--members", type=int, default=100_000, metavar="N", help="in all  [default: 100000]")
    parser.add_argument("--scheduled-runs", type=int, default=24, metavar="N", help="[default: 24]")
    parser.add_argument(
        "--out", type=Path, default=Path("artifacts/load"), metavar="DIR", help="for figure and numbers"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home, artifacts = Path(folder, "prefect"), Path(folder, "artifacts")
        home.mkdir()
        port = os.environ.get("PREFECT_SERVER_API_PORT", "4200")
        url = f"http://127.0.0.1:{port}/api"
        if healthy(url):
            sys.exit(f"port {port} is in use; set PREFECT_SERVER_API_PORT to a free one.")
        environment = {**os.environ, "PREFECT_HOME": str(home), "PREFECT_SERVER_API_PORT": port}
        with Path(folder, "log").open("w") as log:
            command = [sys.executable, "-m", "prefect", "server", "start"]
            server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            while not healthy(url):
                time.sleep(0.5)
            environment["PREFECT_API_URL"] = url
            seeds = options.members // options.configurations
            gains = f"0.5:3:{options.configurations}"
            sweep = f"gain-sweep --gains {gains} --seeds {seeds} --hidden-widths 2 --learning-rate 0.1"
            found = {
                "sweep": _measured([sweep], server.pid, environment, artifacts / "sweep", home),
                "schedule": _measured(
                    [_SCHEDULED] * options.scheduled_runs, server.pid, environment, artifacts / "schedule", home
                ),
            }
        finally:
            server.terminate()
            server.wait(30)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "load.json").write_text(
        json.dumps({"configurations": options.configurations, "seeds": seeds, **found})
    )
    _figure(found).savefig(options.out / "load.png", dpi=100)
    for name, values in found.items():
        print(_summary(name, values))
    print(options.out / "load.png")


def _measured(commands: list[str], server: int, environment: dict[str, str], artifacts: Path, home: Path) -> dict:
    """Run commands one after the other; return samples of program and server, and what lies on disk after each."""
    started = time.monotonic()
    samples = {"program": Samples(), "server": Samples()}
    artifact_mb, database_mb, seconds = [_size_mb(artifacts)], [_size_mb(home)], []
    for command in commands:
        began = time.monotonic()
        arguments = [sys.executable, "-m", "flows.command_line", *command.split(), "--artifacts", str(artifacts)]
        process = subprocess.Popen(
            arguments, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        ended = threading.Event()

        def watch(pid: int = process.pid, ended: threading.Event = ended) -> None:
            while not ended.wait(0.5 if len(commands) > 1 else 2):
                for name, of in (("program", pid), ("server", server)):
                    samples[name].take(of, time.monotonic() - started)

        threading.Thread(target=watch, daemon=True).start()
        _, errors = process.communicate()
        ended.set()
        if process.returncode:
            sys.exit(f"{command} ended with {process.returncode}:\n{errors[-2000:]}")
        seconds.append(round(time.monotonic() - began, 1))
        artifact_mb.append(_size_mb(artifacts))
        database_mb.append(_size_mb(home))
    return {
        "seconds": seconds,
        "artifact_mb": artifact_mb,
        "database_mb": database_mb,
        **{name: asdict(taken) for name, taken in samples.items()},
    }


def _size_mb(folder: Path) -> float:
    return round(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6, 2)


def _summary(name: str, values: dict) -> str:
    lines = [f"{name}: {len(values['seconds'])} runs, {sum(values['seconds']):.0f} s"]
    for process in ("program", "server"):
        memory, files = values[process]["resident_mb"], values[process]["open_files"]
        half = memory[len(memory) // 2 :]
        lines.append(
            f"  {process}: {max(memory):.0f} MB at most, {half[0]:.0f} MB half-way, {half[-1]:.0f} MB at the end; "
            f"{max(files)} open files at most"
        )
    grown = {kind: values[f"{kind}_mb"] for kind in ("artifact", "database")}
    for kind, sizes in grown.items():
        first, later = sizes[1] - sizes[0], (sizes[-1] - sizes[1]) / max(1, len(sizes) - 2)
        lines.append(f"  {kind}: {first:.2f} MB by the first run, {later:.3f} MB by each later one")
    return "\n".join(lines)


def _figure(found: dict) -> Figure:
    figure = Figure(figsize=(10, 6), layout="constrained")
    axes = figure.subplots(2, len(found), squeeze=False, sharex="col")
    for column, (name, values) in zip(axes.T, found.items(), strict=True):
        for axis, quantity, label in zip(
            column, ("resident_mb", "open_files"), ("memory (MB)", "open files"), strict=True
        ):
            for process, colour in (("program", "tab:blue"), ("server", "tab:orange")):
                axis.plot(values[process]["seconds"], values[process][quantity], ".", ms=3, color=colour, label=process)
            axis.set_ylim(bottom=0)
            axis.set_ylabel(label)
            axis.grid(alpha=0.3)
        column[0].set_title(f"{name}: {len(values['seconds'])} run{'s' if len(values['seconds']) > 1 else ''}")
        column[0].legend()
        column[1].set_xlabel("seconds")
    return figure


if __name__ == "__main__":
    main()
