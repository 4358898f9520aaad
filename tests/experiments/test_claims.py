"""Which rows of which tables each claim rests on."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mlp_core.data.settings import Spirals
from mlp_core.experiments.ablation.claims import decline_goes_with_better_start, decline_is_vanishing_gradients
from mlp_core.experiments.claims import claimed_tables, tutorial_claims
from mlp_core.experiments.depth_sweep.claims import interior_best_depth
from mlp_core.experiments.depth_sweep.experiment import DepthSweep
from mlp_core.experiments.first_layer.claims import first_layer_is_not_local
from mlp_core.experiments.gain_sweep.claims import gains_differ, xavier_preserves_variance
from mlp_core.experiments.gain_sweep.experiment import GainSweep
from mlp_core.experiments.generalization.claims import network_generalizes_better, shortfall_is_the_optimizers

THEORETICAL = "xavier at the theoretical gain"
SEEDS = 2**62 + np.arange(10)
TUTORIAL = {**Spirals().model_dump(mode="json"), **DepthSweep().model_dump(mode="json"), "seed": 2021, "seeds": 10}
SETTINGS = {
    "depth_sweep": TUTORIAL,
    "ablation": TUTORIAL,
    "generalization": {"seed": 2021, "arms": 4},
    "first_layer": {"seed": 2021, "images": "synthetic"},
    "xavier": {"seed": 2021, "layer_sizes": [3072, 128, 3], "sigma_b": 0.0},
    "gain_sweep": {**GainSweep().model_dump(mode="json"), "seed": 2021, "images": "synthetic"},
}
NAMES = {
    "depth_sweep": ["interior_best_depth", "published_curve_is_typical"],
    "ablation": ["decline_is_vanishing_gradients", "decline_goes_with_better_start"],
    "generalization": ["polynomial_does_not_generalize", "shortfall_is_the_optimizers", "network_generalizes_better"],
    "first_layer": ["first_layer_is_not_local"],
    "xavier": ["xavier_preserves_variance_forward", "xavier_preserves_variance_backward"],
    "gain_sweep": ["best_gain_is_theoretical", "gains_differ"],
}


def members(value, seeds=SEEDS, scatter=0.01, **columns):
    """Return a row per seed, with values around a mean that only the mean and the seeds decide."""
    values = value + np.random.default_rng(int(1000 * value)).normal(0, scatter, len(seeds))
    # pandas' own integers, as numpy's become floats next to a row without seed
    return pd.DataFrame({"seed": pd.array(seeds, "Int64"), **columns, "value": values})


def table(*parts, **names):
    """Return a table of parts, their value under another name."""
    rows = pd.concat(parts, ignore_index=True).rename(columns={"value": names.get("value", "test_accuracy")})
    return pa.Table.from_pandas(rows, preserve_index=False)


def depth_sweep(depths=(1, 2, 3, 4, 5)):
    return table(*(members(0.7 + 0.1 * min(depth, 6 - depth), depth=depth) for depth in depths))


def ablation(leave_out=None):
    """Return starts, of which only the sweep's own epochs and the theoretical gain are what the claims are about."""
    parts = []
    for activation, start, epochs, deepest in (
        ("relu", "pytorch", 100, 0.6),
        ("relu", "pytorch", 400, 0.99),
        ("relu", "xavier", 100, 0.98),
        ("relu", THEORETICAL, 100, 0.88),
        ("tanh", "pytorch", 100, 0.97),
        ("tanh", THEORETICAL, 100, 0.94),
    ):
        columns = {"activation": activation, "initialization": start, "epochs": epochs}
        for depth, value in ((1, 0.8), (2, 0.92), (3, deepest)):
            if (activation, start, depth) != leave_out:
                parts.append(members(value, depth=depth, first_gradient_mean_square=np.arange(10.0), **columns))
    return table(*parts)


