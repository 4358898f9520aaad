"""Who is better in pairs: error rates on populations where the truth is known, members that fail among them."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from mlp_core.statistics.by_seed import BySeed
from mlp_core.statistics.comparisons import best_level, describe_best, not_best, seeds_needed, win_probability
from mlp_core.statistics.intervals import median_interval

REPEATS = 1000


def stream(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize(("wins", "n"), [(8, 8), (7, 8), (0, 8), (40, 64), (5, 9)])
def test_wins_have_the_probability_of_coins(wins, n):
    """The one-sided sign test agrees with scipy's, and with counting all outcomes where they are few."""
    first = np.where(np.arange(n) < wins, 1.0, -1.0)
    probability = win_probability(first, np.zeros(n))
    assert probability == pytest.approx(stats.binomtest(wins, n, alternative="greater").pvalue)
    if n == 8:
        assert probability == sum(sum(toss) >= wins for toss in itertools.product((0, 1), repeat=8)) / 256


def test_ties_win_nothing_and_diverged_members_have_no_pair():
    """Eight equal pairs prove nothing; of ten pairs with two members gone eight count."""
    assert win_probability(np.ones(8), np.ones(8)) == 1.0
    first = np.append(np.ones(8), [math.nan, 5.0])
    second = np.append(np.zeros(8), [0.0, math.inf])
    assert win_probability(first, second) == pytest.approx(0.5**8)


def networks_that_fail(n, shape):
    """Return accuracies of one population at every depth: most members about 0.9, one in ten near chance."""
    generator = stream(n)
    learned = generator.normal(0.9, 0.02, shape)
    return np.where(generator.random(shape) < 0.1, generator.normal(0.3, 0.05, shape), learned)


@pytest.mark.parametrize("n", [8, 16, 64])
def test_the_best_is_excluded_in_at_most_five_of_a_hundred(n):
    """Five equally good depths, of which a few members fail: none is the worse one, whatever was drawn."""
    samples = networks_that_fail(n, (REPEATS, 5, n))
    first_is_out = [not_best(values)[0][0] for values in samples]
    assert np.mean(first_is_out) <= 0.05


@pytest.mark.parametrize("n", [8, 16, 64])
def test_means_in_pairs_would_be_wrong_more_often(n):
    """Why not Student's t: where one depth never fails and another, better when it learns, sometimes does, a mean over
    few members has not seen the failures.
    """
    generator = stream(n)
    often_better = generator.normal(0.95, 0.01, (REPEATS, n))
    rare = generator.random((REPEATS, n)) < 0.08
    first, second = np.where(rare, 0.30, often_better), generator.normal(0.898, 0.01, (REPEATS, n))
    assert first.mean() == pytest.approx(second.mean(), abs=0.002)
    t = stats.ttest_1samp(first - second, 0.0, axis=1, alternative="greater").pvalue
    wrong = (t <= 0.05).mean()
    assert wrong > (0.3 if n == 8 else 0.1 if n == 16 else 0.0)


def test_two_points_apart_are_settled_by_pairs():
    """Members that have most in common, two points apart: pairs tell in nearly all samples what intervals cannot."""
    generator = stream()
    settled = 0
    for _ in range(300):
        common = generator.normal(0, 0.018, 16)
        values = np.stack([mean + common + generator.normal(0, 0.008, 16) for mean in (0.52, 0.54)])
        settled += bool(not_best(values)[0][0])
    assert settled / 300 > 0.9


def test_a_clear_best_is_alone_and_rivals_stay():
    """The sentence names who is out, and the rest as unsettled."""
    base = np.linspace(0.5, 0.6, 16)
    swapped = base[::-1]
    assert describe_best("depth", ["1", "2", "3"], np.stack([base, base + 0.1, base - 0.1])) == (
        "In pairs of equal seeds depths 1 and 3 are beaten (sign tests, corrected for 2 comparisons each): "
        "depth 2 is the best."
    )
    words = describe_best("depth", ["1", "2", "3"], np.stack([base, swapped, base - 0.2]))
    assert words.endswith(
        "depth 3 is beaten (sign tests, corrected for 2 comparisons each): which of 1 and 2 is best "
        "these members do not settle."
    )
    assert "do not settle which gain is best" in describe_best("gain", ["1", "2"], np.stack([base, swapped]))


