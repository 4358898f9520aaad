"""Taking time: each method in a process of its own, so that none disturbs another's threads and caches."""

from __future__ import annotations

import importlib
import math
import os
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any

from benchmarks.work import Outcome, Work

CORES = os.cpu_count() or 1
WORKERS = 2
MATRIX_SIZE = 2048
LONG_ROWS = ("images", "gains", "tutorial", "cached", "sweep", "growth", "play")
"""Rows that take minutes each: most of all the time, though their ratios hardly vary."""
LONG_REPETITIONS = 2

OURS, OURS_ONE_THREAD, TUTORIAL, TUTORIAL_DECODED = (
    "ours",
    "ours, one thread",
    "tutorial's style",
    "DataLoader, decoded",
)
SKLEARN, TORCH_FUNC, GRID_SEARCH = "scikit-learn", "torch.func", "GridSearchCV, two jobs"
JAX_COMPILING, JAX, JAX_TUNED = "JAX, compiling", "JAX", "JAX, tuned"


@dataclass(frozen=True)
class Method:
    """A way to do a piece of work: the project's own or a peer's.

    Attributes:
        module: Module of `benchmarks`, with one function per task (`train` and so on).
        options: Keyword arguments of the function.
        threads: Threads of one computation. Matrices as small as these gain nothing from two, and lose much when the
            cores have other work.
        ensemble: Whether it trains many models at once; if not, it does only the part `Work.alone()`.
    """

    module: str
    options: dict[str, Any] = field(default_factory=dict)
    threads: int = 1
    ensemble: bool = False


METHODS = {
    OURS: Method("ours", {"workers": WORKERS}, ensemble=True),
    OURS_ONE_THREAD: Method("ours", {"workers": 1}, ensemble=True),
    TUTORIAL: Method("tutorial_style"),
    TUTORIAL_DECODED: Method("tutorial_style", {"decoded": True}),
    SKLEARN: Method("scikit_learn"),
    JAX_COMPILING: Method("jax_vmap", {"tuned": True, "compiled": False}, CORES),
    JAX: Method("jax_vmap", {"tuned": False}, CORES, ensemble=True),
    JAX_TUNED: Method("jax_vmap", {"tuned": True}, CORES, ensemble=True),
    TORCH_FUNC: Method("torch_func", ensemble=True),
}


@dataclass(frozen=True)
class Run:
    """One measurement, a row of the Parquet table (units: `benchmarks.report`); what does not apply is 0 or NaN."""

    row: str
    work: str
    method: str
    repetition: int
    seconds: float
    models: int = 1
    members: int = 1
    epochs: int = 0
    threads: int = 1
    accuracy: float = math.nan
    gflop: float = 0.0
    training_gflops: float = math.nan
    peak_mb: float = math.nan

    @property
    def seconds_per_model(self) -> float:
        """Return the wall time per trained model, in seconds."""
        return self.seconds / self.models


class Bench:
    """Measures methods, each in a process of its own, and keeps the runs in `runs`.

    Use it as a context manager: at its end the processes are stopped.
    """

    def __init__(self) -> None:
        self.runs: dict[tuple[Work | str, str, int], Run] = {}
        self._pools: dict[str, ProcessPoolExecutor] = {}

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        for pool in self._pools.values():  # all at once: each takes a second, for which the program's end waits
            pool.shutdown(wait=False)

    def _process(self, name: str) -> ProcessPoolExecutor:
        if name not in self._pools:
            self._pools[name] = ProcessPoolExecutor(1, get_context("spawn"))
        return self._pools[name]

    def warm_up(self, works: Iterable[tuple[Work, str]]) -> None:
        """Run each method on a short piece of its work, so that libraries, data and compiled code are loaded.

        Args:
            works: Pairs of a work and the name of a method.
        """
        waiting = []
        for work, name in works:
            method = METHODS[name]
            short = work.warm_up() if method.ensemble else work.warm_up().alone()
            waiting.append(self._process(name).submit(_timed, method, short, range(short.n_members)))
        for future in waiting:
            future.result()

    def run(self, work: Work, name: str, repetition: int) -> Run:
        """Return the measurement of a method in a repetition; measure it unless that was done before.

        Every repetition trains other members, so that accuracies can be compared.

        Args:
            work: What to do.
            name: Name of the method.
            repetition: Number of the repetition.
        """
        if run := self.runs.get((work, name, repetition)):
            return run
        method = METHODS[name]
        done = work if method.ensemble else work.alone()
        members = range(repetition * done.n_members, (repetition + 1) * done.n_members)
        if work.row not in LONG_ROWS:  # a process that slept for minutes takes 30 ms longer: its memory was put aside
            self.warm_up([(work, name)])
        seconds, outcome = self._process(name).submit(_timed, method, done, members).result()
        trains = done.task == "train"
        run = Run(
            work.row,
            work.name,
            name,
            repetition,
            seconds,
            models=done.n_models,
            members=done.n_members,
            epochs=done.configs[0].epochs if trains else 1,
            threads=min(method.options.get("workers", method.threads), done.n_models),
            accuracy=sum(outcome.accuracies) / len(outcome.accuracies) if trains else math.nan,
            gflop=done.training_gflop() + done.evaluation_gflop() if trains else 0.0,
            training_gflops=done.training_gflop() / outcome.training_seconds,
        )
        return self.keep(work, run)

    def keep(self, work: Work | str, run: Run) -> Run:
        """Store a run, print it to stderr, and return it."""
        self.runs[work, run.method, run.repetition] = run
        print(f"{run.row:<14}{run.work:<34}{run.method:<22}{run.repetition:>3}{run.seconds:>10.3f} s", file=sys.stderr)
        return run

    def measure_limit(self, repetition: int) -> None:
        """Measure the time of a large matrix product on one thread and on all cores: the limit of what is possible."""
        for threads in sorted({1, CORES}):
            seconds = self._process(OURS).submit(_matrix_product_seconds, threads).result()
            name, gflop = f"{MATRIX_SIZE} x {MATRIX_SIZE}, threads: {threads}", 2 * MATRIX_SIZE**3 / 1e9
            run = Run("limit", name, "matrix product", repetition, seconds, threads=threads, gflop=gflop)
            self.keep(name, run)


def _timed(method: Method, work: Work, members: range) -> tuple[float, Outcome]:
    import torch

    torch.set_num_threads(method.threads)
    function = getattr(importlib.import_module(f"benchmarks.{method.module}"), work.task)
    started = time.perf_counter()
    outcome = function(work, members, **method.options)
    return time.perf_counter() - started, outcome


def _matrix_product_seconds(threads: int) -> float:
    """Return the shortest of several times."""
    import torch

    torch.set_num_threads(threads)
    a, b = torch.rand(2, MATRIX_SIZE, MATRIX_SIZE)
    seconds = []
    for _ in range(4):
        started = time.perf_counter()
        a @ b
        seconds.append(time.perf_counter() - started)
    return min(seconds)
