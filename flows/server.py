"""A Prefect server for one run: the user's own, one that is up already, or one that comes and goes with its users."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any

from mlp_core.errors import InputError
from mlp_core.locks import PREFECT_HOME, lock

_START_SECONDS = 180
_STOP_SECONDS = 20
_ANSWER_SECONDS = 2
LOOPBACK = "127.0.0.1", "localhost"
_START_LOCK = "deep-mlp-server.start.lock"
# What `prefect server start` runs, by Prefect's own uvicorn and without the imports of its command line. Python's
# search for garbage would slow down the other imports; ten seconds later the server is up.
_SERVER_PROGRAM = """
import gc, threading
gc.disable()
later = threading.Timer(10, gc.enable)
later.daemon = True
later.start()
import uvicorn
from prefect.server.api.server import create_app
from prefect.settings import get_current_settings
server = get_current_settings().server
uvicorn.run(
    create_app(final=True), host=server.api.host, port=server.api.port, log_level=server.logging_level.lower(),
    timeout_keep_alive=server.api.keepalive_timeout, ws_ping_interval=server.api.websocket_ping_interval,
    ws_ping_timeout=server.api.websocket_ping_timeout,
)
"""


def reach_loopback_directly() -> None:
    """Keep this process, and those that it starts, from asking a proxy for a server on this machine."""
    hosts = os.environ.get("no_proxy", os.environ.get("NO_PROXY", ""))
    if hosts != "*":
        kept = [host.strip() for host in hosts.split(",") if host.strip()]
        hosts = ",".join([*kept, *(host for host in LOOPBACK if host not in kept)])
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = hosts


def usual_port() -> int:
    """Return the port of Prefect's server, the user's own or Prefect's default.

    Raises:
        InputError: If the user's is none.
    """
    port = os.environ.get("PREFECT_SERVER_API_PORT", "4200")
    if not re.fullmatch(r"\d{1,5}", port) or not 0 < int(port) < 1 << 16:
        message = f"PREFECT_SERVER_API_PORT must be a number from 1 to 65535, got {port!r}; unset it for 4200."
        raise InputError(message)
    return int(port)


def prefect_home() -> Path:
    """Return the folder where Prefect keeps its database.

    Raises:
        InputError: If it is below a home that nobody has.
    """
    location = os.environ.get("PREFECT_HOME", "~/.prefect")
    try:
        return Path(location).expanduser()
    except RuntimeError as error:
        reason = str(error).rstrip(".")
        message = f"PREFECT_HOME must be the name of a folder, got {location!r}: {reason}; set it to another folder."
        raise InputError(message) from error


@contextmanager
def _writable_home() -> Iterator[Path]:
    """Give the same folder, made if it is missing; what its disk refuses is one sentence."""
    home = prefect_home()
    try:
        home.mkdir(parents=True, exist_ok=True)
        (home / _START_LOCK).touch()
        yield home
    except OSError as error:
        message = (
            f"PREFECT_HOME must be where there is room and permission to write, got {home}: "
            f"{error.strerror or error}; make room, or set it to another folder."
        )
        raise InputError(message) from error


def configured_api_url() -> str | None:
    """Return the API that the user set in the environment or in Prefect's active profile.

    Read without Prefect, whose import takes as long as a server takes to start.
    """
    if url := os.environ.get("PREFECT_API_URL"):
        return url
    path = Path(os.environ.get("PREFECT_PROFILES_PATH", prefect_home() / "profiles.toml"))
    try:
        profiles = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError):
        return None
    name = os.environ.get("PREFECT_PROFILE", profiles.get("active"))
    url = profiles.get("profiles", {}).get(name, {}).get("PREFECT_API_URL")
    return str(url) if url else None


class LocalServer:
    """A server on loopback, shared by all runs of this user that need one; the last one out stops it.

    A lock on one file is held while a server is looked for or started, one on another as long as it is used:
    locks of the kernel's, which a killed process cannot leave behind.
    """

    def __init__(self) -> None:
        with _writable_home() as home:
            self.record = home / "deep-mlp-server.json"
            self.log = home / "deep-mlp-server.log"
            self._starting = home / _START_LOCK
            self._using = (home / "deep-mlp-server.use.lock").open("a+")
            with self._locked():
                _lock(self._using, shared=True)
                self.url = self._running() or self._start()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._starting.open("a") as file:
            _lock(file)
            yield

    def _running(self) -> str | None:
        url = f"http://127.0.0.1:{usual_port()}/api"
        if self._lives():
            return str(json.loads(self.record.read_text())["url"])
        self.record.unlink(missing_ok=True)
        return url if _serves_this_home(url) else None

    def _lives(self) -> bool:
        """Return whether a server that a run started is up: it holds the lock of its log as long as it lives.

        Its number alone would not do: after a crash of the machine it may be another program's.
        """
        with self.log.open("a") as log:
            return self.record.exists() and not _lock(log, wait=False)

    def _start(self) -> str:
        port = _free_port()
        environment = {
            **os.environ,
            "PREFECT_SERVER_API_HOST": "127.0.0.1",
            "PREFECT_SERVER_API_PORT": str(port),
            "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",
        }
        with self.log.open("w") as log:
            _lock(log, wait=False)
            process = subprocess.Popen(
                [sys.executable, "-c", _SERVER_PROGRAM],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,  # Ctrl-C is for the run, which still has states to report
            )
        url = f"http://127.0.0.1:{port}/api"
        temporary = self.record.with_suffix(".partial")
        try:
            temporary.write_text(json.dumps({"pid": process.pid, "url": url}))
            temporary.replace(self.record)
        except OSError:  # without a record nobody would stop it
            _stop(process.pid)
            temporary.unlink(missing_ok=True)
            raise
        return url

    def wait(self) -> None:
        """Wait until the server answers.

        Raises:
            InputError: If it does not.
        """
        deadline = time.monotonic() + _START_SECONDS
        while not healthy(self.url):
            if time.monotonic() > deadline or (self.record.exists() and not self._lives()):
                lines = self.log.read_text(errors="replace").strip().splitlines() if self.log.exists() else []
                reasons = [line for line in lines if "Error" in line] or lines or ["no answer"]
                message = (
                    f"the local Prefect server must start within {_START_SECONDS} s, "
                    f"got {reasons[-1]}; see {self.log}, or set PREFECT_API_URL to one of yours."
                )
                raise InputError(message)
            time.sleep(0.05)

    def release(self) -> None:
        """Stop the server if it was started by a run and no other run uses it."""
        with self._locked():
            if not _lock(self._using, wait=False):
                self._using.close()
                return
            if self._lives():
                pid = json.loads(self.record.read_text())["pid"]
                self.record.unlink()
                _stop(pid)
            self._using.close()


def _lock(file: IO[str], *, shared: bool = False, wait: bool = True) -> bool:
    return lock(file, Path(file.name), PREFECT_HOME, shared=shared, wait=wait)


def _stop(pid: int) -> None:
    """End a server's whole process group: SIGTERM lets it write what it still holds."""
    deadline = time.monotonic() + _STOP_SECONDS
    try:
        os.kill(pid, signal.SIGTERM)
        while time.monotonic() < deadline:
            try:
                if os.waitpid(pid, os.WNOHANG)[0] == pid:
                    return
            except ChildProcessError:
                os.kill(pid, 0)
            time.sleep(0.05)
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


