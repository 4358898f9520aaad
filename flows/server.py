"""A Prefect server for one run: the user's own, one that is up already, or one that comes and goes with its users."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from socket import AF_INET, AF_INET6, SO_REUSEADDR, SOL_SOCKET, gaierror, socket
from typing import Any

from flows.prefect_settings import PrefectSettings
from mlp_core.artifacts.locks import PREFECT_HOME, acquire, try_acquire
from mlp_core.errors import DeepMlpError, InputError, ResourceError, disk_error

_START_SECONDS = 180
_STOP_SECONDS = 20
_KILLED_SECONDS = 1  # a killed process ends when it gets its turn on a busy machine
_ANSWER_SECONDS = 2
_WAITING = 128  # connections that the kernel keeps until the server has imported
LOOPBACK = "127.0.0.1", "localhost"
_EVERY_INTERFACE = "0.0.0.0", "::"
_START_LOCK = "deep-mlp-server.start.lock"
_PROGRAM = Path(__file__).with_name("prefect_server.py")


def reach_directly(*own: str) -> None:
    """Set the environment so that no proxy is used for servers on this machine, here and in child processes.

    Args:
        own: More addresses of this machine, in addition to loopback.
    """
    hosts = os.environ.get("no_proxy", os.environ.get("NO_PROXY", ""))
    if hosts != "*":
        kept = [host.strip() for host in hosts.split(",") if host.strip()]
        hosts = ",".join([*kept, *(host for host in (*LOOPBACK, *own) if host not in kept)])
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = hosts


@contextmanager
def _writable(home: Path) -> Iterator[None]:
    """Make Prefect's folder if it is missing; what its disk refuses is one sentence."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        (home / _START_LOCK).touch()
        yield
    except OSError as error:
        message = (
            f"PREFECT_HOME must be where there is room and permission to write, got {home}: "
            f"{error.strerror or error}; make room, or set it to another folder."
        )
        raise disk_error(error, message) from error


