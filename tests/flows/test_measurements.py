"""Explanations end to end on tiny settings: what is in their tables, and what they take from other experiments."""

import shutil

import pyarrow.parquet as pq
import pytest
from configurations import configs_of

from mlp_core.data import datasets
from mlp_core.experiments.ablation.init_diagnostics import measure_at_init
from mlp_core.experiments.depth_sweep.experiment import depth_sweep_trials
from mlp_core.experiments.generalization.companions import TUNING_RATES


def rows(folder, study):
    return pq.read_table(folder / f"results/{study}.parquet").to_pylist()


def test_interventions_are_diagnosed_beside_what_they_reached(finished):
    """Relu can die and tanh cannot; PyTorch's start has no gain; the same seeds run through all rows."""
    folder = finished("tutorial")
    table = rows(folder, "ablation")
    assert len(table) == 2 * 14
    for row in table:
        assert (row["dead_share"] is None) == (row["activation"] == "tanh")
        assert (row["gain"] is None) == (row["initialization"] == "pytorch")
        assert row["learned"] == (row["train_accuracy"] >= 0.3)
        assert row["first_gradient_mean_square"] >= 0
    assert len({row["seed"] for row in table}) == 2
    own = {row["member"]: row["test_accuracy"] for row in rows(folder, "depth_sweep") if row["depth"] == 2}
    same = [row for row in table if (row["activation"], row["initialization"], row["depth"]) == ("relu", "pytorch", 2)]
    assert {row["member"]: row["test_accuracy"] for row in same if row["epochs"] == 2} == own
    assert {row["epochs"] for row in same} == {2, 3}


def test_the_members_diagnosed_are_those_that_were_trained(finished):
    """The numbers before training are those of the depth sweep's own members, under whatever name they are shown."""
    folder = finished("tutorial")
    training = {
        "optimizer": "adam",
        "learning_rate": 1e-3,
        "epochs": 2,
        "batch_size": 32,
        "seed": 2021,
        "device": "cpu",
    }
    (plan,) = configs_of(depth_sweep_trials, [2], 100, 4, activation="relu", **training)
    diagnosis = measure_at_init(plan, datasets.split(*datasets.spirals(2021, points_per_arm=40), 2021), [0, 1])
    table = [
        row
        for row in rows(folder, "ablation")
        if (row["activation"], row["initialization"], row["depth"], row["epochs"]) == ("relu", "pytorch", 2, 2)
    ]
    assert [row["dead_share"] for row in table] == diagnosis.dead_share.tolist()
    gradients = [row["first_gradient_mean_square"] for row in table]
    assert gradients == pytest.approx(diagnosis.first_gradient_mean_square.tolist(), rel=1e-5)


def test_without_being_asked_for_the_depth_sweep_explains_nothing(finished):
    """The plain command makes no table of interventions."""
    assert not (finished("depth_sweep") / "results/ablation.parquet").exists()


def test_wide_deep_and_nearest_neighbour_stand_in_one_table(finished):
    """Two degrees, two depths at two budgets, two of them tuned, and the nearest neighbour, which is right inside."""
    folder = finished("tutorial")
    table = rows(folder, "generalization")
    models = [row["model"] for row in table]
    assert models == ["polynomial"] * 4 + ["mlp"] * 8 + ["polynomial"] * 2 + ["mlp"] * 2 + ["nearest neighbour"]
    assert [row["degree"] for row in table[:4]] == [3, 3, 6, 6]
    assert [row["parameters"] for row in table[4:12]] == [102, 102, 109, 109, 151, 151, 157, 157]
    assert table[-1]["inside_accuracy"] > 0.8
    for row in table:
        assert 0 <= row["inside_accuracy"] <= 1
        assert row["training_radius"] == table[0]["training_radius"]


def test_the_widest_and_the_deepest_of_its_size_are_tuned(finished):
    """Degree 6 has 112 parameters, of the networks of about as many depth 2 is the deepest; both keep their seeds."""
    folder = finished("tutorial")
    table = rows(folder, "generalization")
    tuned = [row for row in table if row["training"] == "tuned"]
    assert [(row["degree"], row["depth"]) for row in tuned] == [(6, None)] * 2 + [(None, 2)] * 2
    assert {row["parameters"] for row in tuned} == {112, 109}
    assert {row["learning_rate"] for row in tuned} <= set(TUNING_RATES)
    for row in tuned:
        keys = ("model", "degree", "depth", "parameters", "member")
        (as_set,) = [
            network
            for network in table
            if network["training"] == "as set" and all(network[key] == row[key] for key in keys)
        ]
        assert as_set["seed"] == row["seed"]
        assert as_set["learning_rate"] == 1e-3
    page = (folder / "report.html").read_text()
    assert "polynomial, degree 6, tuned (rate" in page


def test_units_before_and_after_training_stand_beside_filters(finished):
    """Eight units of two members at two depths, twice, alike at the start; 144 filters; whole faces."""
    folder = finished("tutorial")
    table = rows(folder, "first_layer")
    kinds = {kind: [row for row in table if row["kind"] == kind] for kind in ("trained", "random", "gabor")}
    assert {kind: len(units) for kind, units in kinds.items()} == {"trained": 32, "random": 32, "gabor": 144}
    faces = [row["extent"] for row in table if row["kind"] in ("template", "image")]
    assert len(faces) == 3 + 60  # the classes, and all image_zip, which are fewer than 64
    assert min(faces) > max(row["extent"] for row in kinds["gabor"])
    assert all(row["member"] is None and row["seed"] is None for row in kinds["gabor"])
    ratios = {
        depth: [row["participation_ratio"] for row in kinds["random"] if row["depth"] == depth] for depth in (1, 3)
    }
    assert ratios[1] == ratios[3]
    assert max(row["participation_ratio"] for row in kinds["gabor"]) < min(ratios[1])


@pytest.mark.thorough
@pytest.mark.parametrize("study", ["first_layer", "generalization"])
def test_more_seeds_add_rows_and_change_none(finished, run, tmp_path, study):
    """A third member, trained later and kept in another file, stands next to the two that were there."""
    before = finished("tutorial")
    folder = shutil.copytree(before, tmp_path / "artifacts", copy_function=shutil.copy2)
    ran = run(study, folder, seeds=3)
    assert ran.state.is_completed()
    table = rows(folder, study)
    assert {row["member"] for row in table} == {row["member"] for row in rows(before, study)} | {2}
    assert [row for row in table if row["member"] != 2] == rows(before, study)


def test_the_tutorial_takes_its_explanations_from_what_it_trains(finished):
    """The networks that an experiment trains are not trained again: one file of weights each."""
    folder = finished("tutorial")
    names = [path.name.rsplit("-", 3)[0] for path in folder.glob("models/*.safetensors")]
    assert len(set(names)) == len(names)
    for name in ("depth_sweep-depth=1-width=14", "polynomial-degree=3", "images-hidden=8", "gain_sweep-gain=0.5"):
        assert name in names
    assert {row["model"] for row in rows(folder, "generalization")} == {"polynomial", "mlp", "nearest neighbour"}
    assert {row["depth"] for row in rows(folder, "first_layer")} == {1, 3, None}
    assert len(rows(folder, "ablation")) == 2 * 14
