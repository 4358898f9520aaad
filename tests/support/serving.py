"""Servers of the tests' own on loopback."""

import threading
from contextlib import contextmanager


@contextmanager
def served(server):
    """Let a socketserver answer in a thread, and give its address; it ends at once, without its usual half a second."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
