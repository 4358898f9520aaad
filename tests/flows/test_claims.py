"""Claims end to end on tiny settings: their table, what it rests on, and what a later run leaves of it."""

import json
import math
import re
import shutil

import pyarrow.parquet as pq
import pytest

from mlp_core.artifacts.backends import file_digest
from mlp_core.experiments.catalog import experiments
from mlp_core.experiments.claims import claimed_tables
from mlp_core.experiments.gain_sweep.experiment import GainSweep
from mlp_core.experiments.generalization.experiment import Generalization
from mlp_core.theory.gains import forward_gain
from mlp_core.theory.weight_scales import xavier_scale

COLUMNS = {
    **dict.fromkeys(("claim", "source", "section", "statement", "measure", "claimed"), "string"),
    "n": "int64",
    **dict.fromkeys(("estimate", "low", "high", "effect_size"), "double"),
    **dict.fromkeys(("effect", "verdict", "figure", "data", "condition"), "string"),
}
NAMES = [
    *("interior_best_depth", "decline_is_vanishing_gradients", "decline_goes_with_better_start"),
    *("polynomial_does_not_generalize", "shortfall_is_the_optimizers", "network_generalizes_better"),
    "first_layer_is_not_local",
    *("xavier_preserves_variance_forward", "xavier_preserves_variance_backward"),
    *("best_gain_is_theoretical", "gains_differ"),
]
"""All but the published curve: that of other settings was not published."""
CLAIMED = Generalization(degrees=(50,), depths=(1,), parameter_budgets=(5304,), epochs=1, batch_size=64)


@pytest.fixture(scope="module")
def folder(run, finished, made_once):
    """Give the artifact folder of a tiny tutorial, and of a wide and a deep model as large as the tutorial's.

    That is rows for every claim.
    """

    def make(folder):
        shutil.copytree(finished("tutorial"), folder, copy_function=shutil.copy2, dirs_exist_ok=True)
        assert run("generalization", folder, models=CLAIMED).state.is_completed()

    return made_once("claims", make)


def claims(folder):
    return {row["claim"]: row for row in pq.read_table(folder / "results/claims.parquet").to_pylist()}


ALONE = {experiment.name for experiment in experiments() if experiment.tutorial is None}
"""Experiments that the tutorial leaves out."""


def test_the_table_has_the_promised_columns_with_units(folder):
    """Names, order and types stand, each column has a unit; the inputs are the result tables that lie next to it."""
    table = pq.read_table(folder / "results/claims.parquet")
    assert [(field.name, str(field.type)) for field in table.schema] == list(COLUMNS.items())
    assert set(json.loads(table.schema.metadata[b"units"])) == set(COLUMNS)
    inputs = json.loads(table.schema.metadata[b"inputs"])
    assert inputs == {
        f"results/{name}.parquet": file_digest(folder / f"results/{name}.parquet")
        for name in claimed_tables()
        if name not in ALONE
    }


def test_every_claim_is_made_and_two_seeds_decide_none_but_the_exact(folder):
    """The claims stand in the tutorial's order; a number that is not there is null; an exact one needs no seeds."""
    by_name = claims(folder)
    assert list(by_name) == NAMES
    exact = {name: row["estimate"] for name, row in by_name.items() if row["verdict"] != "undecided"}
    assert exact == {
        "xavier_preserves_variance_forward": pytest.approx(3.2508, abs=1e-4),
        "xavier_preserves_variance_backward": pytest.approx(0.0762, abs=1e-4),
    }
    assert {by_name[name]["verdict"] for name in exact} == {"not supported"}
    assert {by_name[name]["low"] for name in exact} == {None}
    assert "from the input to the last layer 12.4" in by_name["xavier_preserves_variance_forward"]["measure"]
    assert {row["data"] for row in by_name.values()} == {"spirals", "images", "random networks"}
    assert by_name["gains_differ"]["n"] == 0  # gains of 0.5 and 1.4 alone
    assert by_name["gains_differ"]["estimate"] is None
    assert by_name["first_layer_is_not_local"]["n"] == 2
    numbers = [row[name] for row in by_name.values() for name in ("estimate", "low", "high", "effect_size")]
    assert not any(number is not None and math.isnan(number) for number in numbers)


def test_the_report_has_them_after_the_poster_and_every_figure_is_there(folder):
    """The table is in the first section below the first screen; its links lead to anchors of the page."""
    page = (folder / "report.html").read_text()
    first = page.split("<section ")[2]
    assert first.startswith('id="claims"')
    assert first.count('class="verdict"') == len(NAMES)
    anchors = set(re.findall(r'href="#(figure-\w+)"', first))
    assert anchors == {f"figure-{row['figure']}" for row in claims(folder).values()}
    assert all(f'id="{anchor}"' in page for anchor in anchors)


@pytest.mark.thorough
def test_a_later_run_of_one_experiment_changes_its_own_claims_alone(run, folder, tmp_path):
    """Three seeds in the gain sweep, with gains that can be compared: all other claims stay as they were."""
    later = shutil.copytree(folder, tmp_path / "artifacts", copy_function=shutil.copy2)
    sweep = GainSweep(gains=(1.07, 1.4, 1.71), batch_size=32)
    assert run("gain_sweep", later, seeds=3, sweep=sweep).state.is_completed()
    before, after = claims(folder), claims(later)
    assert list(after) == NAMES
    own = [name for name in NAMES if after[name] != before[name]]
    assert own == NAMES[-4:]
    assert [after[name]["n"] for name in own] == [3] * 4
    pages = [(place / "report.html").read_text() for place in (folder, later)]
    sections = [re.findall(r'<section id="(\w+)"', page) for page in pages]
    assert (
        sections[0]
        == sections[1]
        == ["poster", "claims", *(experiment.name for experiment in experiments() if experiment.tutorial), "provenance"]
    )


def test_xaviers_network_is_measured_before_training(folder):
    """The gain sweep's own layers at the theoretical gain: per member a row for each, next to what theory predicts."""
    table = pq.read_table(folder / "results/xavier.parquet")
    settings = json.loads(table.schema.metadata[b"settings"])
    assert (settings["layer_sizes"], settings["sigma_b"]) == ([3072, 128, 64, 32, 3], 0.0)
    rows = table.to_pandas()
    assert rows[["member", "layer"]].to_numpy().tolist() == [
        [member, layer] for member in (0, 1) for layer in (1, 2, 3, 4)
    ]
    gain = forward_gain("leaky_relu(0.1)")
    assert set(rows["gain"]) == {gain}
    growth = rows["predicted_mean_square"][1] / rows["predicted_mean_square"][0]
    assert growth == pytest.approx(xavier_scale([3072, 128, 64, 32, 3], gain).forward[1] * 1.01 / 2)
    claim = claims(folder)["xavier_preserves_variance_forward"]
    assert "3072-128-64-32-3, leaky_relu(0.1), gain 1.407" in claim["measure"]
