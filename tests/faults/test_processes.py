"""Runs that are stopped, killed or broken in part: what is left behind, and what the next run does with it."""

import contextlib
import fcntl
import json
import os
import pty
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from lost_interrupts import losing_interrupt
from stored import contents
from watching import (
    MARK,
    children,
    hear_terminal_signals,
    processes,
    runs,
    stop_by_hangup,
    stop_by_keyboard,
    stop_by_keyboard_twice,
    stop_by_termination,
    wait_for,
)

from flows.command_line import _status
from flows.command_line import program as command
from flows.lost_runs import end_lost_runs, end_restored_runs, known_to_live
from flows.run_collector import SweepFailed
from mlp_core.artifacts.storage import locked
from mlp_core.engine.small import compile_ahead
from mlp_core.errors import InputError
from mlp_core.experiments.depth_sweep.experiment import DepthSweep
from mlp_core.experiments.gain_sweep.experiment import GainSweep
from tasks.context import RECORDS

ROOT = Path(__file__).parents[2]
ENDLESS = "depth-sweep --points 4000 --depths 1,2,3 --epochs 1000000 --batch-size 32 --seeds 2"


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


def ends_at_once(process, stop, mark):
    """Stop a program, and look that nobody is left of it and that it said one sentence."""
    stop(process)
    started = time.monotonic()
    out, err = process.communicate(timeout=60)
    assert time.monotonic() < started + 10
    assert (process.returncode, out) == (130, "")
    assert err == "\ndeep-mlp: stopped; what was finished is kept.\n"
    assert processes(mark) == []


