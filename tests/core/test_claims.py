"""Verdicts on tables whose truth is known, and the bootstrap against theory and simulation."""

import math
import re
from dataclasses import fields

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mlp_core.data.faces import write_faces
from mlp_core.data.images import decode_images
from mlp_core.engine.tables import split_of
from mlp_core.experiments.features.first_layer import extent, gabor_filters, participation_ratio, whole_faces
from mlp_core.statistics import claims
from mlp_core.statistics.claims import (
    MIN_SEEDS,
    PUBLISHED_CURVE,
    VERDICT_RULE,
    Claim,
    Range,
    best_gain_is_theoretical,
    bootstrap_interval,
    bootstrap_weights,
    cohens_d,
    decline_goes_with_better_start,
    decline_is_vanishing_gradients,
    first_layer_is_not_local,
    gains_differ,
    interior_best_depth,
    network_generalizes_better,
    polynomial_does_not_generalize,
    published_curve_is_typical,
    shortfall_is_the_optimizers,
    xavier_preserves_variance,
)
from mlp_core.statistics.intervals import mean_interval

UP, DOWN, BOTH, NEITHER = "supported", "not supported", "undecided", "neither"


def stream(seed=0):
    return np.random.default_rng(seed)


def table(by, means, n=16, value="test_accuracy", deviation=0.01, seed=0, first_seed=0, key="seed"):
    """Return one row per level and seed: values around the level's mean, those of a seed alike in part."""
    common, own = stream(seed).normal(0, deviation, (2, len(means), n))
    values = np.array(list(means.values()))[:, None] + common[0] + own
    return {
        by: np.repeat(list(means), n),
        key: np.tile(first_seed + np.arange(n), len(means)),
        value: values.ravel(),
    }


def depths(*means, **more):
    return table("depth", dict(enumerate(means, 1)), **more)


def exact(columns, value="test_accuracy"):
    """Return the values of a table, one row per level."""
    return columns[value].reshape(len(np.unique(columns[next(iter(columns))])), -1)


# the rule


def test_the_rule_is_one_sentence():
    """The report can print the rule as it stands: one sentence with the number of seeds that a verdict needs."""
    assert re.fullmatch(r"[A-Z][^.]*\b95 %[^.]* 8 seeds\.", VERDICT_RULE)
    assert MIN_SEEDS == 8


@pytest.mark.parametrize(
    ("claimed", "low", "high", "verdict"),
    [
        (Range(low=0.5), 0.5, 0.9, UP),
        (Range(low=0.5), 0.1, 0.49, DOWN),
        (Range(low=0.5), 0.4, 0.6, BOTH),
        (Range(low=0.5), -math.inf, 0.6, BOTH),
        (Range(low=0.5), math.nan, math.nan, BOTH),
        (Range(1.0, 2.0), 1.0, 2.0, UP),
        (Range(1.0, 2.0), 0.9, 1.5, BOTH),
        (Range(1.0, 2.0), 1.5, 2.1, BOTH),
        (Range(1.0, 2.0), 0.5, 2.5, BOTH),
        (Range(1.0, 2.0), 2.1, 2.5, DOWN),
        (Range(1.0, 2.0), 0.1, 0.5, DOWN),
        (Range(-0.01, 0.01, within=False), 0.02, 0.03, UP),
        (Range(-0.01, 0.01, within=False), -0.03, -0.02, UP),
        (Range(-0.01, 0.01, within=False), -0.005, 0.005, DOWN),
        (Range(-0.01, 0.01, within=False), 0.005, 0.02, BOTH),
        (Range(-0.01, 0.01, within=False), -0.02, 0.02, BOTH),
        (Range(math.nan, math.nan), 1.0, 1.0, BOTH),
    ],
)
def test_the_whole_interval_decides(claimed, low, high, verdict):
    """An interval in the range claimed supports, one outside refutes, one on its edge leaves open."""
    assert claimed.verdict(low, high, 8) == verdict
    assert claimed.verdict(low, high, 7) == BOTH


@pytest.mark.parametrize(
    ("claimed", "words"),
    [
        (Range(low=0.5), "at least 0.5"),
        (Range(high=0.5), "at most 0.5"),
        (Range(2.0, 4.0), "2 to 4"),
        (Range(-0.01, 0.01, within=False), "below -0.01 or above 0.01"),
        (Range(math.nan, math.nan), "no value"),
    ],
)
def test_ranges_are_printed_in_words(claimed, words):
    """The table says which values would bear a claim out."""
    assert str(claimed) == words


