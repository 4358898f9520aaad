"""What a run leaves on disk: names, columns, types, provenance, and weights that are the ones that were measured."""

import json
import re

import pyarrow.parquet as pq
import pytest
import torch
from safetensors import safe_open

from flows.run_collector import SweepFailed
from mlp_core.artifacts.storage import Artifact
from mlp_core.data import datasets
from mlp_core.data.images import decode_images
from mlp_core.data.polynomial_features import monomials
from mlp_core.experiments.images.experiment import Images
from tasks.data import load_split

EXPERIMENTS = ("depth_sweep", "polynomial", "images", "gain_sweep")
"""Those whose table has a row per member of each network that they train."""


def test_history_has_its_columns_in_order(finished):
    """Names, order and types stand."""
    schema = pq.read_schema(finished("tutorial") / "results/history.parquet")
    assert [(field.name, str(field.type)) for field in schema] == [
        ("experiment", "string"),
        ("configuration", "string"),
        ("member", "int64"),
        ("epoch", "int64"),
        ("train_loss", "float"),
        ("validation_accuracy", "double"),
    ]


@pytest.mark.parametrize("command", ["depth_sweep", "tutorial"])
def test_every_table_says_where_it_comes_from(finished, command):
    """Settings, code, inputs, versions and a unit for each column lie in each file's own metadata."""
    folder = finished(command)
    paths = list(folder.rglob("*.parquet"))
    assert {path.parent.name for path in paths} == {"results", "tables", "members"}
    for path in paths:
        table = pq.read_table(path)
        metadata = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
        assert {"settings", "code", "inputs", "versions", "units"} <= set(metadata), path
        assert re.fullmatch("[0-9a-f]{64}", metadata["code"])
        assert list(json.loads(metadata["versions"]))
        assert set(json.loads(metadata["units"])) == set(table.column_names), path
        inputs = json.loads(metadata["inputs"])
        assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in inputs.values()), path
        assert inputs or path.name.startswith("spirals")
    settings = json.loads(pq.read_schema(folder / "results/depth_sweep.parquet").metadata[b"settings"])
    assert (settings["seeds"], settings["seed"]) == (2, 2021)


def plain_network(path, member):
    """Load a member as the README shows, and return it with its configuration."""
    with safe_open(path, "pt") as file:
        config = json.loads(file.metadata()["config"])
        state = {name: file.get_slice(name)[member] for name in file.keys()}  # noqa: SIM118 - no dictionary
    activations = {"relu": torch.nn.ReLU(), "tanh": torch.nn.Tanh(), "leaky_relu(0.1)": torch.nn.LeakyReLU(0.1)}
    activation = activations[config["activation"]]
    layers = []
    for n_inputs, n_outputs in zip(config["layer_sizes"], config["layer_sizes"][1:], strict=False):
        layers += [torch.nn.Linear(n_inputs, n_outputs), activation]
    network = torch.nn.Sequential(*layers[:-1])
    network.load_state_dict(state)
    return network, config


NAMES = {
    "depth_sweep": "depth={depth} width={width}",
    "polynomial": "degree={degree}",
    "images": "hidden={hidden_widths}",
    "gain_sweep": "gain={gain:.6g}",
}
"""What a row of a result table is called in files and figures."""


def examples(folder, name):
    """Return the path of a table of examples: of several polynomials the one of degree 3."""
    paths = folder.glob(f"tables/{name}-*.parquet")
    (path,) = (
        path for path in paths if json.loads(pq.read_schema(path).metadata[b"settings"]).get("degree") in (None, 3)
    )
    return path


def read_test_part(folder, experiment):
    """Return the inputs of the test part as the networks take them, and the labels."""
    name = {"depth_sweep": "spirals", "polynomial": "polynomial_features"}.get(experiment, "images")
    table = pq.read_table(examples(folder, name)).to_pandas()
    table = table[table["split"] == "test"]
    if name == "spirals":
        inputs = table[["x1", "x2"]].to_numpy()
    else:
        inputs = [list(row) for row in table["features" if name == "polynomial_features" else "pixels"]]
    inputs = torch.tensor(inputs, dtype=torch.float32)
    if name == "images":
        inputs = (inputs / 255 - 0.5) / 0.5
    return inputs, torch.tensor(table["label"].to_numpy())


@pytest.mark.parametrize("command", ["depth_sweep", "tutorial"])
def test_weights_give_the_recorded_accuracy(finished, command):
    """Each member's weights load into a plain Sequential, which is as often right as the result table says."""
    folder = finished(command)
    for experiment in EXPERIMENTS if command == "tutorial" else [command]:
        inputs, labels = read_test_part(folder, experiment)
        recorded = pq.read_table(folder / f"results/{experiment}.parquet").to_pylist()
        measured = []
        for path in folder.glob(f"models/{experiment}-*.safetensors"):
            for member in range(2):
                network, config = plain_network(path, member)
                if config["inputs"] not in ([], [{"degree": 3, "kind": "monomials"}]):
                    continue  # generalization's, on other inputs
                with torch.no_grad():
                    accuracy = (network(inputs).argmax(1) == labels).double().mean().item()
                measured.append((config["configuration"], member, accuracy))
        name = NAMES[experiment]
        expected = {(name.format(**row), row["member"], row["test_accuracy"]) for row in recorded}
        # of the tutorial's explanations there are more networks of each experiment
        assert expected <= set(measured)
        assert command == "tutorial" or len(measured) == len(expected)


