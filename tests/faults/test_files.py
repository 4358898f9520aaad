"""Stored files that are damaged, of another version, or another's: noticed by their digest and made again."""

import hashlib
import json
import random
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch
from stored import ALWAYS_WRITTEN, computed, contents, identities, written

from flows.command_line import program as command_line
from mlp_core.artifacts.baseline import BASELINE, RUNS, accept, keep_comparison, read_baseline
from mlp_core.artifacts.comparison import compare
from mlp_core.artifacts.results import read_results
from mlp_core.artifacts.storage import Artifact, read_table
from mlp_core.errors import InputError
from tasks.context import RECORDS

AT_ONCE = {
    ("depth_sweep", "first"): {
        "tables/spirals-*.parquet": "generate spirals",
        "results/depth_sweep.parquet": "summarize depth_sweep",
        "figures/depth_sweep_loss.png": "draw depth_sweep_loss",
    },
    ("depth_sweep", "second"): {
        "tables/decision_map-*.parquet": "map decisions MLP",
        "members/*.parquet": "train depth=1 width=14",
        "figures/depth_sweep.png": "draw depth_sweep",
        "results/history.parquet": None,
    },
    ("depth_sweep", "third"): {
        "models/*.safetensors": "train depth=1 width=14",
        "figures/decision_maps.png": "draw decision_maps",
        "report.html": None,
    },
    ("polynomial", "first"): {"tables/polynomial_features-*.parquet": "expand polynomial features degree=3"},
    ("images", "first"): {
        "tables/images-*.parquet": "unzip and decode images",
        "figures/images_first_layer.png": "draw images_first_layer",
    },
    ("images", "second"): {"figures/samples.png": "draw samples"},
}
"""Every kind of file: an experiment that has it, where it lies, and the task that makes it unless it always does.

Of what is damaged at once nothing is made from another one: what a task would make for no reason is seen.
"""
KINDS = [(experiment, *kind) for (experiment, _), kinds in AT_ONCE.items() for kind in kinds.items()]


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


def slow(damage):
    """Return a damage that is tried at night alone."""
    return pytest.param(damage, marks=pytest.mark.slow)


def at_once(experiment, group):
    """Return a case; the first of a depth sweep, which the tests have finished anyway, is tried in `make test`."""
    marks = () if (experiment, group) == ("depth_sweep", "first") else pytest.mark.thorough
    return pytest.param(experiment, group, marks=marks)


def made_together(path):
    """Return the files that are made with one: a training makes two, and so does a drawing."""
    if path.parent.name in ("members", "models"):
        return {f"members/{path.stem}.parquet", f"models/{path.stem}.safetensors"}
    if path.parent.name == "figures":
        return {f"figures/{path.stem}.{kind}" for kind in ("png", "svg")}
    return {path.as_posix()}


def check_that_these_are_made_again(run, folder, experiment, kinds, damage):
    """Damage a file of each kind; their makers alone work, and write them with the bytes that they had."""
    expected, before = contents(folder), identities(folder)
    damaged = [min(folder.glob(pattern)) for pattern in kinds]
    for path in damaged:
        damage(path)
    ran = run(experiment, folder, own_figures=experiment == "depth_sweep")
    assert ran.state.is_completed()
    assert computed(ran) == {maker for maker in kinds.values() if maker}
    remade = set().union(*(made_together(path.relative_to(folder)) for path in damaged)) & expected.keys()
    assert written(before, identities(folder)) == remade | ALWAYS_WRITTEN
    assert contents(folder) == expected


@pytest.mark.parametrize(("experiment", "group"), [at_once(*case) for case in AT_ONCE])
def test_files_that_are_deleted_are_made_again_and_nothing_else(run, copied, experiment, group):
    """Of each kind one, several in a run."""
    check_that_these_are_made_again(run, copied(experiment), experiment, AT_ONCE[experiment, group], delete)


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(("experiment", "pattern", "maker"), KINDS)
def test_a_damaged_file_is_made_again_and_nothing_else(run, copied, experiment, pattern, maker, damage):
    """Whichever file is gone or changed, one task makes it again with the bytes that it had."""
    check_that_these_are_made_again(run, copied(experiment), experiment, {pattern: maker}, damage)


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


@pytest.mark.parametrize("damage", [DAMAGES[0], *map(slow, DAMAGES[1:])])
def test_damaged_records_cost_no_training(run, copied, damage):
    """Without Prefect's records tasks run again, but trainings are found and every byte is the same."""
    folder = copied("depth_sweep")
    expected, before = contents(folder), identities(folder)
    for record in (folder / RECORDS).glob("*-*"):
        if record.is_file():  # Prefect's, not ours
            damage(record)
    assert run("depth_sweep", folder, own_figures=True).state.is_completed()
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
        assert run("depth_sweep", folder, own_figures=True).state.is_completed(), position
        assert contents(folder) == expected, position


def empty(path):
    """Leave a file of no bytes."""
    path.write_bytes(b"")


def replace_by_another(path):
    """Put another file of the same kind there, whole as it is."""
    alike = [other for other in sorted(path.parent.iterdir()) if other.is_file() and other.suffix == path.suffix]
    # In tests figures may look alike
    others = [content for other in alike if (content := other.read_bytes()) != path.read_bytes()]
    path.write_bytes(others[0] if others else b"PAR1 something else PAR1")


def cut_anywhere(path):
    """Cut off at an offset that differs from file to file, and stays the same from test to test."""
    data = path.read_bytes()
    path.write_bytes(data[: random.Random(path.name).randrange(len(data))])


