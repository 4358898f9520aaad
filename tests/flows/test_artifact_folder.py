"""`deep-mlp artifacts`: what is listed and shown, and what is pruned."""

import re
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from stored import ALWAYS_WRITTEN, computed, identities, written

from flows.command_line import program
from mlp_core.artifacts.baseline import accept, keep_comparison, read_baseline
from mlp_core.artifacts.comparison import compare
from mlp_core.artifacts.results import read_results
from mlp_core.artifacts.storage import Provenance, write_table
from mlp_core.errors import InputError
from mlp_core.experiments.depth_sweep.experiment import DepthSweep
from tasks.artifact_listing import stored_files, unneeded_files


@pytest.fixture
def artifacts(capsys):
    """Give a function that runs a subcommand here and returns what it printed."""

    def artifacts(*arguments):
        program.main(["artifacts", *map(str, arguments)], standalone_mode=False)
        return capsys.readouterr().out

    return artifacts


def test_every_file_is_listed(artifacts, finished):
    """Kind, rows, size, age, name and settings of each, and a sum for each kind."""
    listed = artifacts("list", "--artifacts", finished("depth_sweep"))
    assert re.search(r"^results +4 +\d\.\d kB +\d+ \w+  results/depth_sweep\.parquet  \{.*\"arms\": 4", listed, re.M)
    assert re.search(
        r"^members +2 .* members/depth_sweep-depth=2-.*parquet  depth_sweep depth=2 width=7$", listed, re.M
    )
    assert re.search(r"^models +\d\.\d kB .*safetensors  depth_sweep depth=1 width=14$", listed, re.M)
    assert re.search(r"^report +[\d.]+ .B .*  report\.html$", listed, re.M)
    assert re.search(r"^members +2 +[\d.]+ kB$", listed, re.M)


def test_a_table_is_shown_with_its_provenance(artifacts, finished):
    """What it was made with, and its first rows."""
    text = artifacts("show", "results/depth_sweep", "--artifacts", finished("depth_sweep"))
    assert text.startswith("results/depth_sweep.parquet: ")
    for name in ("settings", "inputs", "units", "versions", "code", "machine"):
        assert re.search(rf"^{name}: .", text, re.M)
    assert re.search(r"^activation +depth +width", text, re.M)
    assert text.endswith("\n4 rows\n")


@pytest.mark.parametrize(("rows", "words"), [([], "0 rows"), (["images"], "1 row")])
def test_a_table_with_few_rows_is_shown(artifacts, tmp_path, rows, words):
    """Its provenance, and how many there are, if any."""
    table = pa.table({"experiment": pa.array(rows, pa.string())})
    write_table(tmp_path, "results/failures.parquet", table, Provenance({}, "", {}, {"experiment": "name"}))
    text = artifacts("show", "failures", "--artifacts", tmp_path)
    assert re.search(rf'\nunits: \{{"experiment": "name"\}}\n.*\n{words}\n$', text, re.S)


def test_weights_are_shown_with_their_plan(artifacts, finished):
    """Models say for which plan they were trained."""
    text = artifacts("show", "models/depth_sweep-depth=1", "--artifacts", finished("depth_sweep"))
    assert '"layer_sizes": [2, 14, 4]' in text


@pytest.mark.parametrize(("name", "words"), [("nothing", "fits none"), ("members/", "fits members/.*, members/")])
def test_a_name_that_is_not_one_file_s_is_refused(artifacts, finished, name, words):
    """The sentence says which files it fits."""
    with pytest.raises(InputError, match=f"FILE must name one file of .* got '{name}', which {words}"):
        artifacts("show", name, "--artifacts", finished("depth_sweep"))


@pytest.mark.parametrize(
    "experiment",
    [
        "depth_sweep",
        *(pytest.param(name, marks=pytest.mark.thorough) for name in ("polynomial", "images", "gain_sweep")),
    ],
)
def test_a_finished_run_leaves_nothing_to_prune(finished, experiment):
    """Everything in a new folder is a result, an input of one, or made from one."""
    assert unneeded_files(finished(experiment)) == []


def test_a_baseline_is_listed_and_never_pruned(artifacts, copied):
    """Nor are its comparisons, though no result is made from them and they outlive the results they were about."""
    folder = copied("depth_sweep")
    now = datetime(2026, 11, 24, 3, tzinfo=UTC)
    accept(folder, now)
    keep_comparison(folder, compare(read_baseline(folder), read_results(folder)), now)
    listed = artifacts("list", "--artifacts", folder)
    assert re.search(r'^baseline +4 .* baseline/accepted\.parquet  \{"accepted": "2026-11-24', listed, re.M)
    assert re.search(r"^baseline +10 .* baseline/runs/2026-11-24T030000\.000000Z\.parquet", listed, re.M)
    assert re.search(r"^baseline +2 +[\d.]+ kB$", listed, re.M)
    assert artifacts("show", "accepted", "--artifacts", folder).endswith("\n4 rows\n")
    for table in (folder / "members").iterdir():
        table.write_bytes(b"another")
    pruned = artifacts("prune", "--yes", "--artifacts", folder)
    assert "members/" in pruned
    assert "baseline" not in pruned
    assert [file.kind for file in stored_files(folder)].count("baseline") == 2


def test_what_no_result_needs_is_pruned(artifacts, run, copied):
    """Members of an earlier setting go, with weights and records; without --yes nothing does; nothing is missed."""
    folder = copied("depth_sweep")
    first = {path for path in identities(folder) if path.startswith(("members/", "models/"))}
    longer = DepthSweep(depths=(1, 2), epochs=3, batch_size=32)
    assert run("depth_sweep", folder, sweep=longer).state.is_completed()
    unneeded = set(artifacts("prune", "--artifacts", folder).splitlines()[:-1])
    assert first <= unneeded
    assert {path.split("/")[0] for path in unneeded} == {"members", "models", "tables", ".records"}
    assert all((folder / path).exists() for path in unneeded)

    assert "deleted" in artifacts("prune", "--yes", "--artifacts", folder).splitlines()[-1]
    assert not [path for path in unneeded if (folder / path).exists()]
    assert artifacts("prune", "--artifacts", folder) == "0 files, 0 B, to delete with --yes\n"
    before = identities(folder)
    ran = run("depth_sweep", folder, sweep=longer)
    assert computed(ran) == set()
    assert written(before, identities(folder)) == ALWAYS_WRITTEN


def test_a_damaged_result_stops_the_pruning(artifacts, copied):
    """Nobody can say what it needs."""
    folder = copied("depth_sweep")
    (folder / "results/depth_sweep.parquet").write_bytes(b"")
    with pytest.raises(InputError, match=r"results/depth_sweep\.parquet, which is damaged; run its command again"):
        artifacts("prune", "--artifacts", folder)


def test_a_folder_without_results_is_not_pruned(artifacts, tmp_path):
    """An empty folder, and one that is not there."""
    with pytest.raises(InputError, match="prune goes by the results, got none in"):
        artifacts("prune", "--artifacts", tmp_path)
    for command in ("list", "prune"):
        with pytest.raises(InputError, match=r"artifacts must be a folder that exists, got '.*nowhere'"):
            artifacts(command, "--artifacts", tmp_path / "nowhere")
