"""More than one machine: dask's workers, and an artifact folder on S3 (moto's server) that is all they share."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.sorting import FlowRunSort
from watching import children, wait_until

from mlp_core.artifacts.baseline import accept
from mlp_core.artifacts.paths import artifact_folder
from mlp_core.errors import InputError
from tasks.dask_cluster import installed, prepare_workers

KEYS = {"AWS_ACCESS_KEY_ID": "name-of-the-test", "AWS_SECRET_ACCESS_KEY": "secret-of-the-test"}


def listening(port):
    """Return whether somebody answers at a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def s3(tmp_path_factory, new_port):
    """Serve S3 on loopback and put its address and keys into the environment."""
    from s3fs import S3FileSystem  # half a second of imports, which each worker would wait for

    port = new_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with (tmp_path_factory.mktemp("moto") / "log").open("w") as log, pytest.MonkeyPatch.context() as patch:
        for name, value in {**KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}.items():
            patch.setenv(name, value)
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("copies")))
        with subprocess.Popen(command, stdout=log, stderr=log) as server:
            wait_until(lambda: listening(port))
            S3FileSystem.clear_instance_cache()  # those know the address of the server that an earlier test had
            yield
            server.terminate()


@pytest.fixture
def bucket(s3, tmp_path):
    """Give the address of a new bucket."""
    name = tmp_path.name.replace("_", "-").lower()
    artifact_folder(f"s3://{name}").fs.mkdir(name)
    return f"s3://{name}"


def contents(folder):
    """Return the bytes of every file that is not a record, and of no report: it names the folder."""
    paths = {str(path.relative_to(folder)): path for path in folder.rglob("*.*") if path.is_file()}
    return {
        name: path.read_bytes() for name, path in paths.items() if not name.startswith((".", "report", "results/runs"))
    }


@pytest.mark.thorough
def test_a_folder_on_s3_holds_what_a_local_one_holds(run, finished, bucket, monkeypatch, tmp_path):
    """Every file has the same bytes; a second run, on a machine without copies, computes only what is new: drift."""
    location = f"{bucket}/deep/er"
    root = artifact_folder(location)
    assert run("depth_sweep", location, own_figures=True).state.is_completed()
    assert contents(root) == contents(finished("depth_sweep"))
    accept(root, datetime(2026, 11, 24, 3, tzinfo=UTC))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    ran = run("depth_sweep", location, on_drift="drifted")
    assert sorted(ran.tasks) == ["Cached", "Completed"]
    assert sorted(name.rsplit("-", 1)[0] for name in ran.tasks["Completed"]) == ["collect history", "write report"]
    assert "Against the accepted baseline" in (root / "report.html").read_text()


@pytest.mark.thorough
def test_what_another_process_writes_to_a_bucket_is_seen_at_once(bucket):
    """New files are found, and changed ones read whole: no listing or length is remembered (s3fs 424, 490, 657)."""
    from s3fs import S3FileSystem  # half a second of imports, which each worker would wait for

    root, other = artifact_folder(f"{bucket}/shared"), S3FileSystem(skip_instance_cache=True)
    other.pipe(f"{root.path}/results/one.json", b"short")
    assert [path.name for path in root.glob("results/*")] == ["one.json"]
    assert (root / "results/one.json").read_bytes() == b"short"
    assert not (root / "results/two.json").exists()
    other.pipe({f"{root.path}/results/one.json": b"rather longer", f"{root.path}/results/two.json": b"new"})
    assert sorted(path.name for path in root.glob("results/*")) == ["one.json", "two.json"]
    assert (root / "results/two.json").read_bytes() == b"new"
    assert (root / "results/one.json").read_bytes() == b"rather longer"
    other.rm(f"{root.path}/results/two.json")
    assert not (root / "results/two.json").exists()


@pytest.fixture(scope="module")
def cluster(s3, api_url, tmp_path_factory, new_port):
    """Start a dask scheduler and two workers, each in an empty folder; a function starts one more."""
    folder, port = tmp_path_factory.mktemp("dask"), new_port()
    address, workers = f"tcp://127.0.0.1:{port}", []

    def start(stack, name, *arguments):
        home = folder / name
        home.mkdir()
        own = {"HOME": str(home), "XDG_CACHE_HOME": str(home / "copies"), "PREFECT_HOME": str(home / "prefect")}
        environment = {key: value for key, value in os.environ.items() if key != "PREFECT_API_URL"} | own
        command = [sys.executable, "-m", "dask", *arguments, "--host", "127.0.0.1"]
        log = stack.enter_context((home / "log").open("w"))
        process = subprocess.Popen(command, cwd=home, env=environment, stdout=log, stderr=log)
        stack.callback(process.wait, 30)
        stack.callback(process.kill)
        return process

    with ExitStack() as stack:
        dashboard = f"127.0.0.1:{new_port()}"
        start(stack, "scheduler", "scheduler", "--port", str(port), "--dashboard-address", dashboard)
        wait_until(lambda: listening(port))

        def add_worker():
            name = f"worker-{len(workers)}"
            options = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--name", name)
            workers.append(start(stack, name, "worker", address, *options))
            wait_until(lambda: "Registered to" in (folder / name / "log").read_text())
            return workers[-1]

        workers[:] = []
        add_worker()
        add_worker()
        yield SimpleNamespace(address=address, folder=folder, workers=workers, add_worker=add_worker)