@pytest.mark.parametrize(
    "damage",
    [
        *map(slow, (empty, replace_by_another)),
        cut_anywhere,
        pytest.param(flip_in_the_middle, marks=pytest.mark.thorough),
    ],
)
def test_all_files_damaged_at_once_are_made_again(run, copied, damage):
    """With every file of an experiment damaged, all come back with the bytes that they had."""
    folder = copied("depth_sweep")
    expected = contents(folder)
    for path in sorted(expected):
        damage(folder / path)
    assert run("depth_sweep", folder, own_figures=True).state.is_completed()
    assert contents(folder) == expected


@pytest.mark.slow
@pytest.mark.parametrize("damage", [empty, replace_by_another, cut_anywhere])
@pytest.mark.parametrize(("experiment", "pattern", "maker"), KINDS)
def test_one_file_damaged_is_made_again_and_nothing_else(run, copied, experiment, pattern, maker, damage):
    """Whatever became of one file, one task makes it again."""
    check_that_these_are_made_again(run, copied(experiment), experiment, {pattern: maker}, damage)


@pytest.mark.slow
@pytest.mark.parametrize("damage", [empty, replace_by_another, cut_anywhere])
def test_all_files_of_the_tutorial_damaged_are_made_again(run, copied, damage):
    """The same for every table, model, figure and result that there is."""
    test_a_folder_of_damaged_files_is_mended(run, copied, damage)


@pytest.mark.thorough
@pytest.mark.parametrize("damage", [*map(slow, (empty, cut_anywhere)), replace_by_another])
def test_damaged_records_of_prefect_are_never_used(run, copied, damage):
    """A record that is empty, another's or cut off counts as none; trainings are found by their own records."""
    test_damaged_records_cost_no_training(run, copied, damage)


def test_a_model_that_is_a_pickle_is_never_loaded(run, copied, tmp_path):
    """Weights are safetensors: code that hides in a file of that name does not run, and the training is done again."""
    folder = copied("depth_sweep")
    expected = contents(folder)

    class Hidden:
        def __reduce__(self):
            return Path.touch, (tmp_path / "it ran",)

    for weights in folder.glob("models/*"):
        torch.save(Hidden(), weights)
    assert run("depth_sweep", folder, own_figures=True).state.is_completed()
    assert not (tmp_path / "it ran").exists()
    assert contents(folder) == expected


def test_a_damaged_table_is_named(copied):
    """Who reads a table by its reference learns which file is not the one that was written."""
    folder = copied("depth_sweep")
    path = folder / "results/depth_sweep.parquet"
    reference = Artifact.of(folder, path, 4)
    flip_in_the_middle(path)
    with pytest.raises(ValueError, match=r"^results/depth_sweep\.parquet was changed after it was written; delete it"):
        read_table(folder, reference)


def flip_in_the_footer(path):
    """Change one bit of a column's name where a Parquet file keeps its metadata, which have no checksum."""
    data = bytearray(path.read_bytes())
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    data[data.index(b"configuration", footer)] ^= 1
    path.write_bytes(data)


def replace_by_results(path):
    """Put a whole table of results there."""
    folder = next(parent for parent in path.parents if (parent / "results").exists())
    shutil.copy(folder / "results/depth_sweep.parquet", path)


@pytest.fixture
def compared(copied):
    """Give the folder of a depth sweep that was accepted, and compared with what was accepted."""
    folder, now = copied("depth_sweep"), datetime(2026, 11, 24, 3, tzinfo=UTC)
    accept(folder, now)
    keep_comparison(folder, compare(read_baseline(folder), read_results(folder)), now)
    return folder


@pytest.mark.parametrize("damage", [truncate, flip_in_the_footer, replace_by_results, empty])
@pytest.mark.parametrize(
    ("pattern", "command"),
    [(BASELINE, "baseline compare"), (BASELINE, "baseline show"), (f"{RUNS}/*.parquet", "report")],
    ids=["compare", "show", "report"],
)
def test_a_damaged_baseline_is_one_sentence(compared, pattern, command, damage):
    """The accepted results, or a comparison with them: the file is named, and the way out."""
    (damaged,) = compared.glob(pattern)
    damage(damaged)
    with pytest.raises(InputError) as refusal:
        command_line.main([*command.split(), "--artifacts", str(compared)], standalone_mode=False)
    words = str(refusal.value)
    assert words.startswith(f"{damaged} must be a Parquet file as it was written, got ")
    assert words.endswith("; delete it and make it again.")
    assert words.isprintable()


def test_no_changed_bit_of_a_baseline_gets_into_a_comparison(compared):
    """Wherever a bit of it is changed, footer too, it is refused or holds the accepted numbers."""
    path = compared / BASELINE
    good, accepted = path.read_bytes(), read_baseline(compared).members
    n_refused = 0
    for position in range(0, len(good), 37):
        path.write_bytes(good[:position] + bytes([good[position] ^ 1 << position % 8]) + good[position + 1 :])
        try:
            assert read_baseline(compared).members == accepted, position
        except InputError:
            n_refused += 1
    assert n_refused > 20


def test_a_record_of_a_program_with_other_classes_is_a_miss(run, copied):
    """Where a class was renamed since, the record counts as none, and every byte comes out the same."""
    folder = copied("depth_sweep")
    expected = contents(folder)
    for record in folder.glob(".records/train-*"):
        if record.is_file():
            text = json.loads(record.read_text())
            _, _, value = text["result"].partition(" ")
            value = value.replace("tasks.training.TrainedConfig", "tasks.training.Trained")
            text["result"] = f"{hashlib.sha256(value.encode()).hexdigest()} {value}"
            record.write_text(json.dumps(text))
    ran = run("depth_sweep", folder, own_figures=True)
    assert ran.state.is_completed()
    assert {"train depth=1 width=14", "train depth=2 width=7"} <= computed(ran)
    assert contents(folder) == expected