def test_more_configurations_need_more_seeds():
    """With 15 gains eight wins of eight may be chance: the sentence says how many seeds it takes."""
    values = np.arange(15.0)[:, None] + np.zeros(8)
    assert not not_best(values)[0].any()
    assert "8 seeds are too few to tell 15 configurations apart" in describe_best("gain", [*"abcdefghijklmno"], values)
    assert seeds_needed(15) == 9
    nine = np.arange(15.0)[:, None] + np.zeros(9)
    assert not_best(nine)[0].tolist() == [True] * 14 + [False]


@pytest.mark.parametrize("n", [16, pytest.param(64, marks=pytest.mark.thorough)])
def test_simultaneous_intervals_hold_together(n):
    """Of families of five intervals 95 in 100 hold all five medians, of skewed values too, where plain ones do not."""
    samples = stream(3).exponential(size=(REPEATS, 5, n)) - math.log(2)

    def share(n_comparisons):
        intervals = [[median_interval(values, n_comparisons) for values in family] for family in samples]
        return np.mean([all(interval.low <= 0 <= interval.high for interval in family) for family in intervals])

    assert share(5) >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / REPEATS)
    assert share(1) < 0.93


def test_an_interval_on_one_side_of_zero_is_a_sign_test():
    """Whatever the values, the two say the same: twice the probability of the wins, corrected, is 5 in 100 at most."""
    generator = stream(4)
    decided = 0
    for _ in range(300):
        values = generator.normal(0.8, 1, 16)
        above = median_interval(values, 3).low > 0
        assert above == (win_probability(values, np.zeros(16)) <= 0.05 / 6)
        decided += above
    assert 30 < decided < 270


def test_too_few_values_have_no_interval():
    """Five seeds cannot bound a median, nor eight among ten comparisons; the median is there."""
    for values, count in ((np.arange(5.0), 1), (np.arange(8.0), 10), (np.array([1.0, math.nan]), 1)):
        interval = median_interval(values, count)
        assert math.isnan(interval.low)
        assert interval.estimate == np.nanmedian(values)
    assert median_interval(np.array([math.nan]), 1).n == 0


def levels(*values):
    """Return levels 1, 2 and so on with a row of values each."""
    return BySeed(np.arange(1, len(values) + 1), np.arange(len(values[0])), np.array(values))


def test_the_best_level_is_the_one_that_wins_its_pairs():
    """A mean that two failures pull down does not make it lose: it is ahead in 30 of 32 seeds."""
    steps = np.linspace(0, 0.01, 32)
    best = np.where(np.arange(32) < 2, 0.1, 0.9) + steps
    group = levels(0.5 + steps, best, 0.88 + steps)
    assert group.values.mean(1).argmax() == 2
    assert best_level(group, 3) == (32, 2.0, (2.0, 2.0))


def test_levels_that_sign_tests_do_not_tell_apart_all_may_be_best():
    """Two that are ahead of each other by turns are left, and of two alike none is ahead; a circle leaves all."""
    steps = np.linspace(0, 0.01, 32)
    turns = np.where(np.arange(32) % 2, 0.91, 0.89)
    assert best_level(levels(0.5 + steps, turns, 0.9 + steps / 100), 3)[2] == (2.0, 3.0)
    assert best_level(levels(steps, steps, steps), 3)[2] == (1.0, 3.0)
    first, second, third = (np.arange(300) % 3 == turn for turn in range(3))
    circle = levels(first * 2 + second * 1.0, second * 2 + third * 1.0, third * 2 + first * 1.0)
    assert best_level(circle, 3)[2] == (1.0, 3.0)


def test_of_too_few_levels_or_seeds_there_is_no_best():
    """Nothing to choose from, or nobody to ask."""
    for group in (levels([0.5], [0.6]), levels([], [], [])):
        n, level, ends = best_level(group, 3)
        assert n == 0
        assert np.isnan([level, *ends]).all()


@pytest.mark.parametrize("n", [8, 16, 64])
def test_the_best_level_is_held_95_times_in_100(n):
    """Of skewed values with failures, as networks have them: the level that wins its pairs lies within the ends."""
    stream = np.random.default_rng(n)
    failures = stream.random((400, 4, n)) < np.array([0.0, 0.1, 0.2, 0.3])[:, None]
    values = np.where(failures, 0.25, np.array([0.85, 0.9, 0.9, 0.91])[:, None] + stream.normal(0, 0.02, (400, 4, n)))
    covered = [low <= 2 <= high for *_, (low, high) in (best_level(levels(*sample), 3) for sample in values)]
    assert np.mean(covered) >= 0.95
