"""The end of `deep-mlp play`, while a flow of it is at work."""

import gc
import json
import socket
import threading
from types import SimpleNamespace

import pytest
from websockets.sync.client import connect

from flows.play.program import page_server


@pytest.mark.filterwarnings("error")
def test_a_flow_that_ends_after_the_program_tells_nobody():
    """Ctrl-C ends the page's server; then the flow's own thread has something to say: no traceback, no warning."""
    tellers = []
    server = page_server(SimpleNamespace(start=lambda _, tell: tellers.append(tell)))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        thread = threading.Thread(target=server.run, args=[[listener]])
        thread.start()
        with connect(f"ws://127.0.0.1:{port}/live", origin=f"http://127.0.0.1:{port}", proxy=None) as live:
            live.send(json.dumps({"kind": "ask", "id": 1, "question": {"points": 60, "epochs": 3, "seeds": 2}}))
            live.send(json.dumps({"kind": "flow"}))
            while not tellers:
                live.recv(timeout=60)
            tellers[0](state="starting", sentence="It starts.")
            while b"It starts." not in live.recv(timeout=60, decode=False):
                pass
        server.should_exit = True
        thread.join(20)
    tellers[0](state="failed", sentence="It has failed.")
    gc.collect()  # what was never awaited would say so here
