"""What all claims have in common."""

import re
from dataclasses import fields

import numpy as np
import pyarrow as pa
import pytest
from claim_tables import (
    BOTH,
    DEFAULT,
    FILTERS,
    PUBLISHED,
    TEMPLATES,
    depths,
    gains,
    inside,
    outside,
    table,
    units,
)

from mlp_core.experiments.ablation.claims import decline_goes_with_better_start, decline_is_vanishing_gradients
from mlp_core.experiments.depth_sweep.claims import interior_best_depth, published_curve_is_typical
from mlp_core.experiments.first_layer.claims import first_layer_is_not_local
from mlp_core.experiments.gain_sweep.claims import best_gain_is_theoretical, gains_differ, xavier_preserves_variance
from mlp_core.experiments.generalization.claims import (
    network_generalizes_better,
    polynomial_does_not_generalize,
    shortfall_is_the_optimizers,
)
from mlp_core.statistics.claims import Claim


def one_of_each(n=16, change=lambda columns: columns):
    """Return every claim on tables with n seeds, each table changed by a function."""
    gradient = {"first_gradient_mean_square": np.ones(3 * n)}
    both = {**outside(0.3, n=n), "inside_accuracy": np.full(n, 0.9)}
    signals = table("layer", {1: 1.0, 2: 1.0}, n=n, key="member", value="mean_square")
    signals["gradient_mean_square"] = signals["mean_square"]
    default, better = change({**depths(*DEFAULT, n=n), **gradient}), change(depths(0.9, 0.95, 0.94, n=n))
    sweep, network = change(gains(1.4, n=n)), change(inside(0.98, n=n, first_seed=100))
    return [
        interior_best_depth(default),
        published_curve_is_typical(change(depths(*PUBLISHED, n=n))),
        decline_is_vanishing_gradients(default, better),
        decline_goes_with_better_start(default, better),
        polynomial_does_not_generalize(change(both), 4),
        shortfall_is_the_optimizers(
            (change(inside(0.7, n=n)), change(inside(0.96, n=n, seed=1))), (network, network), ""
        ),
        network_generalizes_better(change(outside(0.5, n=n)), change(outside(0.2, n=n)), 4, ""),
        first_layer_is_not_local(change(units(0.3, n=n)), change(units(0.4, n=n)), FILTERS, TEMPLATES),
        best_gain_is_theoretical(sweep),
        gains_differ(sweep),
        xavier_preserves_variance(change(signals), "forward", "2-2", None),
        xavier_preserves_variance(change(signals), "backward", "2-2", None),
    ]


def test_every_claim_says_what_it_is():
    """Names are unique, and each has its section, sentence, measure, figure and kind of effect."""
    claims = one_of_each()
    assert len({claim.name for claim in claims}) == len(claims) == 12
    for claim in claims:
        assert claim.section in {"Section 1", "Section 1.1", "Section 2", "Bonus"}
        assert claim.source in {"tutorial", "ours"}
        assert re.fullmatch(r"[A-Z].*\.", claim.statement)
        assert all((claim.measure, claim.claimed, claim.figure, claim.effect))
        assert not re.search(r"\d \d", f"{claim.statement} {claim.measure}; {claim.effect}")  # "at depths 1 to 5 7, 3"
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


def test_claims_make_a_table():
    """All fields of a claim are words or numbers, so that a list of claims is a Parquet table."""
    rows = pa.Table.from_pylist([vars(claim) for claim in one_of_each()])
    assert rows.column_names == [field.name for field in fields(Claim)]
    assert {str(field.type) for field in rows.schema} == {"string", "double", "int64"}
