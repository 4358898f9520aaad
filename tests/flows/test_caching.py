"""What is made again, and what is not, as one can see it: task states, and which files were written anew."""

import re
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from mlp_core.settings import GainSweep
from tasks.caching import RECORDS

ALWAYS_WRITTEN = {"results/history.parquet", "report.html"}
"""Made from what lies in the folder, by whatever run."""
UNCACHED_TASKS = {"collect history", "write report", "locate images"}


def files(folder):
    """Return the paths of all artifacts, without the records of the cache."""
    paths = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return {path for path in paths if not path.startswith(RECORDS)}


def contents(folder):
    """Return the bytes of all artifacts."""
    return {path: (folder / path).read_bytes() for path in files(folder)}


def identities(folder):
    """Return what differs between two files written under one name."""
    status = {path: (folder / path).stat() for path in files(folder)}
    return {path: (found.st_ino, found.st_mtime_ns) for path, found in status.items()}


def written(before, after):
    """Return the artifacts that were made, or made again, between two calls of `identities`."""
    return {path for path in after if after[path] != before.get(path)}


def computed(ran):
    """Return the tasks that worked for what could have been in the cache."""
    assert set(ran.tasks) <= {"Completed", "Cached"}, ran.tasks
    # Prefect adds three letters to the names of runs that we give no name
    names = {name.rsplit("-", 1)[0] if name[-4:-3] == "-" else name for name in ran.tasks.get("Completed", [])}
    return names - UNCACHED_TASKS


@pytest.mark.parametrize("experiment", ["depth_sweep", "polynomial", "images", "gain_sweep", "tutorial"])
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


KINDS = [
    ("depth_sweep", "tables/spirals-*.parquet", "generate spirals"),
    ("depth_sweep", "tables/decision_map-*.parquet", "map decisions depth_sweep"),
    ("depth_sweep", "members/*.parquet", "train depth=1 width=14"),
    ("depth_sweep", "models/*.safetensors", "train depth=1 width=14"),
    ("depth_sweep", "results/depth_sweep.parquet", "summarize depth_sweep"),
    ("depth_sweep", "figures/depth_sweep.png", "plot depth_sweep"),
    ("depth_sweep", "figures/depth_sweep_loss.png", "plot losses depth_sweep"),
    ("depth_sweep", "figures/decision_maps.png", "plot decision maps"),
    ("polynomial", "tables/polynomial_features-*.parquet", "expand polynomial features degree=3"),
    ("images", "tables/images-*.parquet", "unzip and decode images"),
    ("images", "figures/samples.png", "plot samples"),
    ("images", "figures/first_layer.png", "plot first layer"),
    ("images", "results/history.parquet", None),
    ("images", "report.html", None),
]
"""Every kind of file: an experiment that has it, where it lies, and the task that makes it unless it always does."""


def delete(path):
    """Remove a file."""
    path.unlink()


def flip_in_the_middle(path):
    """Change one bit of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def flip_near_the_end(path):
    """Change one bit where a Parquet file keeps its metadata."""
    data = bytearray(path.read_bytes())
    data[-len(data) // 4] ^= 1
    path.write_bytes(data)


def truncate(path):
    """Cut off the last third."""
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])


DAMAGES = [delete, flip_in_the_middle, flip_near_the_end, truncate]
slow_unless_deleted = [DAMAGES[0], *(pytest.param(damage, marks=pytest.mark.slow) for damage in DAMAGES[1:])]


@pytest.mark.parametrize("damage", slow_unless_deleted)
@pytest.mark.parametrize(("experiment", "pattern", "maker"), KINDS)
def test_a_damaged_file_is_made_again_and_nothing_else(run, copied, experiment, pattern, maker, damage):
    """Whichever file is gone or changed, one task makes it again with the bytes that it had."""
    folder = copied(experiment)
    expected, before = contents(folder), identities(folder)
    damaged = min(folder.glob(pattern))
    damage(damaged)
    ran = run(experiment, folder)
    assert ran.state.is_completed()
    assert computed(ran) == ({maker} if maker else set())
    together = {f"members/{damaged.stem}.parquet", f"models/{damaged.stem}.safetensors"}  # one training makes both
    damaged_path = damaged.relative_to(folder).as_posix()
    made = together if damaged_path in together else {damaged_path}
    assert written(before, identities(folder)) == made | ALWAYS_WRITTEN
    assert contents(folder) == expected


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_folder_of_damaged_files_is_mended(run, copied, damage):
    """With every file gone or changed, all of them come back with the bytes that they had."""
    folder = copied("tutorial")
    expected = contents(folder)
    for path in expected:
        damage(folder / path)
    assert run("tutorial", folder).state.is_completed()
    assert contents(folder) == expected


@pytest.mark.parametrize("damage", slow_unless_deleted)
def test_damaged_records_cost_no_training(run, copied, damage):
    """Without Prefect's records tasks run again, but trainings are found and every byte is the same."""
    folder = copied("depth_sweep")
    expected, before = contents(folder), identities(folder)
    for record in (folder / RECORDS).iterdir():
        if record.is_file():  # what trainings leave lies deeper
            damage(record)
    assert run("depth_sweep", folder).state.is_completed()
    assert not [path for path in written(before, identities(folder)) if path.startswith("models/")]
    assert contents(folder) == expected