def generalization(degrees=(10, 50), network_sizes=((1, 5310), (3, 5454), (3, 130)), tuned=(50, 3)):
    """Return models, and one row without seed as the nearest neighbour's is; no model shares seeds with another."""
    parts = [
        members(0.06, model="polynomial", degree=degree, parameters={10: 264, 50: 5304}[degree], training="as set")
        for degree in degrees
    ]
    for depth, size in network_sizes:
        columns = {"model": "mlp", "depth": depth, "parameters": size, "training": "as set"}
        parts.append(members(0.01 * depth, seeds=SEEDS + 100, **columns))
    if tuned:
        degree, depth = tuned
        parts.append(members(0.3, model="polynomial", degree=degree, parameters=5304, training="tuned"))
        columns = {"model": "mlp", "depth": depth, "parameters": 5454, "training": "tuned"}
        parts.append(members(0.31, seeds=SEEDS + 100, **columns))
    parts.append(pd.DataFrame({"model": ["nearest neighbour"], "value": [0.5], "depth": [None], "training": [None]}))
    rows = pd.concat(parts, ignore_index=True)
    rows = rows.astype({"seed": "Int64", "degree": "Int64", "depth": "Int64", "parameters": "Int64"})
    rows = rows.assign(inside_accuracy=0.7, test_accuracy=rows["value"] + (rows["model"] == "mlp"))
    return pa.Table.from_pandas(rows.rename(columns={"value": "outside_accuracy"}), preserve_index=False)


def first_layer(depths=(1, 3), kinds=("gabor", "template")):
    parts = [
        members(ratio + depth / 100, kind=kind, depth=depth, unit=unit)
        for kind, ratio in (("trained", 0.3), ("random", 0.4))
        for depth in depths
        for unit in range(2)
    ]
    fixed = {"gabor": [0.08, 0.09, 0.1], "template": [0.3, 0.32]}
    parts += [pd.DataFrame({"kind": kind, "unit": range(len(fixed[kind])), "value": fixed[kind]}) for kind in kinds]
    rows = pd.concat(parts, ignore_index=True).astype({"seed": "Int64", "depth": "Int64"})
    return pa.Table.from_pandas(rows.rename(columns={"value": "extent"}), preserve_index=False)


def xavier(activation="relu"):
    rows = pd.concat([members(value, layer=layer) for layer, value in ((1, 1.0), (2, 2.0), (3, 3.0))])
    rows["gradient_mean_square"] = 1 / rows["value"]
    rows = rows.rename(columns={"value": "mean_square"})
    rows = rows.assign(member=rows["seed"], activation=activation, gain=2**0.5)
    rows = rows.assign(predicted_mean_square=5.0 * rows["layer"], predicted_gradient_mean_square=2.0 ** rows["layer"])
    return pa.Table.from_pandas(rows, preserve_index=False)


def gain_sweep(gains=(0.1, 1.07, 1.39, 1.71)):
    return table(*(members(0.5 - 0.1 * abs(gain - 1.4), gain=gain, theoretical_gain=1.407) for gain in gains))


MAKERS = {
    "depth_sweep": depth_sweep,
    "ablation": ablation,
    "generalization": generalization,
    "first_layer": first_layer,
    "xavier": xavier,
    "gain_sweep": gain_sweep,
}
TABLES = {name: make() for name, make in MAKERS.items()}


def claims_from(**tables):
    return {claim.name: claim for claim in tutorial_claims(tables, SETTINGS)}


def chosen(name, **values):
    """Return rows by pandas, the other way round from the code under test."""
    rows = TABLES[name].to_pandas(types_mapper=pd.ArrowDtype)
    for column, value in values.items():
        rows = rows[(rows[column] == value).fillna(False)]
    return rows


def test_all_tables_give_all_claims_in_the_tutorials_order():
    """Twelve claims, section by section, whatever the order in which the tables come."""
    claims = tutorial_claims(dict(reversed(TABLES.items())), SETTINGS)
    assert [name for name in claimed_tables() if name in NAMES] == list(NAMES)
    assert [claim.name for claim in claims] == [name for names in NAMES.values() for name in names]
    assert sum(claim.source == "tutorial" for claim in claims) == 7
    sections = [claim.section for claim in claims]
    assert sections == ["Section 1"] * 4 + ["Section 1.1"] * 3 + ["Section 2"] + ["Bonus"] * 4


@pytest.mark.parametrize("name", list(NAMES))
def test_a_table_alone_gives_its_own_claims_unchanged(name):
    """Its claims are to the last digit those made with all others; a table that is empty or not there gives none."""
    everything = claims_from(**TABLES)
    alone = claims_from(**{name: TABLES[name]})
    assert list(alone) == NAMES[name]
    for claim in alone.values():
        assert repr(claim) == repr(everything[claim.name])  # a NaN, too: it equals nothing
    empty = claims_from(**{**TABLES, name: TABLES[name].slice(0, 0)})
    assert list(empty) == [claim_name for other, names in NAMES.items() if other != name for claim_name in names]


