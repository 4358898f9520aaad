"""The playground's server in this process."""

import socket
import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace

import pytest


@contextmanager
def serving(artifacts, port=0):
    """Serve the page from a thread, with the real server; give its address and the runs that it starts."""
    from flows.play.flow_runs import FlowRuns
    from flows.play.program import page_server

    listener = socket.create_server(("127.0.0.1", port))
    port, runs = listener.getsockname()[1], FlowRuns(str(artifacts))
    server = page_server(runs)
    thread = threading.Thread(target=server.run, args=[[listener]], daemon=True)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield SimpleNamespace(port=port, url=f"http://127.0.0.1:{port}", artifacts=artifacts)
    finally:
        server.should_exit = True
        thread.join(20)
        runs.close()


@pytest.fixture(scope="session")
def playground(tmp_path_factory):
    """Give the page's server."""
    with serving(tmp_path_factory.mktemp("play")) as server:
        yield server


@pytest.fixture(scope="session")
def playground_at():
    """Give what serves the page at a port: a folder and the port."""
    return serving