# the bootstrap


def test_resampled_means_are_means_of_draws_with_replacement():
    """Each row holds shares of n draws; each seed comes once on average, with the variance of such draws."""
    weights = bootstrap_weights(16, stream())
    halves = stream()
    assert (np.concatenate([bootstrap_weights(16, halves, 5000) for _ in range(2)]) == weights).all()
    counts = weights * 16
    assert weights.shape == (10_000, 16)
    assert np.array_equal(counts, counts.round())
    assert np.array_equal(counts.sum(1), np.full(10_000, 16.0))
    assert counts.mean(0) == pytest.approx(np.ones(16), abs=0.05)
    assert counts.var() == pytest.approx(15 / 16, rel=0.02)


def test_the_generator_decides():
    """The same generator gives the same interval, another a slightly different one."""
    values = stream(1).normal(size=20)
    first, again, other = (bootstrap_interval(bootstrap_weights(20, stream(seed)) @ values, 20) for seed in (2, 2, 3))
    assert first == again != other
    assert first == pytest.approx(other, abs=0.05)


@pytest.mark.parametrize("n", [8, 16, 64])
def test_the_interval_of_a_mean_is_students(n):
    """For symmetric values the bootstrap's interval of a mean is that of Student's t, with few seeds as with many."""
    half = np.abs(stream(4).normal(size=n // 2))
    values = np.concatenate([half, -half])
    low, high = bootstrap_interval(bootstrap_weights(n, stream()) @ values, n)
    expected = mean_interval(values)
    width = expected.high - expected.low
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=0.04 * width)


def test_intervals_cover_the_truth_95_times_in_100(monkeypatch):
    """Of 1000 samples of 8 and of 32, 95 in 100 intervals hold the true mean, within three standard errors."""
    monkeypatch.setattr(claims, "N_RESAMPLES", 2000)
    generator = stream(5)
    for n in (8, 32):
        hits = 0
        for sample in generator.normal(0.7, 0.1, (1000, n)):
            low, high = bootstrap_interval(bootstrap_weights(n, generator) @ sample, n)
            hits += low <= 0.7 <= high
        assert hits / 1000 == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / 1000))


def test_the_ends_are_values_that_occur():
    """A measure with few values, such as a depth, has an interval between two of them."""
    resampled = np.repeat([2.0, 3.0], [300, 9700])
    assert bootstrap_interval(resampled, 1000) == (2.0, 3.0)
    assert bootstrap_interval(np.repeat([2.0, 3.0], [100, 9900]), 1000) == (3.0, 3.0)


def test_undefined_resamples_count_against_both_ends():
    """A few resamples without a value change nothing much; many leave no end at all."""
    resampled = stream().normal(size=10_000)
    resampled[:50] = np.nan
    low, high = bootstrap_interval(resampled, 64)
    assert (low, high) == pytest.approx((-2.0, 2.0), abs=0.25)
    resampled[:1000] = np.nan
    assert bootstrap_interval(resampled, 64) == (-math.inf, math.inf)


@pytest.mark.parametrize("n", [0, 1])
def test_one_seed_has_no_interval(n):
    """Nothing can be resampled from a single seed."""
    assert np.isnan(bootstrap_interval(np.ones(10), n)).all()


def test_effect_sizes_by_hand():
    """One sample, pairs and two samples agree with the formulas written out."""
    first, second = np.array([0.9, 0.8, 0.7, 0.95]), np.array([0.5, 0.6, 0.55])
    assert cohens_d(first) == pytest.approx(first.mean() / first.std(ddof=1))
    pooled = math.sqrt((3 * first.var(ddof=1) + 2 * second.var(ddof=1)) / 5)
    assert cohens_d(first, second) == pytest.approx((first.mean() - second.mean()) / pooled)
    assert cohens_d(second, first) == pytest.approx(-cohens_d(first, second))


@pytest.mark.parametrize(
    ("values", "others"), [([], None), ([1.0], None), ([0.1] * 7, None), ([0.1] * 3, [0.2] * 3), ([], [1.0, 2.0])]
)
def test_without_spread_there_is_no_effect_size(values, others):
    """Too few or equal values give NaN, not a huge number from a rounding error."""
    assert math.isnan(cohens_d(np.array(values), None if others is None else np.array(others)))


