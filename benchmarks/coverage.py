"""How often each interval that the project shows holds the value of its population: 2,000 networks a configuration.

Every configuration is trained as the flows train it, once with as many members as a population has; what lies in
`coverage-artifacts` is not trained again. Samples of 8, 16 and 64 members are then drawn from each population, and of
each sample's intervals it is counted how many hold the whole population's value.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from benchmarks.work import (
    ARMS,
    PIXELS,
    SEED,
    Work,
    depth_configs,
    draw_images,
    gain_configs,
    load,
    polynomial_configs,
)
from mlp_core.artifacts.storage import machine, settings_digest, write_file
from mlp_core.data.datasets import Split
from mlp_core.engine.architecture import LEARNED_MARGIN
from mlp_core.engine.configs import TrainConfig
from mlp_core.engine.members import train_members
from mlp_core.engine.tables import member_table
from mlp_core.experiments.ablation.experiment import Ablation, ablation_trials
from mlp_core.experiments.ablation.init_diagnostics import measure_at_init
from mlp_core.experiments.depth_sweep.experiment import DepthSweep
from mlp_core.experiments.gain_sweep.experiment import GainSweep
from mlp_core.experiments.interface import Data, Setup
from mlp_core.statistics.intervals import Interval, median_interval, share_interval, student_t_factor
from mlp_core.theory.gains import forward_gain

FOLDER = Path("coverage-artifacts")
TABLE = Path("benchmarks/COVERAGE.md")
N_NETWORKS = 2000
SIZES = 8, 16, 64
_BLOCK = 250
"""Members that are trained, and stored, at a time."""
_GAINS = (0.1, 1.4, 1.7, 3.0)
_IMAGES = 240, 100
"""Drawn faces per class to train and to test on; the gain sweep has 2,000 and 300."""


def configs() -> dict[str, list[TrainConfig]]:
    """Return the configurations whose populations are trained, by experiment.

    The ablation's list leaves out what the depth sweep's has, and the gain sweep has only four gains.
    """
    sweep, ablation = DepthSweep(), Ablation()
    theory = {name: forward_gain(name) for name in ablation.ablation_activations}
    trials = ablation_trials(
        *(sweep.depths, sweep.parameter_budget, ARMS, theory, ablation.ablation_epochs),
        Setup(sweep, Data(2, (), 0, 0), seed=SEED).training(),
    )
    explained = [trial.config for trial in trials]
    depth = list(depth_configs())
    return {
        "depth sweep": depth,
        "polynomial": list(polynomial_configs()),
        "gain sweep": list(gain_configs(3, GainSweep(gains=_GAINS))),
        "ablation": [config for config in explained if config not in depth],
    }


@cache
def _images() -> Split:
    with tempfile.TemporaryDirectory() as name:
        n_train, n_test = _IMAGES
        drawn = draw_images(Path(name) / "drawn", n_train_per_class=n_train, n_test_per_class=n_test)
        return load(Work("", "", (), image_files=drawn))


def _data(config: TrainConfig) -> Split:
    return _images() if config.layer_sizes[0] == PIXELS else load(Work("", "", (config,)))


def _block_path(folder: Path, config: TrainConfig, first: int) -> Path:
    key = settings_digest(config.settings(), "" if config.layer_sizes[0] != PIXELS else str(_IMAGES))
    return folder / f"{config.seed_namespace}-{key[:12]}-{first}.parquet"


def population(folder: Path, config: TrainConfig) -> pa.Table | None:
    """Read the stored members of a configuration; None if there are none."""
    paths = [path for first in range(0, N_NETWORKS, _BLOCK) if (path := _block_path(folder, config, first)).exists()]
    return pa.concat_tables([pq.read_table(path) for path in paths]) if paths else None


def train_block(folder: Path, config: TrainConfig, first: int) -> None:
    """Train 250 members of a configuration and store their accuracies, losses and, for spirals, dead units.

    Nothing happens if the file exists.

    Args:
        folder: Where to store them.
        config: The configuration.
        first: Number of the first member.
    """
    path = _block_path(folder, config, first)
    if path.exists():
        return
    members = range(first, first + _BLOCK)
    table = member_table(train_members(config, _data(config), members))
    if config.batches == "per_seed_order":
        at_init = measure_at_init(config, _data(config), members)
        table = table.append_column("dead_share", pa.array(at_init.dead_share.numpy()))
    write_file(path, lambda file: pq.write_table(table, file))
    print(f"{config.seed_namespace} {config.name}, members {first} to {members[-1]}", file=sys.stderr, flush=True)


def train_populations(folder: Path, n_networks: int, workers: int) -> None:
    """Train the members that are not yet stored: the first block of every configuration, then the second, and so on.

    Args:
        folder: Where to store them.
        n_networks: Members of each configuration.
        workers: Number of trainings at the same time.
    """
    every = [config for some in configs().values() for config in some]
    blocks = [(config, first) for first in range(0, n_networks, _BLOCK) for config in every]
    for config in every:
        _data(config)  # before the workers ask for it at once
    with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for done in [pool.submit(train_block, folder, *block) for block in blocks]:
            done.result()


Method = Callable[[NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.float64]]]
"""From samples `[samples, n]` to the lower and the upper ends of their intervals, `[samples]` each."""


@dataclass(frozen=True)
class Quantity:
    """A value of a population, and a method that makes intervals for it from samples.

    Attributes:
        population: Name of the population.
        value: Name of the value, such as a median.
        interval: Name of the method.
        shown: Whether the project reports this interval; the others are for comparison.
        members: The number that each network contributes, float64 `[networks]`.
        truth: The value of the whole population.
        method: Function of samples that returns the ends of their intervals.
    """

    population: str
    value: str
    interval: str
    shown: bool
    members: NDArray[np.float64]
    truth: float
    method: Method


@dataclass(frozen=True)
class Coverage:
    """How often intervals contain the population's value, and their mean width.

    Attributes:
        n: Size of a sample.
        samples: Number of samples with an interval; the others had no spread.
        share: Share of these whose interval contains the value; NaN if there are none.
        width: Mean width, in the units of the value.
    """

    n: int
    samples: int
    share: float
    width: float


def measure(quantity: Quantity, n: int, n_samples: int) -> Coverage:
    """Measure an interval's coverage: draw samples with replacement and count the intervals that contain the truth.

    Args:
        quantity: The population, its value and the method.
        n: Size of a sample.
        n_samples: Number of samples.
    """
    stream = np.random.default_rng([n, *quantity.population.encode()])
    low, high = quantity.method(stream.choice(quantity.members, (n_samples, n)))
    low, high = low[low < high], high[low < high]
    if not len(low):
        return Coverage(n, 0, math.nan, math.nan)
    close = 1e-9  # a share of counts is the same whichever way it is added up
    holds = (low - close <= quantity.truth) & (quantity.truth <= high + close)
    return Coverage(n, len(low), float(holds.mean()), float((high - low).mean()))


def quantities(folder: Path) -> Iterator[Quantity]:
    """Yield the values and interval methods to measure, for each population that has been trained."""
    for experiment, some in configs().items():
        for config in some:
            table = population(folder, config)
            if table is None:
                continue
            name = f"{experiment}: {_named(config)}, {len(table):,} networks"
            columns = {column: table[column].to_numpy(zero_copy_only=False) for column in table.column_names}
            test, train = columns["test_accuracy"], columns["train_accuracy"]
            never = np.where(train >= 1 / config.layer_sizes[-1] + LEARNED_MARGIN, 0.0, 1.0)
            medians = {"test accuracy": test, "train accuracy": train, "loss": np.stack(columns["train_loss"])[:, -1]}
            if config.activation == "relu" and "dead_share" in columns and config.epochs == DepthSweep().epochs:
                medians["dead units"] = columns["dead_share"]
            for value, members in medians.items():
                yield _median(name, f"median {value}", members.astype(np.float64))
            for interval, method in (("Clopper-Pearson", share_interval), ("Wilson", _wilson)):
                is_reported = method is share_interval
                yield Quantity(name, "never learned", interval, is_reported, never, never.mean(), _by_count(method))
            methods: dict[str, Method] = {"Student t": _student}
            if experiment == "depth sweep":
                methods |= {"Anderson's bounds": _anderson}
            for interval, means in methods.items():
                yield Quantity(name, "mean test accuracy", interval, False, test, test.mean(), means)
    yield from _declines(folder)


def _named(config: TrainConfig) -> str:
    return config.name.replace("=", " ")


def _declines(folder: Path) -> Iterator[Quantity]:
    """Return what is lost from the best depth to the deepest, seed by seed, with each activation and start."""
    named = configs()
    by_start: dict[tuple[object, ...], dict[int, TrainConfig]] = {}
    for config in (*named["depth sweep"], *named["ablation"]):
        key = config.activation, config.scheme, config.gains, config.epochs
        by_start.setdefault(key, {})[len(config.layer_sizes) - 2] = config
    for start in by_start.values():
        tables = [population(folder, start[depth]) for depth in (3, 5)]
        if None not in tables:
            n = min(len(table) for table in tables if table)
            best, deepest = (table["test_accuracy"].to_numpy()[:n] for table in tables if table)
            decline, where = best - deepest, _named(start[3]).replace("depth 3 width 6", "depth 3 to 5")
            name = f"decline: {where}, {n:,} pairs"
            yield _median(name, "median decline", decline)
            yield Quantity(name, "mean decline", "Student t", False, decline, decline.mean(), _student)


def _median(population: str, value: str, members: NDArray[np.float64]) -> Quantity:
    return Quantity(population, value, "order statistics", True, members, float(np.median(members)), _order_statistics)


def _order_statistics(samples: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    places = median_interval(np.arange(samples.shape[1]))
    in_order = np.sort(samples, 1)
    return in_order[:, int(places.low)], in_order[:, int(places.high)]


def _by_count(interval: Callable[[int, int], Interval]) -> Method:
    """Return the method that makes intervals of the number of ones in a sample."""

    def method(samples: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        n = samples.shape[1]
        by_count = [interval(hits, n) for hits in range(n + 1)]
        hits = samples.sum(1).astype(int)
        return np.array([interval.low for interval in by_count])[hits], np.array(
            [interval.high for interval in by_count]
        )[hits]

    return method


def _wilson(hits: int, n: int) -> Interval:
    share, square = hits / n, 1.959964**2 / n
    middle, half_width = share + square / 2, math.sqrt(square * (share * (1 - share) + square / 4))
    return Interval(n, share, (middle - half_width) / (1 + square), (middle + half_width) / (1 + square), 0)


def _student(samples: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    n, means = samples.shape[1], samples.mean(1)
    half_widths = student_t_factor(n - 1) * samples.std(1, ddof=1) / math.sqrt(n)
    return means - half_widths, means + half_widths


def _anderson(samples: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return bounds of the mean of values in 0..1 from those of the whole distribution: they hold for any.

    Source:
        Anderson 1969, "Confidence limits for the expected value of an arbitrary bounded random variable".
    """
    n = samples.shape[1]
    gaps = np.diff(np.sort(samples, 1), axis=1, prepend=0.0, append=1.0)
    below, error = np.arange(n + 1) / n, math.sqrt(math.log(2 / 0.05) / (2 * n))
    return gaps @ (1 - np.clip(below + error, 0, 1)), gaps @ (1 - np.clip(below - error, 0, 1))


