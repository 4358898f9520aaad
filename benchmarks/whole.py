"""The program as a user starts it: time of a whole command, its memory, and how both grow."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from socket import socket

from benchmarks.measure import GRID_SEARCH, OURS, OURS_ONE_THREAD, TUTORIAL, WORKERS, Bench, Run
from benchmarks.rows import images_comparisons, spirals_comparisons
from benchmarks.work import ImageFiles, Work, depth_configs, draw_images, gain_configs
from flows.server import healthy
from mlp_core.errors import InputError
from mlp_core.experiments.gain_sweep.experiment import GainSweep
from mlp_core.settings import validated

MEMBERS = (1, 8, 64, 512)
CONFIGURATIONS = (10, 100, 1000)
PROGRAM = "deep-mlp"
EMPTY_FLOW = "empty flow run"
SECTIONS = "four sections"
WHAT_IF = "moons, 5 configurations, 64 seeds, a server up"
SWEEP = "digits, 1,008 configurations, 8 seeds"
FLOORS = {
    ("tutorial", SECTIONS, TUTORIAL): 20,
    ("cached", SECTIONS, TUTORIAL): 65,
    ("sweep", SWEEP, GRID_SEARCH): 30,
}
_DEPTHS, _WIDTHS, _ACTIVATIONS = (1, 2, 3, 4), (8, 16, 32, 64), ("relu", "tanh", "sigmoid")
_STARTS, _RATES = "pytorch,theory,xavier:0.5,xavier:1,xavier:1.5,xavier:2,xavier:3", "0.001,0.003,0.01"
_SEEDS, _EPOCHS, _BATCH = 8, 30, 64
_EMPTY_FLOW = "from prefect import flow\n@flow\ndef empty(): pass\nempty()"
_USUAL_API = "http://127.0.0.1:4200/api"


def measure_tutorial(bench: Bench, image_files: ImageFiles, repetition: int) -> None:
    """Measure `deep-mlp tutorial` with an empty and with a full cache, and the tutorial's own sections in its style.

    Args:
        bench: Keeps the runs.
        image_files: The images.
        repetition: Number of the repetition.
    """
    command = ["tutorial", "--seeds", "1", "--images", str(image_files.zip)]
    sections = _sections(image_files)
    gflop = sum(work.training_gflop() + work.evaluation_gflop() for work in sections if work.task == "train")
    with _home_with_database() as folder:
        for row in ("tutorial", "cached"):
            seconds, peak_mb = _run_program(command, folder)
            done = gflop if row == "tutorial" else 0.0
            run = Run(row, SECTIONS, PROGRAM, repetition, seconds, threads=WORKERS, gflop=done, peak_mb=peak_mb)
            bench.keep(row, run)
    seconds = sum(bench.run(work, TUTORIAL, repetition).seconds for work in sections)
    for row in ("tutorial", "cached"):
        bench.keep(row, Run(row, SECTIONS, TUTORIAL, repetition, seconds, gflop=gflop))


def _sections(image_files: ImageFiles) -> list[Work]:
    """Return what the tutorial does; the works of other rows are measured once for both."""
    polynomial = next(c.work for c in spirals_comparisons() if c.work.row == "polynomial" and c.work.n_members == 1)
    images, gains, _ = (comparison.work for comparison in images_comparisons(image_files))
    depth = Work("tutorial", "five depths", depth_configs())
    decide = Work("tutorial", "decision map", polynomial.configs, task="decide")
    return [depth, polynomial, decide, images, gains]


def measure_growth(bench: Bench, folder: Path, repetition: int) -> None:
    """Measure how time grows with the number of members (training alone) and of configurations (whole program).

    Args:
        bench: Keeps the runs.
        folder: For the images.
        repetition: Number of the repetition.
    """
    config = next(config for config in depth_configs() if config.layer_sizes == (2, 14, 4))
    for n_members in MEMBERS:
        bench.run(Work("growth", f"{n_members} members", (config,), n_members), OURS_ONE_THREAD, repetition)
    image_files = draw_images(folder / f"few-{repetition}", n_train_per_class=40, n_test_per_class=8)
    for n_configurations in CONFIGURATIONS:
        gains, name = f"0.1:3:{n_configurations}", f"{n_configurations} configurations"
        command = ["gain-sweep", "--seeds", "1", "--gains", gains, "--hidden-widths", "8"]
        command += ["--images", str(image_files.zip)]
        with _home_with_database() as home:
            seconds, peak_mb = _run_program(command, home)
        run = Run("growth", name, PROGRAM, repetition, seconds, models=n_configurations, epochs=1, peak_mb=peak_mb)
        bench.keep(name, run)
        sweep = validated(GainSweep, {"gains": gains, "hidden_widths": "8"})
        work = Work("growth", name, gain_configs(image_files.n_classes, sweep), 1, image_files)
        bench.run(work, OURS, repetition)


def measure_sweep(bench: Bench, repetition: int) -> None:
    """Measure `deep-mlp sweep` on a large grid, and scikit-learn's grid search on a part of it.

    The peer fits each of the 48 shapes and activations once; starts and learning rates, of which ours has 21, change
    nothing in what a network costs.

    Args:
        bench: Keeps the runs.
        repetition: Number of the repetition.
    """
    command = ["sweep", "--data", "digits", "--seeds", str(_SEEDS), "--epochs", str(_EPOCHS)]
    command += ["--depths", ",".join(map(str, _DEPTHS)), "--widths", ",".join(map(str, _WIDTHS))]
    command += ["--activations", ",".join(_ACTIVATIONS), "--starts", _STARTS, "--learning-rates", _RATES]
    command += ["--batch-sizes", str(_BATCH)]
    with _home_with_database() as home:
        seconds, peak_mb = _run_program(command, home)
    n_each = len(_STARTS.split(",")) * len(_RATES.split(","))
    n_peers = len(_DEPTHS) * len(_WIDTHS) * len(_ACTIVATIONS)
    sizes = {"epochs": _EPOCHS, "threads": WORKERS}
    n_ours = n_peers * n_each * _SEEDS
    ours = Run("sweep", SWEEP, PROGRAM, repetition, seconds, models=n_ours, members=_SEEDS, peak_mb=peak_mb, **sizes)
    bench.keep("sweep", ours)
    grid = {
        "hidden_layer_sizes": [(width,) * depth for depth, width in product(_DEPTHS, _WIDTHS)],
        "activation": ["relu", "tanh", "logistic"],  # its name of the sigmoid
    }
    options = {
        "solver": "adam",
        "learning_rate_init": 0.003,
        "batch_size": _BATCH,
        "max_iter": _EPOCHS,
        "n_iter_no_change": _EPOCHS + 1,
        "alpha": 0,
    }
    peer = [sys.executable, "-m", "benchmarks.scikit_learn", json.dumps([grid, options])]
    seconds = float(first_line(peer))
    bench.keep("sweep", Run("sweep", SWEEP, GRID_SEARCH, repetition, seconds, models=n_peers, **sizes))


def first_line(command: Sequence[str]) -> str:
    """Return the first line that a command prints, and end it and all processes that it started.

    The workers of a grid search would stay for five minutes, idle, and the process that started them with them.

    Args:
        command: Program and arguments.
    """
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    try:
        return process.stdout.readline()
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate()  # the last of them has closed the pipe then


def measure_what_if(bench: Bench, repetition: int) -> None:
    """Measure a small sweep, and an empty flow run, each as a new process at a Prefect server that is up.

    Args:
        bench: Keeps the runs.
        repetition: Number of the repetition.
    """
    sweep = ["sweep", "--data", "moons", "--depths", "1:5", "--widths", "8", "--activations", "relu"]
    sweep += ["--starts", "theory", "--learning-rates", "0.01", "--seeds", "64"]
    with _home_with_database() as home, _server(home) as url:
        for method, command in ((EMPTY_FLOW, ["-c", _EMPTY_FLOW]), (PROGRAM, _program(sweep, home))):
            seconds, peak_mb = _run(command, home, url)
            bench.keep(f"what-if, {method}", Run("what-if", WHAT_IF, method, repetition, seconds, peak_mb=peak_mb))


@contextmanager
def _server(home: Path) -> Iterator[str]:
    """Keep a Prefect server up while the context lasts; give the address of its API."""
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/api"
    command = [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)]
    with (home / "server.log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=_environment(home))
    try:
        while not healthy(url):
            if server.poll() is not None:
                message = f"the server ended: {(home / 'server.log').read_text()[-2000:]}"
                raise RuntimeError(message)
            time.sleep(0.2)
        yield url
    finally:
        server.terminate()
        server.wait()


@contextmanager
def _home_with_database() -> Iterator[Path]:
    """Make a folder with Prefect's home and its database in it, as on a machine where Prefect ran before."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes"]
        subprocess.run(command, check=True, capture_output=True, env=_environment(Path(folder)))
        yield Path(folder)


