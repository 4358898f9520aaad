"""Runs that are stopped, killed or broken in part: what is left behind, and what the next run does with it."""

import fcntl
import json
import os
import re
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from flows.command_line import _status
from flows.orchestration import SweepFailed
from mlp_core.settings import DepthSweep

MARK = "DEEP_MLP_TEST"


def processes(mark):
    """Return the command lines of all processes with a mark in their environment, which children inherit."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}\0".encode() in (path / "environ").read_bytes():
                found.append((path / "cmdline").read_text().replace("\0", " "))
        except OSError:  # gone, or another user's
            pass
    return found


def wait_for(condition, process, seconds=60):
    """Wait until a condition holds while a process is at work."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def runs(home, table):
    """Return the state names of all runs in a Prefect database that no server has open."""
    with closing(sqlite3.connect(home / "prefect.db")) as database:
        return [name for (name,) in database.execute(f"SELECT state_name FROM {table}")]


ENDLESS = "depth-sweep --points 40 --depths 1,2,3 --epochs 1000000 --batch-size 32 --seeds 2"


def stop_by_keyboard(process):
    """Send what Ctrl-C sends: SIGINT to everything in the terminal's foreground."""
    os.killpg(process.pid, signal.SIGINT)


def stop_by_keyboard_twice(process):
    """Press Ctrl-C again while the program is still tidying up."""
    stop_by_keyboard(process)
    time.sleep(0.3)
    stop_by_keyboard(process)


def stop_by_termination(process):
    """Send what `kill` sends, to the program alone."""
    process.terminate()


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("runner", "stop"),
    [
        ("threads", stop_by_keyboard),
        slow("threads", stop_by_termination),
        slow("threads", stop_by_keyboard_twice),
        slow("processes", stop_by_keyboard),
        slow("processes", stop_by_keyboard_twice),
        slow("processes", stop_by_termination),
    ],
)
def test_a_stopped_run_ends_at_once_and_whole(program, servers, tmp_path, runner, stop):
    """It ends within 10 s with status 130, a sentence and no traceback; no process stays, no run stays Running."""
    home, mark = tmp_path / "home", str(tmp_path)
    n_processes = {"threads": 2, "processes": 5}[runner]  # with server, workers and the workers' tracker
    process = program.start(f"{ENDLESS} --runner {runner}", servers.new_home(home), **{MARK: mark})
    wait_for(lambda: list(tmp_path.glob("artifacts/tables/spirals-*")), process)
    wait_for(lambda: len(processes(mark)) == n_processes, process)
    time.sleep({"threads": 1, "processes": 8}[runner])  # trainings are under way
    stop(process)
    started = time.monotonic()
    out, err = process.communicate(timeout=60)
    assert time.monotonic() < started + 10
    assert (process.returncode, out) == (130, "")
    assert err == "\ndeep-mlp: stopped; what was finished is kept.\n"
    assert processes(mark) == []
    assert runs(home, "flow_run") == ["Crashed"]
    if stop is not stop_by_keyboard_twice:  # who cannot wait leaves tasks that nobody saw end
        assert set(runs(home, "task_run")) == {"Completed", "Failed"}
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0, 0.4, 0.8, 1.2, 1.6, 2.0])
def test_a_run_stopped_while_its_server_starts_leaves_none(program, servers, tmp_path, seconds):
    """Ctrl-C in the first seconds, in the middle of imports too, stops program and server."""
    process = program.start(ENDLESS, servers.new_home(tmp_path / "home"), **{MARK: str(tmp_path)})
    wait_for((tmp_path / "home/deep-mlp-server.json").exists, process)
    time.sleep(seconds)
    stop_by_keyboard(process)
    started = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert time.monotonic() < started + 10
    assert process.returncode == 130
    assert err == "\ndeep-mlp: stopped; what was finished is kept.\n"
    assert processes(str(tmp_path)) == []


@pytest.mark.parametrize("runner", ["threads", slow("processes")])
def test_a_killed_run_is_taken_up_where_it_was(program, run, tmp_path, runner):
    """What was finished is not trained again, the tables equal an undisturbed run's, and nothing half-written stays."""
    folder, sweep = tmp_path / "artifacts", DepthSweep(depths=(1, 2, 3, 4, 5), epochs=300, batch_size=32)
    command = "depth-sweep --points 40 --depths 1:5 --epochs 300 --batch-size 32 --seeds 2"
    process = program.start(f"{command} --runner {runner}", **{MARK: str(tmp_path)})
    wait_for(lambda: list(folder.glob(".records/train-*")), process)
    process.kill()
    process.communicate(timeout=10)
    deadline = time.monotonic() + 10
    while processes(str(tmp_path)):  # workers see within a second that the program is gone
        assert time.monotonic() < deadline
        time.sleep(0.1)
    stems = [path.stem for path in folder.glob(".records/*.json")]
    finished = {folder / "models" / f"{stem}.safetensors" for stem in stems}
    identities = {path: path.stat().st_ino for path in finished}
    assert 1 <= len(finished) < 5
    (folder / "models" / ".half.partial").write_text("what a killed writer leaves")

    assert run("depth_sweep", folder, sweep=sweep, runner=runner).state.is_completed()
    assert {path: path.stat().st_ino for path in finished} == identities
    assert len(list(folder.glob("models/*"))) == 5
    assert not list(folder.rglob("*.partial"))
    assert run("depth_sweep", tmp_path / "undisturbed", sweep=sweep).state.is_completed()
    for path in (tmp_path / "undisturbed").rglob("*.*"):
        if path.parent.name in {"results", "members", "models", "tables", "figures"}:
            again = folder / path.relative_to(tmp_path / "undisturbed")
            assert again.read_bytes() == path.read_bytes(), path.name


