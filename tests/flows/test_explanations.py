"""Explanations end to end on tiny settings: their tables, what they take from other experiments, and their report."""

import json
import shutil

import pyarrow.parquet as pq
import pytest
from configurations import configs_of

from mlp_core.data import datasets
from mlp_core.experiments.depth_sweep.experiment import depth_sweep_trials
from mlp_core.experiments.explanation.diagnosis import diagnose
from mlp_core.experiments.explanation.experiment import Explanation
from mlp_core.experiments.features.experiment import Features
from mlp_core.experiments.generalization.companions import TUNING_RATES
from mlp_core.experiments.generalization.experiment import Generalization

MEMBER = {"member": "int64", "seed": "int64", "epochs": "int64"}
REACHED = {"train_accuracy": "double", "test_accuracy": "double", "final_train_loss": "float", "status": "string"}
COLUMNS = {
    "explain": {
        **{"activation": "string", "initialization": "string", "gain": "double"},
        **{"depth": "int64", "width": "int64", "parameters": "int64"},
        **MEMBER,
        **REACHED,
        "learned": "bool",
        **{"dead_share": "double", "dead_layers": "double"},
        **{"first_gradient_mean_square": "double", "last_gradient_mean_square": "double"},
    },
    "generalization": {
        **{"model": "string", "degree": "int64", "activation": "string", "depth": "int64", "width": "int64"},
        **{"parameter_budget": "int64", "parameters": "int64", "training": "string", "learning_rate": "double"},
        **MEMBER,
        **REACHED,
        **dict.fromkeys(("inside_accuracy", "rim_accuracy", "outside_accuracy"), "double"),
        **dict.fromkeys(("islands", "island_area", "border_islands", "border_island_area"), "double"),
        **{"ring_accuracy": "fixed_size_list<element: double>[20]", "training_radius": "double"},
    },
    "features": {
        **{"kind": "string", "depth": "int64", "member": "int64", "seed": "int64", "unit": "int64"},
        **dict.fromkeys(("extent", "participation_ratio", "class_cosine", "spatial_frequency"), "double"),
    },
}
COMMANDS = {"explain": "depth_sweep", "generalization": "generalization", "features": "features"}
CHANGED = {
    "explain": {
        "explanation": Explanation(explain=True, explain_activations=("relu", "tanh"), explain_epochs=3),
    },
    "generalization": {
        "models": Generalization(degrees=(2, 6), depths=(1, 2), parameter_budgets=(100, 150), epochs=2, batch_size=32),
    },
    "features": {"model": Features(depths=(1, 2), width=8, epochs=2, batch_size=32)},
}
STUDIES = pytest.mark.parametrize("study", list(COLUMNS))


@pytest.fixture(scope="module")
def explained(run, tmp_path_factory):
    """Give a function that returns the folder of a finished explanation, and what its tasks did."""
    runs = {}

    def explained(study):
        if study not in runs:
            folder = tmp_path_factory.mktemp(study) / "artifacts"
            ran = run(COMMANDS[study], folder, **CHANGED[study])
            assert ran.state.is_completed()
            runs[study] = folder, ran.tasks
        return runs[study]

    return explained


def rows(folder, study):
    return pq.read_table(folder / f"results/{study}.parquet").to_pylist()


def trained(tasks):
    """Return how many trainings ran."""
    return sum(name.startswith("train ") for name in tasks.get("Completed", []))


@STUDIES
def test_the_table_has_the_promised_columns_with_units(explained, study):
    """Names, order and types of the columns stand, each with a unit, and the settings are in the metadata."""
    folder, _ = explained(study)
    table = pq.read_table(folder / f"results/{study}.parquet")
    assert [(field.name, str(field.type)) for field in table.schema] == list(COLUMNS[study].items())
    metadata = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
    assert list(json.loads(metadata["units"])) == sorted(table.column_names)
    assert (json.loads(metadata["settings"])["seeds"], json.loads(metadata["settings"])["seed"]) == (2, 2021)
    assert json.loads(metadata["inputs"])


@STUDIES
def test_the_report_has_the_section_with_its_figures(explained, study):
    """The page holds the section, and both figures lie beside it."""
    folder, _ = explained(study)
    page = (folder / "report.html").read_text()
    assert page.count("data:image/png") >= 2
    section = page.split(f'<section id="{study}"')[1].split("</section>")[0]
    assert section.count("<img ") == 2
    assert len(list(folder.glob(f"figures/{study}*.png"))) == 2


@STUDIES
def test_the_history_names_every_training_of_the_explanation(explained, study):
    """Each configuration has a name of its own under the explanation, whoever trained it."""
    folder, _ = explained(study)
    history = pq.read_table(folder / "results/history.parquet").to_pylist()
    names = {row["configuration"] for row in history if row["experiment"] == study}
    assert len(names) == {"explain": 14, "generalization": 8, "features": 2}[study]


def test_interventions_are_diagnosed_beside_what_they_reached(explained):
    """Relu can die and tanh cannot; PyTorch's start has no gain; the same seeds run through all rows."""
    folder, tasks = explained("explain")
    table = rows(folder, "explain")
    assert len(table) == 2 * 14
    assert trained(tasks) == 14
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


def test_the_members_diagnosed_are_those_that_were_trained(explained):
    """The numbers before training are those of the depth sweep's own members, under whatever name they are shown."""
    folder, _ = explained("explain")
    training = {
        "optimizer": "adam",
        "learning_rate": 1e-3,
        "epochs": 2,
        "batch_size": 32,
        "seed": 2021,
        "device": "cpu",
    }
    (plan,) = configs_of(depth_sweep_trials, [2], 100, 4, activation="relu", **training)
    found = diagnose(plan, datasets.split(*datasets.spirals(2021, points_per_arm=40), 2021), [0, 1])
    table = [
        row
        for row in rows(folder, "explain")
        if (row["activation"], row["initialization"], row["depth"], row["epochs"]) == ("relu", "pytorch", 2, 2)
    ]
    assert [row["dead_share"] for row in table] == found.dead_share.tolist()
    gradients = [row["first_gradient_mean_square"] for row in table]
    assert gradients == pytest.approx(found.first_gradient_mean_square.tolist(), rel=1e-5)


