"""The tables: every run as Parquet, medians and ratios as Markdown."""

from __future__ import annotations

import math
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import mean, median, stdev, variance

import pyarrow as pa

from benchmarks.measure import CORES, LONG_REPETITIONS, LONG_ROWS, OURS, OURS_ONE_THREAD, Run
from benchmarks.play import AFTER, BEFORE, MOST_SECONDS, TABS
from benchmarks.whole import CONFIGURATIONS, EMPTY_FLOW, MEMBERS, PROGRAM, SWEEP, WHAT_IF
from mlp_core.artifacts.storage import Provenance, code_digest, machine, write_file, write_table

_LIBRARIES = ("torch", "torchvision", "numpy", "prefect", "scikit-learn", "jax", "jaxlib")
_STANDARD_ERRORS = 4  # accuracies further apart differ
_UNITS = {
    "row": "name",
    "work": "name",
    "method": "name",
    "repetition": "number",
    "seconds": "s, wall time of the whole work",
    "models": "trained models",
    "members": "models per configuration",
    "epochs": "passes over the training set",
    "threads": "threads that compute",
    "accuracy": "0..1, mean over the models on the test set",
    "gflop": "GFLOP of the models, training and evaluation",
    "gflops": "GFLOP/s of the models, training and evaluation",
    "training_gflops": "GFLOP/s of the models between first and last step",
    "peak_mb": "MB, resident memory of the largest process",
}
_NOTES = """
Times are wall times per trained model; ratios the median over pairs of runs made in turn, with least and greatest.
Everything is float32 with the same data, sizes, batches, epochs and optimizer, and initial weights from the same
distribution; evaluation on all train and test examples is included, the making of spirals and features is not.

- Tutorial's style: `DataLoader`, `nn.Sequential` and `torch.optim`, one network after the other, one thread (two were
  slower). Images are read from their files in every epoch, as in the tutorial. The project decodes
  them once; only the whole tutorial's time includes that.
- JAX: jit, scan and vmap, with the batch first and orders from `jax.random.permutation`. Tuned: features first, orders
  from NumPy. Compiling: tuned, with the time to compile, which the others leave out.
- scikit-learn: `MLPClassifier`. It cannot leave out a last short batch; here there is none.

Model FLOPs are 2 per multiply-add, biases and activations not counted. With w1, w2, ... weights in the layers, an
example costs 2 (w1 + w2 + ...) forward and 2 w1 + 4 (w2 + ...) back: the first layer's inputs need no gradient.
The peak is the best product of two 2048 x 2048 matrices in the same run, on as many threads.

`deep-mlp play` is measured in a headless Chromium on the same cores, without a graphics card, from the change of a
setting to the end of the frame that shows its answer.

The whole tutorial is `deep-mlp tutorial --seeds 1` as a new process: a Prefect server of its own, its new database,
figures and report included. Its peer is the sum of the tutorial's four sections in its style, the decision map
included, imports not. Memory is that of the largest process.

The sweep is `deep-mlp sweep --data digits` in the same way, with 7 starts and 3 learning rates for each of 4 depths, 4
widths and 3 activations, 30 epochs, batches of 64, on two workers. Its peer is `GridSearchCV(MLPClassifier, n_jobs=2)`
with one fit of each depth, width and activation, imports and start of its two processes not included.
"""


@dataclass(frozen=True)
class Ratio:
    """How many times longer a method takes than the project.

    Attributes:
        row: Row of the table.
        work: What is done, in words.
        method: Name of the other method.
        values: Ratio of the times per model, one per repetition.
        floor: The least that their median should be; NaN for no requirement.
    """

    row: str
    work: str
    method: str
    values: Sequence[float]
    floor: float

    @property
    def median(self) -> float:
        """Return the median ratio over repetitions."""
        return median(self.values)