@contextmanager
def dask_with(folder, port, path):
    """Start a scheduler and a worker with a folder first on their PYTHONPATH, and give a client."""
    from distributed import Client

    environment = {**os.environ, "PYTHONPATH": str(path)}
    address = f"tcp://127.0.0.1:{port}"
    scheduler = ("scheduler", "--port", str(port), "--no-dashboard", "--host", "127.0.0.1")
    worker = ("worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1")
    with ExitStack() as stack, (folder / "log").open("w") as log:
        for arguments in (scheduler, worker):
            # with an installed project PYTHONPATH comes before it, in a developer's environment perhaps not
            program = f"import sys; sys.path.insert(0, {str(path)!r}); from dask.cli import run_cli; run_cli()"
            command = [sys.executable, "-P", "-c", program, *arguments]
            process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
            stack.callback(process.wait, 30)
            stack.callback(process.kill)
        wait_until(lambda: "Registered to" in (folder / "log").read_text())
        yield address, stack.enter_context(Client(address))


@pytest.mark.slow
def test_workers_take_the_projects_packages_for_those_of_the_user(tmp_path, new_port):
    """Also where scheduler and workers were started with modules of these names on PYTHONPATH."""
    users = tmp_path / "users"
    users.mkdir()
    for name in ("tasks.py", "mlp_core.py", "prefect.py", "torch.py"):
        (users / name).write_text("raise SystemExit('a file of the user')")
    with dask_with(tmp_path, new_port(), users) as (address, client):
        prepare_workers(address, client)
        assert list(client.run(installed).values()) == [installed()]
        (name,) = client.run(lambda: import_module("tasks.training").__name__).values()
        assert name == "tasks.training"
    assert "a file of the user" not in (tmp_path / "log").read_text()


@pytest.mark.slow
def test_workers_of_another_version_are_refused(tmp_path, new_port):
    """Theirs would be results of another version among those of this one; the sentence says what differs, and where."""
    project = Path(__file__).parents[2]
    for package in ("tasks", "mlp_core", "flows"):
        shutil.copytree(project / package, tmp_path / "older" / package)
    shutil.copy(project / "deep_mlp_program.py", tmp_path / "older")
    with (tmp_path / "older/mlp_core/engine/training.py").open("a") as file:
        file.write("# one line more\n")
    with (
        dask_with(tmp_path, new_port(), tmp_path / "older") as (address, client),
        pytest.raises(InputError) as refused,
    ):
        prepare_workers(address, client)
    assert re.fullmatch(
        rf"scheduler must be one whose processes have the same deep-mlp as this one, got {address}, "
        rf"where there is {address} with the code [0-9a-f]{{12}}, here {installed()['the code']}; "
        r"install the same there, and start scheduler and workers again\.",
        str(refused.value),
    ), refused.value


@pytest.mark.slow
@pytest.mark.parametrize("experiment", ["depth_sweep", "tutorial"])
def test_workers_that_share_only_s3_give_what_threads_give(run, finished, bucket, cluster, experiment):
    """Every file has the same bytes, and both workers took part."""
    how = {"scheduler": cluster.address, "own_figures": True}
    assert run(experiment, bucket, runner="dask", **how).state.is_completed()
    assert contents(artifact_folder(bucket)) == contents(finished(experiment, own_figures=True))
    logs = [(cluster.folder / f"worker-{number}/log").read_text() for number in range(2)]
    assert all("trained " in log for log in logs)


@pytest.mark.slow
def test_a_killed_worker_costs_only_what_it_was_at(program, run, bucket, cluster, tmp_path):
    """The sweep goes on with the worker that is left and completes; nothing that was finished is trained again."""
    location = f"{bucket}/killed"
    # Four trainings of seconds are left when the second ends, which is looked for ten times a second
    command = "depth-sweep --points 40 --depths 1:6 --epochs 60000 --batch-size 32 --seeds 2 --runner dask"
    process = program.start(f"{command} --scheduler {cluster.address} --artifacts {location}")
    root = artifact_folder(location)
    wait_until(lambda: process.poll() is not None or len(list(root.glob(".records/depth*/*.json"))) >= 2)
    finished_before = {path.name: path.fs.info(path.path)["LastModified"] for path in root.glob("models/*")}
    cluster.workers[0].kill()
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    cluster.workers[0] = cluster.add_worker()
    assert 2 <= len(finished_before) < 6
    models = {path.name: path.fs.info(path.path)["LastModified"] for path in root.glob("models/*")}
    assert len(models) == 6
    assert {name: models[name] for name in finished_before} == finished_before
    assert out.splitlines()[2].split()[:2] == ["depth_sweep", "6"]  # one of them may say that it found its result
    again = program(f"{command.replace(' --runner dask', '')} --artifacts undisturbed")
    assert again.status == 0, again.err
    assert contents(root) == contents(tmp_path / "undisturbed")