def test_without_tables_there_is_nothing_to_claim():
    """Tables that no claim rests on are passed over."""
    assert tutorial_claims({}, {}) == []
    assert tutorial_claims({"phase_diagram": TABLES["depth_sweep"]}, {"phase_diagram": {"seed": 1}}) == []


def test_each_claim_is_about_its_rows():
    """The claims equal those that the functions make of rows chosen by hand."""
    claims = claims_from(**TABLES)
    default = chosen("ablation", activation="relu", initialization="pytorch", epochs=100)
    restored = chosen("ablation", activation="relu", initialization=THEORETICAL)
    better = chosen("ablation", activation="tanh", initialization=THEORETICAL)
    trained, random = (chosen("first_layer", kind=kind, depth=3) for kind in ("trained", "random"))
    expected = [
        interior_best_depth(TABLES["depth_sweep"]),
        decline_is_vanishing_gradients(default, restored),
        decline_goes_with_better_start(default, better),
        shortfall_is_the_optimizers(
            tuple(chosen("generalization", degree=50, training=training) for training in ("as set", "tuned")),
            tuple(chosen("generalization", parameters=5454, training=training) for training in ("as set", "tuned")),
            "depth 3, 5454 parameters against 5304",
        ),
        network_generalizes_better(
            chosen("generalization", parameters=5454, training="as set"),
            chosen("generalization", degree=50, training="as set"),
            4,
            "depth 3, 5454 parameters against 5304",
        ),
        first_layer_is_not_local(
            *(trained, random, np.array([0.08, 0.09, 0.1]), np.array([0.3, 0.32])),
        ),
        xavier_preserves_variance(
            TABLES["xavier"],
            "backward",
            "3072-128-3, relu, gain 1.414",
            0.25,
        ),
        gains_differ(TABLES["gain_sweep"]),
    ]
    for claim in expected:
        actual = claims[claim.name]
        assert str(replace(actual, data="", condition="")) == str(claim)
        assert claim.n == 10
    assert claims["polynomial_does_not_generalize"].estimate == pytest.approx((0.06 - 0.25) / (0.7 - 0.25), abs=0.03)


@pytest.mark.parametrize(
    "change", [{"epochs": 50}, {"activation": "tanh"}, {"noise": 0.2}, {"parameter_budget": 200}, {"depths": [1, 3]}]
)
def test_the_published_curve_is_compared_with_its_own_settings_alone(change):
    """Any other setting of spirals or networks gives another curve, of which nothing was published."""
    settings = {"depth_sweep": {**TUTORIAL, **change}}
    names = [claim.name for claim in tutorial_claims({"depth_sweep": TABLES["depth_sweep"]}, settings)]
    assert names == ["interior_best_depth"]


@pytest.mark.parametrize(
    ("change", "claimed"),
    [
        ({"activation": "tanh"}, False),
        ({"hidden_widths": [8, 4]}, False),
        ({"epochs": 5}, False),
        ({"learning_rate": 0.1}, False),
        ({"optimizer": "adam"}, False),
        ({"distribution": "uniform"}, False),
        ({"gains": [1.07, 1.4, 1.71], "batch_size": 32}, True),
    ],
    ids=str,
)
def test_claims_on_gains_are_about_the_tutorials_network(change, claimed):
    """Another network, start or training is left out; other gains are the claims' own affair."""
    settings = {"gain_sweep": {**SETTINGS["gain_sweep"], **change}}
    names = [claim.name for claim in tutorial_claims({"gain_sweep": TABLES["gain_sweep"]}, settings)]
    assert names == (NAMES["gain_sweep"] if claimed else [])


def test_a_depth_that_failed_leaves_the_published_curve_out():
    """Settings name five depths, the table has four."""
    assert list(claims_from(depth_sweep=depth_sweep((1, 2, 3, 4)))) == ["interior_best_depth"]