def in_markdown(measured: Sequence[tuple[Quantity, list[Coverage]]], n_samples: int) -> str:
    """Return a Markdown page: the least coverage of each kind of interval, then a table of all populations.

    Args:
        measured: Each quantity with its coverage for every sample size.
        n_samples: Number of samples of each size.
    """
    error = 100 * math.sqrt(0.95 * 0.05 / n_samples)
    sizes = [f"n = {coverage.n}" for coverage in measured[0][1]]
    lines = [
        "# How often the intervals hold the value of their population",
        "",
        f"Made by `python -m benchmarks.coverage`: {n_samples:,} samples of each size from each population, drawn with",
        f"replacement; the standard error of a coverage near 95 % is {error:.1f} points. Trained on {machine()},",
        f"torch {torch.__version__}. The gain sweep is on {_IMAGES[0]} drawn faces per class instead of 2,000,",
        f"tested on {_IMAGES[1]} instead of 300. Accuracies, shares and declines are 0..1, losses nats.",
        "",
        "## Least coverage over all populations",
        "",
        f"| interval | shown | populations | {' | '.join(sizes)} | worst population |",
        "|---|---|---:|" + "---:|" * len(sizes) + "---|",
    ]
    kinds: dict[tuple[str, str, bool], list[tuple[Quantity, list[Coverage]]]] = {}
    for quantity, coverages in measured:
        kinds.setdefault((quantity.value, quantity.interval, quantity.shown), []).append((quantity, coverages))
    for (value, interval, is_reported), some in kinds.items():
        worst = min(
            some, key=lambda pair: min((coverage.share for coverage in pair[1] if coverage.samples), default=1.0)
        )
        least = [
            min((coverages[place].share for _, coverages in some if coverages[place].samples), default=math.nan)
            for place in range(len(sizes))
        ]
        cells = " | ".join(f"{100 * share:.1f} %" for share in least)
        lines.append(
            f"| {value}, {interval} | {'yes' if is_reported else 'no'} | {len(some)} | {cells} "
            f"| {worst[0].population} |"
        )
    lines += ["", "## Every population", ""]
    lines.append(f"| population | interval | {' | '.join(sizes)} | mean width |")
    lines.append("|---|---|" + "---:|" * len(sizes) + "---|")
    for quantity, coverages in measured:
        cells = " | ".join(
            f"{100 * coverage.share:.1f} %" if coverage.samples else "no spread" for coverage in coverages
        )
        widths = ", ".join(f"{coverage.width:.3g}" if coverage.samples else "-" for coverage in coverages)
        lines.append(f"| {quantity.population} | {quantity.value}, {quantity.interval} | {cells} | {widths} |")
    return "\n".join([*lines, ""])


def main() -> int:
    """Train the populations, measure the coverage of all intervals, and write `benchmarks/COVERAGE.md`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coverage", description=__doc__)
    parser.add_argument("--networks", type=int, default=N_NETWORKS, metavar="N", help="of each; 0 for those there")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="trainings side by side")
    parser.add_argument("--samples", type=int, default=20_000, metavar="N", help="of each size and population")
    options = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    train_populations(FOLDER, options.networks, options.workers)
    measured = []
    for quantity in quantities(FOLDER):
        measured.append((quantity, [measure(quantity, n, options.samples) for n in SIZES]))
        shares = ", ".join(f"{100 * coverage.share:.1f}" for coverage in measured[-1][1])
        print(f"{quantity.population}, {quantity.value}, {quantity.interval}: {shares}", file=sys.stderr, flush=True)
    TABLE.write_text(in_markdown(measured, options.samples), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