class LocalServer:
    """A Prefect server on this machine, shared by all programs of this user; the last user stops it.

    Two lock files coordinate them: one is held while a server is searched or started, the other as long as it is used.
    They are kernel locks, which a killed process cannot leave behind.

    Attributes:
        url: Address of its API.
        started: Whether this object started it.
        log: Path of its log file.
    """

    def __init__(self, settings: PrefectSettings, host: str = LOOPBACK[0], port: int | None = None) -> None:
        """Use the running server of the same Prefect home, or start one; do not wait for it (see `wait`).

        Args:
            settings: Prefect's settings: home folder and usual port.
            host: Address at which a new server listens.
            port: Its port; None for the usual one, or any free one if that is taken.

        Raises:
            InputError: If it cannot listen at host or port.
            ResourceError: If Prefect's folder cannot be written, or no port is free.
        """
        self._settings = settings
        home = settings.home
        with _writable(home):
            self.record = home / "deep-mlp-server.json"
            self.log = home / "deep-mlp-server.log"
            self._starting = home / _START_LOCK
            self._using_path = home / "deep-mlp-server.use.lock"
            self._using = self._using_path.open("a+")
            self._releasing = threading.Lock()
            try:
                with self._locked():
                    acquire(self._using, self._using_path, PREFECT_HOME, shared=True)
                    url = self._running()
                    self.started = url is None
                    self.url = url or self._start(host, port)
            except BaseException:
                self._using.close()
                raise

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._starting.open("a") as file:
            acquire(file, self._starting, PREFECT_HOME)
            yield

    def _running(self) -> str | None:
        if self.lives():
            return str(json.loads(self.record.read_text())["url"])
        self.record.unlink(missing_ok=True)
        url = f"http://127.0.0.1:{self._settings.port}/api"
        return url if _serves_home(url, self._settings.home) else None

    def lives(self) -> bool:
        """Return whether a server that this program started is still alive: it holds a lock on its log file.

        Its process number alone would not do: after a crash of the machine it may belong to another program.
        """
        with self.log.open("a") as log:
            return self.record.exists() and not try_acquire(log, self.log, PREFECT_HOME)

    def _start(self, host: str, port: int | None) -> str:
        anywhere = port is None
        listener = _listener(host, port or self._settings.port, anywhere=anywhere)
        port = int(listener.getsockname()[1])
        reached = LOOPBACK[0] if host in _EVERY_INTERFACE else host
        url = f"http://{f'[{reached}]' if ':' in reached else reached}:{port}/api"
        environment = {
            **os.environ,
            "PREFECT_HOME": str(self._settings.home),
            "PREFECT_API_URL": url,
            "PREFECT_SERVER_API_HOST": host,
            "PREFECT_SERVER_API_PORT": str(port),
        }
        if anywhere:  # a run's server has no use for them, begins sooner, and must not note that they are registered
            environment["PREFECT_API_BLOCKS_REGISTER_ON_START"] = "false"
            environment["PREFECT_MEMOIZE_BLOCK_AUTO_REGISTRATION"] = "false"
        with listener, self.log.open("w") as log:  # while it imports, nobody else can take its port
            try_acquire(log, self.log, PREFECT_HOME)
            process = subprocess.Popen(
                [sys.executable, "-P", str(_PROGRAM), str(listener.fileno())],
                pass_fds=[listener.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,  # Ctrl-C is for the run, which still has states to report
            )
        process.returncode = 0  # it may outlive this program, of which Popen would warn; `_stop` waits for its number
        temporary = self.record.with_suffix(".partial")
        try:
            temporary.write_text(json.dumps({"pid": process.pid, "url": url}))
            temporary.replace(self.record)
        except OSError:  # without a record nobody would stop it
            _stop(process.pid, _STOP_SECONDS)
            temporary.unlink(missing_ok=True)
            raise
        return url

    def wait(self) -> None:
        """Wait until the server answers, at most three minutes.

        Raises:
            ResourceError: If it does not answer, or has ended.
        """
        deadline = time.monotonic() + _START_SECONDS
        while not healthy(self.url):
            if time.monotonic() > deadline or (self.record.exists() and not self.lives()):
                lines = self.log.read_text(errors="replace").strip().splitlines() if self.log.exists() else []
                reasons = [line for line in lines if "Error" in line] or lines or ["no answer"]
                message = (
                    f"the local Prefect server must start within {_START_SECONDS} s, "
                    f"got {reasons[-1]}; see {self.log}, or set PREFECT_API_URL to one of yours."
                )
                raise ResourceError(message)
            time.sleep(0.05)

    def release(self, seconds: float = _STOP_SECONDS) -> bool:
        """Stop using the server; stop it if the program started it and no other process uses it.

        Args:
            seconds: How long it may take to end before it is killed.

        Returns:
            True if others still use it.
        """
        with self._releasing, self._locked():
            if self._using.closed:
                return False
            with self._using:
                if not try_acquire(self._using, self._using_path, PREFECT_HOME):
                    return True
                if self.lives():
                    pid = json.loads(self.record.read_text())["pid"]
                    self.record.unlink()
                    _stop(pid, seconds)
            return False


def _stop(pid: int, seconds: float) -> None:
    """End a server's whole process group: SIGTERM lets it write what it still holds."""
    try:
        os.kill(pid, signal.SIGTERM)
        if not _has_ended(pid, seconds):
            os.killpg(pid, signal.SIGKILL)
            _has_ended(pid, _KILLED_SECONDS)
    except ProcessLookupError:
        pass


def _has_ended(pid: int, seconds: float) -> bool:
    """Wait until a process has ended, at most so long; ProcessLookupError if it is not this one's child and is gone."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if os.waitpid(pid, os.WNOHANG)[0] == pid:
                return True
        except ChildProcessError:
            os.kill(pid, 0)
        time.sleep(0.01)
    return False


class RunLost(DeepMlpError):
    """The run cannot go on: its server or one of its worker processes is gone."""


def healthy(url: str) -> bool:
    """Return whether a Prefect server answers at an API address within two seconds."""
    try:
        return _asked(url, "health") is True
    except (OSError, ValueError):
        return False


def gone(url: str) -> bool:
    """Return whether no server listens at an API address; one that is slow or answers with an error is not gone."""
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
    """Raise an error if no Prefect server answers at an address: Prefect's client would try for minutes.

    Raises:
        InputError: With the reason. A server that asks for a key or a password counts as one that answers.
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


def _serves_home(url: str, home: Path) -> bool:
    """Return whether a server keeps its runs where this user's are: another one may be stopped at any time.

    One whose home is relative does not say to which folder.
    """
    try:
        theirs = Path(_asked(url, "admin/settings")["home"])
        return theirs.is_absolute() and theirs.resolve() == home.resolve()
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


def _listener(host: str, port: int, *, anywhere: bool) -> socket:
    """Listen at a port: this one, or, if it may be anywhere, another where nobody else does."""
    try:
        return _listening(host, port)
    except OSError as error:
        if isinstance(error, gaierror) or error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            message = f"host must be an address of this machine, got {host!r}; leave --host out for this machine alone."
            raise InputError(message) from error
        reason = "another program does" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
    try:
        other = _listening(host, 0)
    except OSError as error:
        message = f"a Prefect server needs a port on {host}, got none that is free; end a program that holds one."
        raise ResourceError(message) from error
    if anywhere:
        return other
    with other:
        free = other.getsockname()[1]
    message = (
        f"port must be one that this server can listen at, got {port}: {reason}; use another, such as --port {free}."
    )
    raise InputError(message)


def _listening(host: str, port: int) -> socket:
    listener = socket(AF_INET6 if ":" in host else AF_INET)
    try:
        listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_WAITING)
    except BaseException:
        listener.close()
        raise
    return listener