def _environment(folder: Path) -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return {**environment, "PREFECT_HOME": str(folder / "prefect")}


def _run_program(arguments: Sequence[str], folder: Path) -> tuple[float, float]:
    """Run `deep-mlp` with artifacts and Prefect's home below a folder.

    Returns:
        Seconds, and the memory in MB of the largest of its processes.

    Raises:
        InputError: If a Prefect server is running, which the program would use.
        RuntimeError: If the program fails; with its last lines.
    """
    if healthy(_USUAL_API):
        message = f"a cold start must start its own Prefect server, got one at {_USUAL_API}; stop that first."
        raise InputError(message)
    return _run(_program(arguments, folder), folder)


def _program(arguments: Sequence[str], folder: Path) -> list[str]:
    """Return Python's arguments for `deep-mlp` with its artifacts below a folder."""
    command = ["-m", "flows.command_line", *arguments, "--artifacts", str(folder / "artifacts")]
    return [*command, "--workers", str(WORKERS)]


def _run(arguments: Sequence[str], folder: Path, url: str = "") -> tuple[float, float]:
    """Run Python with Prefect's home below a folder, at a server that is up if `url` names one.

    Returns:
        Seconds, and the memory in MB of the largest of its processes.

    Raises:
        RuntimeError: If it fails; with its last lines.
    """
    environment = _environment(folder) | ({"PREFECT_API_URL": url} if url else {})
    log = folder / "log"
    with log.open("w") as file:
        started = time.perf_counter()
        process = subprocess.Popen([sys.executable, *arguments], stdout=file, stderr=file, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        message = f"{' '.join(arguments)} ended with {process.returncode}: {log.read_text()[-2000:]}"
        raise RuntimeError(message)
    return seconds, usage.ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)