# one claim after the other


@pytest.mark.parametrize(
    ("means", "verdict", "best"),
    [
        ((0.75, 0.86, 0.92, 0.80, 0.64), UP, 3),
        ((0.75, 0.80, 0.85, 0.90, 0.95), DOWN, 5),
        ((0.95, 0.80, 0.75, 0.80, 0.70), DOWN, 1),
        ((0.75, 0.80, 0.85, 0.90, 0.9005), BOTH, None),
    ],
)
def test_an_interior_best_depth(means, verdict, best):
    """A clear peak inside is found, one at either end refutes, and a draw of the two is left open."""
    found = interior_best_depth(depths(*means), stream())
    assert (found.verdict, found.n, found.claimed) == (verdict, 16, "2 to 4")
    if best:
        assert (found.estimate, found.low, found.high) == (best, best, best)
        assert (found.effect_size > 1) == (verdict == UP)


def test_equal_depths_have_no_best():
    """Where all depths are alike the best is any of them: the interval says so."""
    found = interior_best_depth(depths(*[0.9] * 5, n=64, seed=1), stream())
    assert found.verdict == BOTH
    assert found.high - found.low >= 2


def test_two_depths_have_no_interior():
    """With nothing between the extremes the claim stays open."""
    found = interior_best_depth(depths(0.8, 0.9), stream())
    assert (found.verdict, found.n, found.claimed) == (BOTH, 0, "no value")
    assert np.isnan([found.estimate, found.low, found.high]).all()


DEFAULT = (0.80, 0.92, 0.62)


@pytest.mark.parametrize(
    ("restored", "verdict", "estimate"),
    [((0.9, 0.94, 0.92), UP, 14 / 15), ((0.9, 0.94, 0.66), DOWN, 1 / 15), ((0.9, 0.94, 0.79), BOTH, 0.5)],
)
def test_vanishing_gradients(restored, verdict, estimate):
    """If most of the decline goes with restored gradients the claim holds, if little goes it does not."""
    default = depths(*DEFAULT)
    default["first_gradient_mean_square"] = np.exp(50 * default["test_accuracy"])
    found = decline_is_vanishing_gradients(default, depths(*restored, seed=1), stream())
    assert found.verdict == verdict
    assert found.estimate == pytest.approx(estimate, abs=0.03)
    assert found.effect_size == pytest.approx(1)


def test_gradients_are_ranked_within_a_depth():
    """That gradients and accuracy both fall with depth is no association: within each depth it is the other way."""
    default = depths(0.5, 0.92, 0.8, 0.7)
    default["first_gradient_mean_square"] = default["depth"] * -10 - default["test_accuracy"]
    found = decline_is_vanishing_gradients(default, default, stream())
    assert found.effect_size == pytest.approx(-1)
    default["first_gradient_mean_square"][-3] = np.nan  # left out of the association, not of the claim
    found = decline_is_vanishing_gradients(default, default, stream())
    assert (found.n, found.effect_size) == (16, pytest.approx(-1))


@pytest.mark.parametrize(
    ("better", "verdict", "estimate"),
    [((0.9, 0.95, 0.945), UP, 0.984), ((0.7, 0.95, 0.66), DOWN, 0.03), ((0.96, 0.95, 0.80), BOTH, 0.5)],
)
def test_a_decline_that_goes_with_a_better_start(better, verdict, estimate):
    """The decline from the default's best depth is looked for again, wherever the better start has its own best."""
    found = decline_goes_with_better_start(depths(*DEFAULT), depths(*better, seed=1), stream())
    assert found.verdict == verdict
    assert found.estimate == pytest.approx(estimate, abs=0.03)


def test_without_a_decline_nothing_can_go():
    """If the deepest network is best there is no decline to explain: no number, no verdict."""
    found = decline_goes_with_better_start(depths(0.7, 0.8, 0.9), depths(0.9, 0.9, 0.5), stream())
    assert found.verdict == BOTH
    assert math.isnan(found.estimate)
    assert (found.low, found.high) == (-math.inf, math.inf)


