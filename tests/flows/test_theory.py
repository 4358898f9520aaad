"""Theory and measurement together: what is in the tables of tiny runs of both flows."""

import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from smallest import SPIRALS
from stored import computed

from mlp_core.data.augmentation import normalize
from mlp_core.data.images import decode_images
from mlp_core.data.settings import DataSource
from mlp_core.experiments.catalog import experiment_in
from mlp_core.seeds import generator
from mlp_core.theory.phases import critical_point
from mlp_core.theory.predictions import predicted_signals
from mlp_core.theory.random_networks import gaussian_inputs, input_lengths
from mlp_core.theory.random_networks import measure_signals as measure
from mlp_core.theory.weight_scales import xavier_scale


def test_a_depth_holds_every_gain_with_every_seed(finished):
    """Rows begin with the shallowest; a member's gain follows from its number, and one round of gains has one seed."""
    rows = pq.read_table(finished("phase_diagram") / "results/phase_diagram.parquet").to_pylist()
    assert [row["depth"] for row in rows] == [1] * 6 + [4] * 6
    assert [row["gain"] for row in rows] == [0.5, 1.0, 3.0] * 4
    assert [row["sigma_w"] for row in rows] == [row["gain"] for row in rows]
    assert [row["member"] for row in rows] == list(range(6)) * 2
    seeds = [row["seed"] for row in rows]
    assert seeds == [seeds[0]] * 3 + [seeds[3]] * 3 + [seeds[0]] * 3 + [seeds[3]] * 3
    assert seeds[0] != seeds[3]


def test_the_examples_are_some_of_the_images(finished, image_zip):
    """40 different training images of 60, as pixels in -1 .. 1 with their labels, and all 24 test images."""
    (path,) = finished("phase_diagram").glob("tables/examples-*.parquet")
    table = pq.read_table(path)
    assert table["split"].to_pylist() == ["train"] * 40 + ["test"] * 24
    images = decode_images(image_zip)
    numbers = torch.frombuffer(bytearray(b"".join(images["pixels"].to_pylist())), dtype=torch.uint8)
    pixels = normalize(numbers.view(84, -1)).numpy()
    known = {row.tobytes(): label for row, label in zip(pixels, images["label"].to_pylist(), strict=True)}
    rows = [np.asarray(row, dtype=np.float32).tobytes() for row in table["features"].to_pylist()]
    assert [known[row] for row in rows] == table["label"].to_pylist()
    assert len(set(rows)) == 64


def test_measured_signals_are_those_of_the_core(finished):
    """A row's seed is all it takes to measure its network again, and its prediction starts from the same inputs."""
    rows = pq.read_table(finished("tutorial") / "results/signal_propagation.parquet").to_pandas()
    assert len(rows) == 2 * 2 * 2 * 4
    assert (rows.groupby("member")["seed"].nunique().to_list(), rows["seed"].nunique()) == ([1, 1], 2)
    assert rows["mean_square"].nunique() == len(rows)
    chosen = rows[(rows["inputs"] == "gaussian") & (rows["relative_gain"] == 0.5) & (rows["member"] == 1)]
    gain = 0.5 * critical_point("tanh", 0.3).sigma_w
    assert chosen["gain"].tolist() == [gain] * 4
    scale = xavier_scale([20] * 5, gain)
    inputs = gaussian_inputs(20, 1.0, 0.5, generator(2021, "signals", "inputs"))
    measured = measure(scale, "tanh", 0.3, inputs, [0], int(chosen["seed"].iloc[0]))
    predicted = predicted_signals(scale, "tanh", 0.3, *input_lengths(inputs))
    for name in ("mean_square", "correlation", "gradient_mean_square"):
        np.testing.assert_allclose(chosen[name], getattr(measured, name)[0])
        np.testing.assert_allclose(chosen[f"predicted_{name}"], getattr(predicted, name))


@pytest.mark.slow
def test_what_was_made_is_not_made_again(run, finished, tmp_path):
    """A third gain is measured once for each kind of input; more seeds train no one twice."""
    folder = shutil.copytree(finished("phase_diagram"), tmp_path / "artifacts", copy_function=shutil.copy2)
    ran = run("phase_diagram", folder, seeds=3)
    assert {name for name in computed(ran) if name.startswith("train ")} == {
        "train depth=1 width=8",
        "train depth=4 width=8",
    }
    assert len(list(folder.glob("members/phase-depth=4-*"))) == 2
    assert pq.read_metadata(folder / "results/phase_diagram.parquet").num_rows == 2 * 3 * 3
    assert run("signal_propagation", folder).state.is_completed()
    more = experiment_in("signal_propagation").smallest.model_copy(update={"relative_gains": (0.5, 1.0, 2.0)})
    ran = run("signal_propagation", folder, networks=more)
    assert len([name for name in computed(ran) if name.startswith("measure signals")]) == 2


def test_the_phase_of_the_spirals(run, tmp_path):
    """Spirals need no images; where there are fewer examples than asked for, all are taken."""
    grid = experiment_in("phase_diagram").smallest.model_copy(update={"examples": 500, "depths": (2,)})
    points = {"source": DataSource(data="spirals"), "spirals": SPIRALS, "images": "synthetic"}
    assert run("phase_diagram", tmp_path, seeds=1, grid=grid, **points).state.is_completed()
    (path,) = tmp_path.glob("tables/examples-*.parquet")
    assert pq.read_table(path)["split"].to_pylist() == ["train"] * 128 + ["test"] * 32
    assert not list(tmp_path.glob("tables/images-*"))
    assert pq.read_metadata(tmp_path / "results/phase_diagram.parquet").num_rows == 3