def test_trainings_read_what_the_core_makes(finished, image_zip):
    """Spirals, features and images come back from their tables bit for bit, in order."""
    folder = finished("tutorial")
    read = {}
    for name in ("spirals", "polynomial_features", "images"):
        read[name] = load_split(folder, Artifact.of(folder, examples(folder, name)))
    spirals = datasets.split(*datasets.spirals(2021, points_per_arm=40), 2021)
    for part in ("train", "test"):
        points, labels = getattr(spirals, f"{part}_inputs"), getattr(spirals, f"{part}_labels")
        assert torch.equal(getattr(read["spirals"], f"{part}_inputs"), points)
        assert torch.equal(getattr(read["spirals"], f"{part}_labels"), labels)
        assert torch.equal(getattr(read["polynomial_features"], f"{part}_inputs"), monomials(points, 3))
        assert torch.equal(getattr(read["polynomial_features"], f"{part}_labels"), labels)
    decoded = decode_images(image_zip)
    images = torch.cat([read["images"].train_inputs, read["images"].test_inputs])
    assert images.flatten(1).tolist() == [list(row) for row in decoded["pixels"].to_pylist()]
    assert tuple(images.shape) == (84, 3, 32, 32)
    labels = torch.cat([read["images"].train_labels, read["images"].test_labels])
    assert labels.tolist() == decoded["label"].to_pylist()


FEW_WEIGHTS = Images(hidden_widths=(8,), epochs=1, batch_size=64)


@pytest.mark.parametrize("own_figures", [False, pytest.param(True, marks=pytest.mark.thorough)])
def test_one_seed_is_the_tutorials_own_protocol(run, tmp_path, own_figures):
    """One seed trains the tutorial's own networks and no others; only what theory says exactly is decided."""
    ran = run("tutorial", tmp_path, seeds=1, own_figures=own_figures)
    assert ran.state.is_completed()
    assert {path.stem for path in (tmp_path / "results").glob("*.parquet")} == {
        "depth_sweep",
        "polynomial",
        "images",
        "gain_sweep",
        "xavier",
        "claims",
        "history",
        "runs",
    }
    claims = pq.read_table(tmp_path / "results/claims.parquet").to_pylist()
    decided = {claim["claim"] for claim in claims if claim["verdict"] != "undecided"}
    assert decided == {"xavier_preserves_variance_forward", "xavier_preserves_variance_backward"}
    assert "too few seeds for a verdict on networks" in (tmp_path / "report.html").read_text()


@pytest.mark.slow
def test_the_embedded_faces_need_no_network(run, tmp_path):
    """They are drawn into a zip, which is read like any other."""
    assert run("images", tmp_path, images="synthetic", model=FEW_WEIGHTS).state.is_completed()
    (table,), (_,) = tmp_path.glob("tables/images-*.parquet"), tmp_path.glob("images/faces-*.zip")
    images = pq.read_table(table, columns=["class", "split"]).to_pandas()
    assert sorted(set(images["class"])) == ["cat", "dog", "wild"]
    assert images["split"].value_counts().to_dict() == {"train": 6000, "test": 900}
    assert pq.read_table(tmp_path / "results/images.parquet")["status"].to_pylist() == ["ok", "ok"]


@pytest.mark.slow
def test_lost_faces_are_drawn_again(run, tmp_path):
    """The zip comes back with the same bytes, and nothing is trained."""
    run("images", tmp_path, images="synthetic", model=FEW_WEIGHTS)
    (archive,) = tmp_path.glob("images/faces-*.zip")
    drawn = archive.read_bytes()
    archive.write_bytes(drawn[:-1])
    ran = run("images", tmp_path, images="synthetic", model=FEW_WEIGHTS)
    assert archive.read_bytes() == drawn
    assert "train hidden=8" in ran.tasks["Cached"]


@pytest.mark.thorough
def test_a_run_in_which_every_training_failed_is_kept_in_mind(run, tmp_path):
    """There is nothing to report, but what failed; the next run that goes well forgets it."""
    (tmp_path / "models").write_text("in the way")
    failed = run("depth_sweep", tmp_path).state
    with pytest.raises(SweepFailed, match=r"^2 tasks failed, there are no results for a report: depth=1"):
        failed.result()
    assert pq.read_table(tmp_path / "results/failures.parquet")["experiment"].to_pylist() == ["depth_sweep"] * 2
    assert not (tmp_path / "report.html").exists()
    (tmp_path / "models").unlink()
    assert run("depth_sweep", tmp_path).state.is_completed()
    assert not (tmp_path / "results/failures.parquet").exists()