def test_a_file_that_another_run_is_writing_is_left_alone(run, tmp_path):
    """As long as another run holds the folder, its half-written files stay."""
    (tmp_path / "tables").mkdir()
    half_written = tmp_path / "tables" / ".spirals.partial"
    half_written.write_text("")
    other_run = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(other_run, fcntl.LOCK_SH)
    assert run("gain_sweep", tmp_path).state.is_completed()
    assert half_written.exists()
    os.close(other_run)
    assert run("gain_sweep", tmp_path).state.is_completed()
    assert not half_written.exists()


def test_a_training_that_fails_costs_no_other(run, copied):
    """The others finish, results and report hold them, the exit status is 1, and the next run needs that one alone."""
    folder = copied("depth_sweep")
    (weights,) = folder.glob("models/depth_sweep-depth=2-*")
    weights.unlink()
    (weights / "in the way").mkdir(parents=True)  # nothing can be moved to that name
    ran = run("depth_sweep", folder)
    assert ran.tasks["Failed"] == ["train depth=2 width=7"]
    with pytest.raises(SweepFailed, match=r"1 tasks failed, the report holds what the others made: .*depth=2"):
        ran.state.result()
    assert _status(ran.state.result) == 1
    assert pq.read_table(folder / "results/depth_sweep.parquet")["depth"].to_pylist() == [1, 1]
    assert "depth=2" not in (folder / "report.html").read_text()

    (weights / "in the way").rmdir()
    weights.rmdir()
    assert "train depth=2 width=7" in run("depth_sweep", folder).tasks["Completed"]
    assert pq.read_table(folder / "results/depth_sweep.parquet")["depth"].to_pylist() == [1, 1, 2, 2]


@pytest.mark.slow
def test_the_program_says_which_training_failed(program, copied):
    """Its last line names it, and the exit status is 1."""
    folder = copied("depth_sweep")
    (weights,) = folder.glob("models/depth_sweep-depth=2-*")
    weights.unlink()
    (weights / "in the way").mkdir(parents=True)
    ran = program(f"{program.depth_sweep} --artifacts {folder}")
    assert ran.status == 1
    assert re.search("1 tasks failed, the report holds what the others made: .*depth=2.*$", ran.err), ran.err


def test_a_member_that_diverges_is_a_result(run, tmp_path):
    """With a step far too large the run completes, says so in the table, and draws and reports it."""
    sweep = DepthSweep(depths=(1,), epochs=2, batch_size=32, optimizer="sgd", learning_rate=1e6)
    assert run("depth_sweep", tmp_path, sweep=sweep).state.is_completed()
    table = pq.read_table(tmp_path / "results/depth_sweep.parquet")
    assert table["status"].to_pylist() == ["diverged"] * 2
    assert table["test_accuracy"].to_pylist() == [None] * 2
    assert (tmp_path / "figures/depth_sweep.png").exists()
    assert "diverged" in (tmp_path / "report.html").read_text()


def test_a_good_run_ends_clean(program, servers, tmp_path):
    """With no server up: plain lines, status 0, no process left, and all is Completed when one looks later."""
    home = tmp_path / "home"
    command = f"{program.depth_sweep} --artifacts deep/er"
    process = program.start(command, servers.new_home(home), **{MARK: str(tmp_path)})
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert processes(str(tmp_path)) == []
    lines = [re.sub(r"[\d.]+ s$|^\d\d:\d\d:\d\d", "", line).strip() for line in err.splitlines()]
    folder = tmp_path / "deep/er"
    assert sorted(lines) == [
        f"report: {folder / 'report.html'}",
        "trained depth_sweep depth=1 width=14: 2 members in",
        "trained depth_sweep depth=2 width=7: 2 members in",
    ]
    heading, row, *rest = out.strip().splitlines()
    assert heading.split() == ["experiment", "trainings", "cached", "work"]
    assert row.split()[:3] == ["depth_sweep", "2", "0"]
    assert [line.split()[:2] for line in rest if line] == [
        ["results", f"{folder / 'results'}"],
        ["report", f"{folder / 'report.html'}"],
        ["finished", "in"],
    ]
    assert runs(home, "flow_run") == ["Completed"]
    n_tasks = 11
    assert runs(home, "task_run") == ["Completed"] * n_tasks


@pytest.mark.slow
def test_a_record_of_a_dead_server_harms_nobody(program, servers, tmp_path):
    """After a crash of the machine a number may be another program's: that one is neither used nor stopped."""
    home = tmp_path / "home"
    environment = servers.new_home(home)
    with subprocess.Popen(["sleep", "300"]) as innocent:
        record = {"pid": innocent.pid, "url": "http://127.0.0.1:9/api"}
        (home / "deep-mlp-server.json").write_text(json.dumps(record))
        process = program.start(program.depth_sweep, environment)
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert innocent.poll() is None
        innocent.kill()


@pytest.mark.slow
def test_two_runs_at_once_share_a_server_and_a_folder(program, servers, tmp_path):
    """Both end well with one server, the last one stops it, and the results are whole."""
    environment = servers.new_home(tmp_path / "home")
    started = [program.start(program.depth_sweep, environment, **{MARK: str(tmp_path)}) for _ in range(2)]
    for process in started:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    assert processes(str(tmp_path)) == []
    assert runs(tmp_path / "home", "flow_run") == ["Completed"] * 2
    assert set(runs(tmp_path / "home", "task_run")) == {"Completed", "Cached"}
    assert len(pq.read_table(tmp_path / "artifacts/results/depth_sweep.parquet")) == 4