@pytest.mark.slow
@pytest.mark.parametrize("pattern", ["members/*.parquet", ".records/train-*", ".records/*/*.json"])
def test_no_changed_bit_gets_into_a_result(run, copied, pattern):
    """Wherever a bit of what a training left is changed, footers and records too, the bytes come out the same."""
    folder = copied("depth_sweep")
    expected = contents(folder)
    damaged = min(folder.glob(pattern))
    good = damaged.read_bytes()
    for position in range(0, len(good), len(good) // 20):
        damaged.write_bytes(good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :])
        if pattern == ".records/*/*.json":
            min(folder.glob(".records/train-*")).unlink()
            min(folder.glob(".records/train-*")).unlink()
        assert run("depth_sweep", folder).state.is_completed(), position
        assert contents(folder) == expected, position


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
    made = written(before, identities(tmp_path))
    assert [path.split("-")[1] for path in made if path.startswith("models/")] == ["gain=0.5"]
    assert pq.read_table(tmp_path / "results/gain_sweep.parquet")["gain"].to_pylist() == list(ten.gains)


def result(folder):
    return pq.read_table(folder / "results/depth_sweep.parquet").replace_schema_metadata()


def test_more_seeds_train_the_new_members_alone(run, tmp_path):
    """Sixteen seeds after eight train eight; the first eight keep every bit, and all equal sixteen at once."""
    run("depth_sweep", tmp_path / "a", seeds=8)
    eight, before = result(tmp_path / "a"), identities(tmp_path / "a")
    run("depth_sweep", tmp_path / "a", seeds=16)
    sixteen = result(tmp_path / "a")
    made = written(before, identities(tmp_path / "a"))
    assert [path[-len("-008-015.safetensors") :] for path in made if path.startswith("models/")] == [
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


@pytest.mark.parametrize(
    ("experiment", "runner"),
    [("depth_sweep", "threads"), pytest.param("tutorial", "processes", marks=pytest.mark.slow)],
)
def test_refresh_makes_everything_again(run, copied, experiment, runner):
    """With --refresh nothing is Cached, every file is new and has the bytes that it had."""
    folder = copied(experiment)
    expected, before = contents(folder), identities(folder)
    ran = run(experiment, folder, refresh=True, runner=runner)
    assert ran.state.is_completed()
    assert "Cached" not in ran.tasks
    assert written(before, identities(folder)) == set(expected)
    assert contents(folder) == expected


def copy_project(folder):
    for package in ("flows", "tasks", "mlp_core"):
        shutil.copytree(Path(__file__).parents[2] / package, folder / package)


def test_changed_training_code_trains_again_from_the_same_data(copied, program, tmp_path):
    """A line more in the core's training code, in a copy of the project: all is trained again, no data are made."""
    folder = copied("depth_sweep")
    copy_project(tmp_path / "project")
    expected, before = result(folder), identities(folder)
    with (tmp_path / "project/mlp_core/training.py").open("a") as file:
        file.write("# one line more\n")
    ran = program(f"{program.depth_sweep} --artifacts {folder}", PYTHONPATH=str(tmp_path / "project"))
    assert ran.status == 0, ran.err
    made = written(before, identities(folder))
    assert len([path for path in made if path.startswith("models/")]) == 2
    assert not [path for path in made if path.startswith("tables/spirals")]
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