def test_starts_must_be_compared_at_the_same_depths():
    """A table with other depths is refused, with both lists in the message."""
    with pytest.raises(ValueError, match=r"depth must be the same.*\[\[1, 2, 3\], \[1, 2\]\]"):
        decline_goes_with_better_start(depths(*DEFAULT), depths(0.9, 0.9), stream())


def curves(*members):
    """Return a depth table of given curves, one per seed."""
    accuracy = np.array(members).T
    return {
        "depth": np.repeat(np.arange(1, len(accuracy) + 1), accuracy.shape[1]),
        "seed": np.tile(np.arange(accuracy.shape[1]), len(accuracy)),
        "test_accuracy": accuracy.ravel(),
    }


PUBLISHED = tuple(PUBLISHED_CURVE.values())


def declining(*declines, n=16, scatter=0.0):
    """Return curves that are the published one but for what they lose from depth 3 to depth 5."""
    noise = stream().normal(0, scatter, (n, 5)) if scatter else np.zeros((n, 5))
    last = [0.899 - declines[member % len(declines)] for member in range(n)]
    return curves(*(noise + np.column_stack([np.tile(PUBLISHED[:4], (n, 1)), last])))


@pytest.mark.parametrize(
    ("declines", "verdict", "mean"),
    [((0.03, 0.04, 0.05), UP, 0.04), ((0.02, 0.02, 0.6), DOWN, 0.214), ((0.0, 0.17), BOTH, 0.085)],
)
def test_a_typical_curve(declines, verdict, mean):
    """Typical is a mean decline within five points of the published 3.6: a few networks that fail pull it away."""
    found = published_curve_is_typical(declining(*declines, n=36), stream())
    assert (found.verdict, found.estimate) == (verdict, pytest.approx(mean, abs=0.002))
    assert (found.source, found.claimed) == ("ours", "-0.014 to 0.086")
    assert found.low <= mean <= found.high


def test_noise_alone_makes_no_curve_untypical():
    """Were the published curve the true one, members that scatter by ten points would not speak against it."""
    found = published_curve_is_typical(declining(0.036, n=64, scatter=0.1), stream())
    assert found.verdict != DOWN
    # the best minus the last of each, which is noise first, would lie far outside
    values = exact(declining(0.036, n=64, scatter=0.1))
    assert (values.max(0) - values[-1]).mean() > 0.086


def test_the_published_values_have_ranks_among_the_members():
    """How many members are below each published value stands with the effect."""
    lower = [value - 0.01 for value in PUBLISHED]
    higher = [value + 0.01 for value in PUBLISHED]
    found = published_curve_is_typical(curves(*[lower] * 3, *[higher] * 5), stream())
    assert found.effect.endswith("at depths 1 to 5 3, 3, 3, 3 and 3 of 8 members are below it")


@pytest.mark.parametrize(
    ("inside", "outside", "verdict", "estimate"),
    [(0.75, 0.7, DOWN, 0.9), (0.75, 0.25, UP, 0.0), (0.75, 0.05, UP, -0.4), (0.75, 0.5, BOTH, 0.5)],
)
def test_a_polynomial_that_does_not_generalize(inside, outside, verdict, estimate):
    """To be at chance outside, or below, is not to generalise, as the tutorial says: that supports it."""
    columns = table("depth", {1: inside}, value="inside_accuracy")
    columns["outside_accuracy"] = table("depth", {1: outside}, value="outside_accuracy", seed=1)["outside_accuracy"]
    found = polynomial_does_not_generalize(columns, 4, stream())
    assert (found.source, found.verdict, found.n) == ("tutorial", verdict, 16)
    assert found.estimate == pytest.approx(estimate, abs=0.02)
    assert found.low < found.estimate < found.high


def test_who_knows_nothing_inside_has_nothing_to_keep():
    """Below chance on both sides, the share of an advantage would be a fine number without a meaning: there is none."""
    columns = table("depth", {1: 0.1}, value="inside_accuracy")
    columns["outside_accuracy"] = columns["inside_accuracy"]
    found = polynomial_does_not_generalize(columns, 4, stream())
    assert (found.verdict, found.low, found.high) == (BOTH, -math.inf, math.inf)
    assert math.isnan(found.estimate)


def inside(mean, **more):
    return table("depth", {1: mean}, **more)


