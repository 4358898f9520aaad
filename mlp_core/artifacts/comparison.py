"""Results set against the baseline, member by member: what can be compared, and what was made otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mlp_core.artifacts.changes import Comparison, first_listed
from mlp_core.artifacts.drift import PairedMembers, event_changes, mean_changes
from mlp_core.artifacts.results import MEASURES, Origin, Results

_IGNORED_SETTINGS = ("seeds", "images_remarks")
"""Settings that may differ: members that both sides have are compared."""
_UNRECORDED = {"start": "pytorch", "gain": 1.0}
"""What networks of versions that did not record these settings began with."""


def compare(baseline: Results, results: Results) -> Comparison:
    """Compare results with the baseline, member by member, and test which changes are significant.

    Only experiments with the same settings are compared, whatever the number of seeds, and only configurations and
    members that both have. The tests are in `mlp_core.artifacts.drift`.

    Example:
        >>> origin = Origin({"epochs": 100}, "", {"torch": "2.13"}, "")
        >>> before = Results({"images": origin}, {("images", ""): {0: (1, 0.90, 0, 0), 1: (1, 0.80, 0, 0)}})
        >>> origin = Origin({"epochs": 100}, "", {"torch": "2.14"}, "")
        >>> after = Results({"images": origin}, {("images", ""): {0: (1, 0.8001, 0, 0), 1: (1, 0.6999, 0, 0)}})
        >>> found = compare(before, after)
        >>> [(one.measure, round(one.change, 3)) for one in found.moved], found.made_otherwise
        ([('test_accuracy', -0.1)], ['torch 2.13 → 2.14'])
    """
    left_out: dict[str, str] = {}
    pairs: dict[tuple[str, str], PairedMembers] = {}
    origins: list[tuple[Origin, Origin, str]] = []
    for name, origin in results.origins.items():
        if name not in baseline.origins:
            left_out[name] = "not in the baseline"
        elif differing := differing_settings(baseline.origins[name], origin):
            left_out[name] = f"other settings: {', '.join(differing)}"
        else:
            origins.append((baseline.origins[name], origin, name))
            same = _same_configurations(baseline, results, name)
            if alone := _alone(baseline, results, name, same):
                left_out[name] = alone
            pairs |= _pairs(baseline, results, name, same)
    pairs = {key: both for key, both in pairs.items() if both.members}
    changes = [*mean_changes(pairs), *event_changes(pairs)]
    versions = dict(item for _, after, _ in origins for item in after.versions.items())
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    return Comparison(changes, _made_otherwise(origins), left_out, listed)


def differing_settings(before: Origin, after: Origin) -> list[str]:
    """Return the settings in which two tables of an experiment differ, each as `name before → after`.

    The number of seeds and the remarks on images are not compared. Tables of older versions do not say how the networks
    began, which was PyTorch's start.

    Example:
        >>> old = Origin({"activation": "relu"}, "", {}, "")
        >>> new = Origin({"activation": "tanh", "start": "pytorch", "gain": 1.0}, "", {}, "")
        >>> differing_settings(old, new)
        ['activation relu → tanh']
    """
    return _differing({**_UNRECORDED, **before.settings}, {**_UNRECORDED, **after.settings}, _IGNORED_SETTINGS)


def paired_configurations(baseline: Results, results: Results, experiment: str) -> dict[str, tuple[str, PairedMembers]]:
    """Pair the members of an experiment's configurations that two artifact folders have, whatever their settings.

    Members of equal number form a pair; they have equal seeds if the root seeds are equal.

    Args:
        baseline: One side.
        results: The other side.
        experiment: Name of an experiment that both have.

    Returns:
        By the name of a configuration in `results`: its name in `baseline`, and the pairs. A configuration without a
        pair is left out.
    """
    same = _same_configurations(baseline, results, experiment)
    pairs = _pairs(baseline, results, experiment, same)
    return {name: (other, pairs[experiment, other]) for name, other in same.items() if pairs[experiment, other].members}


def _same_configurations(baseline: Results, results: Results, experiment: str) -> dict[str, str]:
    """Return the baseline's name of each configuration that both have, by its name in the results.

    A name holds what varies in its own table, and where trainings failed less may vary: two names are of one
    configuration if each says only what is true of the other.
    """
    before, after = (
        [
            (name, set(name.split()), {*name.split(), *side.origins[experiment].common.split()})
            for owner, name in side.members
            if owner == experiment
        ]
        for side in (baseline, results)
    )
    return {
        name: other
        for name, words, true in after
        for other, other_words, other_true in before
        if words <= other_true and other_words <= true
    }


def _alone(baseline: Results, results: Results, experiment: str, same: Mapping[str, str]) -> str:
    """Return in words which configurations only one side has."""
    parts = []
    for side, matched, where in (
        (baseline, set(same.values()), "the baseline"),
        (results, set(same), "these results"),
    ):
        names = [name for owner, name in side.members if owner == experiment and name not in matched]
        if names:
            parts.append(f"{first_listed(names) or 'its one configuration'} only in {where}")
    return "; ".join(parts)


def _pairs(
    baseline: Results, results: Results, experiment: str, same: Mapping[str, str]
) -> dict[tuple[str, str], PairedMembers]:
    """Return the members that both sides have, by the baseline's names of the configurations."""
    pairs = {}
    for name, other in same.items():
        before, after = baseline.members[experiment, other], results.members[experiment, name]
        common = sorted(before.keys() & after.keys())
        values = np.array([(before[member], after[member]) for member in common]).reshape(-1, 2, len(MEASURES))
        pairs[experiment, other] = PairedMembers(common, values)
    return pairs


def _differing(before: Mapping[str, Any], after: Mapping[str, Any], ignored: Sequence[str] = ()) -> list[str]:
    names = [name for name in dict.fromkeys((*before, *after)) if name not in ignored]
    return [f"{name} {before.get(name)} → {after.get(name)}" for name in names if before.get(name) != after.get(name)]


def _made_otherwise(origins: Sequence[tuple[Origin, Origin, str]]) -> list[str]:
    differences: list[str] = []
    for before, after, _ in origins:
        differences += _differing(before.versions, after.versions)
    if code := [name for before, after, name in origins if before.code != after.code]:
        differences.append(f"code behind {', '.join(code)}")
    differences += [
        f"machine {before.machine} → {after.machine}" for before, after, _ in origins if before.machine != after.machine
    ]
    return list(dict.fromkeys(differences))
