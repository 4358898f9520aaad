"""How often a comparison with the baseline rings: by rounding alone, where a mean moves, and where members are lost.

Rounding noise is real: networks of the depth sweep are trained as the flows train them, and again from weights that
differ in their last bit, as another version of a library may round. The same is done with steps so large that members
of one configuration diverge in one training and not in the other. Nights are drawn from these pairs; other noise is
constructed. Every night goes through `mlp_core.artifacts.comparison.compare`, as the results of a run do.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray

import mlp_core.engine.members
from benchmarks.work import depth_configs
from mlp_core.artifacts.comparison import compare
from mlp_core.artifacts.results import Origin, Results
from mlp_core.artifacts.storage import machine
from mlp_core.data.datasets import spirals, split
from mlp_core.engine.architecture import LEARNED_MARGIN
from mlp_core.engine.configs import TrainConfig
from mlp_core.engine.networks import Ensemble
from mlp_core.statistics.intervals import share_interval
from mlp_core.statistics.wording import format_bounds

Members = NDArray[np.float64]  # train and test accuracy, diverged, never learned: `[..., 4]`
Night = Callable[[np.random.Generator, int], tuple[Members, Members]]

SIZES = (2, 4, 8, 32)
TABLE = Path("benchmarks/DRIFT.md")
_CONFIGURATIONS = 54
_TEST = 800
_ORIGIN = Origin({}, "", {}, "")


def results(members: Members) -> Results:
    """Return members as the results of an experiment, in the form that a comparison with the baseline takes.

    Args:
        members: Train and test accuracy, diverged, never learned: `[configurations, n, 4]`.
    """
    named = {
        ("experiment", f"configuration={row}"): dict(enumerate(map(tuple, values.tolist())))
        for row, values in enumerate(members)
    }
    return Results({"experiment": _ORIGIN}, named)


def alarms(night: Night, n: int, nights: int) -> int:
    """Return on how many simulated nights the comparison with the baseline reports a metric that moved.

    A night is a pair of results of the same configurations: the baseline and a later run.

    Args:
        night: Function of a random generator and n; returns the members of both.
        n: Members per configuration.
        nights: Number of nights.
    """
    n_moved = 0
    for number in range(nights):
        before, after = night(np.random.default_rng(number), n)
        n_moved += bool(compare(results(before), results(after)).moved)
    return n_moved


def finished(accuracy: NDArray[np.float64]) -> Members:
    """Return members that finished and learned, whose train and test accuracy are the given one, clipped to 0.3..1."""
    accuracy = np.clip(accuracy, 0.3, 1.0)
    return np.stack([accuracy, accuracy, 0 * accuracy, 0 * accuracy], axis=-1)


def by_examples(changes: Callable[[np.random.Generator, tuple[int, int]], NDArray[np.float64]]) -> Night:
    """Return simulated nights on which each member's number of correct test examples (of 800) changes.

    Args:
        changes: Function of a random generator and a shape; returns the changes, rounded to whole examples.
    """

    def night(stream: np.random.Generator, n: int) -> tuple[Members, Members]:
        shape = (_CONFIGURATIONS, n)
        before = stream.integers(450, 650, shape)
        return finished(before / _TEST), finished((before + np.round(changes(stream, shape))) / _TEST)

    return night


def redrawn(stream: np.random.Generator, n: int) -> tuple[Members, Members]:
    """Return a simulated night (see `alarms`) on which every member is drawn anew, with independent accuracies."""
    before, after = stream.normal(0.75, 0.1, (2, _CONFIGURATIONS, n)).clip(0.4, 1)
    return finished(np.round(before * _TEST) / _TEST), finished(np.round(after * _TEST) / _TEST)


def at_the_edge(n_edges: int, lost: int) -> Night:
    """Return simulated nights on which half of the members of some configurations fail, at random before and after.

    Args:
        n_edges: Number of such configurations.
        lost: 2 if the members diverge, 3 if they never learn.
    """

    def night(stream: np.random.Generator, n: int) -> tuple[Members, Members]:
        sides = np.stack([finished(np.full((_CONFIGURATIONS, n), 0.75))] * 2)
        hit = stream.random((2, n_edges, n)) < 0.5
        sides[:, :n_edges][hit] = (np.nan, np.nan, 1, np.nan) if lost == 2 else (0.3, 0.3, 0, 1)
        return sides[0], sides[1]

    return night


CONSTRUCTED: dict[str, Night] = {
    "one example more or less in every member": by_examples(lambda stream, shape: stream.choice([-1.0, 1.0], shape)),
    "one example in 80 % of members": by_examples(
        lambda stream, shape: stream.choice([-1.0, 0.0, 1.0], shape, p=[0.4, 0.2, 0.4])
    ),
    "up to two examples": by_examples(lambda stream, shape: stream.integers(-2, 3, shape).astype(float)),
    "normal, sd 0.5 points": by_examples(lambda stream, shape: stream.normal(0, 4, shape)),
    "normal, sd 2 points": by_examples(lambda stream, shape: stream.normal(0, 16, shape)),
    "skewed (exponential, mean 0), sd 0.5 points": by_examples(
        lambda stream, shape: 4 * (stream.exponential(size=shape) - 1)
    ),
    "skewed (exponential, mean 0), sd 2 points": by_examples(
        lambda stream, shape: 16 * (stream.exponential(size=shape) - 1)
    ),
    "one member in five by 4 points, skewed": by_examples(
        lambda stream, shape: 32 * (stream.exponential(size=shape) - 1) * (stream.random(shape) < 0.2)
    ),
    "one configuration in five is noisy, sd 2 points": by_examples(
        lambda stream, shape: stream.normal(0, 16, shape) * (np.arange(shape[0]) % 5 == 0)[:, None]
    ),
    "every member is another draw, sd 10 points": redrawn,
    "one configuration: half diverge, others each night": at_the_edge(1, 2),
    "ten configurations: half diverge, others each night": at_the_edge(10, 2),
    "ten configurations: half never learn, others each night": at_the_edge(10, 3),
}


@dataclass(frozen=True)
class Pool:
    """The same members trained several times with different rounding, `[trainings, configurations, members, 4]`."""

    name: str
    values: Members

    def night(self, stream: np.random.Generator, n: int) -> tuple[Members, Members]:
        """Return n random members of each configuration as two of the trainings produced them."""
        n_kinds, n_configurations, n_members, _ = self.values.shape
        first, second = stream.choice(n_kinds, 2, replace=False)
        drawn = stream.permuted(np.tile(np.arange(n_members), (n_configurations, 1)), axis=1)[:, :n]
        rows = np.arange(n_configurations)[:, None]
        return self.values[first][rows, drawn], self.values[second][rows, drawn]

    def unchanged(self) -> str:
        """Return, for each configuration, the percentage of members equal in the first two trainings, as text."""
        first, second = self.values[:2]
        same = ((first == second) | (np.isnan(first) & np.isnan(second))).all(axis=-1)
        return ", ".join(f"{100 * share:.0f} %" for share in same.mean(axis=-1))


@contextmanager
def rounded(ulps: int) -> Iterator[None]:
    """Multiply the initial weights of trainings by 1 + ulps * 2^-23 while the context lasts: other rounding."""

    def touched(*arguments: Any) -> Ensemble:
        ensemble = Ensemble(*arguments)
        ensemble.parameters.mul_(1 + ulps * 2.0**-23)
        return ensemble

    with patch.object(mlp_core.engine.members, "Ensemble", touched):
        yield


def train(name: str, configs: Sequence[TrainConfig], members: Sequence[int], kinds: Sequence[int]) -> Pool:
    """Train members of each configuration once for each change of rounding.

    Args:
        name: Name of the pool.
        configs: The configurations.
        members: Numbers of the members.
        kinds: Units in the last place by which the initial weights change, one for each training.
    """
    data = split(*spirals())
    values = []
    for kind in kinds:
        with rounded(kind):
            trained = [mlp_core.engine.members.train_members(config, data, members) for config in configs]
        rows = []
        for config, result in zip(configs, trained, strict=True):
            train_accuracy, test_accuracy = result.train_accuracy.numpy(), result.test_accuracy.numpy()
            diverged = np.isnan(train_accuracy)
            never = np.where(diverged, np.nan, train_accuracy < 1 / config.layer_sizes[-1] + LEARNED_MARGIN)
            rows.append(np.stack([train_accuracy, test_accuracy, diverged.astype(float), never], axis=-1))
        values.append(rows)
    return Pool(name, np.array(values))


def pools(members: Sequence[int], kinds: Sequence[int]) -> list[Pool]:
    """Train two pools: the depth sweep's networks, and networks with such large steps that rounding decides their end.

    Args:
        members: Numbers of the members.
        kinds: See `train`.
    """
    configs = depth_configs()
    large = [
        replace(config, epochs=10, optimizer="sgd", activation=activation, learning_rate=rate)
        for config in configs[1:4:2]
        for activation, rate in (("relu", 1.0), ("relu", 3.0), ("leaky_relu(0.1)", 1.0), ("leaky_relu(0.1)", 3.0))
    ]
    return [
        train("rounding noise, depth sweep", configs, members, kinds),
        train("rounding noise, steps of 1 and 3 (SGD)", large, members, kinds),
    ]


def shifted(noise: Callable[[np.random.Generator, tuple[int, int]], NDArray[np.float64]], points: float) -> Night:
    """Return simulated nights on which all members of the first configuration lose accuracy, with noise in all.

    Args:
        noise: Function of a random generator and a shape; returns changes in examples.
        points: Percentage points that are lost.
    """

    def changes(stream: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
        lost: NDArray[np.float64] = _TEST / 100 * points * (np.arange(shape[0]) == 0)[:, None]
        return noise(stream, shape) - lost

    return by_examples(changes)


def lost(n_configurations: int, n_hit: int, share: float, outcome: tuple[float, ...]) -> Night:
    """Return simulated nights on which some members end differently and nothing else changes.

    Args:
        n_configurations: Number of configurations.
        n_hit: In how many of them members end differently.
        share: Share of their members; at least one.
        outcome: Train and test accuracy, diverged, never learned of these members.
    """

    def night(stream: np.random.Generator, n: int) -> tuple[Members, Members]:
        before = finished(stream.integers(450, 650, (n_configurations, n)) / _TEST)
        after = before.copy()
        after[:n_hit, : max(1, round(share * n))] = outcome
        return before, after

    return night


_DIVERGED, _NEVER = (np.nan, np.nan, 1.0, np.nan), (0.27, 0.27, 0.0, 1.0)
LOST: dict[str, Night] = {
    "all members of one of 12 configurations diverge": lost(12, 1, 1, _DIVERGED),
    "all members of one of 165 configurations diverge": lost(165, 1, 1, _DIVERGED),
    "all members of all 165 configurations diverge": lost(165, 165, 1, _DIVERGED),
    "three quarters of one of 12 configurations diverge": lost(12, 1, 0.75, _DIVERGED),
    "one member in each of 12 configurations diverges": lost(12, 12, 0, _DIVERGED),
    "one member in each of 5 configurations diverges": lost(5, 5, 0, _DIVERGED),
    "all members of one of 12 configurations no longer learn": lost(12, 1, 1, _NEVER),
    "one member in each of 12 configurations no longer learns": lost(12, 12, 0, _NEVER),
}
_NOISE: dict[str, Callable[[np.random.Generator, tuple[int, int]], NDArray[np.float64]]] = {
    "none": lambda stream, shape: np.zeros(shape),
    "sd 0.5 points": lambda stream, shape: stream.normal(0, 4, shape),
    "sd 2 points": lambda stream, shape: stream.normal(0, 16, shape),
}
_SHIFTS = (0.5, 1, 2, 3, 5, 10)


def in_markdown(runs: Sequence[Sequence[Pool]], nights: int) -> str:
    """Measure false alarms and power, and return them as a Markdown page.

    Args:
        runs: The pools of each run, one per kind of noise; runs have no members in common.
        nights: Number of nights for each table cell with constructed noise.
    """
    real = {pools[0].name: [pool.night for pool in pools] for pools in zip(*runs, strict=True)}
    constructed = {name: [night] for name, night in CONSTRUCTED.items()}
    power = {
        f"{name}, {points:g} points": [shifted(noise, points)] for name, noise in _NOISE.items() for points in _SHIFTS
    }
    events = {name: [night] for name, night in LOST.items()}
    unchanged = [f"{pool.name}: {pool.unchanged()} of the members of its configurations" for pool in runs[0]]
    n_members = runs[0][0].values.shape[2]
    return "\n".join(
        [
            "# How often a comparison with the baseline rings",
            "",
            f"By `python -m benchmarks.drift` on {machine()}, torch {torch.__version__}. {nights} nights for each "
            "number, as many of each run of real noise, a quarter of power. Constructed noise is that of "
            f"{_CONFIGURATIONS} configurations with train and test accuracies on {_TEST} examples. Real noise is that "
            f"of {len(runs)} runs with {n_members} members of each configuration, of which a night draws n: no member "
            "is in two runs. In brackets stands the 95 % interval over nights (Clopper and Pearson), and of real noise "
            "the least and the most of a run, as nights of one run share their members.",
            "",
            f"Not changed at all by rounding are, in the first run, of {'; of '.join(unchanged)}.",
            "",
            "## False alarms: nights on which any metric moved",
            "",
            *_table("real noise", real, nights),
            "",
            *_table("constructed noise", constructed, nights),
            "",
            "## Power: nights on which one configuration that lost points, or any other, was named",
            "",
            *_table("noise in all, and what one lost", power, nights // 4),
            "",
            "## Members that diverge or no longer learn: nights on which any metric moved",
            "",
            *_table("what happened", events, max(1, nights // 40)),
            "",
        ]
    )


def _table(first: str, rows: Mapping[str, Sequence[Night]], nights: int) -> list[str]:
    lines = [f"| {first} | {' | '.join(f'n = {n}' for n in SIZES)} |", f"|---|{'---:|' * len(SIZES)}"]
    for name, kinds in rows.items():
        shares = " | ".join(_share([alarms(night, n, nights) for night in kinds], nights) for n in SIZES)
        lines.append(f"| {name} | {shares} |")
        print(lines[-1], file=sys.stderr, flush=True)
    return lines


def _share(moved: Sequence[int], nights: int) -> str:
    """Return the share of nights with an alarm in words, with its interval and the least and the most of several runs.

    Example:
        >>> _share([2, 6], 100), _share([100], 100)
        ('4.0 % [1.7 to 7.7], 2.0 to 6.0', '100.0 % [96.4 to 100.0]')
    """
    share = share_interval(sum(moved), nights * len(moved))
    runs = f", {100 * min(moved) / nights:.1f} to {100 * max(moved) / nights:.1f}" if len(moved) > 1 else ""
    return f"{100 * share.estimate:.1f} % [{format_bounds(share)}]{runs}"


def main() -> int:
    """Train networks with different rounding, measure false alarms and power, and write `benchmarks/DRIFT.md`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drift", description=__doc__)
    parser.add_argument("--nights", type=int, default=400, metavar="N", help="for each number  [default: 400]")
    parser.add_argument("--members", type=int, default=128, metavar="N", help="to train of each  [default: 128]")
    parser.add_argument("--roundings", type=int, default=5, metavar="N", help="trainings of each  [default: 5]")
    parser.add_argument("--runs", type=int, default=4, metavar="N", help="with members of their own  [default: 4]")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="member of the first run  [default: 0]")
    options = parser.parse_args()
    starts = range(options.first, options.first + options.runs * options.members, options.members)
    runs = [pools(range(start, start + options.members), range(options.roundings)) for start in starts]
    TABLE.write_text(in_markdown(runs, options.nights), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