class RunLost(RuntimeError):
    """The server of a run, or one of its worker processes, was there and is no longer."""


def healthy(url: str) -> bool:
    """Return whether a Prefect server answers at an API address."""
    try:
        return _asked(url, "health") is True
    except (OSError, ValueError):
        return False


def gone(url: str) -> bool:
    """Return whether nobody listens at an API address; a server that is slow to answer is not gone."""
    try:
        _asked(url, "health")
    except urllib.error.HTTPError:
        return False
    except OSError as error:
        return not isinstance(getattr(error, "reason", error), TimeoutError)
    except ValueError:
        return False
    return False


def check_server(url: str) -> None:
    """Refuse an address where no Prefect server answers: Prefect's client would ask for minutes.

    Raises:
        InputError: With the reason. A server that wants a key or a password answers too.
    """
    reason = "what answers there is no Prefect API"
    try:
        if _asked(url, "health") is True:
            return
    except urllib.error.HTTPError as error:
        if error.code != HTTPStatus.NOT_FOUND:
            return
    except OSError as error:
        reason = str(getattr(error, "reason", error))
    except ValueError:
        pass
    message = (
        f"PREFECT_API_URL must be the address of a Prefect server that is up, such as http://127.0.0.1:4200/api, "
        f"got {url!r}: {reason}; start that server, or unset the variable and a run starts its own."
    )
    raise InputError(message)


def _serves_this_home(url: str) -> bool:
    """Return whether a server keeps its runs where this user's are: another one may be stopped at any time."""
    try:
        home = _asked(url, "admin/settings")["home"]
        return bool(Path(home).resolve() == prefect_home().resolve())
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _asked(url: str, what: str) -> Any:
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/{what}", timeout=_ANSWER_SECONDS) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        error.close()
        raise
    except HTTPException as error:
        if isinstance(error, OSError):  # who was there hung up
            raise
        raise ValueError(str(error)) from error


def _free_port() -> int:
    import socket

    for port in (usual_port(), 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    message = "a Prefect server needs a port on 127.0.0.1, got none that is free; end a program that holds one."
    raise InputError(message)


def serve() -> None:
    """Run Prefect's server in this terminal, on loopback, until Ctrl-C."""
    environment = {
        **os.environ,
        "PREFECT_SERVER_API_HOST": "127.0.0.1",
        "PREFECT_SERVER_API_PORT": str(usual_port()),
    }
    with _writable_home():
        os.execve(sys.executable, [sys.executable, "-m", "prefect", "server", "start"], environment)
