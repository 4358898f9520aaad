"""Which members have to be trained when some were trained before."""

import json

import pytest
from configurations import config_of

from mlp_core.artifacts.backends import file_digest
from mlp_core.artifacts.storage import Artifact
from mlp_core.experiments.images.experiment import images_trial
from tasks.training import _earlier_blocks, _file_name, _runs


@pytest.mark.parametrize(
    ("members", "expected"),
    [([], []), ([0, 1, 2], [[0, 1, 2]]), ([3], [[3]]), ([0, 1, 4, 6, 7], [[0, 1], [4], [6, 7]])],
)
def test_missing_members_are_trained_in_runs(members, expected):
    """Neighbours go together."""
    assert _runs(members) == expected


@pytest.fixture
def trained(tmp_path):
    """Give a function that leaves the three files of a block, as a training does."""

    def trained(first, last):
        stem = f"sweep-key-{first:03d}-{last:03d}"
        files = [tmp_path / "members" / f"{stem}.parquet", tmp_path / "models" / f"{stem}.safetensors"]
        record = tmp_path / ".records/sweep-key" / f"{first:03d}-{last:03d}.json"
        for path in (*files, record):
            path.parent.mkdir(exist_ok=True, parents=True)
            path.write_text(path.name)
        record.write_text(json.dumps(dict(zip(("table", "weights"), map(file_digest, files), strict=True))))
        return [*files, record]

    return trained


@pytest.mark.parametrize(
    ("earlier", "n_members", "expected"),
    [
        ([], 8, []),
        ([(0, 7)], 8, [(0, 7)]),
        ([(0, 7)], 4, [(0, 7)]),
        ([(0, 7), (8, 15)], 8, [(0, 7)]),
        ([(0, 7), (8, 15)], 32, [(0, 7), (8, 15)]),
        ([(0, 7), (0, 15), (8, 15)], 16, [(0, 15)]),
        ([(0, 3), (8, 11)], 16, [(0, 3), (8, 11)]),
        ([(0, 999), (1000, 1001)], 1002, [(0, 999), (1000, 1001)]),
    ],
)
def test_earlier_blocks_do_not_overlap(tmp_path, trained, earlier, n_members, expected):
    """The largest block from each first member on is taken, as far as it is wanted."""
    for first, last in earlier:
        trained(first, last)
    blocks = _earlier_blocks(tmp_path, "sweep-key", n_members)
    assert [(block.first, block.last) for block in blocks] == expected
    assert [block.table.rows for block in blocks] == [last - first + 1 for first, last in expected]


@pytest.mark.parametrize("content", [None, b"", b"{", b"\xff", b"[]", b'{"table": 1}'])
@pytest.mark.parametrize("damaged", [0, 1, 2])
def test_a_block_that_is_not_whole_is_left_out(tmp_path, trained, damaged, content):
    """Table, weights and record must all be as they were written; another block takes the place."""
    trained(0, 3)
    path = trained(0, 7)[damaged]
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    assert [block.last for block in _earlier_blocks(tmp_path, "sweep-key", 8)] == [3]


def test_a_file_of_a_deep_network_has_a_name_that_file_systems_take():
    """Its configuration names every layer; what does not fit is in the key, which tells it from others."""
    training = {"activation": "relu", "optimizer": "adam", "learning_rate": 1e-3, "epochs": 1, "batch_size": 8}
    plans = [config_of(images_trial, [64] * depth, 3072, 3, **training, seed=0, device="cpu") for depth in (200, 201)]
    names = {_file_name(plan, Artifact("tables/images.parquet", "0" * 64, 1)) for plan in plans}
    assert len(names) == 2
    assert max(map(len, names)) < 150
