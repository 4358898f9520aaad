"""A night's runs, as an operator has them: what a killed one leaves, a log without room, many at once, a clock."""

import re
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

import pytest
from deployed import QUICK, deployed
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.states import Cancelled, Completed, Crashed, Failed, Running
from stored import result
from watching import runs

from flows.lost_runs import end_left_tasks

SHIFTED_CLOCK = Path(__file__).parents[1] / "support/shifted_clock.c"


@pytest.fixture
def client(api_url):
    """Give a client of the session's server."""
    with get_client(sync_client=True) as client:
        yield client


@flow(name="run of a task")
def nothing():
    """Do nothing."""


@pytest.mark.parametrize(
    ("state", "tag", "again", "ended"),
    [
        pytest.param(Crashed(), "one", False, "Crashed", id="of a crashed run"),
        pytest.param(Cancelled(), "one", False, "Crashed", id="of a cancelled run"),
        pytest.param(Failed(), "one", False, "Crashed", id="of a failed run"),
        pytest.param(Running(), "one", True, "Crashed", id="of a run that is begun again"),
        pytest.param(Completed(), "one", False, "Completed", id="of a completed run"),
        pytest.param(Running(), "one", False, "Running", id="of a run at work"),
        pytest.param(Crashed(), "another", False, "Running", id="of another program"),
    ],
)
def test_a_task_without_its_run_is_ended_by_the_next(client, monkeypatch, state, tag, again, ended):
    """Nobody else ends it; what is at work, or another program's, is left alone."""
    monkeypatch.setattr("flows.lost_runs._LATE_SECONDS", -1)
    flow_run = client.create_flow_run(nothing, state=state, tags=[tag])
    client.create_task_run(task(lambda: None, name="at work"), flow_run.id, dynamic_key="0", state=Running())
    end_left_tasks(client, "one", flow_run.id if again else uuid4())
    (task_run,) = client.read_task_runs(flow_run_filter=FlowRunFilter(id={"any_": [flow_run.id]}))
    assert task_run.state_name == ended


PROGRAM = "from flows.command_line import main; main()"


def test_an_output_without_room_is_one_sentence():
    """As of `deep-mlp ... > log` where the log's disk is full: no traceback, status 1."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, "--help"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert done.returncode == 1
    assert done.stderr.startswith("deep-mlp: the output must go where there is room to write, got No space left")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler")
def test_a_clock_that_jumps_an_hour_ahead_and_back_changes_nothing(program, servers, tmp_path):
    """Of the run and of its server, while it trains; it ends as one with a steady clock, and at about the same time."""
    library, ahead = tmp_path / "clock.so", tmp_path / "ahead"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, SHIFTED_CLOCK], check=True)
    ahead.write_bytes(struct.pack("q", 0))
    command = "depth-sweep --points 400 --depths 1:12 --epochs 5000 --seeds 2 --workers 1 --artifacts"
    shifted = {"LD_PRELOAD": str(library), "CLOCK_AHEAD": str(ahead)}
    process = program.start(f"{command} jumped", servers.new_home(tmp_path / "home"), **shifted)
    lines = []

    def until_trained(n_trainings):
        while sum("trained" in line for line in lines) < n_trainings:
            lines.append(process.stderr.readline())
            assert lines[-1], lines

    for n_trainings, seconds in ((1, 3600), (4, 0)):
        until_trained(n_trainings)
        with ahead.open("r+b") as file:
            file.write(struct.pack("q", seconds))
    until_trained(7)
    assert process.poll() is None
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    (took,) = re.findall(r"finished in ([\d.]+) s", out)
    assert 0 < float(took) < 600
    assert not re.search(r"(?<=\s)-\d", "".join([*lines, out, err]))
    assert runs(tmp_path / "home", "flow_run") == ["Completed"]
    assert program(f"{command} steady").status == 0
    assert result(tmp_path / "jumped") == result(tmp_path / "steady")


@pytest.mark.slow
def test_twenty_quick_runs_at_once_all_complete(servers, tmp_path):
    """Of one deployment, without its limit: four of a pool go at a time, none is taken for dead, nor after its end."""
    with deployed(tmp_path, servers, not_begun_seconds=300) as laboratory:
        queue = laboratory.client.read_work_queue_by_name("depth-sweep", work_pool_name="deep-mlp")
        laboratory.client.update_work_queue(queue.id, concurrency_limit=20)
        ids = [
            laboratory.run("depth-sweep/depth-sweep", **QUICK, run={**laboratory.how, "seed": seed})
            for seed in range(20)
        ]

        def states():
            return [laboratory.client.read_flow_run(flow_run_id).state for flow_run_id in ids]

        deadline = time.monotonic() + 2400  # on a busy machine
        while not all(state.is_final() for state in states()):
            assert time.monotonic() < deadline, states()
            at_work = [state for state in states() if state.is_pending() or state.is_running()]
            assert len(at_work) <= 4, at_work
            time.sleep(1)
        assert {state.name for state in states()} == {"Completed"}, states()
        time.sleep(100)  # a last heartbeat that comes after a run's end is waited for 90 s
        assert {state.name for state in states()} == {"Completed"}, states()
