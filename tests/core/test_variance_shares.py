"""Shares of the variance: against sums that can be done by hand, and against what chance alone gives."""

from itertools import product

import numpy as np
import pytest

from mlp_core.statistics.variance_shares import HIGHER, SEEDS, variance_shares

SIZES = (3, 4, 2)
LEVELS = np.array(list(product(*map(range, SIZES))))
NAMES = ("depth", "width", "rate")


def function(depth, width, rate):
    """Return values over the grid: two effects, one pair, and all three together."""
    return depth * 1.0 + (width - 1.5) * (depth - 1) * 0.7 + 0.3 * (rate - 0.5) * (width - 1.5) * (depth - 1)


def values(noise=0.0, n_seeds=4, seed=0):
    clean = np.array([function(*levels) for levels in LEVELS])
    return clean[:, None] + noise * np.random.default_rng(seed).normal(size=(len(LEVELS), n_seeds))


def test_without_noise_the_parts_are_those_of_the_formula():
    """Variances of independent uniform levels multiply: 2/3 of 0, 1, 2; 5/4 of 0 to 3; 1/4 of 0 and 1."""
    expected = {
        "depth": 2 / 3,
        "depth x width": 0.49 * 2 / 3 * 5 / 4,
        HIGHER: 0.09 * 2 / 3 * 5 / 4 / 4,
    }
    decomposition = variance_shares(NAMES, LEVELS, SIZES, values())
    assert decomposition.exact
    assert decomposition.variance == pytest.approx(sum(expected.values()))
    for name, share in decomposition.shares.items():
        assert share.estimate * decomposition.variance == pytest.approx(expected.get(name, 0.0), abs=1e-12)


def test_order_of_configurations_does_not_matter():
    """A table may have them in any order."""
    order = np.random.default_rng(0).permutation(len(LEVELS))
    first = variance_shares(NAMES, LEVELS, SIZES, values(0.1))
    other = variance_shares(NAMES, LEVELS[order], SIZES, values(0.1)[order])
    assert [share.estimate for share in first.shares.values()] == pytest.approx(
        [share.estimate for share in other.shares.values()]
    )


def test_settings_that_do_nothing_get_nothing_on_average():
    """Of pure noise over 200 sweeps; a seed that is lucky everywhere is no setting's either."""
    stream, total = np.random.default_rng(0), {}
    for _ in range(200):
        noise = stream.normal(size=(len(LEVELS), 3)) + stream.normal(size=3)
        for name, share in variance_shares(NAMES, LEVELS, SIZES, noise).shares.items():
            total[name] = total.get(name, 0.0) + share.estimate / 200
    assert total[SEEDS] == pytest.approx(1, abs=0.03)
    assert all(abs(share) < 0.03 for name, share in total.items() if name != SEEDS)


def test_intervals_hold_what_they_promise():
    """Of 100 sweeps with 8 seeds the interval of a setting's share holds the true share 88 times at least."""
    n_covered = 0
    truth = 2 / 3 / (variance_shares(NAMES, LEVELS, SIZES, values()).variance + 0.25)
    for sweep in range(100):
        share = variance_shares(NAMES, LEVELS, SIZES, values(0.5, 8, sweep)).shares["depth"]
        n_covered += share.low <= truth <= share.high
    assert n_covered >= 88


def test_a_forests_effects_are_those_of_its_answers_everywhere():
    """What is computed from leaves equals what the same forest answers for every combination."""
    from sklearn.ensemble import RandomForestRegressor

    trained = np.random.default_rng(0).permutation(len(LEVELS))[:16]
    some = values(0.05)[trained]
    decomposition = variance_shares(NAMES, LEVELS[trained], SIZES, some)
    assert not decomposition.exact
    forest = RandomForestRegressor(32, random_state=0).fit(LEVELS[trained], some.mean(1))
    grid = forest.predict(LEVELS).reshape(SIZES)
    centered = grid - grid.mean()
    depth, width = centered.mean((1, 2)), centered.mean((0, 2))
    pair = centered.mean(2) - depth[:, None] - width[None]
    for name, effect in (("depth", depth), ("width", width), ("depth x width", pair)):
        assert decomposition.shares[name].estimate * decomposition.variance == pytest.approx((effect**2).mean())


def test_two_seeds_have_no_interval():
    """And shares all the same."""
    decomposition = variance_shares(NAMES, LEVELS, SIZES, values(0.1, 2))
    assert not any(share.has_interval for share in decomposition.shares.values())
    assert sum(share.estimate for share in decomposition.shares.values()) == pytest.approx(1)
