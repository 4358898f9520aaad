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
    """A sweep's results as arrays, one row per configuration.

    A member that diverged counts as one that guesses (accuracy `chance`): left out, it would favour configurations in
    which few finish.

    Attributes:
        levels: The values tried of each setting that varies, by column.
        numbers: Index of each configuration's value in `levels`, `[configurations, settings]`.
        configurations: Values of the other columns, one per configuration, by column.
        validation: Validation accuracy, 0..1, `[configurations, seeds]`.
        test: Test accuracy, 0..1, `[configurations, seeds]`.
        diverged: Whether a member diverged, `[configurations, seeds]`.
        failed: Whether it diverged or never learned, `[configurations, seeds]`.
        seconds: Processor time of training one member, mean of the configuration, `[configurations]`.
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
        """Return the number of members per configuration."""
        return int(self.validation.shape[1])

    def __len__(self) -> int:
        """Return the number of configurations."""
        return len(self.validation)

    @cached_property
    def ranking(self) -> NDArray[np.int64]:
        """Return all configurations (indices) by mean validation accuracy, best first; of equals the smaller first."""
        return np.lexsort((self.configurations["parameters"], -self.validation.mean(1)))

    @property
    def chosen(self) -> int:
        """Return the index of the configuration of highest mean validation accuracy."""
        return int(self.ranking[0])

    @property
    def price(self) -> float:
        """Return how much the chosen configuration's mean validation accuracy exceeds its mean test accuracy."""
        return float(self.validation[self.chosen].mean() - self.test[self.chosen].mean())

    @cached_property
    def alike(self) -> tuple[NDArray[np.bool_], bool]:
        """Return which configurations do not differ from the chosen one in test accuracy, and whether seeds suffice.

        The first value is bool `[configurations]`: no significant difference in pairs of equal seeds; see
        `not_told_apart`. The second is False if there are too few seeds for any difference to be significant.
        """
        stream = np.random.default_rng(derive_seed(self.seed, "sweep", "best set"))
        return not_told_apart(self.test, self.chosen, stream)

    @cached_property
    def shares(self) -> VarianceShares | None:
        """Return the share of the variance of test accuracy that each setting, pair of settings and the seeds explain.

        None with fewer than two seeds or configurations, or if no setting varies.
        """
        if self.n_seeds < 2 or not self.levels or len(self) < 2:
            return None
        sizes = [len(values) for values in self.levels.values()]
        return variance_shares(list(self.levels), self.numbers, sizes, self.test)

    def front(self, costs: _Floats) -> NDArray[np.int64]:
        """Return the Pareto front: configurations whose mean validation accuracy no cheaper one reaches, by cost.

        Args:
            costs: Cost of each configuration, `[configurations]`.

        Returns:
            Indices of configurations.
        """
        return pareto_front(costs, self.validation.mean(1))

    def effect(self, setting: str) -> _Floats:
        """Return the mean test accuracy at each level of a setting, over all configurations that have it.

        Args:
            setting: Column of the setting.

        Returns:
            float64 `[levels, seeds]`; NaN for a level that no configuration has.
        """
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
        """Return the mean test accuracy at each pair of levels of two settings.

        Args:
            first: Column of one setting.
            second: Column of the other.

        Returns:
            float64 `[levels of first, levels of second]`; NaN where no configuration has the pair.
        """
        rows, columns = (self.numbers[:, list(self.levels).index(name)] for name in (first, second))
        shape = len(self.levels[first]), len(self.levels[second])
        total, count = np.zeros(shape), np.zeros(shape)
        np.add.at(total, (rows, columns), self.test.mean(1))
        np.add.at(count, (rows, columns), 1)
        return np.asarray(np.divide(total, count, out=np.full(shape, np.nan), where=count > 0))

    def strongest_pairs(self, n: int) -> list[tuple[str, str]]:
        """Return at most n pairs of settings, those first whose interaction explains most of the variance.

        If the shares of the variance are not known, the first n pairs in the order of the settings.
        """
        shares = self.shares
        names = list(self.levels)
        pairs = [(first, second) for place, first in enumerate(names) for second in names[place + 1 :]]
        if shares is None:
            return pairs[:n]
        return sorted(pairs, key=lambda pair: -shares.shares[" x ".join(pair)].estimate)[:n]

    @property
    def beyond(self) -> NDArray[np.bool_]:
        """Return which configurations are deeper than `SCALES` (six) depth scales of their start, a bool each."""
        scale = self.configurations["xi_c"].astype(float)
        return np.asarray(self.configurations["depth"] > SCALES * np.where(np.isnan(scale), np.inf, scale))


def sweep_results(columns: Mapping[str, Any], settings: Mapping[str, Any]) -> SweepResults:
    """Arrange a sweep's table as arrays.

    Args:
        columns: Columns of the `sweep` table, a row per member, sorted by configuration.
        settings: Settings of the table: `levels` of the grid, `class_names`, and the root `seed` if there is one.
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
    """Return a configuration's values in the named columns, as text.

    Args:
        configurations: Columns with one value per configuration.
        number: Index of the configuration.
        names: The columns to name.

    Example:
        >>> describe({"depth": [1, 2], "learning_rate": [0.1, 0.01]}, 1, ["depth", "learning_rate"])
        'depth 2, learning rate 0.01'
    """
    return ", ".join(f"{title(name)} {level_text(configurations[name][number])}" for name in names)


def title(name: str) -> str:
    """Return a column's name with spaces instead of underscores."""
    return name.replace("_", " ")


def level_text(value: object) -> str:
    """Return a setting's value as text, a float with four significant digits.

    Example:
        >>> level_text(0.001), level_text(8), level_text("relu")
        ('0.001', '8', 'relu')
    """
    return f"{value:.4g}" if isinstance(value, float) else str(value)
