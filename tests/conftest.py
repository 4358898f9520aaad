"""Prefect for the session: a real server on loopback, in a home of its own, started when a test first asks for it."""

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

import pytest


def pytest_configure():
    """Keep the developer's own Prefect out of the tests; Prefect reads all this as it is imported."""
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        del os.environ[name]
    os.environ["PREFECT_HOME"] = tempfile.mkdtemp(prefix="deep-mlp-tests-")
    os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{free_port()}/api"
    os.environ["PREFECT_API_BLOCKS_REGISTER_ON_START"] = "false"
    os.environ["NO_PROXY"] = "127.0.0.1"
    import tasks  # noqa: F401 - the project's own defaults for Prefect


def pytest_unconfigure():
    """Remove the session's home."""
    shutil.rmtree(os.environ["PREFECT_HOME"], ignore_errors=True)


@pytest.fixture(scope="session")
def new_port():
    """Give a function that returns a port that nobody uses."""
    return free_port


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Servers:
    """Prefect servers on loopback, each in a home of its own.

    A new database takes a server ten seconds; a copy of one that was never used takes none.
    """

    def __init__(self, empty_database):
        self.empty_database = empty_database
        if empty_database.exists():
            return
        with tempfile.TemporaryDirectory() as home:
            process = self.start(self.environment(Path(home)))
            self.stop(process)
            copy = empty_database.with_suffix(".partial")
            copy.unlink(missing_ok=True)
            with closing(sqlite3.connect(Path(home, "prefect.db"))) as database:
                database.execute("VACUUM INTO ?", (str(copy),))
            copy.replace(empty_database)

    def new_home(self, home):
        """Make a home with an empty database and return the environment of a program that uses it."""
        home.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.empty_database, home / "prefect.db")
        return self.environment(home)

    def environment(self, home):
        """Return an environment with a home and a port that nobody uses."""
        environment = {**os.environ, "PREFECT_HOME": str(home), "PREFECT_SERVER_API_PORT": str(free_port())}
        del environment["PREFECT_API_URL"]
        return environment

    def start(self, environment):
        """Start a server and return its process."""
        from flows.server import healthy

        log = Path(environment["PREFECT_HOME"], "server.log")
        with log.open("w") as file:
            command = [sys.executable, "-m", "prefect", "server", "start"]
            process = subprocess.Popen(command, env=environment, stdout=file, stderr=file, start_new_session=True)
        deadline = time.monotonic() + 120
        while not healthy(f"http://127.0.0.1:{environment['PREFECT_SERVER_API_PORT']}/api"):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        return process

    def stop(self, process):
        """End a server, which writes what it still holds."""
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="session")
def servers(pytestconfig):
    """Give servers and homes; the empty database is kept in pytest's cache."""
    return Servers(pytestconfig.cache.mkdir(f"prefect-{version('prefect')}") / "empty.db")


@pytest.fixture(scope="session")
def api_url(servers):
    """Serve Prefect's API for the whole session, where its settings already say."""
    url = os.environ["PREFECT_API_URL"]
    environment = servers.new_home(Path(os.environ["PREFECT_HOME"]))
    process = servers.start({**environment, "PREFECT_SERVER_API_PORT": str(urlsplit(url).port)})
    yield url
    servers.stop(process)
