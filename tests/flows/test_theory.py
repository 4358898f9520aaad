"""Theory beside measurement: tiny runs of both flows, their tables, figures and sections of the report."""

import json
import shutil
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from mlp_core.data.augmentation import normalize
from mlp_core.data.images import decode_images
from mlp_core.data.settings import Spirals
from mlp_core.experiments.phase.experiment import Phase
from mlp_core.experiments.signals.experiment import Signals
from mlp_core.seeds import generator
from mlp_core.theory.phases import critical_point
from mlp_core.theory.predictions import predicted_signals
from mlp_core.theory.signals import gaussian_inputs, input_lengths
from mlp_core.theory.signals import measure_signals as measure
from mlp_core.theory.weight_scales import xavier_scale
from tasks.run_settings import RunOnPhotographs

SIGNALS = Signals(width=20, layers=4, relative_gains=(0.5, 1.0))
PHASE = Phase(examples=40, depths=(4, 1), gains=(0.5, 1.0, 3.0), width=8, epochs=2, batch_size=16)
PHASE_COLUMNS = {
    "activation": "string",
    "depth": "int64",
    "width": "int64",
    "parameters": "int64",
    "gain": "double",
    "sigma_w": "double",
    "member": "int64",
    "seed": "int64",
    "epochs": "int64",
    "train_accuracy": "double",
    "test_accuracy": "double",
    "final_train_loss": "float",
    "status": "string",
    "learned": "bool",
}
SIGNAL_COLUMNS = {
    **dict.fromkeys(("activation", "distribution", "inputs"), "string"),
    **dict.fromkeys(("relative_gain", "gain"), "double"),
    **dict.fromkeys(("layer", "member", "seed"), "int64"),
    **dict.fromkeys(("mean_square", "correlation", "gradient_mean_square"), "double"),
    **dict.fromkeys(("predicted_mean_square", "predicted_correlation", "predicted_gradient_mean_square"), "double"),
    "status": "string",
}


@pytest.fixture(scope="module")
def run_theory(api_url, photographs):
    """Give a function that runs one of the flows in this process; it returns its state and the tasks not skipped."""
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings

    import tasks.data
    import tasks.results
    import tasks.training

    done = []
    for task in (tasks.results.make_table, tasks.data.transform_examples, tasks.training.train_configurations):
        task.on_completion(lambda _task, task_run, state: done.append((task_run.name, state.name)))

    def run(name, artifacts, seeds=2, **parameters):
        flow = getattr(import_module(f"flows.{name}"), name)
        how = RunOnPhotographs(artifacts=artifacts, seeds=seeds, images=str(photographs))
        done.clear()
        with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None, PREFECT_LOGGING_TO_API_ENABLED: False}):
            state = flow(run=how, **parameters, return_state=True)
        return SimpleNamespace(state=state, computed={name for name, ending in done if ending == "Completed"})

    return run


@pytest.fixture(scope="module")
def folder(run_theory, finished, made_once):
    """Give the artifact folder of a tiny run of either flow, first signals, then phase."""

    def make(folder):
        shutil.copytree(finished("signals"), folder, copy_function=shutil.copy2, dirs_exist_ok=True)
        ran = run_theory("phase", folder, grid=PHASE)
        assert ran.state.is_completed()
        assert ran.computed

    return made_once("theory", make)


@pytest.mark.parametrize(("name", "columns"), [("phase", PHASE_COLUMNS), ("signals", SIGNAL_COLUMNS)])
def test_tables_have_the_promised_columns(folder, name, columns):
    """Names, order and types stand, and each column has a unit."""
    table = pq.read_table(folder / f"results/{name}.parquet")
    assert [(field.name, str(field.type)) for field in table.schema] == list(columns.items())
    assert set(json.loads(table.schema.metadata[b"units"])) == set(columns)
    assert set(table["status"].to_pylist()) == {"ok"}


def test_a_depth_holds_every_gain_with_every_seed(folder):
    """Rows begin with the shallowest; a member's gain follows from its number, and one round of gains has one seed."""
    rows = pq.read_table(folder / "results/phase.parquet").to_pylist()
    assert [row["depth"] for row in rows] == [1] * 6 + [4] * 6
    assert [row["gain"] for row in rows] == [0.5, 1.0, 3.0] * 4
    assert [row["sigma_w"] for row in rows] == [row["gain"] for row in rows]
    assert [row["member"] for row in rows] == list(range(6)) * 2
    seeds = [row["seed"] for row in rows]
    assert seeds == [seeds[0]] * 3 + [seeds[3]] * 3 + [seeds[0]] * 3 + [seeds[3]] * 3
    assert seeds[0] != seeds[3]