def at_the_session_s_server(folder):
    """Return the state names of the runs and the tasks of a folder, of whatever other runs there are."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter
    from prefect.client.schemas.sorting import FlowRunSort

    with get_client(sync_client=True) as client:
        last = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=50)
        own = [run for run in last if run.parameters.get("run", {}).get("artifacts") == str(folder)]
        tasks = client.read_task_runs(flow_run_filter=FlowRunFilter(id={"any_": [run.id for run in own]}))
    return [run.state_name for run in own], {task.state_name for task in tasks}


def test_a_stopped_run_at_a_server_that_goes_on_ends_at_once(program, tmp_path):
    """Within 10 s with status 130, a sentence and no traceback; no process stays, no run stays Running."""
    folder = tmp_path / "artifacts"
    process = program.start(f"{ENDLESS} --workers 1 --artifacts {folder}", **{MARK: str(tmp_path)})
    wait_for(lambda: list(folder.glob("tables/spirals-*")), process, 120)
    wait_for(lambda: len(processes(str(tmp_path))) == 2, process)  # with its helper
    time.sleep(0.5)  # trainings are under way
    ends_at_once(process, stop_by_keyboard, str(tmp_path))
    flow_runs, task_runs = at_the_session_s_server(folder)
    assert flow_runs == ["Crashed"]
    assert task_runs <= {"Completed", "Failed", "Crashed"}
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.parametrize(
    ("runner", "stop"),
    [
        pytest.param("threads", stop_by_keyboard, marks=pytest.mark.thorough),
        slow("threads", stop_by_termination),
        slow("threads", stop_by_keyboard_twice),
        slow("threads", stop_by_hangup),
        slow("processes", stop_by_keyboard),
        slow("processes", stop_by_keyboard_twice),
        slow("processes", stop_by_termination),
        slow("processes", stop_by_hangup),
    ],
)
def test_a_stopped_run_ends_at_once_and_whole(program, servers, tmp_path, runner, stop):
    """The same, and the server that it started has ended, too."""
    home, mark = tmp_path / "home", str(tmp_path)
    n_processes = {"threads": 3, "processes": 5}[runner]  # with server, helper or workers and their tracker
    how = {"threads": "threads --workers 1", "processes": "processes"}[runner]  # the others wait their turn
    process = program.start(f"{ENDLESS} --runner {how}", servers.new_home(home), **{MARK: mark})
    wait_for(lambda: list(tmp_path.glob("artifacts/tables/spirals-*")), process, 120)
    wait_for(lambda: len(processes(mark)) == n_processes, process)
    time.sleep({"threads": 0.5, "processes": 8}[runner])  # trainings are under way
    ends_at_once(process, stop, mark)
    assert runs(home, "flow_run") == ["Crashed"]
    if stop is not stop_by_keyboard_twice:  # who cannot wait leaves tasks that nobody saw end
        # Crashed are those that were left behind: workers may take longer than the program waits for them
        assert set(runs(home, "task_run")) <= {"Completed", "Failed", "Crashed"}
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.thorough
def test_a_run_ends_where_a_library_loses_the_ctrl_c(program, servers, tmp_path):
    """Within the seconds that threads have which wait for what nobody tells them."""
    home, mark = tmp_path / "home", str(tmp_path)
    environment = servers.new_home(home) | losing_interrupt(tmp_path / "library", "prefect.task_engine")
    process = program.start(ENDLESS, environment, **{MARK: mark})
    out, err = process.communicate(timeout=180)
    assert (process.returncode, out) == (130, "")
    assert err.endswith("\ndeep-mlp: stopped; what was finished is kept.\n")
    assert "Traceback" not in err
    assert processes(mark) == []
    assert runs(home, "flow_run") == ["Crashed"]


STOPPABLE = """
import sys, time
from flows.stopping import stop_by_signals
stop_by_signals()
try:
    print("ready", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print("stopped", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_each_signal_that_asks_to_stop_is_as_ctrl_c(number):
    """Also that of a closed terminal, unless the program was started under nohup."""

    def hear():  # though these tests may run under nohup
        signal.signal(number, signal.SIG_DFL)

    command = [sys.executable, "-c", STOPPABLE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=hear) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.communicate(timeout=20)[0] == "stopped\n"


LOSING = """
from flows.stopping import is_asked, stop_by_signals
stop_by_signals()
import colorsys
print(is_asked())
"""


def test_a_ctrl_c_that_a_library_loses_is_known_afterwards(tmp_path):
    """Whoever looks then can stop: each of the program's ends does, as thorough tests show of a run and of `ui`."""
    environment = os.environ | losing_interrupt(tmp_path, "colorsys")
    environment["PYTHONPATH"] += os.pathsep + str(ROOT)
    done = subprocess.run(
        [sys.executable, "-c", LOSING],
        env=environment,
        capture_output=True,
        text=True,
        preexec_fn=hear_terminal_signals,
    )
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_under_nohup_a_closed_terminal_stops_nothing():
    """What ignores SIGHUP as it starts goes on."""
    command = ["nohup", sys.executable, "-c", STOPPABLE]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.terminate()
        assert process.communicate(timeout=20)[0] == "stopped\n"


@pytest.mark.slow
def test_a_terminal_that_is_closed_leaves_nothing_behind(servers, tmp_path):
    """Nobody can be told; no process and no run is left running, and the server is stopped."""
    environment = servers.new_home(tmp_path / "home") | {MARK: str(tmp_path)}
    terminal, end = pty.openpty()
    command = [sys.executable, "-c", f"import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n{PROGRAM}"]
    process = subprocess.Popen(
        [*command, *ENDLESS.split()],
        cwd=tmp_path,
        env=environment,
        stdin=end,
        stdout=end,
        stderr=end,
        start_new_session=True,
    )
    os.close(end)
    chunks = []
    threading.Thread(target=read_all, args=(terminal, chunks), daemon=True).start()
    with process:
        wait_for(lambda: list(tmp_path.glob("artifacts/tables/spirals-*")), process, 180)
        time.sleep(1)
        os.close(terminal)
        assert process.wait(30) == 130
    deadline = time.monotonic() + 10
    while processes(str(tmp_path)):  # its helper sees within a second that it is gone
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert runs(tmp_path / "home", "flow_run") == ["Crashed"]


PROGRAM = "from flows.command_line import main; main()"


def read_all(terminal, chunks):
    with contextlib.suppress(OSError):
        while text := os.read(terminal, 1 << 16):
            chunks.append(text)


@pytest.fixture
def known_runs(api_url, tmp_path):
    """Give a function that makes a run of a dead or living process known, and returns how to ask for its state."""
    from prefect import flow
    from prefect.client.orchestration import get_client
    from prefect.states import Running

    @flow(name="known")
    def nothing():
        pass

    with get_client(sync_client=True) as client:

        def known(**changed):
            flow_run = client.create_flow_run(nothing, state=Running())
            path = tmp_path / f"deep-mlp-runs/{flow_run.id}.json"
            with known_to_live(tmp_path, "", flow_run.id):
                written = json.loads(path.read_text())
            if changed.pop("dead"):
                path.write_text(json.dumps(written | changed))
            return path, lambda: client.read_flow_run(flow_run.id).state

        yield known


def test_a_run_whose_process_is_gone_is_ended_by_the_next(known_runs, tmp_path, capsys):
    """It is Crashed, with a message, once; a run that is known to live, here or elsewhere, goes on."""
    path, state = known_runs(dead=True)
    elsewhere, state_elsewhere = known_runs(dead=True, machine=["another", "boot"])
    other_server, state_there = known_runs(dead=True, server="http://other/api")
    nonsense, _ = known_runs(dead=True, machine=None)
    with path.open() as living:
        fcntl.flock(living, fcntl.LOCK_EX)
        end_lost_runs(tmp_path, "")
        assert state().name == "Running"
    assert capsys.readouterr().err == ""
    end_lost_runs(tmp_path, "")
    assert state().name == "Crashed"
    assert "its process was killed, or its machine went down; what was finished is kept" in state().message
    assert re.fullmatch(
        r"deep-mlp: the process of run [\w-]+ is gone; it is marked Crashed\.\n", capsys.readouterr().err
    )
    assert sorted(tmp_path.glob("deep-mlp-runs/*")) == sorted([elsewhere, other_server, nonsense])
    end_restored_runs(tmp_path)
    assert (state_elsewhere().name, state_there().name) == ("Running", "Running")
    end_restored_runs(tmp_path / "restored")  # the database came here without the files
    assert (state_elsewhere().name, state_there().name) == ("Crashed", "Crashed")


def test_a_run_that_ended_is_known_no_more(known_runs, tmp_path):
    """As long as its process lives its lock is held, and the file goes with it."""
    path, _ = known_runs(dead=False)
    assert not path.exists()


@pytest.mark.slow
def test_a_run_killed_is_crashed_when_the_next_begins(program, servers, tmp_path):
    """With a server of their own: after `kill -9` the next run says so, and none is Running."""
    environment = servers.new_home(tmp_path / "home")
    killed = program.start(ENDLESS, environment, **{MARK: str(tmp_path)})
    wait_for(lambda: list(tmp_path.glob("artifacts/tables/spirals-*")), killed, 180)
    killed.kill()
    killed.communicate(timeout=10)
    process = program.start(program.depth_sweep, environment, **{MARK: str(tmp_path)})
    _, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    assert "is gone; it is marked Crashed" in err.splitlines()[0]
    assert processes(str(tmp_path)) == []
    assert sorted(runs(tmp_path / "home", "flow_run")) == ["Completed", "Crashed"]
    assert set(runs(tmp_path / "home", "task_run")) <= {"Completed", "Cached", "Crashed"}


@pytest.mark.slow
def test_a_run_that_a_backup_has_at_work_is_crashed_after_it_is_restored(program, servers, tmp_path):
    """To another home, as docs/operations.md says: neither its process nor its lock file comes back."""
    environment = servers.new_home(tmp_path / "home")
    at_work = program.start(ENDLESS, environment, **{MARK: str(tmp_path)})
    wait_for(lambda: list(tmp_path.glob("artifacts/tables/spirals-*")), at_work, 180)
    restored = servers.environment(tmp_path / "restored")
    (tmp_path / "restored").mkdir()
    with closing(sqlite3.connect(tmp_path / "home/prefect.db")) as database:
        database.execute("VACUUM INTO ?", (str(tmp_path / "restored/prefect.db"),))
    at_work.send_signal(signal.SIGINT)
    at_work.communicate(timeout=30)
    process = program.start(f"{program.depth_sweep} --artifacts others", restored, **{MARK: str(tmp_path)})
    _, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    assert "is gone; it is marked Crashed" in err.splitlines()[0]
    assert sorted(runs(tmp_path / "restored", "flow_run")) == ["Completed", "Crashed"]


def test_a_measurement_that_fails_in_a_fresh_folder_is_named(run, tmp_path):
    """Status 1 and what failed, though there is nothing for a report."""
    (tmp_path / "results/first_layer.parquet/in the way").mkdir(parents=True)  # nothing can be moved to that name
    ran = run("first_layer", tmp_path)
    assert "measure first layer" in ran.tasks["Failed"]
    with pytest.raises(SweepFailed, match=r"tasks failed, there are no results for a report: IsADirectoryError"):
        ran.state.result()
    assert _status(ran.state.result) == 1
    assert not (tmp_path / "report.html").exists()


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


@pytest.mark.thorough
@pytest.mark.parametrize("runner", ["threads", slow("processes")])
def test_a_killed_run_is_taken_up_where_it_was(program, run, tmp_path, runner):
    """What was finished is not trained again, the tables equal an undisturbed run's, and nothing half-written stays."""
    folder, undisturbed, n_trainings = tmp_path / "artifacts", tmp_path / "undisturbed", 4
    sweep = DepthSweep(depths=tuple(range(1, n_trainings + 1)), epochs=300, batch_size=32)
    assert run("depth_sweep", undisturbed, sweep=sweep).state.is_completed()
    (last,) = undisturbed.glob(f".records/depth_sweep-depth={n_trainings}-*")
    command = f"depth-sweep --points 40 --depths 1:{n_trainings} --epochs 300 --batch-size 32 --seeds 2"
    with locked([folder / RECORDS / last.name], lambda: None):  # or on a busy machine all may end between two looks
        process = program.start(f"{command} --runner {runner}", **{MARK: str(tmp_path)})
        wait_for(lambda: list(folder.glob(".records/train-*")), process)
        process.kill()
        process.communicate(timeout=60)
        deadline = time.monotonic() + 60
        while processes(str(tmp_path)):  # workers see within a second that the program is gone
            assert time.monotonic() < deadline
            time.sleep(0.1)
    stems = [f"{path.parent.name}-{path.stem}" for path in folder.glob(".records/*/*.json")]
    finished = {folder / "models" / f"{stem}.safetensors" for stem in stems}
    identities = {path: path.stat().st_ino for path in finished}
    assert 1 <= len(finished) < n_trainings
    (folder / "models" / ".0123456789abcdef.partial").write_text("what a killed writer leaves")

    assert run("depth_sweep", folder, sweep=sweep, runner=runner).state.is_completed()
    assert {path: path.stat().st_ino for path in finished} == identities
    assert len(list(folder.glob("models/*"))) == n_trainings
    assert not list(folder.rglob("*.partial"))
    for path in undisturbed.rglob("*.*"):
        if path.parent.name in {"results", "members", "models", "tables"}:
            again = folder / path.relative_to(undisturbed)
            if path.name != "runs.parquet":  # when each was made
                assert again.read_bytes() == path.read_bytes(), path.name


def test_a_file_that_another_run_is_writing_is_left_alone(run, copied):
    """As long as another run holds the folder, its half-written files stay."""
    folder = copied("depth_sweep")
    half_written = folder / "tables" / ".0123456789abcdef.partial"
    foreign = folder / ".notes.partial"
    for path in (half_written, foreign):
        path.write_text("")
    other_run = os.open(folder, os.O_RDONLY)
    fcntl.flock(other_run, fcntl.LOCK_SH)
    assert run("depth_sweep", folder).state.is_completed()
    assert half_written.exists()
    os.close(other_run)
    assert run("depth_sweep", folder).state.is_completed()
    assert not half_written.exists()
    assert foreign.exists()


def test_a_training_that_fails_costs_no_other(run, copied):
    """The others finish, results and report hold them, the exit status is 1, and the next run needs that one alone."""
    folder = copied("depth_sweep")
    (weights,) = folder.glob("models/depth_sweep-depth=2-*")
    weights.unlink()
    (weights / "in the way").mkdir(parents=True)  # nothing can be moved to that name
    ran = run("depth_sweep", folder)
    assert ran.tasks["Failed"] == ["train depth=2 width=7"]
    with pytest.raises(SweepFailed, match=r"1 task failed, the report holds what the others made: .*depth=2"):
        ran.state.result()
    assert _status(ran.state.result) == 1
    assert pq.read_table(folder / "results/depth_sweep.parquet")["depth"].to_pylist() == [1, 1]
    report = (folder / "report.html").read_text()
    assert re.search("Partial: 1 task failed.*depth_sweep: depth=2 width=7: IsADirectoryError", report, re.DOTALL)
    assert pq.read_table(folder / "results/failures.parquet")["experiment"].to_pylist() == ["depth_sweep"]

    (weights / "in the way").rmdir()
    weights.rmdir()
    assert "train depth=2 width=7" in run("depth_sweep", folder).tasks["Completed"]
    assert "Partial" not in (folder / "report.html").read_text()
    assert not (folder / "results/failures.parquet").exists()
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
    assert re.search("1 task failed, the report holds what the others made: .*depth=2.*$", ran.err), ran.err


def test_a_member_that_diverges_is_a_result(run, tmp_path):
    """With a step far too large the run completes, says so in the table, and draws and reports it."""
    sweep = DepthSweep(depths=(1,), epochs=2, batch_size=32, optimizer="sgd", learning_rate=1e6)
    assert run("depth_sweep", tmp_path, sweep=sweep, own_figures=True).state.is_completed()
    table = pq.read_table(tmp_path / "results/depth_sweep.parquet")
    assert table["status"].to_pylist() == ["diverged"] * 2
    assert table["test_accuracy"].to_pylist() == [None] * 2
    assert (tmp_path / "figures/depth_sweep.png").exists()
    assert "diverged" in (tmp_path / "report.html").read_text()


def test_a_good_run_ends_clean(good_run):
    """With no server up: plain lines, status 0, no process left, and all is Completed when one looks later."""
    assert good_run.status == 0, good_run.err
    assert good_run.left == []
    lines = [re.sub(r"[\d.]+ s$|^\d\d:\d\d:\d\d", "", line).strip() for line in good_run.err.splitlines()]
    folder = good_run.folder / "deep/er"
    assert sorted(lines) == [
        f"report: {folder / 'report.html'}",
        "trained depth_sweep depth=1 width=14: 2 members in",
        "trained depth_sweep depth=2 width=7: 2 members in",
    ]
    heading, row, *rest = good_run.out.strip().splitlines()
    assert heading.split() == ["experiment", "trainings", "cached", "work"]
    assert row.split()[:3] == ["depth_sweep", "2", "0"]
    assert [line.split()[:2] for line in rest if line] == [
        ["results", f"{folder / 'results'}"],
        ["report", f"{folder / 'report.html'}"],
        ["finished", "in"],
    ]
    assert runs(good_run.folder / "home", "flow_run") == ["Completed"]
    n_tasks = 12
    assert runs(good_run.folder / "home", "task_run") == ["Completed"] * n_tasks


def test_a_run_refused_while_its_server_starts_leaves_none(program, servers, tmp_path):
    """A zip is listed meanwhile; one that is none is said, and no process stays."""
    (tmp_path / "text.zip").write_text("no zip")
    home = servers.new_home(tmp_path / "home")
    process = program.start("images --images text.zip", home, **{MARK: str(tmp_path)})
    out, err = process.communicate(timeout=180)
    assert (process.returncode, out) == (2, "")
    assert err == "deep-mlp: images must be a zip or a folder, got 'text.zip', which is no readable zip.\n"
    assert processes(str(tmp_path)) == []
    assert not (tmp_path / "home/deep-mlp-server.json").exists()
    assert not (tmp_path / "artifacts").exists()


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


@pytest.mark.thorough
@pytest.mark.parametrize("runner", ["threads", slow("processes")])
def test_a_configuration_that_raises_costs_none_trained_next_to_it(run, tmp_path, runner):
    """Few seeds train several gains as one task; where one cannot be kept the others of its task are."""
    four = GainSweep(gains=(0.5, 1.0, 1.5, 2.0), hidden_widths=(8,), batch_size=32)
    assert run("gain_sweep", tmp_path / "good", seeds=1, sweep=four).state.is_completed()
    (weights,) = (tmp_path / "good").glob("models/gain_sweep-gain=1-*")
    in_the_way = tmp_path / "bad/models" / weights.name / "in the way"
    in_the_way.mkdir(parents=True)
    ran = run("gain_sweep", tmp_path / "bad", seeds=1, sweep=four, runner=runner)
    with pytest.raises(SweepFailed, match=r"^1 task failed, the report holds what the others made: gain=1: IsADirec"):
        ran.state.result()
    table = pq.read_table(tmp_path / "bad/results/gain_sweep.parquet")
    assert table["gain"].to_pylist() == [0.5, 1.5, 2.0]
    good = pq.read_table(tmp_path / "good/results/gain_sweep.parquet").replace_schema_metadata()
    assert table.replace_schema_metadata() == good.filter(pc.not_equal(good["gain"], 1.0))
    assert "Partial: 1 task failed" in (tmp_path / "bad/report.html").read_text()
    assert pq.read_table(tmp_path / "bad/results/failures.parquet").num_rows == 1


@pytest.mark.thorough
def test_a_gain_that_diverges_is_a_result_next_to_others(run, tmp_path):
    """Trained in one task, one diverges and the other does not; the run is whole."""
    sweep = GainSweep(gains=(1e6, 1.0, 1.4, 2.0), hidden_widths=(8, 4), batch_size=32, epochs=8)
    assert run("gain_sweep", tmp_path, seeds=1, sweep=sweep).state.is_completed()
    table = pq.read_table(tmp_path / "results/gain_sweep.parquet")
    assert table["status"].to_pylist() == ["diverged", "ok", "ok", "ok"]
    assert "Partial" not in (tmp_path / "report.html").read_text()


@pytest.mark.thorough
@pytest.mark.parametrize("runner", ["threads", slow("processes")])
def test_a_training_past_its_time_limit_costs_no_other(run, tmp_path, runner):
    """It is stopped, named, and missing from a table that is marked; without the limit the same run completes it."""
    compile_ahead()  # or on a busy machine the time goes into loading compiled code, as in worker processes it does
    # a tenth of a second, and ten; or half a second, and fifty
    epochs, limit = {"threads": (20_000, 1.5), "processes": (100_000, 5.0)}[runner]
    sweep = DepthSweep(depths=(1, 1000), epochs=epochs, batch_size=32)
    ran = run("depth_sweep", tmp_path, sweep=sweep, time_limit_seconds=limit, runner=runner)
    sentence = f"depth=1000 width=1 took longer than the {limit:g} s of --time-limit-seconds$"
    with pytest.raises(SweepFailed, match=sentence):
        ran.state.result()
    assert _status(ran.state.result) == 1
    assert set(pq.read_table(tmp_path / "results/depth_sweep.parquet")["depth"].to_pylist()) == {1}
    assert re.search("Partial: 1 task failed.*--time-limit-seconds", (tmp_path / "report.html").read_text(), re.DOTALL)
    again = run("depth_sweep", tmp_path, sweep=sweep.model_copy(update={"depths": (1, 2)}), time_limit_seconds=60)
    assert again.state.is_completed()
    assert "Partial" not in (tmp_path / "report.html").read_text()


def test_a_time_limit_holds_for_all_parts_of_a_training(run, tmp_path, monkeypatch):
    """Each member alone, as here, would keep well within it."""
    monkeypatch.setattr("tasks.training.split_by_memory.__defaults__", (1,))
    sweep = DepthSweep(depths=(1,), epochs=20_000, batch_size=32)
    ran = run("depth_sweep", tmp_path, sweep=sweep, seeds=200, time_limit_seconds=0.5)
    with pytest.raises(SweepFailed, match=r"took longer than the 0\.5 s of --time-limit-seconds$"):
        ran.state.result()


MOMENTS = int(os.environ.get("FAULT_MOMENTS", "20"))
SWEEP = "depth-sweep --points 40 --depths 1:5 --epochs 300 --batch-size 32 --seeds 2"


def stop_by_kill(process):
    """Send what nobody can catch."""
    process.kill()


@pytest.mark.slow
def test_a_run_stopped_at_any_moment_is_taken_up(program, tmp_path):
    """SIGKILL, SIGTERM or Ctrl-C at random moments, then the same command: the tables are those of a run left alone.

    FAULT_MOMENTS=100 in the environment tries a hundred.
    """
    stream = random.Random(6)
    started = time.monotonic()
    assert program(f"{SWEEP} --artifacts undisturbed").status == 0
    seconds = time.monotonic() - started
    expected = {
        path.relative_to(tmp_path / "undisturbed"): path.read_bytes()
        for path in (tmp_path / "undisturbed").rglob("*.*")
        if path.parent.name in {"results", "members", "models", "tables", "figures"}
        if path.name != "runs.parquet"  # when each was made
    }
    interrupted = 0
    for moment in range(MOMENTS):
        folder = tmp_path / f"run-{moment}"
        runner, stop = stream.choice(("threads", "processes")), stream.choice(STOPS)
        process = program.start(f"{SWEEP} --artifacts {folder} --runner {runner}", **{MARK: str(tmp_path)})
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(stream.uniform(0.1, 0.9) * seconds)
        if process.poll() is None:  # else it was quicker than the first run, and nobody is left to stop
            interrupted += 1
            stop(process)
        process.communicate(timeout=60)
        assert process.returncode in {0, 130, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT}, (moment, stop)
        deadline = time.monotonic() + 15
        while processes(str(tmp_path)):
            assert time.monotonic() < deadline, (moment, stop, processes(str(tmp_path)))
            time.sleep(0.1)
        finished = {
            path: path.stat().st_ino
            for record in folder.glob(".records/*/*.json")
            for path in folder.glob(f"models/{record.parent.name}-{record.stem}.safetensors")
        }
        again = program(f"{SWEEP} --artifacts {folder}")
        assert again.status == 0, (moment, stop, again.err)
        for path, content in expected.items():
            assert (folder / path).read_bytes() == content, (moment, stop, path)
        assert {path: path.stat().st_ino for path in finished} == finished
        assert not list(folder.rglob("*.partial"))
        shutil.rmtree(folder)
    assert interrupted >= MOMENTS // 2  # else the moments were not those of a run


STOPS = (stop_by_kill, stop_by_termination, stop_by_keyboard)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0, 0.5, 1.0, 1.5, 2.0, 3.0])
def test_ctrl_c_while_workers_start_prints_no_traceback(program, tmp_path, seconds):
    """Worker processes do not hear Ctrl-C, not even while they import."""
    process = program.start(f"{ENDLESS} --runner processes", **{MARK: str(tmp_path)})
    wait_for(lambda: len(processes(str(tmp_path))) > 2, process)
    time.sleep(seconds)
    stop_by_keyboard(process)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "\ndeep-mlp: stopped; what was finished is kept.\n")
    assert processes(str(tmp_path)) == []


