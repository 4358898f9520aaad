"""Drift: what counts as moved, and what is named."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from constructed import ORIGIN, draws, results, write_results

from mlp_core.artifacts.baseline import (
    accept,
    read_baseline,
)
from mlp_core.artifacts.changes import ALL, Change, describe_comparison
from mlp_core.artifacts.comparison import compare
from mlp_core.artifacts.results import EVENTS, Origin, Results, read_results
from mlp_core.errors import InputError

NOW = datetime(2026, 11, 24, 3, tzinfo=UTC)


def test_equal_results_have_not_moved():
    """The same numbers twice: every change is zero, and nothing is different in how they were made."""
    comparison = compare(results(draws(0, 3)), results(draws(0, 3)))
    assert len(comparison.changes) == 3 * len(("train", "test", *EVENTS)) + len(EVENTS)
    assert {change.change for change in comparison.changes} == {0.0}
    assert comparison.moved == []
    assert comparison.describe() == "none of 14 metrics moved from the baseline"
    assert describe_comparison(comparison).endswith("Versions, code and machine are the same.")


def test_a_small_change_of_every_member_counts_though_the_members_are_far_apart():
    """Pairs see what two intervals do not: 2 points down for each, while the members spread over 40."""
    before = draws(1, spread=0.1)
    after = {name: values - np.linspace(0.019, 0.021, 8) for name, values in before.items()}
    (change,) = compare(results(before), results(after)).moved
    assert change.measure == "test_accuracy"
    assert change.change == pytest.approx(-0.02)
    assert change.low < -0.02 < change.high < 0


@pytest.mark.thorough
def test_new_libraries_that_only_reshuffle_the_members_raise_few_false_alarms():
    """Nothing but chance changed in 20 configurations: a comparison in twenty names any metric, at the most."""
    alarms = sum(
        bool(compare(results(draws(seed, 20)), results(draws(10_000 + seed, 20))).moved) for seed in range(100)
    )
    # unwidened intervals would raise 64
    assert alarms <= 100 / 20


def test_what_moved_is_named_from_what_to_what_with_the_versions_that_changed():
    """The largest change first; the sentence alone must do for a notice."""
    before = draws(2, 2, spread=0.0)
    unlike = np.linspace(-0.001, 0.001, 8)
    after = {"depth=0": before["depth=0"] - 0.1 + unlike, "depth=1": before["depth=1"] + 0.2 + unlike}
    origin = Origin(ORIGIN.settings, "other code", {**ORIGIN.versions, "torch": "2.14.1"}, ORIGIN.machine)
    assert compare(results(before), results(after, origin)).describe() == (
        "2 of 10 metrics moved from the baseline: "
        "images depth=1 test accuracy 70.0 % → 90.0 % (change +20.0 [+19.8, +20.2] points, n = 8); "
        "images depth=0 test accuracy 70.0 % → 60.0 % (change -10.0 [-10.2, -9.8] points, n = 8). "
        "Changed since: torch 2.13.0 → 2.14.1, code behind images."
    )


def test_members_that_diverge_now_are_a_change():
    """They have no accuracy to compare; the share of diverged members says it."""
    before, after = draws(3), {"depth=0": np.full(8, np.nan)}
    (change,) = compare(results(before), results(after)).moved
    assert (change.measure, change.before, change.after) == ("diverged", 0.0, 1.0)


@pytest.mark.thorough
def test_few_members_that_change_alike_by_chance_raise_few_false_alarms():
    """Accuracies on ten examples: of 20 configurations one with four members that change by the same is soon found."""

    def night(seed):
        stream = np.random.default_rng(seed)
        return {f"depth={number}": stream.binomial(10, 0.9, 4) / 10 for number in range(20)}

    alarms = sum(bool(compare(results(night(seed)), results(night(10_000 + seed))).moved) for seed in range(100))
    # an interval as wide as the members' spread alone would raise 10
    assert alarms <= 100 / 20


@pytest.mark.parametrize(
    ("after", "measure"),
    [(np.full(8, np.nan), "diverged"), (np.full(8, 0.45), "test_accuracy")],
    ids=["diverge", "collapse"],
)
def test_all_eight_members_of_one_configuration_that_diverge_or_collapse_are_noticed(after, measure):
    """Neither side has a spread, but chance does not do that to eight members, whichever of 270 configurations."""
    before = {**draws(8, 270), "depth=3": np.ones(8)}
    sides = results(before), results({**before, "depth=3": after})
    for comparison in (compare(*sides), compare(*reversed(sides))):
        (change,) = comparison.moved
        assert (change.configuration, change.measure, change.n) == ("depth=3", measure, 8)
        assert abs(change.change) == (1.0 if measure == "diverged" else pytest.approx(0.55))
        assert change.least < abs(change.change)


@pytest.mark.parametrize(("n_members", "n_configurations"), [(2, 2), (3, 1), (4, 20), (4, 165), (64, 3)])
@pytest.mark.parametrize("event", EVENTS)
def test_a_configuration_that_lost_most_of_its_members_is_named_whatever_their_number(
    n_members, n_configurations, event
):
    """All, or more than half of four: chance does not, as nothing else happened anywhere."""
    before = {name: np.full(n_members, 0.9) for name in draws(9, n_configurations)}
    for n_lost in {n_members, n_members // 2 + 1} - {2}:
        lost = np.where(np.arange(n_members) < n_lost, np.nan if event == "diverged" else 0.34, 0.9)
        comparison = compare(results(before), results({**before, "depth=0": lost}))
        (named,) = (change for change in comparison.moved if change.measure == event and change.configuration != ALL)
        assert (named.configuration, named.lost, named.n) == ("depth=0", n_lost, n_members)
        assert f"depth=0: {n_lost} of {n_members} members" in comparison.describe()
        back = compare(results({**before, "depth=0": lost}), results(before))
        assert n_lost in {change.gained for change in back.moved}


@pytest.mark.parametrize("n_members", [2, 4, 8])
def test_members_that_diverge_here_and_there_are_counted_over_the_experiment(n_members):
    """One of each of twelve configurations: too few for each, not for all of them."""
    before = {f"depth={number}": np.full(n_members, 0.9) for number in range(12)}
    after = {name: np.where(np.arange(n_members) == 1, np.nan, values) for name, values in before.items()}
    (named,) = compare(results(before), results(after)).moved
    assert (named.configuration, named.measure, named.lost, named.gained) == (ALL, "diverged", 12, 0)
    assert "images all configurations: 12 of" in named.describe()


def test_a_whole_weekly_phase_diagram_that_diverges_is_noticed():
    """165 configurations of four members, none of which finishes any more."""
    before = draws(11, 165, 4)
    comparison = compare(results(before), results({name: np.full(4, np.nan) for name in before}))
    assert (
        comparison.moved[0].describe().startswith("images all configurations: 660 of 660 members newly diverged, 0 the")
    )
    assert len(comparison.moved) == 166


def test_a_single_event_is_named_but_moves_nothing():
    """One of eight members diverges: chance does that, but whoever reads the comparison learns which."""
    before = draws(12, 3)
    after = {**before, "depth=1": np.where(np.arange(8) == 5, np.nan, before["depth=1"])}
    comparison = compare(results(before), results(after))
    assert comparison.moved == []
    change = Change("images", "", "diverged", 1, 0.0, 1.0, 1.0, np.nan, np.nan, 0.75, 1, 0, "member 0", "moved")
    assert change.describe() == "images: 1 of 1 member newly diverged, 0 the other way round (member 0)"
    named = "images depth=1: 1 of 8 members newly diverged, 0 the other way round (member 5)"
    assert named in comparison.describe()
    assert named in describe_comparison(comparison)


@pytest.mark.parametrize("n_members", [2, 3, 4])
def test_few_members_are_judged_by_the_spread_of_all_configurations(n_members):
    """Twelve configurations of which one fell by 10 points, while each member changes by about half a point."""
    stream = np.random.default_rng(13)
    before = {f"depth={number}": stream.uniform(0.6, 0.9, n_members) for number in range(12)}
    after = {name: values + stream.normal(0, 0.005, n_members) for name, values in before.items()}
    assert compare(results(before), results(after)).moved == []
    after["depth=7"] = after["depth=7"] - 0.1
    (named,) = compare(results(before), results(after)).moved
    assert (named.configuration, named.n) == ("depth=7", n_members)
    assert 0.005 < named.least < 0.04


NOISES = {
    "one example": lambda stream, shape: stream.choice([-1.0, 1.0], shape),
    "two at most": lambda stream, shape: stream.integers(-2, 3, shape),
    "skewed": lambda stream, shape: np.round(10 * (stream.exponential(1.0, shape) - 1)),
}


@pytest.mark.parametrize(
    ("n_members", "noise"),
    [
        (8, "skewed"),
        *(
            pytest.param(n_members, noise, marks=pytest.mark.thorough)
            for n_members in (2, 8)
            for noise in NOISES
            if (n_members, noise) != (8, "skewed")
        ),
    ],
)
def test_counts_and_skewed_changes_raise_few_false_alarms(n_members, noise):
    """54 configurations, 1,000 test examples; by the rule at most 5 of 100 comparisons name a metric."""
    alarms = 0
    for seed in range(40):
        stream = np.random.default_rng(seed)
        before = stream.integers(400, 600, (54, n_members))
        after = before + NOISES[noise](stream, before.shape)
        named = [{f"depth={row}": counts / 1000 for row, counts in enumerate(side)} for side in (before, after)]
        alarms += bool(compare(*map(results, named)).moved)
    assert alarms <= 4


@pytest.mark.thorough
@pytest.mark.parametrize("n_members", [4, 6, 8])
def test_members_that_diverge_at_random_raise_few_false_alarms(n_members):
    """Each of a configuration with a probability of its own; before and after have nothing in common but that."""

    def night(seed):
        stream = np.random.default_rng(seed)
        shares = np.linspace(0.2, 0.8, 20)
        return {
            f"depth={number}": np.where(stream.random(n_members) < share, np.nan, 0.5)
            for number, share in enumerate(shares)
        }

    alarms = sum(bool(compare(results(night(seed)), results(night(10_000 + seed))).moved) for seed in range(100))
    assert alarms <= 100 / 20


def test_rounding_is_no_change():
    """0.1 + 0.2 is 0.3, though the last bit differs, and 0.3 - 0.1 is the change that 0.9 - 0.7 is."""
    assert compare(results({"": [0.3] * 8}), results({"": [0.1 + 0.2] * 8})).moved == []
    assert 0.3 - 0.1 != 0.9 - 0.7
    assert compare(results({"": [0.1, 0.7]}), results({"": [0.3, 0.9]})).moved == []


def test_one_member_is_not_judged():
    """Without a spread there is no interval, so nothing is said of it."""
    comparison = compare(results({"": [0.9]}), results({"": [0.4]}))
    assert {(change.n, change.status) for change in comparison.changes if change.measure not in EVENTS} == {
        (1, "not judged")
    }
    assert comparison.describe().startswith(
        "none of 2 metrics moved from the baseline; not judged: 2 metrics, for too few"
    )


def test_more_seeds_are_compared_as_far_as_both_have_them():
    """Sixteen seeds next to eight: the first eight are the same draws."""
    sixteen = Origin({**ORIGIN.settings, "seeds": 16}, *list(vars(ORIGIN).values())[1:])
    before = draws(4)
    after = {"depth=0": np.concatenate([before["depth=0"], draws(5)["depth=0"]])}
    assert {(change.n, change.change) for change in compare(results(before), results(after, sixteen)).changes} == {
        (8, 0.0)
    }


def test_other_settings_are_another_experiment():
    """They are left out and named; if nothing is left the comparison is refused."""
    other = Origin({**ORIGIN.settings, "epochs": 50}, *list(vars(ORIGIN).values())[1:])
    both = results(draws(6))
    more = Results({**both.origins, "phase_diagram": other, "new": other}, both.members)
    baseline = Results({**both.origins, "phase_diagram": ORIGIN}, both.members)
    assert compare(baseline, more).left_out == {
        "phase_diagram": "other settings: epochs 100 → 50",
        "new": "not in the baseline",
    }
    with pytest.raises(InputError, match=r"with the baseline's settings, got none \(images: other settings: epochs"):
        describe_comparison(compare(results(draws(6)), results(draws(6), other)))


def test_configurations_that_only_one_side_has_are_named():
    """The others are compared; a long list is cut."""
    before, after = draws(10, 3), draws(10, 2)
    comparison = compare(results(before), results(after))
    assert {change.configuration for change in comparison.changes} == {"depth=0", "depth=1", ALL}
    assert comparison.left_out == {"images": "depth=2 only in the baseline"}
    assert "\nnot compared: images (depth=2 only in the baseline)\n" in describe_comparison(comparison)
    assert compare(results(after), results(before)).left_out == {"images": "depth=2 only in these results"}
    comparison = compare(results(draws(10, 9)), results({"depth=0": before["depth=0"], "depth=x": before["depth=1"]}))
    assert comparison.left_out == {
        "images": "depth=1, depth=2, depth=3, depth=4, depth=5 and 3 more only in the baseline; "
        "depth=x only in these results"
    }
    with pytest.raises(InputError, match=r"got none \(images: depth=0 only in the baseline; depth=1 only in these"):
        describe_comparison(compare(results({"depth=0": [0.5]}), results({"depth=1": [0.5]})))


def grid(depths, starts=("relu", "tanh"), **columns):
    """Return a table of two members of each configuration of a grid."""
    cells = [(start, depth) for start in starts for depth in depths for _ in range(2)]
    return pa.table(
        {
            "activation": [start for start, _ in cells],
            "depth": [depth for _, depth in cells],
            "gain": pa.array([None if start == "relu" else 1.5 for start, _ in cells], pa.float64()),
            "member": [0, 1] * (len(cells) // 2),
            "epochs": [9] * len(cells),
            "train_accuracy": [0.5] * len(cells),
            "test_accuracy": [0.1 * depth + 0.01 * (start == "tanh") for start, depth in cells],
            "status": ["ok"] * len(cells),
            "learned": [True] * len(cells),
        }
    )


@pytest.mark.parametrize(
    ("left", "names"),
    [
        (grid([1, 2]), ["activation=relu depth=1", "activation=relu depth=2"]),
        (grid([2]), ["activation=relu depth=2", "activation=tanh depth=2 gain=1.5"]),
        (grid([2], ["tanh"]), ["activation=tanh depth=2 gain=1.5"]),
        (grid([1, 2], ["relu"]), ["activation=relu depth=1", "activation=relu depth=2"]),
    ],
    ids=["all", "one depth", "one configuration", "one start"],
)
def test_what_is_left_after_failures_is_compared_with_its_own(tmp_path, left, names):
    """Where a column no longer varies the names are shorter; the configurations are found all the same."""
    write_results(tmp_path, "ablation", grid([1, 2]))
    accept(tmp_path, NOW)
    write_results(tmp_path, "ablation", left)
    comparison = compare(read_baseline(tmp_path), read_results(tmp_path))
    assert list(dict.fromkeys(change.configuration for change in comparison.changes))[: len(names)] == names
    assert {change.change for change in comparison.changes} == {0.0}
    n_left_out = comparison.left_out.get("ablation", "").count("activation=")
    assert n_left_out + len(left) // 2 == 4
    assert "these results" not in comparison.left_out.get("ablation", "")
    # from the other side: a baseline that was accepted when less was there
    accept(tmp_path, NOW)
    write_results(tmp_path, "ablation", grid([1, 2]))
    comparison = compare(read_baseline(tmp_path), read_results(tmp_path))
    n_left = len(left) // 2
    assert len(comparison.changes) == 4 * n_left + (2 if n_left > 1 else 0)
    assert {change.change for change in comparison.changes} == {0.0}
    assert comparison.left_out.get("ablation", "").count("activation=") == n_left_out


@pytest.mark.parametrize(("elsewhere", "moved"), [((), ["depth=0"]), (("depth=1",), []), (("depth=2", "depth=3"), [])])
def test_single_events_elsewhere_show_that_rounding_does_it(elsewhere, moved):
    """Two of two are lost: that is named as drift only if no member of another configuration comes or goes alone."""
    before = {f"depth={number}": np.full(2, 0.9) for number in range(8)}
    after = {**before, "depth=0": np.full(2, np.nan)}
    after |= {name: np.array([np.nan, 0.9]) for name in elsewhere}
    comparison = compare(results(before), results(after))
    assert [change.configuration for change in comparison.moved] == moved
    assert "images depth=0: 2 of 2 members newly diverged" in describe_comparison(comparison)
