"""What a sweep says: which configuration to choose, what that costs, which are no worse, and which settings matter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlp_core.experiments.sweep.experiment import FACTORS
from mlp_core.seeds import derive_seed
from mlp_core.statistics.best_set import not_told_apart, pareto_front
from mlp_core.statistics.variance_shares import VarianceShares, variance_shares

SCALES = 6
"""Depth scales that a signal can cross, as Schoenholz et al. 2017 draw it."""
_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SweepResults:
    """A sweep's table as arrays.

    A member that diverged counts as one that guesses: left out, it would favour configurations in which few finish.

    Attributes:
        levels: Values of the settings of the grid that have two or more, by column.
        numbers: Which level each configuration has, `[configurations, settings]`.
        configurations: One value per configuration of each other column, by name.
        validation: Accuracy, 0 .. 1, `[configurations, seeds]`.
        test: The same on test examples.
        diverged: Whether a member diverged, `[configurations, seeds]`.
        failed: Whether it diverged or never learned, `[configurations, seeds]`.
        seconds: Processor time of a member's training, the mean of a configuration, `[configurations]`.
        chance: Accuracy of guessing.
        seed: Root seed.
    """

    levels: dict[str, list[Any]]
    numbers: NDArray[np.int64]
    configurations: dict[str, NDArray[Any]]
    validation: _Floats
    test: _Floats
    diverged: NDArray[np.bool_]
    failed: NDArray[np.bool_]
    seconds: _Floats
    chance: float
    seed: int

    @property
    def n_seeds(self) -> int:
        """Return how many members each configuration has."""
        return int(self.validation.shape[1])

    def __len__(self) -> int:
        """Return how many configurations there are."""
        return len(self.validation)

    @cached_property
    def ranking(self) -> NDArray[np.int64]:
        """Return all configurations by mean validation accuracy, the best first; of equal ones the smaller first."""
        return np.lexsort((self.configurations["parameters"], -self.validation.mean(1)))

    @property
    def chosen(self) -> int:
        """Return the configuration of highest mean validation accuracy."""
        return int(self.ranking[0])

    @property
    def price(self) -> float:
        """Return by how much the chosen one's mean validation accuracy exceeds its mean test accuracy."""
        return float(self.validation[self.chosen].mean() - self.test[self.chosen].mean())

    @cached_property
    def alike(self) -> tuple[NDArray[np.bool_], bool]:
        """Return which configurations test accuracies do not tell from the chosen one, and whether seeds suffice."""
        stream = np.random.default_rng(derive_seed(self.seed, "sweep", "best set"))
        return not_told_apart(self.test, self.chosen, stream)

    @cached_property
    def shares(self) -> VarianceShares | None:
        """Return what settings explain of the variance of test accuracies; None with one seed or without variance."""
        if self.n_seeds < 2 or not self.levels or len(self) < 2:
            return None
        sizes = [len(values) for values in self.levels.values()]
        return variance_shares(list(self.levels), self.numbers, sizes, self.test)

    def front(self, costs: _Floats) -> NDArray[np.int64]:
        """Return the configurations that no cheaper one reaches in mean validation accuracy, by rising cost."""
        return pareto_front(costs, self.validation.mean(1))

    def effect(self, setting: str) -> _Floats:
        """Return the mean test accuracy of all configurations at each level of a setting, `[levels, seeds]`."""
        column = list(self.levels).index(setting)
        return np.array(
            [
                self.test[self.numbers[:, column] == number].mean(0)
                if (self.numbers[:, column] == number).any()
                else np.full(self.n_seeds, np.nan)
                for number in range(len(self.levels[setting]))
            ]
        )

    def pair(self, first: str, second: str) -> _Floats:
        """Return mean test accuracy at pairs of levels, `[levels of first, levels of second]`; NaN where none is."""
        rows, columns = (self.numbers[:, list(self.levels).index(name)] for name in (first, second))
        shape = len(self.levels[first]), len(self.levels[second])
        total, count = np.zeros(shape), np.zeros(shape)
        np.add.at(total, (rows, columns), self.test.mean(1))
        np.add.at(count, (rows, columns), 1)
        return np.asarray(np.divide(total, count, out=np.full(shape, np.nan), where=count > 0))

    def strongest_pairs(self, n: int) -> list[tuple[str, str]]:
        """Return the pairs of settings that explain most, alone and together, the most first."""
        shares = self.shares
        names = list(self.levels)
        pairs = [(first, second) for place, first in enumerate(names) for second in names[place + 1 :]]
        if shares is None:
            return pairs[:n]
        return sorted(pairs, key=lambda pair: -shares.shares[" x ".join(pair)].estimate)[:n]

    @property
    def beyond(self) -> NDArray[np.bool_]:
        """Return which configurations are deeper than `SCALES` depth scales of their start."""
        scale = self.configurations["xi_c"].astype(float)
        return np.asarray(self.configurations["depth"] > SCALES * np.where(np.isnan(scale), np.inf, scale))


def sweep_results(columns: Mapping[str, Any], settings: Mapping[str, Any]) -> SweepResults:
    """Return a sweep's table as arrays.

    Args:
        columns: Of the table, a row per member, configuration by configuration.
        settings: Of the table: `levels` of the grid, `class_names`, and the root `seed` if it has one.
    """
    n_seeds = int(np.max(columns["member"])) + 1
    chance = 1 / len(settings["class_names"])

    def by_member(name: str) -> NDArray[Any]:
        return np.asarray(columns[name]).reshape(-1, n_seeds)

    diverged = by_member("status") != "ok"

    def accuracy(name: str) -> _Floats:
        values = np.array(columns[name], dtype=np.float64).reshape(-1, n_seeds)
        return np.where(diverged | np.isnan(values), chance, values)

    names = [name for name in dict.fromkeys((*settings["levels"], *_DERIVED)) if name in columns]
    configurations = {name: by_member(name)[:, 0] for name in names}
    levels = {name: list(settings["levels"][name]) for name in FACTORS if len(settings["levels"].get(name, ())) > 1}
    numbers = np.array(
        [[values.index(value) for value in configurations[name].tolist()] for name, values in levels.items()], np.int64
    )
    return SweepResults(
        levels,
        numbers.T.reshape(len(diverged), len(levels)),
        configurations,
        accuracy("validation_accuracy"),
        accuracy("test_accuracy"),
        diverged,
        diverged | ~by_member("learned").astype(bool),
        by_member("train_seconds").astype(np.float64).mean(1),
        chance,
        int(settings.get("seed", 0)),
    )


_DERIVED = ("depth", "width", "activation", "start", "gain", "parameters", "theory_gain", "xi_c")


def describe(configurations: Mapping[str, Any], number: int, names: Sequence[str]) -> str:
    """Return what tells a configuration from others of the grid.

    Example:
        >>> describe({"depth": [1, 2], "learning_rate": [0.1, 0.01]}, 1, ["depth", "learning_rate"])
        'depth 2, learning rate 0.01'
    """
    return ", ".join(f"{title(name)} {level_text(configurations[name][number])}" for name in names)


def title(name: str) -> str:
    """Return a column's name in words."""
    return name.replace("_", " ")


def level_text(value: object) -> str:
    """Return a level as it is written, a float with four digits.

    Example:
        >>> level_text(0.001), level_text(8), level_text("relu")
        ('0.001', '8', 'relu')
    """
    return f"{value:.4g}" if isinstance(value, float) else str(value)