@pytest.mark.slow
def test_a_killed_worker_is_one_sentence(program, tmp_path):
    """As when the system is short of memory: the run ends, and the next one in its folder completes."""
    process = program.start(f"{ENDLESS} --runner processes", **{MARK: str(tmp_path)})
    wait_for(lambda: len(processes(str(tmp_path))) == 4, process)
    wait_for(lambda: list(tmp_path.glob("artifacts/tables/spirals-*")), process)
    (worker, *_) = [pid for pid in children(process.pid) if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()]
    os.kill(worker, signal.SIGKILL)
    _, err = process.communicate(timeout=180)
    assert process.returncode == 1
    assert err.endswith(
        "deep-mlp: a worker process was killed, by somebody or by the system when memory was short; "
        "what was finished is kept: run the same command again.\n"
    )
    assert processes(str(tmp_path)) == []
    assert program(SWEEP).status == 0


@pytest.mark.slow
def test_eight_runs_at_once_in_one_folder(program, run, tmp_path):
    """All end well, and the tables are those of one run alone."""
    started = [program.start(program.depth_sweep) for _ in range(8)]
    for process in started:
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
    assert run("depth_sweep", tmp_path / "alone", own_figures=True).state.is_completed()
    assert contents(tmp_path / "artifacts") == contents(tmp_path / "alone")