@pytest.mark.parametrize(
    ("tuned", "tuned_network", "verdict", "estimate"),
    [(0.96, 0.97, UP, 0.96), (0.75, 0.98, DOWN, 0.08), (0.855, 0.98, BOTH, 0.5), (0.97, 0.97, UP, 1.0)],
)
def test_a_shortfall_that_is_the_optimizers(tuned, tuned_network, verdict, estimate):
    """What counts is how much of the distance between the two models goes when both are tuned."""
    polynomials = inside(0.73, seed=1), inside(tuned, seed=2)
    networks = inside(0.98, seed=3, first_seed=100), inside(tuned_network, seed=4, first_seed=100)
    found = shortfall_is_the_optimizers(polynomials, networks, "5454 against 5304", stream())
    assert (found.source, found.verdict, found.n) == ("ours", verdict, 16)
    assert found.estimate == pytest.approx(estimate, abs=0.04)
    assert found.low <= found.estimate <= found.high
    assert found.measure.endswith("; 5454 against 5304")


def test_without_a_shortfall_there_is_none_to_explain():
    """Where the polynomial is the better one nothing is missing that could go."""
    better, network = inside(0.9), inside(0.8, first_seed=100)
    assert shortfall_is_the_optimizers((better, better), (network, network), "", stream()).verdict == BOTH


def outside(mean, **more):
    return table("depth", {1: mean}, value="outside_accuracy", **more)


@pytest.mark.parametrize(("network", "verdict"), [(0.4, UP), (0.05, DOWN), (0.31, BOTH)])
def test_a_network_that_generalizes_better(network, verdict):
    """A network ahead by far or behind is told from a polynomial at 30 %; one ahead by a hair is not."""
    found = network_generalizes_better(outside(network, seed=1), outside(0.3, n=12), 4, "5310 against 5304", stream())
    assert (found.verdict, found.n, found.effect) == (verdict, 12, "Cohen's d_z")
    assert found.estimate == pytest.approx(network - 0.3, abs=0.01)
    assert found.measure.endswith("; 5310 against 5304")


@pytest.mark.parametrize(("network", "polynomial"), [(0.0, 0.06), (0.2, 0.06), (0.01, 0.01)])
def test_who_is_less_below_chance_does_not_generalize_better(network, polynomial):
    """Where both are wrong more often than a guess the verdict is neither, whoever is ahead; the numbers are shown."""
    found = network_generalizes_better(outside(network, seed=1), outside(polynomial), 4, "", stream())
    assert found.verdict == NEITHER
    assert "do worse than guessing, 0.250" in found.measure
    few = network_generalizes_better(outside(network, n=7, seed=1), outside(polynomial, n=7), 4, "", stream())
    assert few.verdict == BOTH
    one_above = network_generalizes_better(outside(network, seed=1), outside(0.4), 4, "", stream())
    assert one_above.verdict == DOWN


def test_shared_seeds_are_paired_and_others_are_not():
    """What seeds have in common cancels in pairs: the interval is far narrower than that of strangers."""
    common = {"seed": np.arange(20), "outside_accuracy": stream().normal(0.5, 0.1, 20)}
    network = {**common, "outside_accuracy": common["outside_accuracy"] + stream(1).normal(0.03, 0.01, 20)}
    paired = network_generalizes_better(network, common, 4, "", stream())
    unpaired = network_generalizes_better({**network, "seed": np.arange(100, 120)}, common, 4, "", stream())
    assert paired.estimate == pytest.approx(unpaired.estimate)
    assert (paired.effect, unpaired.effect) == ("Cohen's d_z", "Cohen's d")
    assert (paired.verdict, unpaired.verdict) == (UP, BOTH)
    # the bootstrap's own standard errors: of the differences, and of two independent means
    difference = network["outside_accuracy"] - common["outside_accuracy"]
    errors = [
        difference.std() / math.sqrt(20),
        math.hypot(network["outside_accuracy"].std(), common["outside_accuracy"].std()) / math.sqrt(20),
    ]
    widths = [claim.high - claim.low for claim in (paired, unpaired)]
    assert widths == pytest.approx([2 * 2.15 * error for error in errors], rel=0.1)
    assert widths[1] > 5 * widths[0]


def units(mean, value="extent", n=10, **more):
    return table("unit", {unit: mean + unit / 1000 for unit in range(6)}, value=value, n=n, **more)


FILTERS, TEMPLATES = np.array([0.06, 0.09, 0.12]), np.array([0.29, 0.33])