def test_without_being_asked_for_the_depth_sweep_explains_nothing(finished):
    """The plain command makes no table of interventions."""
    assert not (finished("depth_sweep") / "results/explain.parquet").exists()


def test_wide_deep_and_nearest_neighbour_stand_in_one_table(explained):
    """Two degrees, two depths at two budgets, two of them tuned, and the nearest neighbour, which is right inside."""
    folder, tasks = explained("generalization")
    table = rows(folder, "generalization")
    assert trained(tasks) == 8
    models = [row["model"] for row in table]
    assert models == ["polynomial"] * 4 + ["mlp"] * 8 + ["polynomial"] * 2 + ["mlp"] * 2 + ["nearest neighbour"]
    assert [row["degree"] for row in table[:4]] == [2, 2, 6, 6]
    assert [row["parameters"] for row in table[4:12]] == [102, 102, 109, 109, 151, 151, 157, 157]
    assert table[-1]["inside_accuracy"] > 0.8
    for row in table:
        assert 0 <= row["inside_accuracy"] <= 1
        assert row["training_radius"] == table[0]["training_radius"]


def test_the_widest_and_the_deepest_of_its_size_are_tuned(explained):
    """Degree 6 has 112 parameters, of the networks of about as many depth 2 is the deepest; both keep their seeds."""
    folder, _ = explained("generalization")
    table = rows(folder, "generalization")
    tuned = [row for row in table if row["training"] == "tuned"]
    assert [(row["degree"], row["depth"]) for row in tuned] == [(6, None)] * 2 + [(None, 2)] * 2
    assert {row["parameters"] for row in tuned} == {112, 109}
    assert {row["learning_rate"] for row in tuned} <= set(TUNING_RATES)
    for row in tuned:
        keys = ("model", "degree", "depth", "parameters", "member")
        (as_set,) = [one for one in table if one["training"] == "as set" and all(one[key] == row[key] for key in keys)]
        assert as_set["seed"] == row["seed"]
        assert as_set["learning_rate"] == 1e-3
    page = (folder / "report.html").read_text()
    assert "polynomial, degree 6, tuned (rate" in page


def test_units_before_and_after_training_stand_beside_filters(explained):
    """Eight units of two members at two depths, twice, alike at the start; 144 filters; whole faces."""
    folder, tasks = explained("features")
    table = rows(folder, "features")
    assert trained(tasks) == 2
    kinds = {kind: [row for row in table if row["kind"] == kind] for kind in ("trained", "random", "gabor")}
    assert {kind: len(units) for kind, units in kinds.items()} == {"trained": 32, "random": 32, "gabor": 144}
    faces = [row["extent"] for row in table if row["kind"] in ("template", "photograph")]
    assert len(faces) == 3 + 60  # the classes, and all photographs, which are fewer than 64
    assert min(faces) > max(row["extent"] for row in kinds["gabor"])
    assert all(row["member"] is None and row["seed"] is None for row in kinds["gabor"])
    ratios = {
        depth: [row["participation_ratio"] for row in kinds["random"] if row["depth"] == depth] for depth in (1, 2)
    }
    assert ratios[1] == ratios[2]
    assert max(row["participation_ratio"] for row in kinds["gabor"]) < min(ratios[1])


@pytest.mark.parametrize("study", ["generalization", "features"])
def test_more_seeds_add_rows_and_change_none(explained, run, tmp_path, study):
    """A third member, trained later and kept in another file, stands beside the two that were there."""
    before, _ = explained(study)
    folder = shutil.copytree(before, tmp_path / "artifacts", copy_function=shutil.copy2)
    ran = run(COMMANDS[study], folder, seeds=3, **CHANGED[study])
    assert ran.state.is_completed()
    table = rows(folder, study)
    assert {row["member"] for row in table} == {row["member"] for row in rows(before, study)} | {2}
    assert [row for row in table if row["member"] != 2] == rows(before, study)


@STUDIES
def test_a_second_run_trains_and_measures_nothing(explained, run, study):
    """All of it comes from the cache, and the results have the same bytes."""
    folder, _ = explained(study)
    before = {path: path.read_bytes() for path in folder.glob("results/*")}
    tasks = run(COMMANDS[study], folder, **CHANGED[study]).tasks
    assert set(tasks) <= {"Completed", "Cached"}
    # Prefect adds three letters to the names of runs that have no name of their own
    assert {name.rsplit("-", 1)[0] for name in tasks["Completed"]} <= {
        "collect history",
        "write report",
        "locate images",
    }
    assert {path: path.read_bytes() for path in folder.glob("results/*")} == before


def test_the_tutorial_takes_its_explanations_from_what_it_trains(finished):
    """The networks that an experiment trains are not trained again: one file of weights each."""
    folder = finished("tutorial")
    names = [path.name.rsplit("-", 3)[0] for path in folder.glob("models/*.safetensors")]
    assert len(set(names)) == len(names)
    for name in ("depth_sweep-depth=1-width=14", "polynomial-degree=3", "images-hidden=8", "gain_sweep-gain=0.5"):
        assert name in names
    assert {row["model"] for row in rows(folder, "generalization")} == {"polynomial", "mlp", "nearest neighbour"}
    assert {row["depth"] for row in rows(folder, "features")} == {1, 2, None}
    assert len(rows(folder, "explain")) == 2 * 8
