"""Stored files that are damaged, of another version, or another's: noticed by their digest and made again."""

import pytest
from stored import ALWAYS_WRITTEN, computed, contents, identities, written

from tasks.caching import RECORDS

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
    for record in (folder / RECORDS).glob("*-*"):
        if record.is_file():  # Prefect's, not ours
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