def test_the_examples_are_some_of_the_photographs(folder, photographs):
    """40 different training photographs of 60, as pixels in -1 .. 1 with their labels, and all 24 test photographs."""
    (path,) = folder.glob("tables/examples-*.parquet")
    table = pq.read_table(path)
    assert table["split"].to_pylist() == ["train"] * 40 + ["test"] * 24
    pictures = decode_images(photographs)
    numbers = torch.frombuffer(bytearray(b"".join(pictures["pixels"].to_pylist())), dtype=torch.uint8)
    pixels = normalize(numbers.view(84, -1)).numpy()
    known = {row.tobytes(): label for row, label in zip(pixels, pictures["label"].to_pylist(), strict=True)}
    found = [np.asarray(row, dtype=np.float32).tobytes() for row in table["features"].to_pylist()]
    assert [known[row] for row in found] == table["label"].to_pylist()
    assert len(set(found)) == 64


def test_measured_signals_are_those_of_the_core(folder):
    """A row's seed is all it takes to measure its network again, and its prediction starts from the same inputs."""
    rows = pq.read_table(folder / "results/signals.parquet").to_pandas()
    assert len(rows) == 2 * 2 * 2 * 4
    assert (rows.groupby("member")["seed"].nunique().to_list(), rows["seed"].nunique()) == ([1, 1], 2)
    assert rows["mean_square"].nunique() == len(rows)
    chosen = rows[(rows["inputs"] == "gaussian") & (rows["relative_gain"] == 0.5) & (rows["member"] == 1)]
    gain = 0.5 * critical_point("tanh", 0.3).sigma_w
    assert chosen["gain"].tolist() == [gain] * 4
    scale = xavier_scale([20] * 5, gain)
    inputs = gaussian_inputs(20, 1.0, 0.5, generator(2021, "signals", "inputs"))
    found = measure(scale, "tanh", 0.3, inputs, [0], int(chosen["seed"].iloc[0]))
    predicted = predicted_signals(scale, "tanh", 0.3, *input_lengths(inputs))
    for name in ("mean_square", "correlation", "gradient_mean_square"):
        np.testing.assert_allclose(chosen[name], getattr(found, name)[0])
        np.testing.assert_allclose(chosen[f"predicted_{name}"], getattr(predicted, name))


def test_figures_and_report_are_there(folder):
    """Both figures are drawn, and the report has both sections, of which the second run kept the first."""
    assert {path.stem for path in folder.glob("figures/*.png")} == {"signals", "phase"}
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count('<section id="signals"') == page.count('<section id="phase"') == 1
    assert page.count("data:image/png") == 2


@pytest.mark.slow
def test_what_was_made_is_not_made_again(run_theory, folder, tmp_path):
    """The same again computes nothing; a third gain is measured once for each kind; more seeds train no one twice."""
    folder = shutil.copytree(folder, tmp_path / "artifacts", copy_function=shutil.copy2)
    assert run_theory("signals", folder, networks=SIGNALS).computed == set()
    assert run_theory("phase", folder, grid=PHASE).computed == set()
    more = SIGNALS.model_copy(update={"relative_gains": (0.5, 1.0, 2.0)})
    measured = [name for name in run_theory("signals", folder, networks=more).computed if name.startswith("measure")]
    assert len(measured) == 2
    found = run_theory("phase", folder, seeds=3, grid=PHASE)
    assert found.computed == {"train depth=1 width=8", "train depth=4 width=8"}
    assert len(list(folder.glob("members/phase-depth=4-*"))) == 2
    assert pq.read_metadata(folder / "results/phase.parquet").num_rows == 2 * 3 * 3


def test_the_phase_of_the_spirals(run_theory, tmp_path):
    """Spirals need no photographs; where there are fewer examples than asked for, all are taken."""
    grid = PHASE.model_copy(update={"data": "spirals", "examples": 500, "depths": (2,)})
    assert run_theory("phase", tmp_path, seeds=1, spirals=Spirals(points=40), grid=grid).state.is_completed()
    (path,) = tmp_path.glob("tables/examples-*.parquet")
    assert pq.read_table(path)["split"].to_pylist() == ["train"] * 128 + ["test"] * 32
    assert not list(tmp_path.glob("tables/images-*"))
    assert pq.read_metadata(tmp_path / "results/phase.parquet").num_rows == 3
