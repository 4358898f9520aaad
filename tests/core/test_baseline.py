"""The files of the baseline: accepted results and kept comparisons."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from constructed import ORIGIN, draws, results, write_results

from mlp_core.artifacts.baseline import (
    BASELINE,
    accept,
    accepted_baseline,
    changes_of,
    describe_baseline,
    keep_comparison,
    read_baseline,
    read_comparisons,
)
from mlp_core.artifacts.comparison import compare
from mlp_core.artifacts.results import Origin, read_results
from mlp_core.errors import InputError
from mlp_core.report.trend import trend_figure

NOW = datetime(2026, 11, 24, 3, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path):
    """Give an artifact folder with a table of members, one of them diverged, and one of something else."""
    table = pa.table(
        {
            "activation": ["relu"] * 4,
            "gain": [0.5, 0.5, 1.0, 1.0],
            "member": [0, 1, 0, 1],
            "epochs": [1] * 4,
            "train_accuracy": [0.5, 0.6, 0.7, None],
            "test_accuracy": [0.4, 0.5, 0.6, None],
            "status": ["ok", "ok", "ok", "diverged"],
            "learned": [False, True, True, False],
        }
    )
    write_results(tmp_path, "gain_sweep", table)
    write_results(tmp_path, "signal_propagation", pa.table({"layer": [1], "member": [0]}))
    return tmp_path


def test_the_baseline_is_one_file_with_all_that_a_comparison_needs(folder):
    """Members, settings, versions and machine of every table; configurations by what varies."""
    artifact = accept(folder, NOW)
    assert artifact.path == BASELINE
    assert artifact.rows == 4
    baseline = read_baseline(folder)
    assert baseline.accepted == "2026-11-24T03:00:00+00:00"
    assert baseline.origins == read_results(folder).origins
    assert baseline.members.keys() == {("gain_sweep", "gain=0.5"), ("gain_sweep", "gain=1")}
    assert baseline.members["gain_sweep", "gain=0.5"] == {0: (0.5, 0.4, 0.0, 1.0), 1: (0.6, 0.5, 0.0, 0.0)}
    assert compare(baseline, read_results(folder)).moved == []
    metadata = pq.read_schema(folder / BASELINE).metadata
    assert {b"versions", b"machine", b"units"} <= metadata.keys()
    assert "gain=1: median test accuracy 60.0 %, n = 1, no interval" in describe_baseline(baseline)


def test_a_bad_folder_gets_one_sentence(tmp_path, folder):
    """No results, no baseline, a damaged baseline: each is said, with the way out."""
    empty = tmp_path / "empty"
    with pytest.raises(InputError, match=r"a baseline needs results, got none in .*run `deep-mlp tutorial`"):
        accept(empty, NOW)
    with pytest.raises(InputError, match=r"must be accepted first, got none at .*`deep-mlp baseline accept`"):
        accepted_baseline(empty)
    accept(folder, NOW)
    (folder / BASELINE).write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"accepted\.parquet must be a Parquet file .*, got damaged bytes; delete it"):
        accepted_baseline(folder)


def test_partial_results_are_no_baseline(folder):
    """As long as trainings of an experiment are noted as failed; those of one without results are no matter."""
    write_results(folder, "failures", pa.table({"experiment": ["images", ""], "reason": ["out of time", "no figure"]}))
    accept(folder, NOW)
    (folder / BASELINE).unlink()
    write_results(
        folder, "failures", pa.table({"experiment": ["images", "gain_sweep"], "reason": ["out of time", "gain=2"]})
    )
    with pytest.raises(InputError, match=r"got failed trainings of gain_sweep in .*failures\.parquet; run the command"):
        accept(folder, NOW)
    assert not (folder / BASELINE).exists()
    write_results(folder, "failures", pa.table({"reason": ["gain=2"]}))
    with pytest.raises(InputError, match=r"failures\.parquet must be a Parquet file .*, got another table"):
        accept(folder, NOW)


@pytest.mark.parametrize(
    "columns",
    [
        {"member": ["a", "b"]},
        {"test_accuracy": ["high", "low"]},
        {"test_accuracy": [[0.5], [0.6]]},
        {"depth": [{"a": 1}, {"a": 2}]},
        {"status": [b"ok", b"diverged"]},
    ],
    ids=["member", "text", "list", "struct", "bytes"],
)
def test_results_with_columns_of_another_kind_are_damaged(tmp_path, columns):
    """Whole as Parquet, but not what a run writes."""
    whole = {"depth": [1, 2], "member": [0, 1], "epochs": [9, 9], "status": ["ok", "ok"]}
    whole |= {"train_accuracy": [0.5, 0.5], "test_accuracy": [0.5, 0.5]}
    write_results(tmp_path, "depth_sweep", pa.table(whole | columns))
    with pytest.raises(InputError, match=r"depth_sweep\.parquet must be .*, got columns of another kind; delete it"):
        read_results(tmp_path)


def test_comparisons_are_kept_in_the_order_of_time(folder):
    """A file each; what is read is what was found, the last ones only."""
    accept(folder, NOW)
    comparison = compare(read_baseline(folder), read_results(folder))
    for day in (2, 0, 1):
        keep_comparison(folder, comparison, NOW + timedelta(days=day))
    table = read_comparisons(folder, last=2)
    assert table["run"].unique().to_pylist() == [NOW + timedelta(days=1), NOW + timedelta(days=2)]
    again = changes_of(table.to_pylist()[: len(comparison.changes)])
    assert [repr(change) for change in again] == [repr(change) for change in comparison.changes]


def test_the_trend_marks_what_moved_and_where_versions_changed(folder):
    """Two runs, the second with another torch and one configuration down."""
    before, after = draws(7, 2, spread=0.0), draws(7, 2, spread=0.0)
    after["depth=1"] = after["depth=1"] - 0.2
    newer = Origin(ORIGIN.settings, "code", {"torch": "2.14.1"}, ORIGIN.machine)
    baseline = results(before)
    keep_comparison(folder, compare(baseline, results(before)), NOW)
    keep_comparison(folder, compare(baseline, results(after, newer)), NOW + timedelta(days=1))
    (axes,) = trend_figure(read_comparisons(folder).to_pandas()).axes
    marked = [line.get_ydata().tolist() for line in axes.lines if line.get_marker() == "o" and len(line.get_ydata())]
    assert marked == [[pytest.approx(50.0)]]
    assert sum(line.get_linestyle() == ":" for line in axes.lines) == 1
    assert axes.get_title() == "images"
