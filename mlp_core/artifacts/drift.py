"""Which changes are drift: the tests of means and of events.

Equal seeds are equal draws, so results are compared member by member. The null hypothesis: each member is the same
network trained by the same rules, and between the two runs there is only rounding noise, as two versions of a library
or two processors make it. It changes a member's accuracy by a random amount of mean 0, whose size is like that in the
other configurations of the experiment, and may shift a configuration by up to one example. It makes a member that
finished diverge, or one that learned no longer learn, as often as the other way round. Under the null hypothesis at
most 5 of 100 comparisons name a metric: means are tested at 1 in 200, which leaves room for tails heavier than normal,
and events at 2 in 100, Bonferroni within both.

- Means: the mean change of a configuration's accuracies, with Student's t. Their spread is the larger of the
  configuration's own and that pooled over the experiment. A pooled spread counts as known no better than from 8 members
  (7 degrees of freedom), so that changes which are skewed, or alike by chance, keep the promise. One example is added
  to each side of the interval: less than one example is no change.
- Events: a member that was there and diverges, or that learned and no longer learns, or either the other way round.
  Over an experiment they are counted by McNemar's exact test. A configuration that lost most of its members is named
  however few they are, unless events the other way round, or of single members elsewhere, show that rounding does it.

A metric that could not show even the largest possible change is not judged.

Sources:
    McNemar 1947, "Note on the sampling error of the difference between correlated proportions or percentages".
    Tarone 1990, "A modified Bonferroni method for discrete data".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtrc, stdtrit

from mlp_core.artifacts.changes import ALL, Change, first_listed
from mlp_core.artifacts.results import EVENTS, MEASURES

_ALPHA_MEANS = 0.005
_ALPHA_EVENTS = 0.02 / 4  # two kinds of events, each by experiment and by configuration
_RARE = 1 / 500  # how often rounding alone makes a member diverge or no longer learn, where nothing says otherwise
_KNOWN_BY = 8  # members from which a pooled spread counts as known
_ROUNDING = 1e-9  # accuracies are counts: they are further apart than this, or the same
_LARGEST_COUNT = 0.05  # no test set has fewer than 20 examples


@dataclass(frozen=True)
class PairedMembers:
    """The members of a configuration that both the baseline and the results have, with their values.

    Attributes:
        members: Numbers of the members, `[n]`.
        values: Values in the baseline and in the results, `[n, 2, measures]` in the order of `MEASURES`; NaN if there
            is none.
    """

    members: list[int]
    values: NDArray[np.float64]

    def accuracies(self, measure: str) -> NDArray[np.float64]:
        """Return one accuracy of the members that have it in both baseline and results, `[n, 2]`: before, after.

        Args:
            measure: `train_accuracy` or `test_accuracy`. Members that diverged have neither.
        """
        both = self.values[..., MEASURES.index(measure)]
        return both[np.isfinite(both).all(axis=1)]

    def happened(self, event: str) -> tuple[list[int], NDArray[np.bool_]]:
        """Return for which members an event is known in both baseline and results, and whether it happened.

        Args:
            event: `diverged` or `never_learned`. The second is not known of members that diverged.

        Returns:
            Numbers of the members `[n]`, and bool `[n, 2]`: before, after.
        """
        both = self.values[..., MEASURES.index(event)]
        known = np.flatnonzero(np.isfinite(both).all(axis=1))
        return [self.members[place] for place in known], both[known] > 0


def _count(values: NDArray[np.float64]) -> float:
    """Return what one example more makes of an accuracy: the least distance of two values that occur."""
    distances = np.diff(np.unique(values))
    return float(min(distances[distances > _ROUNDING], default=_ROUNDING))


def mean_changes(pairs: Mapping[tuple[str, str], PairedMembers]) -> list[Change]:
    """Test for each configuration whether its mean train and test accuracies changed, with Student's t on pairs.

    Args:
        pairs: Members in both baseline and results, by experiment and configuration.

    Returns:
        A change for each configuration and accuracy with at least one pair, significant or not. All tests together are
        at the level 1 in 200 (Bonferroni).
    """
    accuracies = {
        (*key, measure): both
        for key, members in pairs.items()
        for measure in MEASURES
        if measure not in EVENTS and len(both := members.accuracies(measure))
    }
    by_experiment: dict[tuple[str, str], list[NDArray[np.float64]]] = {}
    for (experiment, _, measure), both in accuracies.items():
        by_experiment.setdefault((experiment, measure), []).append(both)
    spreads = {key: _spread(values) for key, values in by_experiment.items()}
    return [
        _mean_change(key, both, spreads[key[0], key[2]], _ALPHA_MEANS / len(accuracies))
        for key, both in accuracies.items()
    ]


@dataclass(frozen=True)
class _Spread:
    """How the changes of an experiment's members scatter about their configuration's mean.

    Attributes:
        variance: Pooled over the configurations; NaN if each has one member.
        freedom: Its degrees of freedom.
        count: What one example more makes of an accuracy.
    """

    variance: float
    freedom: int
    count: float


def _spread(values: Sequence[NDArray[np.float64]]) -> _Spread:
    differences = [both[:, 1] - both[:, 0] for both in values]
    freedom = sum(len(difference) - 1 for difference in differences)
    squares = sum(float(((difference - difference.mean()) ** 2).sum()) for difference in differences)
    count = min(_count(np.concatenate(values)), _LARGEST_COUNT)
    return _Spread(squares / freedom if freedom else math.nan, freedom, count)


def _mean_change(key: tuple[str, str, str], both: NDArray[np.float64], spread: _Spread, alpha: float) -> Change:
    before, after = (float(mean) for mean in both.mean(axis=0))
    differences = both[:, 1] - both[:, 0]
    change, n = float(differences.mean()), len(differences)
    least = low = high = math.nan
    if spread.freedom:
        own = float(differences.var(ddof=1)) if n > 1 else 0.0
        freedom = max(n - 1, min(spread.freedom, _KNOWN_BY - 1))
        # If one of n members changes by one count, their variance is count^2 / n. Three quarters of that on top of what
        # was measured keep the promise where accuracies are of a few examples and members change alike by chance.
        variance = max(own, spread.variance) + 0.75 * spread.count**2 / n
        least = float(stdtrit(freedom, 1 - alpha / 2)) * math.sqrt(variance / n) + spread.count
        low, high = max(-1.0, change - least), min(1.0, change + least)
    possible = max(before, 1 - before)
    status = "moved" if low > 0 or high < 0 else "not moved" if least <= possible else "not judged"
    return Change(*key, n, before, after, change, low, high, least, 0, 0, "", status)


def event_changes(pairs: Mapping[tuple[str, str], PairedMembers]) -> list[Change]:
    """Test whether more members diverge, or never learn, than in the baseline, or fewer.

    Args:
        pairs: Members in both baseline and results, by experiment and configuration.

    Returns:
        For each of the two events a change for each configuration, and one for an experiment of several configurations,
        significant or not. The tests are described at the top of this module.
    """
    changes: list[Change] = []
    single = _single_events(pairs)
    for event in EVENTS:
        happened = {key: counts for key, members in pairs.items() if len((counts := members.happened(event))[0])}
        experiments: dict[str, list[str]] = {}
        for experiment, configuration in happened:
            experiments.setdefault(experiment, []).append(configuration)
        totals = {
            experiment: _flips(np.concatenate([happened[experiment, name][1] for name in names]))
            for experiment, names in experiments.items()
        }
        alpha = _alpha_of_experiments([lost + gained for lost, gained, _ in totals.values()])
        needed = _least_discordant(alpha)
        for experiment, names in experiments.items():
            total = totals[experiment]
            experiment_moved = _mcnemar(*total[:2]) <= alpha
            for name in names:
                members, both = happened[experiment, name]
                flips = _flips(both)
                least = _least_lost(flips, total, single[experiment], len(happened))
                moved = max(flips[:2]) >= least
                if len(names) == 1:
                    least, moved = min(least, needed), moved or experiment_moved
                which = [members[place] for place in np.nonzero(both[:, 0] != both[:, 1])[0]]
                changes.append(_event((experiment, name, event), both, least, _listed("member", which), moved))
            if len(names) > 1:
                where = [
                    f"{name} {sum(flips[:2])} of {flips[2]}"
                    for name in names
                    if sum((flips := _flips(happened[experiment, name][1]))[:2])
                ]
                both = np.concatenate([happened[experiment, name][1] for name in names])
                changes.append(_event((experiment, ALL, event), both, needed, first_listed(where), experiment_moved))
    return changes


def _event(key: tuple[str, str, str], both: NDArray[np.bool_], least: float, which: str, moved: bool) -> Change:
    lost, gained, n = _flips(both)
    before, after = (float(share) for share in both.mean(axis=0))
    status = "moved" if moved else "not moved" if least <= n else "not judged"
    none = (math.nan,) * 2
    return Change(*key, n, before, after, after - before, *none, least / n, lost, gained, which, status)


def _flips(both: NDArray[np.bool_]) -> tuple[int, int, int]:
    """Return how many members were lost, how many were gained, and how many there are."""
    before, after = both[:, 0], both[:, 1]
    return int((after & ~before).sum()), int((before & ~after).sum()), len(both)


def _mcnemar(lost: int, gained: int) -> float:
    """Return the two-sided exact p-value: of the members that changed, each was as likely lost as gained.

    Example:
        >>> _mcnemar(8, 0), _mcnemar(3, 3)
        (0.0078125, 1.0)
    """
    most, n = max(lost, gained), lost + gained
    return min(1.0, 2 * float(bdtrc(most - 1, n, 0.5))) if n else 1.0


def _least_discordant(alpha: float) -> int:
    """Return how many members must change, all in one direction, to be significant."""
    return math.ceil(1 - math.log2(alpha))


def _alpha_of_experiments(discordant: Sequence[int]) -> float:
    """Return the level of each experiment's test: those that could show nothing at that level do not share in it.

    Source:
        Tarone 1990.
    """
    n_tests = 1
    while sum(n >= _least_discordant(_ALPHA_EVENTS / n_tests) for n in discordant) > n_tests:
        n_tests += 1
    return _ALPHA_EVENTS / n_tests


def _single_events(pairs: Mapping[tuple[str, str], PairedMembers]) -> dict[str, tuple[int, int]]:
    """Return by experiment the events of either kind in configurations that kept at least half of their members.

    With them stands how many there could have been: by chance either direction is as likely.
    """
    single: dict[str, tuple[int, int]] = {}
    for (experiment, _), members in pairs.items():
        for event in EVENTS:
            lost, gained, n = _flips(members.happened(event)[1])
            events, possible = single.get(experiment, (0, 0))
            kept = max(lost, gained) <= n // 2
            single[experiment] = (events + lost + gained, possible + 2 * n) if kept else (events, possible)
    return single


def _least_lost(
    flips: tuple[int, int, int], total: tuple[int, int, int], single: tuple[int, int], n_configurations: int
) -> float:
    """Return how many members of a configuration must be lost, or gained, for it to be named; inf if all are too few.

    More than half, and more than chance does where each is lost as often as events the other way round say, or those of
    single members in the other configurations.
    """
    lost, gained, n = flips
    others = total[1] if lost >= gained else total[0]
    # one more than were seen: a few events say little of how frequent they are
    seen = ((others, total[2]), (min(lost, gained), n), single)
    share = min(1.0, max([_RARE, *((events + 1) / members for events, members in seen if events)]))
    for least in range(n // 2 + 1, n + 1):
        if bdtrc(least - 1, n, share) * n_configurations <= _ALPHA_EVENTS:
            return least
    return math.inf


def _listed(noun: str, numbers: Sequence[int]) -> str:
    return (
        f"{noun}{'s' if len(numbers) > 1 else ''} {first_listed([str(number) for number in numbers])}"
        if numbers
        else ""
    )