@pytest.mark.parametrize(
    ("tables", "names"),
    [
        ({"ablation": ablation(("tanh", THEORETICAL, 3))}, ["decline_is_vanishing_gradients"]),
        ({"ablation": ablation(("relu", THEORETICAL, 3))}, ["decline_goes_with_better_start"]),
        ({"ablation": ablation(("relu", "pytorch", 1))}, []),
        ({"generalization": generalization(degrees=(10,))}, []),
        ({"generalization": generalization(network_sizes=((3, 130), (3, 6200)))}, ["polynomial_does_not_generalize"]),
        ({"generalization": generalization(network_sizes=())}, ["polynomial_does_not_generalize"]),
        (
            {"generalization": generalization(tuned=())},
            ["polynomial_does_not_generalize", "network_generalizes_better"],
        ),
        (
            {"generalization": generalization(tuned=(50, 1))},
            ["polynomial_does_not_generalize", "network_generalizes_better"],
        ),
        ({"first_layer": first_layer(depths=(1, 5))}, []),
        ({"first_layer": first_layer(kinds=("gabor",))}, []),
    ],
)
def test_claims_without_their_rows_are_left_out(tables, names):
    """A start with another set of depths, another degree, size or depth does not stand in for the tutorial's."""
    assert list(claims_from(**tables)) == names


@pytest.mark.parametrize(("name", "column"), [("generalization", "training"), ("first_layer", "extent")])
def test_tables_of_an_earlier_version_give_no_claims(name, column):
    """A table that lies in the folder from before lacks a column: its claims are left out, the others are made."""
    names = list(claims_from(**{**TABLES, name: TABLES[name].drop_columns(column)}))
    assert names == [claim_name for other, names in NAMES.items() if other != name for claim_name in names]


def test_each_claim_names_its_data_and_what_it_holds_for():
    """Drawn faces are not real images; where members share their order of batches the verdict holds for it alone."""
    claims = claims_from(**TABLES)
    data = {name: claim.data for name, claim in claims.items()}
    assert {data[name] for table in ("first_layer", "gain_sweep") for name in NAMES[table]} == {"drawn faces"}
    assert {data[name] for table in ("depth_sweep", "ablation", "generalization") for name in NAMES[table]} == {
        "spirals"
    }
    assert {data[name] for name in NAMES["xavier"]} == {"random networks"}
    shared = {table for table, names in NAMES.items() if all(claims[name].condition for name in names)}
    assert shared == {"generalization", "first_layer", "gain_sweep"}
    settings = {name: {**values, "images": "animal-faces"} for name, values in SETTINGS.items()}
    real = {claim.name: claim.data for claim in tutorial_claims(TABLES, settings)}
    assert real["gains_differ"] == real["first_layer_is_not_local"] == "images"


@pytest.mark.parametrize(
    ("settings", "data"),
    [
        ({"images": "synthetic", "image_size": 64}, "drawn faces of 64 x 64 pixels"),
        ({"images": "mine.zip", "image_size": 28, "grey": True}, "images of 28 x 28 pixels, grey"),
        ({"images": "mine.zip", "grey": True}, "images, grey"),
    ],
)
def test_a_claim_on_images_of_another_size_names_it(settings, data):
    """What a verdict rests on is no other than it says; random networks have their sizes in the measure."""
    wider = {name: {**values, **settings} for name, values in SETTINGS.items()}
    claims = {claim.name: claim.data for claim in tutorial_claims(TABLES, wider)}
    assert claims["gains_differ"] == claims["first_layer_is_not_local"] == data
    assert claims["xavier_preserves_variance_forward"] == "random networks"


@pytest.mark.parametrize(
    ("activation", "sigma_b", "exact"), [("tanh", 0.0, False), ("relu", 0.1, False), ("leaky_relu(0.1)", 0.0, True)]
)
def test_theory_decides_where_it_is_exact_alone(activation, sigma_b, exact):
    """With tanh, or with biases, infinite width is a limit, and what was measured decides."""
    settings = {**SETTINGS, "xavier": {**SETTINGS["xavier"], "sigma_b": sigma_b}}
    (forward, backward) = tutorial_claims({"xavier": xavier(activation)}, settings)
    assert math.isnan(forward.low) == math.isnan(backward.low) == exact
    # from the input: the first layer's sigma_w^2 is gain^2 2 3072 / (3072 + 128) = 3.84
    assert "from the input to the last layer 11.5" in forward.measure
    assert forward.estimate == (3.0 if exact else pytest.approx(3.0, rel=0.05))


def test_bounds_without_end_and_missing_numbers_stay_what_they_are():
    """Where the deepest is best there is no decline to share: no estimate, no limits, no verdict."""
    rising = ablation().to_pandas()
    rising["test_accuracy"] = 0.5 + 0.1 * rising["depth"]
    claim = claims_from(ablation=pa.Table.from_pandas(rising))["decline_goes_with_better_start"]
    assert (claim.low, claim.high, claim.verdict) == (-math.inf, math.inf, "undecided")
    assert math.isnan(claim.estimate)