@pytest.mark.parametrize(("trained", "verdict", "estimate"), [(0.33, UP, 1.1), (0.1, DOWN, 0.06), (0.1975, BOTH, 0.5)])
def test_units_that_are_not_local(trained, verdict, estimate):
    """Units as wide as whole faces are not local, units near edge filters are, and half-way is open."""
    found = first_layer_is_not_local(units(trained), units(0.4, seed=1), FILTERS, TEMPLATES, stream())
    assert (found.verdict, found.n) == (verdict, 10)
    assert found.estimate == pytest.approx(estimate, abs=0.04)
    assert found.effect_size > 0
    assert found.measure.endswith("before training 1.43")


def test_whole_faces_themselves_are_not_local_and_edge_filters_are(tmp_path):
    """The scale's own ends get the verdicts that they must get; a share of pixels called whole templates local."""
    write_faces(tmp_path / "faces.zip", seed=0, n_train_per_class=60, n_val_per_class=1)
    data = split_of(decode_images(tmp_path / "faces.zip", 0).to_batches())
    templates, single = whole_faces(data.train_inputs, data.train_labels)
    filters = gabor_filters(3, 32, 32)
    ends = extent(filters).numpy(), extent(templates).numpy()

    def verdict(pictures):
        reach = extent(pictures).numpy()
        columns = {"unit": np.repeat(np.arange(len(reach)), 8), "seed": np.tile(np.arange(8), len(reach))}
        columns["extent"] = np.repeat(reach, 8)
        return first_layer_is_not_local(columns, columns, *ends, stream()).verdict

    assert (verdict(templates), verdict(single), verdict(filters)) == (UP, UP, DOWN)
    local_on_the_old_scale = (
        participation_ratio(templates).numpy() < (0.79 + participation_ratio(filters).mean().item()) / 2
    )
    assert local_on_the_old_scale.any()


GAINS = np.linspace(0.1, 3.0, 10)


def gains(peak, flatness=0.05, **more):
    """Return a gain sweep with its peak at a gain of the grid."""
    columns = table("gain", {gain: 0.5 - flatness * abs(gain - peak) for gain in GAINS}, **more)
    return {**columns, "theoretical_gain": np.full(len(columns["gain"]), 1.407)}


@pytest.mark.parametrize(
    ("peak", "flatness", "verdict"),
    [(GAINS[4], 0.2, UP), (GAINS[5], 0.2, UP), (GAINS[3], 0.2, DOWN), (GAINS[7], 0.2, DOWN), (GAINS[4], 0.0, BOTH)],
)
def test_the_best_gain(peak, flatness, verdict):
    """A peak within one step of 1.407 agrees with theory, one further off does not, and a flat top cannot say."""
    found = best_gain_is_theoretical(gains(peak, flatness), stream())
    assert (found.verdict, found.n, found.claimed) == (verdict, 16, "1.085 to 1.729")
    if verdict != BOTH:
        assert found.estimate == found.low == found.high == pytest.approx(peak)


def test_the_step_is_that_of_the_grid_around_theory():
    """On a grid of uneven steps the one that theory lies in counts; off the grid it is the nearest one."""
    columns = table("gain", {0.5: 0.1, 1.0: 0.5, 2.0: 0.3})
    for theory, claimed in ((1.4, "0.4 to 2.4"), (0.8, "0.3 to 1.3"), (5.0, "4 to 6"), (0.1, "-0.4 to 0.6")):
        columns["theoretical_gain"] = np.full(48, theory)
        assert best_gain_is_theoretical(columns, stream()).claimed == claimed
    alone = {name: values[:16] for name, values in columns.items()}
    assert best_gain_is_theoretical(alone, stream()).verdict == BOTH


@pytest.mark.parametrize(
    ("grid", "within_reach"),
    [
        (np.linspace(0.1, 1.0, 10), False),
        (np.linspace(1.6, 3.0, 15), False),
        (np.linspace(0.1, 1.4, 14), True),
        (np.linspace(1.5, 3.0, 16), True),
    ],
)
def test_a_grid_that_does_not_reach_theory_decides_nothing(grid, within_reach):
    """Whatever is best, no gain of such a grid could have borne the claim out: 1.407 is more than a step away."""
    columns = table("gain", {gain: 0.5 + 0.1 * gain for gain in grid})
    columns["theoretical_gain"] = np.full(len(columns["gain"]), 1.407)
    found = best_gain_is_theoretical(columns, stream())
    assert (found.verdict, found.n) == ((UP if grid[-1] < 1.5 else DOWN, 16) if within_reach else (BOTH, 0))
    assert found.measure.endswith("; no gain of the grid is within a step of theory") != within_reach
    assert np.isnan([found.estimate, found.low, found.high]).all() != within_reach


