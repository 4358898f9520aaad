"""How outputs read the tables of trained members."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlp_core.artifacts.storage import Artifact
from tasks.results import _KEPT_BYTES, _kept_table, _members


@pytest.mark.parametrize(("n_members", "n_kept"), [(2, 1), (20_000, 0)], ids=["small", "large"])
def test_small_tables_are_read_once_and_large_ones_not_kept(tmp_path, n_members, n_kept):
    """A process that goes on after a run keeps little of it."""
    numbers = np.random.default_rng(0).random(n_members)
    pq.write_table(pa.table({"member": np.arange(n_members), "x": numbers}), tmp_path / "members.parquet")
    artifact = Artifact.of(tmp_path, tmp_path / "members.parquet", n_members)
    assert (artifact.size_bytes <= _KEPT_BYTES) is bool(n_kept)
    trained = SimpleNamespace(blocks=[SimpleNamespace(table=artifact)], n_members=n_members)
    before = _kept_table.cache_info()
    assert _members(tmp_path, trained).equals(_members(tmp_path, trained))
    after = _kept_table.cache_info()
    assert (after.misses - before.misses, after.hits - before.hits) == (n_kept, n_kept)
