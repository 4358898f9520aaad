"""A run that compares itself with the accepted baseline, and the program's commands for it."""

import json
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from constructed import write_results

from mlp_core.artifacts.baseline import BASELINE, RUNS, accept
from mlp_core.data.settings import Spirals
from mlp_core.errors import InputError


@pytest.fixture
def accepted(copied):
    """Give the folder of a finished depth sweep that was accepted as it is."""
    root = copied("depth_sweep")
    accept(root, datetime(2026, 11, 24, 3, tzinfo=UTC))
    return root


def test_a_run_like_the_baseline_completes(run, accepted):
    """Nothing moved: the run says so by its state, keeps the comparison and shows it in the report."""
    ended = run("depth_sweep", accepted, on_drift="drifted")
    assert ended.state.name == "Completed"
    (kept,) = (accepted / RUNS).iterdir()
    assert "moved" not in pq.read_table(kept)["status"].to_pylist()
    page = (accepted / "report.html").read_text()
    assert "none of 8 metrics moved. Versions, code and machine are the same." in page
    assert 'id="figure-trend"' in page


@pytest.mark.parametrize(
    ("on_drift", "ending"),
    [
        ("drifted", "Drifted"),
        pytest.param("failed", "Failed", marks=pytest.mark.thorough),
        pytest.param("ignore", "Completed", marks=pytest.mark.thorough),
    ],
)
def test_a_run_that_moved_ends_as_it_is_told(run, accepted, raise_baseline, on_drift, ending):
    """The state's message names the figure, from what to what, and the version that changed."""
    raise_baseline(accepted)
    ended = run("depth_sweep", accepted, on_drift=on_drift)
    assert ended.state.name == ending
    if on_drift == "ignore":
        assert not (accepted / RUNS).exists()
        return
    now = pq.read_table(accepted / "results/depth_sweep.parquet")
    reached = 100 * pc.mean(now.filter(pc.equal(now["depth"], 2))["test_accuracy"]).as_py()
    message = ended.state.message
    assert "1 of 8 metrics moved from the baseline: depth_sweep depth=2" in message
    assert f"test accuracy {reached + 25:.1f} % → {reached:.1f} % (change -25.0" in message
    torch = json.loads(now.schema.metadata[b"versions"])["torch"]
    assert f"Changed since: torch 2.9.0 → {torch}." in message
    assert "<li>depth_sweep depth=2 width=7 parameters=109 test accuracy" in (accepted / "report.html").read_text()
    if on_drift == "drifted":
        assert ended.state.is_completed()
        assert ended.state.result() == str(accepted / "report.html")


def test_without_a_baseline_a_run_completes(run, copied):
    """The first night has nothing to compare with."""
    root = copied("depth_sweep")
    assert run("depth_sweep", root, on_drift="failed").state.name == "Completed"
    assert not (root / "baseline").exists()


@pytest.mark.thorough
def test_a_run_of_other_settings_is_not_compared(run, accepted, caplog):
    """A custom run is no drift: it completes, and its log says why it was not compared."""
    ended = run("depth_sweep", accepted, on_drift="failed", spirals=Spirals(points=50))
    assert ended.state.name == "Completed"
    assert "not compared with the baseline: depth_sweep (other settings: points 40 → 50)" in caplog.text
    assert not (accepted / RUNS).exists()


def test_the_program_accepts_shows_and_compares(program_here, copied, raise_baseline):
    """Exit status 0 as long as nothing moved, 1 when something has, 2 without a baseline."""
    root = copied("depth_sweep")
    where = f"--artifacts {root}"
    ended = program_here(f"baseline compare {where}")
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.endswith("run `deep-mlp baseline accept`.\n")
    assert program_here(f"baseline accept {where}").out == f"accepted {root / BASELINE}\n"
    assert "depth=1 width=14 parameters=102: median test accuracy " in program_here(f"baseline show {where}").out
    ended = program_here(f"baseline compare {where}")
    assert (ended.status, ended.out.splitlines()[0], ended.err) == (0, "none of 8 metrics moved", "")
    assert "not judged: 2 metrics, for too few members or examples" in ended.out
    raise_baseline(root)
    ended = program_here(f"baseline compare {where}")
    assert (ended.status, ended.err) == (1, "")
    assert ended.out.splitlines()[0] == "1 of 8 metrics moved"
    assert ended.out.splitlines()[-1].startswith("Changed since: torch 2.9.0 → ")


def test_a_table_of_another_version_is_neither_accepted_nor_compared(program_here, tmp_path):
    """Its experiment was renamed: nothing writes it any more, so it would be found unchanged for ever."""
    accuracies = {"train_accuracy": [0.5, 0.6], "test_accuracy": [0.4, 0.5], "learned": [True, True]}
    members = {"member": [0, 1], "epochs": [1, 1], "status": ["ok", "ok"]}
    write_results(tmp_path, "renamed", pa.table({"gain": [1.0, 1.0], **members, **accuracies}))
    accept(tmp_path, datetime(2026, 11, 24, 3, tzinfo=UTC))
    ended = program_here(f"baseline compare --artifacts {tmp_path}")
    assert (ended.status, ended.out) == (2, "")
    assert "got none (renamed: no results of this version's)" in ended.err
    ended = program_here(f"baseline accept --artifacts {tmp_path}")
    assert ended.status == 2
    assert "a baseline needs results, got none" in ended.err


@pytest.mark.thorough
def test_a_partial_run_is_compared_as_far_as_it_goes_and_is_no_baseline(run, accepted, caplog):
    """One of two trainings fails: the other is found under its name and compared; what is left is not accepted."""
    (weights,) = accepted.glob("models/depth_sweep-depth=2-*")
    weights.unlink()
    (weights / "in the way").mkdir(parents=True)  # nothing can be moved to that name
    assert run("depth_sweep", accepted, on_drift="drifted").state.is_failed()
    words = "not compared with the baseline: depth_sweep (depth=2 width=7 parameters=109 only in the baseline)"
    assert words in caplog.text
    (kept,) = (accepted / RUNS).iterdir()
    compared = pq.read_table(kept)
    assert set(compared["configuration"].to_pylist()) == {"depth=1 width=14 parameters=102"}
    assert "moved" not in compared["status"].to_pylist()
    with pytest.raises(InputError, match="a baseline needs whole results, got failed trainings of depth_sweep in"):
        accept(accepted, datetime.now(UTC))
