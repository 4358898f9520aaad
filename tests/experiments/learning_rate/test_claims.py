"""The claim on the learning rates, on tables whose truth is known."""

import math

import numpy as np
import pyarrow as pa
import pytest
from claim_tables import BOTH, DOWN, UP

from mlp_core.experiments.learning_rate.claims import CLAIMS, xavier_widens_the_range
from mlp_core.experiments.learning_rate.experiment import STARTS, LearningRate

RATES = LearningRate().learning_rates


def start(first, last, n=16, rates=RATES, unsure=0):
    """Return members that are trained from one rate to another; of the next larger rate only some are."""
    trained = np.array([[first <= rate <= last] * n for rate in rates])
    if unsure:
        trained[rates.index(last) + 1, :unsure] = True
    return {
        "learning_rate": np.repeat(rates, n),
        "seed": np.tile(np.arange(n), len(rates)),
        "train_accuracy": np.where(trained, 0.9, np.where(np.arange(n) % 2, 0.6, np.nan)).ravel(),
    }


@pytest.mark.parametrize(
    ("pytorch", "xavier", "verdict", "steps"),
    [
        (start(1e-3, 0.1), start(1e-3, 0.215), UP, 1),
        (start(1e-3, 0.1), start(4.64e-4, 0.215), UP, 2),
        (start(1e-3, 0.1), start(4.64e-4, 0.0464), DOWN, 0),
        (start(1e-3, 0.1), start(1e-3, 0.0464), DOWN, -1),
        (start(1e-3, 0.1), start(1e-3, 0.1, unsure=8), BOTH, 0.5),
    ],
)
def test_a_wider_range(pytorch, xavier, verdict, steps):
    """A step more on either side is wider, a range that only moved is not, one at half of the members cannot say."""
    claim = xavier_widens_the_range(pytorch, xavier, 4)
    assert (claim.verdict, claim.n) == (verdict, 16)
    assert claim.estimate == pytest.approx(steps / 3, abs=0.01)
    assert math.isnan(claim.low) == (verdict != BOTH)  # members all alike decide, but have no interval
    assert claim.effect_size == pytest.approx(2)


def test_few_seeds_decide_nothing():
    """However clear the ranges."""
    for n in (1, 7):
        claim = xavier_widens_the_range(start(1e-3, 0.1, n), start(1e-4, 1.0, n), 4)
        assert (claim.verdict, claim.n) == (BOTH, n)


def test_where_no_rate_trains_a_member_its_range_is_as_narrow_as_can_be():
    """It is no wider than that of a member that one rate trains."""
    claim = xavier_widens_the_range(start(2, 2), start(1e-3, 0.1), 4)
    assert (claim.verdict, claim.estimate, claim.effect_size) == (UP, pytest.approx(2), 0)
    assert xavier_widens_the_range(start(1e-3, 0.1), start(2, 2), 4).verdict == DOWN
    assert xavier_widens_the_range(start(2, 2), start(1e-3, 1e-3), 4).estimate == 0


def test_other_rates_are_not_compared():
    """The range of a coarser grid has other ends."""
    with pytest.raises(ValueError, match="learning_rate must be the same in both tables"):
        xavier_widens_the_range(start(1e-3, 0.1), start(1e-3, 0.1, rates=RATES[::2]), 4)


SETTINGS = {**LearningRate().model_dump(mode="json"), "seed": 2021, "arms": 4}


def table(*parts):
    """Return the result table of some starts."""
    named = zip(STARTS, parts, strict=False)
    return pa.concat_tables(pa.table({**part, "initialization": [name] * len(part["seed"])}) for name, part in named)


def test_the_claim_is_about_the_experiments_own_settings():
    """Other settings, a start that failed or a rate that failed leave it out."""
    both = start(1e-3, 0.1), start(1e-3, 0.215)
    (claim,) = CLAIMS[0].claims(table(*both), SETTINGS)
    assert (claim.verdict, claim.data) == (UP, "spirals")
    assert CLAIMS[0].claims(table(*both), {**SETTINGS, "epochs": 50}) == []
    assert CLAIMS[0].claims(table(both[0]), SETTINGS) == []
    assert CLAIMS[0].claims(table(both[0], start(1e-3, 0.215, rates=RATES[1:])), SETTINGS) == []
