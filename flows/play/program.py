"""`deep-mlp play`: serves the page on loopback until Ctrl-C."""

from __future__ import annotations

import errno
import threading
import webbrowser
from contextlib import suppress
from socket import SO_REUSEADDR, SOL_SOCKET, socket

import click
import uvicorn

from flows.play.flow_runs import FlowRuns
from flows.play.question import Asked, Question
from flows.play.server import page_app
from flows.play.session import extent_of
from flows.play.training import Job
from flows.stopping import ignore_signals
from mlp_core.errors import InputError
from mlp_core.settings import validated
from tasks.run_settings import RunSettings

_HOST, _USUAL_PORT = "127.0.0.1", 8710
_MOST_BYTES = 1 << 20
"""Of a message from the page."""


def play(port: int | None, artifacts: str, *, opens_browser: bool) -> None:
    """Serve the playground's page until Ctrl-C.

    Args:
        port: Port on 127.0.0.1; None for 8710, or any free one if that is taken.
        artifacts: Artifact folder of questions that are run as flows.
        opens_browser: Whether to open the page in a browser.

    Raises:
        InputError: If the given port cannot be used.
    """
    artifacts = validated(RunSettings, {"artifacts": artifacts}).artifacts
    listener = _listener(port)
    address = f"http://{_HOST}:{listener.getsockname()[1]}"
    click.echo(f"deep-mlp play: {address}\nCtrl-C ends it.")
    threading.Thread(target=_warm_up, daemon=True).start()
    if opens_browser:
        threading.Thread(target=webbrowser.open, args=[address], daemon=True).start()
    runs = FlowRuns(artifacts)
    try:
        page_server(runs).run([listener])
    except KeyboardInterrupt:
        pass
    finally:
        ignore_signals()
        with suppress(OSError):
            listener.close()
        runs.close()


def page_server(runs: FlowRuns) -> uvicorn.Server:
    """Return a uvicorn server of the page; the caller chooses the socket and runs it.

    Args:
        runs: Runs questions as flows.
    """
    config = uvicorn.Config(
        page_app(runs.start),
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="websockets-sansio",
        ws_max_size=_MOST_BYTES,
        timeout_graceful_shutdown=1,  # an open page holds its connection as long as it can
    )
    return uvicorn.Server(config)


def _listener(port: int | None) -> socket:
    listener = socket()
    listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
    try:
        listener.bind((_HOST, _USUAL_PORT if port is None else port))
    except OSError as error:
        if port is not None:
            listener.close()
            reason = "another program does" if error.errno == errno.EADDRINUSE else error.strerror
            message = f"port must be one that this page can listen at, got {port}: {reason}; leave --port out."
            raise InputError(message) from error
        listener.bind((_HOST, 0))
    listener.listen(128)
    return listener


def _warm_up() -> None:
    """Load what trains, and compile it if that was never done on this machine, before somebody waits for it."""
    asks = Asked(Question(points=50, epochs=1, seeds=1))
    job = Job(asks.config, asks.data, 1, extent_of(asks.data), lambda: None)
    job.start()
    job.wait()