@pytest.mark.slow
def test_a_training_lost_for_good_is_crashed_in_prefect(program):
    """Killed with its worker as often as dask allows, it is the run's failure, and does not run for ever in the UI."""
    command = "depth-sweep --points 40 --depths 1,2 --epochs 1000000 --batch-size 32 --runner dask --artifacts lost"
    with get_client(sync_client=True) as client:

        def trainings():
            (run, *_) = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=1) or [None]
            rows = client.read_task_runs(flow_run_filter=FlowRunFilter(id={"any_": [run.id]})) if run else []
            return [row.state_name for row in rows if row.name.startswith("train ")]

        process = program.start(command, DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0")
        wait_until(lambda: process.poll() is not None or trainings() == ["Running"] * 2)
        for pid in children(process.pid):
            if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text():
                os.kill(pid, signal.SIGKILL)
        _, err = process.communicate(timeout=120)
        assert process.returncode == 1, err
        assert "KilledWorker" in err
        assert trainings() == ["Crashed"] * 2


SLOW_TO_END = """
import sys, time
from flows import local_run, orchestration  # Prefect is imported, as in a run
from tasks.context import stop_run
local_run._STOPPED_SECONDS, local_run._FAILED_SECONDS = 0.1, float(sys.argv[2])
stop_run("a token")  # as when a run fails
with local_run._watched(sys.argv[1], None, []):
    time.sleep(3)
    raise RuntimeError("a training was lost")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seconds", "sentence"),
    [(60, "RuntimeError: a training was lost"), (0.1, "deep-mlp: the run failed and did not end; ")],
)
def test_a_failed_run_that_takes_long_to_end_was_not_stopped(api_url, seconds, sentence):
    """Dask's workers may need more time than who pressed Ctrl-C has: the status is 1 all the same."""
    program = [sys.executable, "-c", SLOW_TO_END, api_url, str(seconds)]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(sentence)


@pytest.mark.slow
def test_a_stopped_run_leaves_the_workers_free(program, bucket, cluster):
    """Ctrl-C ends the program within 10 s, and the workers give up their trainings."""
    from distributed import Client

    command = "depth-sweep --points 40 --depths 1,2,3 --epochs 1000000 --batch-size 32 --runner dask"
    lengths = {log: len(log.read_text()) for log in cluster.folder.glob("worker-*/log")}  # of what earlier runs said
    process = program.start(f"{command} --scheduler {cluster.address} --artifacts {bucket}")
    wait_until(lambda: sum(": epoch " in log.read_text()[length:] for log, length in lengths.items()) >= 2)
    with Client(cluster.address) as client:

        def at_work():
            return any(client.run(lambda dask_worker: list(dask_worker.active_threads.values())).values())

        assert at_work()
        process.send_signal(signal.SIGINT)
        started = time.monotonic()
        _, err = process.communicate(timeout=60)
        assert time.monotonic() < started + 10
        assert process.returncode == 130
        assert err.endswith("\ndeep-mlp: stopped; what was finished is kept.\n"), err
        wait_until(lambda: not at_work(), seconds=60)


@pytest.mark.slow
def test_keys_are_nowhere_but_in_the_environment(program, bucket, cluster, tmp_path):
    """Neither name nor secret is in the logs, on the console, in Prefect's database or in the artifact folder."""
    command = f"{program.depth_sweep} --runner dask --scheduler {cluster.address} --artifacts {bucket}"
    ran = program(command)
    assert ran.status == 0, ran.err
    refused = program(command, AWS_SECRET_ACCESS_KEY="secret-of-the-test-wrong", AWS_ENDPOINT_URL="http://127.0.0.1:9")
    assert refused.status == 1
    written = {path.name: path.read_bytes() for path in artifact_folder(bucket).rglob("*") if path.is_file()}
    written |= {str(path): path.read_bytes() for path in cluster.folder.rglob("log")}
    written |= {str(path): path.read_bytes() for path in Path(os.environ["PREFECT_HOME"]).glob("prefect.db*")}
    written |= {"console": f"{ran.out}{ran.err}{refused.out}{refused.err}".encode()}
    assert len(written) > 20
    for key in KEYS.values():
        assert [name for name, content in written.items() if key.encode() in content] == []
