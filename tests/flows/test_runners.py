"""Results are the same whoever runs the tasks, and in whatever order."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from processors import environment, parameters

from mlp_core.engine import training
from mlp_core.experiments.catalog import experiment_in


def tables(folder):
    """Return the bytes of every table and every file of weights."""
    paths = [*folder.rglob("*.parquet"), *folder.rglob("*.safetensors")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@pytest.mark.slow
@pytest.mark.parametrize("experiment", ["gain_sweep", "tutorial"])
def test_processes_give_what_threads_give(run, finished, tmp_path, experiment):
    """Each table and all weights have the same bytes, but for the times at which results were made."""
    assert run(experiment, tmp_path, runner="processes").state.is_completed()
    processes, threads = tables(tmp_path), tables(finished(experiment))
    dated = [pq.read_table(pa.BufferReader(files.pop("results/runs.parquet"))) for files in (processes, threads)]
    assert processes == threads
    assert dated[0].drop_columns("made").equals(dated[1].drop_columns("made"))


@pytest.mark.thorough
def test_a_sweep_on_dask_gives_what_threads_give(run, finished, tmp_path):
    """Its tables take the trained networks through dask's own pickling, and the report reads them."""
    assert run("sweep", tmp_path, runner="dask", workers=1).state.is_completed()
    for table in ("sweep", "sweep_classes"):
        dask, threads = (pq.read_table(folder / f"results/{table}.parquet") for folder in (tmp_path, finished("sweep")))
        measured = {"train_seconds"} & set(dask.column_names)
        assert dask.drop_columns([*measured]).equals(threads.drop_columns([*measured])), table
    assert "A grid of settings" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_trainings_take_one_thread_each(run, tmp_path, monkeypatch):
    """Whatever torch was told before: with as many workers as cores, more threads would only wait for each other."""
    seen, backward = set(), training._Pass.backward
    monkeypatch.setattr(training._Pass, "backward", lambda *args: seen.add(torch.get_num_threads()) or backward(*args))
    torch.set_num_threads(2)
    assert run("images", tmp_path).state.is_completed()
    torch.set_num_threads(1)
    assert seen == {1}


@pytest.mark.parametrize("variant", parameters([]), ids="-".join)
def test_results_do_not_depend_on_runner_or_earlier_runs_with_every_processors_arithmetic(program, tmp_path, variant):
    """A sweep of two seeds that grows to four, in threads, has the rows of one of four at once, in processes."""
    for command in ("--seeds 2 --artifacts grown", "--seeds 4 --artifacts grown", "--seeds 4 --runner processes"):
        done = program(f"{program.depth_sweep} {command}", **environment(variant))
        assert done.status == 0, done.err
    results = [tmp_path / folder / "results" for folder in ("grown", "artifacts")]
    for table in ("depth_sweep.parquet", "history.parquet"):
        grown, at_once = (pq.read_table(folder / table).replace_schema_metadata() for folder in results)
        assert grown.equals(at_once)


@pytest.mark.parametrize(
    ("experiment", "setting"),
    [("depth_sweep", "depths"), pytest.param("gain_sweep", "gains", marks=pytest.mark.slow)],
)
def test_the_order_of_configurations_changes_nothing(run, finished, tmp_path, experiment, setting):
    """Members and weights have the same bytes; the result table has the same rows in the order that was asked for.

    The claims are the same.
    """
    smallest = experiment_in(experiment).smallest
    sweep = smallest.model_copy(update={setting: getattr(smallest, setting)[::-1]})
    assert run(experiment, tmp_path, sweep=sweep).state.is_completed()
    backward, forward = tables(tmp_path), tables(finished(experiment))
    result, claims = f"results/{experiment}.parquet", "results/claims.parquet"
    changed = {name for name in forward if backward.get(name) != forward[name]}
    assert changed == {result, claims, "results/runs.parquet"}
    claim_tables = [
        pq.read_table(folder / claims).replace_schema_metadata() for folder in (tmp_path, finished(experiment))
    ]
    assert claim_tables[0].equals(claim_tables[1])  # what differs is the digest of the result table
    rows = [pq.read_table(folder / result).to_pylist() for folder in (tmp_path, finished(experiment))]
    assert rows[0] == [*rows[1][2:], *rows[1][:2]]


@pytest.mark.thorough
def test_yardsticks_are_trained_while_the_networks_are(run, tmp_path):
    """They need no network; afterwards all figures would wait for them while a core has nothing to do."""
    ended = run("sweep", tmp_path, workers=1).tasks["Completed"]
    trainings = [place for place, name in enumerate(ended) if name.startswith("train depth=")]
    assert ended.count("train yardsticks") == 1
    assert ended.index("train yardsticks") < min(trainings)
