"""What is made again, and what is not, as one can see it: task states, and which files were written anew."""

import re
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from stored import ALWAYS_WRITTEN, computed, contents, identities, result, written

from mlp_core.experiments.gain_sweep.experiment import GainSweep


@pytest.mark.parametrize("experiment", ["depth_sweep", pytest.param("tutorial", marks=pytest.mark.thorough)])
def test_a_second_run_computes_nothing(run, copied, experiment):
    """Every task is Cached, also in a folder that was moved; what is always written has the same bytes."""
    folder = copied(experiment)
    expected, before = contents(folder), identities(folder)
    ran = run(experiment, folder)
    assert ran.state.is_completed()
    assert computed(ran) == set()
    assert any(name.startswith("train ") for name in ran.tasks["Cached"])
    assert written(before, identities(folder)) == ALWAYS_WRITTEN
    assert contents(folder) == expected


@pytest.mark.thorough
def test_a_tenth_gain_is_the_only_training(run, tmp_path):
    """Of the nine gains of an earlier run, trained five and four at once, none is trained again."""
    nine = GainSweep(gains=tuple(range(1, 10)), hidden_widths=(4,), batch_size=32)
    ten = nine.model_copy(update={"gains": (*nine.gains, 0.5)})
    ran = run("gain_sweep", tmp_path, sweep=nine, seeds=1)
    trainings = {name for name in ran.tasks["Completed"] if name.startswith("train ")}
    assert trainings == {"train gain=1 to gain=5", "train gain=6 to gain=9"}
    before = identities(tmp_path)
    ran = run("gain_sweep", tmp_path, sweep=ten, seeds=1)
    assert {name for name in computed(ran) if name.startswith("train ")} == {"train gain=6 to gain=0.5"}
    assert [name for name in ran.tasks["Cached"] if name.startswith("train ")] == ["train gain=1 to gain=5"]
    files = written(before, identities(tmp_path))
    assert [path.split("-")[1] for path in files if path.startswith("models/")] == ["gain=0.5"]
    assert pq.read_table(tmp_path / "results/gain_sweep.parquet")["gain"].to_pylist() == list(ten.gains)


def test_more_seeds_train_the_new_members_alone(run, tmp_path):
    """Sixteen seeds after eight train eight; the first eight keep every bit, and all equal sixteen at once."""
    run("depth_sweep", tmp_path / "a", seeds=8)
    eight, before = result(tmp_path / "a"), identities(tmp_path / "a")
    run("depth_sweep", tmp_path / "a", seeds=16)
    sixteen = result(tmp_path / "a")
    files = written(before, identities(tmp_path / "a"))
    assert [path[-len("-008-015.safetensors") :] for path in files if path.startswith("models/")] == [
        "-008-015.safetensors"
    ] * 2
    first = [row for row in sixteen.to_pylist() if row["member"] < 8]
    assert first == eight.to_pylist()
    run("depth_sweep", tmp_path / "b", seeds=16)
    assert result(tmp_path / "b") == sixteen

    before = identities(tmp_path / "a")
    run("depth_sweep", tmp_path / "a", seeds=5)
    assert not [
        path for path in written(before, identities(tmp_path / "a")) if path.startswith(("models/", "members/"))
    ]
    assert result(tmp_path / "a").to_pylist() == [row for row in eight.to_pylist() if row["member"] < 5]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("experiment", "runner"),
    [("depth_sweep", "threads"), pytest.param("tutorial", "processes", marks=pytest.mark.slow)],
)
def test_refresh_makes_everything_again(run, copied, experiment, runner):
    """With --refresh nothing is Cached, every file is new and has the bytes that it had."""
    folder = copied(experiment, own_figures=True)
    expected, before = contents(folder), identities(folder)
    ran = run(experiment, folder, refresh=True, runner=runner)
    assert ran.state.is_completed()
    assert "Cached" not in ran.tasks
    assert written(before, identities(folder)) == set(expected)
    assert contents(folder) == expected


def copy_project(folder):
    for package in ("flows", "tasks", "mlp_core"):
        shutil.copytree(Path(__file__).parents[2] / package, folder / package)


@pytest.mark.slow
def test_changed_training_code_trains_again_from_the_same_data(copied, program, tmp_path):
    """A line more in the core's training code, in a copy of the project: all is trained again, no data are made."""
    folder = copied("depth_sweep")
    copy_project(tmp_path / "project")
    expected, before = result(folder), identities(folder)
    with (tmp_path / "project/mlp_core/engine/training.py").open("a") as file:
        file.write("# one line more\n")
    ran = program(f"{program.depth_sweep} --artifacts {folder}", PYTHONPATH=str(tmp_path / "project"))
    assert ran.status == 0, ran.err
    files = written(before, identities(folder))
    assert len([path for path in files if path.startswith("models/")]) == 2
    assert not [path for path in files if path.startswith("tables/spirals")]
    assert re.search(r"^depth_sweep +2 +0 ", ran.out, re.MULTILINE), ran.out
    assert result(folder) == expected


@pytest.mark.slow
def test_an_unchanged_copy_of_the_code_finds_everything(copied, program, tmp_path):
    """What a key knows of the code is its text, not where it lies."""
    folder = copied("depth_sweep")
    copy_project(tmp_path / "project")
    before = identities(folder)
    ran = program(f"{program.depth_sweep} --artifacts {folder}", PYTHONPATH=str(tmp_path / "project"))
    assert re.search(r"^depth_sweep +2 +2 ", ran.out, re.MULTILINE), ran.out
    assert written(before, identities(folder)) == ALWAYS_WRITTEN


@pytest.mark.slow
def test_runs_with_other_settings_in_one_folder_do_not_disturb_each_other(program):
    """They write the same table of results, one after the other; each figure is of the table that was there then."""
    commands = [f"{program.depth_sweep} --seed {seed} --artifacts both" for seed in (1, 2, 3, 1)]
    for process in [program.start(command) for command in commands]:
        _, err = process.communicate(timeout=180)
        assert process.returncode == 0, err