def test_nothing_is_pruned_while_a_run_is_at_work(copied):
    """`deep-mlp artifacts prune` says so, with status 2, and deletes nothing."""
    folder = copied("depth_sweep")
    (folder / "members/old.parquet").write_bytes(b"of an earlier program")
    other_run = os.open(folder, os.O_RDONLY)
    fcntl.flock(other_run, fcntl.LOCK_SH)
    arguments = ["artifacts", "prune", "--yes", "--artifacts", str(folder)]
    with pytest.raises(InputError, match=r"that no run is at work in, got .*; wait until the run has ended"):
        command.main(arguments, standalone_mode=False)
    os.close(other_run)
    assert (folder / "members/old.parquet").exists()
    command.main(arguments, standalone_mode=False)
    assert not (folder / "members/old.parquet").exists()


@pytest.mark.slow
def test_a_prune_during_a_run_is_refused_and_harms_nothing(program, run, tmp_path):
    """Not even what no result needs is deleted; when the run has ended the same prune deletes that and nothing else."""
    sweep = DepthSweep(depths=(1, 2, 3, 4, 5), epochs=300, batch_size=32)
    folder = tmp_path / "artifacts"
    with locked([folder / RECORDS / "publishing"], lambda: None):  # nor can the run end before
        process = program.start(SWEEP)
        wait_for(lambda: list(folder.glob(".records/train-*")), process)
        unneeded = folder / "members/old.parquet"
        unneeded.write_bytes(b"of an earlier program")
        refused = program("artifacts prune --yes")
        assert process.poll() is None
    assert (refused.status, refused.out) == (2, "")
    assert refused.err == (
        f"deep-mlp: artifacts must be a folder that no run is at work in, got {folder}; wait until the run has ended.\n"
    )
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert unneeded.exists()
    assert program("artifacts prune --yes").out == "members/old.parquet\n1 files, 21 B, deleted\n"
    assert run("depth_sweep", tmp_path / "undisturbed", sweep=sweep, own_figures=True).state.is_completed()
    assert contents(folder) == contents(tmp_path / "undisturbed")


@pytest.mark.slow
def test_a_run_that_starts_while_another_prunes_waits(program, copied):
    """It takes what is left when that is done, and makes the rest."""
    folder = copied("depth_sweep")
    pruning = os.open(folder, os.O_RDONLY)
    fcntl.flock(pruning, fcntl.LOCK_EX)
    process = program.start(f"{program.depth_sweep} --artifacts {folder}")
    waits = f"waiting for `deep-mlp artifacts prune` in {folder}"
    assert any(waits in line for line in process.stderr)  # the next that it says
    for path in folder.glob("members/*"):
        path.unlink()
    os.close(pruning)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert len(list(folder.glob("members/*"))) == 2