class Results:
    """All runs of a benchmark, to summarise and write.

    Args:
        runs: The runs.
        floors: The least ratio required, by row, work and method.
    """

    def __init__(self, runs: Iterable[Run], floors: Mapping[tuple[str, str, str], float]) -> None:
        self.runs = list(runs)
        self.floors = floors

    def of(self, row: str, work: str, method: str) -> list[Run]:
        """Return the runs of one method on one work, in the order of repetitions."""
        return [run for run in self.runs if (run.row, run.work, run.method) == (row, work, method)]

    def ratios(self) -> list[Ratio]:
        """Return the ratios of every method's time to the project's own on the same work."""
        result = []
        for row, work, method in dict.fromkeys((run.row, run.work, run.method) for run in self.runs):
            ours = self.of(row, work, _ours(row))
            if row in ("growth", "what-if") or not ours or method == _ours(row):
                continue
            pairs = zip(self.of(row, work, method), ours, strict=True)
            values = [theirs.seconds_per_model / own.seconds_per_model for theirs, own in pairs]
            result.append(Ratio(row, work, method, values, self.floors.get((row, work, method), math.nan)))
        return result

    def peak(self, threads: int) -> float:
        """Return the best GFLOP/s of the matrix product on a number of threads."""
        return max(run.gflop / run.seconds for run in self.runs if run.row == "limit" and run.threads == threads)

    def write(self, folder: Path, repetitions: int) -> None:
        """Write all runs to `results.parquet` and the tables to `RESULTS.md` in a folder."""
        rows = [{**asdict(run), "gflops": run.gflop / run.seconds} for run in self.runs]
        table = pa.table({name: pa.array([row[name] for row in rows]) for name in _UNITS})
        libraries = {name: version(name) for name in _LIBRARIES}
        settings = {"repetitions": repetitions, "libraries": libraries, "cores": CORES}
        write_table(
            folder, "results.parquet", table, Provenance(settings, code_digest("mlp_core.engine.members"), {}, _UNITS)
        )
        text = self.markdown(repetitions, libraries)
        write_file(folder / "RESULTS.md", lambda path: path.write_text(text, encoding="utf-8"))

    def markdown(self, repetitions: int, libraries: Mapping[str, str]) -> str:
        """Return the tables for `docs/how-fast.md` as Markdown.

        Args:
            repetitions: Number of repetitions.
            libraries: Versions of the libraries, by name.
        """
        named = ", ".join(f"{name} {number}" for name, number in libraries.items())
        peaks = ", ".join(f"{self.peak(n):.0f} on {n}" for n in sorted({1, CORES}))
        return "\n".join(
            [
                f"{machine()}; Python {platform.python_version()}, {named}. {repetitions} repetitions after a warm-up, "
                f"of {', '.join(LONG_ROWS)} {min(repetitions, LONG_REPETITIONS)}.",
                f"Best matrix product, GFLOP/s by threads: {peaks}.",
                "",
                *self._comparison_lines(),
                "",
                *self._machine_lines(),
                "",
                *self._growth_lines(),
                "",
                *self._play_lines(),
                _NOTES,
            ]
        )

    def _comparison_lines(self) -> list[str]:
        lines = [
            "| row | work | against | its s per model | ours | times faster | at least | its accuracy, % | ours |",
            "|---|---|---|---:|---:|---:|---:|---:|---:|",
        ]
        for ratio in self.ratios():
            ours, theirs = (self.of(ratio.row, ratio.work, name) for name in (_ours(ratio.row), ratio.method))
            spread = f"{_short(min(ratio.values))} to {_short(max(ratio.values))}"
            floor = "" if math.isnan(ratio.floor) else f"{ratio.floor:g}"
            missed = " (missed)" if ratio.median < ratio.floor else ""
            differs = " (differs)" if self._differ(ours, theirs) else ""
            lines.append(
                f"| {ratio.row} | {ratio.work} | {ratio.method} | {_seconds(theirs)} | {_seconds(ours)} "
                f"| **{_short(ratio.median)}** ({spread}) | {floor}{missed} "
                f"| {_accuracy(theirs)}{differs} | {_accuracy(ours)} |"
            )
        return lines

    def _differ(self, ours: Sequence[Run], theirs: Sequence[Run]) -> bool:
        """Return whether mean accuracies are further apart than chance explains.

        The variance of one model's accuracy is pooled over all methods that do the work.
        """
        if ours[0].models // ours[0].members != theirs[0].models // theirs[0].members:
            return False  # a quick run: not the same configurations
        methods = dict.fromkeys(run.method for run in self.runs)
        samples = [runs for method in methods if (runs := self.of(ours[0].row, ours[0].work, method))]
        if len(ours) < 5 or any(math.isnan(run.accuracy) for runs in samples for run in runs):
            return False
        of_one = mean(runs[0].models * variance(run.accuracy for run in runs) for runs in samples)
        error = math.sqrt(sum(of_one / (runs[0].models * len(runs)) for runs in (ours, theirs)))
        distance = abs(mean(run.accuracy for run in ours) - mean(run.accuracy for run in theirs))
        return distance > _STANDARD_ERRORS * error

    def _machine_lines(self) -> list[str]:
        lines = [
            "| row | work | ours | threads | GFLOP/s | of the peak | while training |",
            "|---|---|---|---:|---:|---:|---:|",
        ]
        for row, work, method in dict.fromkeys((run.row, run.work, run.method) for run in self.runs):
            runs = self.of(row, work, method)
            if method not in (OURS, OURS_ONE_THREAD, PROGRAM) or row == "growth" or not runs[0].gflop:
                continue
            peak = self.peak(runs[0].threads)
            rate = median(run.gflop / run.seconds for run in runs)
            training = median(run.training_gflops for run in runs)
            trained = "" if math.isnan(training) else f"{training / peak:.1%}"
            lines.append(
                f"| {row} | {work} | {method} | {runs[0].threads} | {_short(rate)} | {rate / peak:.1%} | {trained} |"
            )
        return lines

    def _growth_lines(self) -> list[str]:
        lines = []
        members = {n: self.of("growth", f"{n} members", OURS_ONE_THREAD) for n in MEMBERS}
        if members[1]:
            lines += ["| members of 2-14-4, one thread | s | ms per member |", "|---:|---:|---:|"]
            for n, runs in members.items():
                seconds = median(run.seconds for run in runs)
                lines.append(f"| {n} | {_short(seconds)} | {_short(1e3 * seconds / n)} |")
            lines += [
                "",
                "| configurations, `deep-mlp gain-sweep` | s | training alone, s | ms per configuration for the rest |",
                "|---:|---:|---:|---:|",
            ]
            for n in CONFIGURATIONS:
                name = f"{n} configurations"
                whole, core = (
                    median(run.seconds for run in self.of("growth", name, method)) for method in (PROGRAM, OURS)
                )
                lines.append(f"| {n} | {_short(whole)} | {_short(core)} | {_short(1e3 * (whole - core) / n)} |")
        if programs := [run for run in self.runs if run.method == PROGRAM and run.row == "tutorial"]:
            lines += ["", f"Peak memory of the whole tutorial: {max(run.peak_mb for run in programs):.0f} MB."]
        if sweeps := self.of("sweep", SWEEP, PROGRAM):
            seconds, peak_mb = median(run.seconds for run in sweeps), max(run.peak_mb for run in sweeps)
            lines += ["", f"The whole sweep: {seconds:.0f} s, peak memory {peak_mb:.0f} MB."]
        if runs := self.of("what-if", WHAT_IF, PROGRAM):
            empty = self.of("what-if", WHAT_IF, EMPTY_FLOW)
            more = median(own.seconds - other.seconds for own, other in zip(runs, empty, strict=True))
            whole, least = (median(run.seconds for run in each) for each in (runs, empty))
            lines += ["", f"What if ({WHAT_IF}): {whole:.1f} s; an empty flow run {least:.1f} s, so {more:.1f} s more."]
        return lines

    def _play_lines(self) -> list[str]:
        if not any(run.row == "play" for run in self.runs):
            return []
        lines = ["| `deep-mlp play`, in Chromium | n | s | at most |", "|---|---:|---:|---:|"]
        for work in (*MOST_SECONDS, TABS):
            seconds = [run.seconds for run in self.of("play", work, PROGRAM)]
            spread = f"{_short(min(seconds))} to {_short(max(seconds))}"
            most = MOST_SECONDS.get(work, math.inf)
            limit = f"{most:g}{' (missed)' if median(seconds) > most else ''}" if work in MOST_SECONDS else ""
            lines.append(f"| {work} | {len(seconds)} | **{_short(median(seconds))}** ({spread}) | {limit} |")
        before, after = (
            ", ".join(f"{run.peak_mb:.0f}" for run in self.of("play", work, PROGRAM)) for work in (BEFORE, AFTER)
        )
        return [
            *lines,
            "",
            f"Memory of `deep-mlp play` before 1,000 changes of a setting: {before} MB; after: {after} MB.",
        ]


def _ours(row: str) -> str:
    return PROGRAM if row in ("tutorial", "cached", "sweep") else OURS


def _short(value: float) -> str:
    """Return three digits.

    Example:
        >>> _short(1234.5), _short(12.345), _short(0.0012345)
        ('1234', '12.3', '0.00123')
    """
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _seconds(runs: Sequence[Run]) -> str:
    return _short(median(run.seconds_per_model for run in runs))


def _accuracy(runs: Sequence[Run]) -> str:
    values = [100 * run.accuracy for run in runs]
    if math.isnan(values[0]):
        return ""
    error = f" ± {stdev(values) / math.sqrt(len(values)):.1f}" if len(values) > 1 else ""
    return f"{mean(values):.1f}{error}"
