"""Comparisons of configurations in pairs of equal seeds, corrected for how many there are and for choosing the best."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtrc

from mlp_core.statistics.by_seed import BySeed
from mlp_core.statistics.wording import count

ERROR_RATE = 0.05
"""How often at most a family of comparisons may say something that is not so."""


def win_probability(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return the p-value of a one-sided sign test that the first configuration is better than the second.

    It is the probability of at least so many wins of the first if a win had the probability 1/2. Better means: larger
    in more than half of all pairs. Nothing is assumed about the distribution of the values, so that members which fail
    do no harm. A tie counts as no win; without any win, or any pair, the p-value is 1.

    Args:
        first: Values of one configuration, `[seeds]`; NaN for a member that diverged, whose pair is left out.
        second: Those of another, of the same seeds.

    Example:
        >>> win_probability(np.array([0.9, 0.8, 0.7]), np.array([0.5, 0.5, 0.5]))
        0.125

    Source:
        Conover 1999, "Practical nonparametric statistics", section 3.4.
    """
    differences = first - second
    differences = differences[np.isfinite(differences)]
    wins, n = int((differences > 0).sum()), len(differences)
    return float(bdtrc(wins - 1, n, 0.5)) if wins else 1.0


def not_best(values: NDArray[np.float64]) -> tuple[NDArray[np.bool_], bool]:
    """Test which configurations are not the best: another one is significantly better in pairs of equal seeds.

    Each is compared with every other one by a one-sided sign test at the level `ERROR_RATE / (configurations - 1)`
    (Bonferroni). A configuration is excluded if any other one beats it. If one configuration is at least as good as any
    other in half of all pairs, only its own comparisons can exclude it, so that it stays with a probability of at least
    95 %. Which one looks best in these members does not matter.

    Args:
        values: `[configurations, seeds]`, higher is better; NaN where a member diverged, whose pairs are left out.

    Returns:
        bool `[configurations]`, true if excluded; and whether this number of seeds, diverged members counted, is enough
        to exclude any: `0.5 ** seeds` is at most the level.

    Example:
        >>> values = np.array([np.linspace(0.8, 0.9, 12), np.linspace(0.5, 1.3, 12), np.linspace(0.3, 0.4, 12)])
        >>> excluded, enough = not_best(values)
        >>> excluded.tolist(), enough
        ([False, False, True], True)

    Source:
        Hsu 1996, "Multiple comparisons", section 4 (the best as a confidence set), here with sign tests.
    """
    level = ERROR_RATE / max(1, len(values) - 1)
    excluded = np.array(
        [
            any(win_probability(other, own) <= level for place, other in enumerate(values) if place != number)
            for number, own in enumerate(values)
        ],
        dtype=bool,
    )
    return excluded, 0.5 ** values.shape[1] <= level


def best_level(group: BySeed, fewest_levels: int) -> tuple[int, float, tuple[float, float]]:
    """Return the level that does best in pairs of equal seeds, and the lowest and the highest level that may be best.

    The best level is the one that does better than each other one in at least half of all pairs. `not_best` keeps it
    with a probability of at least 95 %, so that the levels kept are a confidence set: one level, if all others are
    excluded. If each is beaten by another and none is kept, the set is all levels.

    Args:
        group: Levels to choose from.
        fewest_levels: With fewer there is nothing to choose.

    Returns:
        Number of seeds; the level whose smallest share of pairs won against another is the largest, of equal ones that
        of highest median; lowest and highest level of the confidence set. 0 and NaN if there is nothing to choose.

    Example:
        >>> group = BySeed(np.array([1, 2]), np.arange(8), np.repeat([[0.5], [0.9]], 8, axis=1))
        >>> best_level(group, 2)
        (8, 2.0, (2.0, 2.0))
    """
    levels, values = group.levels, group.values
    n = values.shape[1]
    if not n or len(levels) < fewest_levels:
        return 0, math.nan, (math.nan, math.nan)
    # row by row, as all pairs of levels at once would take levels squared times the seeds
    wins = np.array([(own > np.delete(values, row, axis=0)).mean(1).min(initial=1) for row, own in enumerate(values)])
    ahead = np.flatnonzero(wins == wins.max())
    best = float(levels[ahead[np.median(values[ahead], 1).argmax()]])
    excluded, _ = not_best(values)
    left = levels if excluded.all() else levels[~excluded]
    return n, best, (float(left[0]), float(left[-1]))


def seeds_needed(n_configurations: int) -> int:
    """Return the smallest number of seeds with which `not_best` can exclude any of so many configurations.

    Example:
        >>> seeds_needed(5), seeds_needed(10), seeds_needed(15)
        (7, 8, 9)
    """
    return math.ceil(math.log2(max(1, n_configurations - 1) / ERROR_RATE))


def describe_best(key: str, names: Sequence[str], values: NDArray[np.float64]) -> str:
    """Return a sentence that names the configurations that `not_best` excludes, and the best if one is left.

    With too few seeds to exclude any, the sentence gives the number needed.

    Args:
        key: What tells them apart, such as `depth`.
        names: Of the configurations, at least two.
        values: `[configurations, seeds]`, NaN where a member diverged.

    Example:
        >>> describe_best("gain", ["1", "2"], np.array([np.linspace(0.5, 0.6, 8), np.linspace(0.8, 0.9, 8)]))
        'In pairs of equal seeds gain 1 is beaten (sign tests, corrected for one comparison each): gain 2 is the best.'
    """
    excluded, enough = not_best(values)
    if not enough:
        return (
            f"{values.shape[1]} seeds are too few to tell {len(names)} configurations apart in pairs of equal seeds: "
            f"it takes {seeds_needed(len(names))} at least."
        )
    how = f"(sign tests, corrected for {count(len(names) - 1, 'comparison')} each)"
    beaten = [name for name, is_out in zip(names, excluded, strict=True) if is_out]
    left = [name for name, is_out in zip(names, excluded, strict=True) if not is_out]
    if not beaten or not left:
        return f"In pairs of equal seeds these members do not settle which {key} is best {how}."
    verb, plural = ("is", "") if len(beaten) == 1 else ("are", "s")
    rest = (
        f"{key} {left[0]} is the best"
        if len(left) == 1
        else f"which of {listed(left)} is best these members do not settle"
    )
    return f"In pairs of equal seeds {key}{plural} {listed(beaten)} {verb} beaten {how}: {rest}."


def listed(names: Sequence[str]) -> str:
    """Join one or more names for a sentence: commas between them, and `and` before the last.

    Example:
        >>> listed(["1", "2", "3"])
        '1, 2 and 3'
    """
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
