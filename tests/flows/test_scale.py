"""More than one machine: dask's workers, and an artifact folder on S3 (moto's server) that is all they share."""

import socket
import subprocess
import sys
import time

import pytest

from mlp_core.places import artifact_folder

KEYS = {"AWS_ACCESS_KEY_ID": "name-of-the-test", "AWS_SECRET_ACCESS_KEY": "secret-of-the-test"}


def listening(port):
    """Return whether somebody answers at a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture(scope="module")
def s3(tmp_path_factory, new_port):
    """Serve S3 on loopback and put its address and keys into the environment."""
    port = new_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with (tmp_path_factory.mktemp("moto") / "log").open("w") as log, pytest.MonkeyPatch.context() as patch:
        for name, value in {**KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}.items():
            patch.setenv(name, value)
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("copies")))
        with subprocess.Popen(command, stdout=log, stderr=log) as server:
            wait_until(lambda: listening(port))
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
    return {name: path.read_bytes() for name, path in paths.items() if not name.startswith((".", "report"))}


@pytest.mark.parametrize("experiment", ["depth_sweep"])
def test_a_folder_on_s3_holds_what_a_local_one_holds(run, finished, bucket, monkeypatch, tmp_path, experiment):
    """Every file has the same bytes, and a second run, on a machine that has no copies, computes nothing."""
    location = f"{bucket}/deep/er"
    assert run(experiment, location).state.is_completed()
    assert contents(artifact_folder(location)) == contents(finished(experiment))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    ran = run(experiment, location)
    assert sorted(ran.tasks) == ["Cached", "Completed"]
    assert sorted(name.rsplit("-", 1)[0] for name in ran.tasks["Completed"]) == ["collect history", "write report"]
