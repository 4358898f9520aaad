"""`deep-mlp ui` as a person has it, for tests that look at its pages or need a server of their own."""

import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from types import SimpleNamespace

from watching import wait_for

from flows.server import healthy


@contextmanager
def recorder():
    """Serve a proxy that passes nothing on; give its address and what was asked of it."""
    asked = []

    def answer(listener):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                asked.append(connection.recv(1 << 16).partition(b"\r\n")[0].decode(errors="replace"))
                connection.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=answer, args=[listener], daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked
        listener.shutdown(socket.SHUT_RDWR)


def start_ui(environment, folder, *options):
    """Start the program's UI."""
    command = [sys.executable, "-m", "flows.command_line", "ui", *options]
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@contextmanager
def running_ui(environment, folder):
    """Run the UI, with another API set and behind a proxy; give its address, environment, and what it asks."""
    with recorder() as (proxy, asked):
        environment |= {
            "PREFECT_API_URL": "http://192.0.2.1:4200/api",
            **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), proxy),
        }
        process = start_ui(environment, folder)
        url = f"http://127.0.0.1:{environment['PREFECT_SERVER_API_PORT']}"
        wait_for(lambda: healthy(f"{url}/api"), process, 180)
        assert [process.stdout.readline() for _ in range(3)] == [  # a moment after the server answers
            f"Prefect's UI: {url}, with the runs of {environment['PREFECT_HOME']}\n",
            "PREFECT_API_URL is set: new runs go to http://192.0.2.1:4200/api and are shown there.\n",
            "Ctrl-C ends it.\n",
        ]
        yield SimpleNamespace(url=url, environment=environment, folder=folder, asked=asked, process=process)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60) == ("", "")
        assert process.returncode == 0
        assert not healthy(f"{url}/api")
