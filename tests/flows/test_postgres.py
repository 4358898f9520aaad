"""The server that people really run: Prefect on PostgreSQL, deployments, and two workers that want the same sweep."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from watching import hear_terminal_signals, wait_until

from mlp_core.artifacts.storage import locked
from tasks.context import RECORDS

ROOT = Path(__file__).parents[2]
PROGRAMS = max(Path("/usr/lib/postgresql").glob("*/bin"), default=Path("/none"), key=lambda path: int(path.parent.name))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PROGRAMS.exists(), reason="PostgreSQL is not installed: apt-get install postgresql"),
]


@pytest.fixture(scope="module")
def database(new_port):
    """Run PostgreSQL on loopback, its data in a folder that is removed, and give the address for Prefect."""
    owner = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
    folder, port = Path(tempfile.mkdtemp(prefix="deep-mlp-postgres-", dir="/tmp")), new_port()
    password = folder / "password"
    password.write_text("of-the-test")
    for path in (folder, password) if owner else ():
        shutil.chown(path, owner)
    own = {"user": owner, "cwd": folder, "stdout": subprocess.DEVNULL}
    initialize = [PROGRAMS / "initdb", "-D", folder / "data", "-U", "prefect", "-A", "scram-sha-256"]
    subprocess.run([*initialize, f"--pwfile={password}", "--no-sync"], check=True, **own)
    serve = [PROGRAMS / "postgres", "-D", folder / "data", "-h", "127.0.0.1", "-p", str(port), "-k", folder]
    with (folder / "log").open("w") as log, subprocess.Popen(serve, stderr=log, **own) as process:
        while subprocess.run([PROGRAMS / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]).returncode:
            assert process.poll() is None, (folder / "log").read_text()
            time.sleep(0.1)
        yield f"postgresql+asyncpg://prefect:of-the-test@127.0.0.1:{port}/postgres"
        process.terminate()
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def environment(servers, database, tmp_path_factory):
    """Serve Prefect from PostgreSQL and give the environment of its users."""
    home = tmp_path_factory.mktemp("home")
    environment = servers.environment(home)
    process = servers.start({**environment, "PREFECT_API_DATABASE_CONNECTION_URL": database})
    yield {**environment, "PREFECT_API_URL": f"http://127.0.0.1:{environment['PREFECT_SERVER_API_PORT']}/api"}
    servers.stop(process)
    assert not (home / "prefect.db").exists()  # nothing went to SQLite


@pytest.fixture
def prefect(environment):
    """Give a function that runs a command of Prefect's and returns what it says."""

    def prefect(*arguments):
        command = [sys.executable, "-m", "prefect", "--no-prompt", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return prefect


@pytest.fixture
def workers(prefect, environment, tmp_path):
    """Deploy everything and start two workers that take a run each."""
    prefect("work-pool", "create", "deep-mlp", "--type", "process")
    prefect("deploy", "--all")
    with ExitStack() as stack:
        for name in ("first", "second"):
            log = stack.enter_context((tmp_path / name).open("w"))
            command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "deep-mlp", "--limit", "1"]
            how = {"stdout": log, "stderr": log, "preexec_fn": hear_terminal_signals}
            process = subprocess.Popen([*command, "--name", name], env=environment, **how)
            stack.callback(process.wait, 60)
            stack.callback(process.terminate)
        yield


class Api:
    """What Prefect's server says, as the UI asks it."""

    def __init__(self, url):
        self.url = url

    def __call__(self, route, **query):
        import requests

        answer = requests.post(f"{self.url}/{route}", json=query, timeout=60)
        answer.raise_for_status()
        return answer.json()

    def runs(self, kind, flow_run_ids):
        return self(f"{kind}_runs/filter", flow_runs={"id": {"any_": flow_run_ids}}, limit=200)

    def lines(self, flow_run_ids):
        logs = self("logs/filter", logs={"flow_run_id": {"any_": flow_run_ids}}, limit=200)
        return [log["message"] for log in logs]


def test_two_workers_that_want_the_same_sweep_train_it_once(program, prefect, workers, environment, tmp_path):
    """Of the nightly tutorial and a depth sweep at the same time one trains what both want, and the other waits for it.

    Both come to the same training while the test holds its lock, and then try for it at once. The server has both
    runs and all their tasks as completed, and the next night still stands in the calendar.
    """
    api, folder = Api(environment["PREFECT_API_URL"]), tmp_path / "artifacts"
    both = {"run": {"artifacts": str(folder), "seeds": 1, "workers": 1}, "spirals": {"points": 100}}
    sweep = {"depths": [1, 2], "epochs": 20, "batch_size": 32}
    small = {"epochs": 1, "hidden_widths": [8]}
    wanted = {
        "depth-sweep/depth-sweep": both | {"sweep": sweep},
        "tutorial/nightly-tutorial": both
        | {"depth_sweep": sweep, "polynomial": {"degree": 3, "epochs": 1}, "images": small}
        | {"gain_sweep": {"gains": [1.0, 2.0], **small}},
    }
    n_both, n_nightly, n_models = 2, 5, 6  # trainings, of which that of two gains makes two models
    command = "depth-sweep --points 100 --depths 1,2 --epochs 20 --batch-size 32 --seeds 1 --artifacts elsewhere"
    ran = program(command)
    assert ran.status == 0, ran.err
    names = [path.name for path in (tmp_path / "elsewhere" / RECORDS).glob("depth_sweep-*")]
    assert len(names) == n_both

    def wait(flow_run_id):
        return any(line.startswith("waiting for another run that trains ") for line in api.lines([flow_run_id]))

    with locked([folder / RECORDS / name for name in names], lambda: None):
        outputs = [
            prefect("deployment", "run", name, "--params", json.dumps(parameters))
            for name, parameters in wanted.items()
        ]
        ids = [re.search(r"UUID: (\S+)", output)[1] for output in outputs]
        wait_until(lambda: all(wait(flow_run_id) for flow_run_id in ids))

    def ended():
        states = {run["state_type"] for run in api.runs("flow", ids)}
        assert not states & {"FAILED", "CRASHED", "CANCELLED"}, api.lines(ids)
        return states == {"COMPLETED"}

    wait_until(ended)
    trained = [line.split(":")[0] for line in api.lines(ids) if line.startswith("trained ")]
    assert len(trained) == len(set(trained)) == n_nightly
    # the server records states up to a second late
    wait_until(lambda: {task["state_type"] for task in api.runs("task", ids)} == {"COMPLETED"}, seconds=60)
    assert len([task for task in api.runs("task", ids) if task["name"].startswith("train ")]) == n_both + n_nightly
    assert len(list(folder.glob("models/*"))) == n_models
    assert not list(folder.rglob("*.partial"))
    nightly = api("flow_runs/filter", deployments={"name": {"any_": ["nightly-tutorial"]}}, limit=200)
    assert {run["state_name"] for run in nightly} == {"Completed", "Scheduled"}
