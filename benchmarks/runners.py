"""What each runner costs, and when it pays: the same sweeps, of few and many configurations, small and image-sized."""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.work import draw_images
from flows.server import healthy
from mlp_core.artifacts.storage import machine
from mlp_core.machine import cores
from tasks.process import ENVIRONMENT

WORKERS = 2
RUNNERS = {
    "threads": ["--runner", "threads", "--workers", str(WORKERS)],
    "processes": ["--runner", "processes", "--workers", str(WORKERS)],
    "dask, started by the run": ["--runner", "dask", "--workers", str(WORKERS)],
    "dask, already up": ["--runner", "dask", "--scheduler", "tcp://127.0.0.1:{port}"],
}
SIZES = {
    "small": ["--hidden-widths", "8", "--seeds", "8"],
    "image-sized": ["--hidden-widths", "128,64,32", "--seeds", "8"],
}
"""Eight seeds: each configuration is a task of its own."""
_SCHEDULER_PORT, _DASHBOARD_PORT, _API_PORT = 4340, 4341, 4342


def main() -> int:
    """Run every combination of runner, size and number of configurations, and print a Markdown table of times."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.runners", description=__doc__)
    parser.add_argument("--configurations", type=int, nargs="+", default=[20, 1000], metavar="N")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--repetitions", type=int, default=3, metavar="N", help="of each  [default: 3]")
    options = parser.parse_args()
    columns = [(n, size) for n in options.configurations for size in options.sizes]
    seconds: dict[tuple[str, int, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        environment = stack.enter_context(_served(folder))
        stack.enter_context(_cluster(folder, environment))
        image_files = draw_images(folder / "images", n_train_per_class=40, n_test_per_class=8).zip
        for repetition in range(options.repetitions):
            for n, size in columns:
                for runner, arguments in RUNNERS.items():
                    runner_options = [text.format(port=_SCHEDULER_PORT) for text in arguments]
                    sweep = [
                        "gain-sweep",
                        "--gains",
                        f"0.1:3:{n}",
                        "--images",
                        str(image_files),
                        *SIZES[size],
                        *runner_options,
                    ]
                    took = _run(sweep, environment)
                    seconds.setdefault((runner, n, size), []).append(took)
                    print(f"{repetition}  {n:>6} {size:<12} {runner:<26}{took:>8.1f} s", file=sys.stderr)
    print(f"{machine()}, {WORKERS} workers, Python {platform.python_version()}, n = {options.repetitions}\n")
    print("| runner | " + " | ".join(f"{n:,} {size}" for n, size in columns) + " |")
    print("|---|" + "---|" * len(columns))
    for runner in RUNNERS:
        print(f"| {runner} | " + " | ".join(_cell(seconds[runner, n, size]) for n, size in columns) + " |")
    return 0


def _cell(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.1f} s [{min(seconds):.1f}, {max(seconds):.1f}]"


def _run(arguments: list[str], environment: dict[str, str]) -> float:
    """Run `deep-mlp` in an empty artifact folder and return its wall time; it uses the server that is up."""
    with tempfile.TemporaryDirectory() as artifacts:
        command = [sys.executable, "-m", "flows.command_line", *arguments, "--artifacts", artifacts]
        started = time.perf_counter()
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        took = time.perf_counter() - started
    if done.returncode:
        message = f"{' '.join(arguments)} ended with {done.returncode}: {done.stderr[-2000:]}"
        raise RuntimeError(message)
    return took


@contextmanager
def _served(folder: Path) -> Iterator[dict[str, str]]:
    """Serve Prefect on loopback from a database of its own, and give the environment of its users."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment |= {"PREFECT_HOME": str(folder / "prefect"), "PREFECT_SERVER_API_PORT": str(_API_PORT)}
    environment |= {name: value for name, value in ENVIRONMENT.items() if name.startswith("PREFECT_SERVER_SERVICES")}
    with _started(["prefect", "server", "start"], folder / "server.log", environment):
        while not healthy(f"http://127.0.0.1:{_API_PORT}/api"):
            time.sleep(0.2)
        yield {**environment, "PREFECT_API_URL": f"http://127.0.0.1:{_API_PORT}/api"}


@contextmanager
def _cluster(folder: Path, environment: dict[str, str]) -> Iterator[None]:
    """Run a dask scheduler and its workers, one thread each."""
    scheduler = ["scheduler", "--port", str(_SCHEDULER_PORT), "--dashboard-address", f"127.0.0.1:{_DASHBOARD_PORT}"]
    worker = ["worker", f"tcp://127.0.0.1:{_SCHEDULER_PORT}", "--nthreads", "1", "--no-dashboard", "--no-nanny"]
    with ExitStack() as stack:
        for number, arguments in enumerate([scheduler, *[worker] * WORKERS]):
            command = ["dask", *arguments, "--host", "127.0.0.1"]
            stack.enter_context(_started(command, folder / f"dask-{number}.log", environment))
        logs = [folder / f"dask-{number + 1}.log" for number in range(WORKERS)]
        while not all("Registered to" in log.read_text() for log in logs):
            time.sleep(0.2)
        yield


@contextmanager
def _started(command: list[str], log: Path, environment: dict[str, str]) -> Iterator[None]:
    with log.open("w") as file:
        process = subprocess.Popen([sys.executable, "-m", *command], env=environment, stdout=file, stderr=file)
        try:
            yield
        finally:
            process.terminate()
            process.wait(60)


if __name__ == "__main__":
    if cores() < WORKERS:
        sys.exit(f"the runners are measured with {WORKERS} workers, which needs as many cores")
    sys.exit(main())