@pytest.mark.parametrize(("difference", "verdict"), [(0.05, UP), (-0.05, UP), (0.0, DOWN), (0.01, BOTH)])
def test_gains_that_differ(difference, verdict):
    """A difference of either sign is real if it exceeds a point; one within a point is none."""
    columns = table("gain", {0.1: 0.3, GAINS[3]: 0.5 + difference, GAINS[5]: 0.5}, deviation=0.005)
    found = gains_differ(columns, stream())
    assert (found.verdict, found.n) == (verdict, 16)
    assert found.estimate == pytest.approx(difference, abs=0.006)
    values = exact(columns)
    assert found.estimate == pytest.approx((values[1] - values[2]).mean())


def test_gains_that_were_not_tried_leave_it_open():
    """Without a gain near 1.71 the nearest one does not stand in for it."""
    found = gains_differ(table("gain", {1.07: 0.9, 1.4: 0.1}), stream())
    assert (found.verdict, found.n) == (BOTH, 0)
    assert math.isnan(found.estimate)


@pytest.mark.parametrize(("ratio", "verdict"), [(1.1, UP), (3.25, DOWN), (0.08, DOWN), (2.0, BOTH)])
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_variance_kept(direction, ratio, verdict):
    """Within a factor of two from end to end the variance is kept; signals are followed forward, gradients back."""
    first, last = (1.0, ratio) if direction == "forward" else (ratio, 1.0)
    value = "mean_square" if direction == "forward" else "gradient_mean_square"
    columns = table("layer", {1: first, 2: 50.0, 3: last}, value=value, key="member")
    found = xavier_preserves_variance(columns, direction, "8-8-8", None, stream())
    assert (found.verdict, found.n) == (verdict, 16)
    assert found.estimate == pytest.approx(ratio, rel=0.05)
    assert found.measure.endswith("; 8-8-8")
    ends = {"forward": "layer 3 over that in layer 1", "backward": "layer 1 over that in layer 3"}
    assert ends[direction] in found.measure


@pytest.mark.parametrize(("exact", "verdict"), [(1.9, UP), (3.2508, DOWN), (0.0762, DOWN)])
@pytest.mark.parametrize("n", [1, 8])
def test_an_exact_number_needs_no_seeds(exact, verdict, n):
    """Where theory is exact it decides, with no interval; what was measured stands next to it and decides nothing."""
    columns = table("layer", {1: 1.0, 2: 2.5}, value="mean_square", key="member", n=n, deviation=0.5)
    found = xavier_preserves_variance(columns, "forward", "8-8", exact, stream())
    assert (found.verdict, found.estimate, found.n) == (verdict, exact, n)
    assert np.isnan([found.low, found.high]).all()
    values = exact_means(columns)
    assert found.effect_size == pytest.approx(values[1] / values[0])
    assert "the estimate is exact" in found.effect


def exact_means(columns):
    return exact(columns, "mean_square").mean(1)


# what all have in common


def one_of_each(n=16, change=lambda columns: columns):
    """Return every claim on tables with n seeds, each table changed by a function."""
    gradient = {"first_gradient_mean_square": np.ones(3 * n)}
    both = {**outside(0.3, n=n), "inside_accuracy": np.full(n, 0.9)}
    signals = table("layer", {1: 1.0, 2: 1.0}, n=n, key="member", value="mean_square")
    signals["gradient_mean_square"] = signals["mean_square"]
    default, better = change({**depths(*DEFAULT, n=n), **gradient}), change(depths(0.9, 0.95, 0.94, n=n))
    sweep, network = change(gains(1.4, n=n)), change(inside(0.98, n=n, first_seed=100))
    return [
        interior_best_depth(default, stream()),
        published_curve_is_typical(change(depths(*PUBLISHED, n=n)), stream()),
        decline_is_vanishing_gradients(default, better, stream()),
        decline_goes_with_better_start(default, better, stream()),
        polynomial_does_not_generalize(change(both), 4, stream()),
        shortfall_is_the_optimizers(
            (change(inside(0.7, n=n)), change(inside(0.96, n=n))), (network, network), "", stream()
        ),
        network_generalizes_better(change(outside(0.5, n=n)), change(outside(0.2, n=n)), 4, "", stream()),
        first_layer_is_not_local(change(units(0.3, n=n)), change(units(0.4, n=n)), FILTERS, TEMPLATES, stream()),
        best_gain_is_theoretical(sweep, stream()),
        gains_differ(sweep, stream()),
        xavier_preserves_variance(change(signals), "forward", "2-2", None, stream()),
        xavier_preserves_variance(change(signals), "backward", "2-2", None, stream()),
    ]


def test_every_claim_says_what_it_is():
    """Names are unique, and each has its section, sentence, measure, figure and kind of effect."""
    found = one_of_each()
    assert len({claim.name for claim in found}) == len(found) == 12
    for claim in found:
        assert claim.section in {"Section 1", "Section 1.1", "Section 2", "Bonus"}
        assert claim.source in {"tutorial", "ours"}
        assert re.fullmatch(r"[A-Z].*\.", claim.statement)
        assert all((claim.measure, claim.claimed, claim.figure, claim.effect))
        assert isinstance(claim.estimate, float)
        assert claim.low <= claim.estimate <= claim.high


@pytest.mark.parametrize("n", [1, 2, 7])
def test_with_few_seeds_nothing_is_decided(n):
    """However clear the numbers, fewer than eight seeds give no verdict."""
    assert {claim.verdict for claim in one_of_each(n)} == {BOTH}


def test_eight_seeds_decide():
    """With eight seeds the clear ones of the same tables are decided."""
    assert sum(claim.verdict != BOTH for claim in one_of_each(8)) >= 9


def missing(columns):
    """Return a table whose measured values are all NaN."""
    keys = {"depth", "seed", "gain", "theoretical_gain", "layer", "member", "unit"}
    return {name: values if name in keys else np.full(len(values), np.nan) for name, values in columns.items()}


def test_where_all_members_diverged_nothing_is_decided():
    """Without a single finite value each claim is still made: with 0 seeds, no numbers and no verdict."""
    for claim in one_of_each(change=missing):
        assert (claim.verdict, claim.n) == (BOTH, 0)
        numbers = (claim.estimate, claim.low, claim.high, claim.effect_size)
        assert np.isnan(numbers).all(), claim.name


def test_a_diverged_member_takes_its_seed_out():
    """A seed without a value in one configuration is in no comparison; the order of the rows is of no matter."""
    columns = depths(0.75, 0.92, 0.6)
    diverged = {**columns, "test_accuracy": columns["test_accuracy"].copy()}
    diverged["test_accuracy"][[3, 16 + 5, 32 + 5]] = [np.nan, np.nan, np.inf]
    kept = ~np.isin(columns["seed"], [3, 5])
    order = stream().permutation(kept.sum())
    without = {name: values[kept][order] for name, values in columns.items()}
    found, expected = interior_best_depth(diverged, stream()), interior_best_depth(without, stream())
    assert found == expected
    assert found.n == 14


def test_any_kind_of_table_will_do():
    """A pandas frame, a pyarrow table and a dict of arrays give the same claim."""
    columns = depths(0.75, 0.92, 0.6)
    columns["seed"] = columns["seed"] + 2**62  # as large as seeds are
    expected = interior_best_depth(columns, stream())
    assert interior_best_depth(pd.DataFrame(columns), stream()) == expected
    assert interior_best_depth(pa.table(columns), stream()) == expected


def test_two_configurations_in_one_table_are_refused():
    """A seed that comes twice at one depth means that rows of two configurations were mixed."""
    columns = {name: np.tile(values, 2) for name, values in depths(0.75, 0.92, 0.6).items()}
    with pytest.raises(ValueError, match=r"one row per depth and seed, got 2; select the rows of one configuration"):
        interior_best_depth(columns, stream())


def test_claims_make_a_table():
    """All fields of a claim are words or numbers, so that a list of claims is a Parquet table."""
    rows = pa.Table.from_pylist([vars(claim) for claim in one_of_each()])
    assert rows.column_names == [field.name for field in fields(Claim)]
    assert {str(field.type) for field in rows.schema} == {"string", "double", "int64"}
