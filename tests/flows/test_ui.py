"""`deep-mlp ui`: one server for those who look on and for runs, at whatever address, and nothing asked elsewhere."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit

import pytest
import requests
from lost_interrupts import losing_interrupt
from ui import start_ui

from flows.prefect_server import ROUTES_OF_A_RUN
from flows.prefect_settings import PrefectSettings
from flows.server import LocalServer, healthy
from mlp_core.errors import InputError

PROJECT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


OUR_API = """
import gc, json
from flows.prefect_server import prefect_app
collected, hashed = [], []
gc.collect = lambda *_: collected.append(1)
app = prefect_app()
from prefect.server.api import server
from prefect.server.api.clients import OrchestrationClient
from prefect.settings import Settings
hash_key = Settings.hash_key
Settings.hash_key = lambda self: hashed.append(1) or hash_key(self)
client = OrchestrationClient()
same = client._http_client._transport.app is app
prefixes = [router.prefix for router in server.API_ROUTERS]
print(json.dumps([app.openapi(), same, collected, hashed, prefixes]))
"""
PREFECT_S_API = """
import json
from prefect.server.api.server import create_app
print(json.dumps([create_app().openapi()]))
"""


@pytest.mark.thorough  # to describe all routes takes two seconds, twice
def test_a_quick_start_loses_nothing_of_prefect_s_api(servers, tmp_path):
    """Neither a slow module nor a search for garbage, and one app for all; its routes are those of Prefect's own.

    Prefixes that come first are among them: one that Prefect calls otherwise would be built late, unnoticed.
    """
    (tmp_path / "rfc3987_syntax.py").write_text("print('imported')")  # jsonschema takes it where it is
    environment = servers.new_home(tmp_path / "home")

    def printed_by(program, *folders):
        environment["PYTHONPATH"] = os.pathsep.join(map(str, folders))
        done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
        assert not done.returncode, done.stderr
        return json.loads(done.stdout)

    routes, same, collected, hashed, prefixes = printed_by(OUR_API, PROJECT, tmp_path)
    assert (same, collected, hashed) == (True, [], [])
    assert set(prefixes) >= ROUTES_OF_A_RUN
    assert routes == printed_by(PREFECT_S_API)[0]


RECORDER = """
import asyncio, logging
from flows import prefect_server
prefect_server._record_soon()
from prefect.server.services import task_run_recorder
task_run_recorder.logger.info = print
async def begin(seconds):
    async with task_run_recorder.consumer(write_batch_size=500, flush_every=seconds):
        pass
for seconds in (1, 5):
    asyncio.run(begin(seconds))
import sys
sys.modules["prefect.server.services"].task_run_recorder = None
sys.modules["prefect.server.services.task_run_recorder"] = None
prefect_server._record_soon()
"""


@pytest.mark.thorough
def test_states_are_stored_soon(servers, tmp_path):
    """Not a second late, unless the user's setting has more; another Prefect's server stores them when it does."""
    environment = {**servers.new_home(tmp_path), "PYTHONPATH": str(PROJECT)}
    done = subprocess.run([sys.executable, "-c", RECORDER], env=environment, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    assert re.findall(r"flush every ([\d.]+) seconds", done.stdout) == ["0.25", "5"]


@pytest.mark.thorough  # tests/faults/test_processes.py has a quick one
@pytest.mark.parametrize("then", ["pass", 'raise ValueError("a schema") from None'])
def test_a_ctrl_c_is_heard_where_a_library_would_lose_it(servers, tmp_path, then):
    """While Prefect's client is imported, right after the address is printed."""
    environment = servers.new_home(tmp_path / "home")
    environment |= losing_interrupt(tmp_path / "library", "prefect.client.orchestration", then)
    process = start_ui(environment, tmp_path)
    out, err = process.communicate(timeout=180)
    assert (process.returncode, err) == (0, "")
    assert out.endswith("Ctrl-C ends it.\n")


def get(url, **headers):
    request = urllib.request.Request(url, headers=headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=60) as answer:
        return answer.headers, answer.read()


@pytest.mark.parametrize("host", ["localhost:4390", "[::1]:81", "laboratory.example", None])
def test_the_pages_ask_the_address_that_they_were_opened_at(ui, host):
    """Through a tunnel or a container's port too, and whatever API is set: events over WebSockets as well."""
    headers, body = get(f"{ui.url}/ui-settings", **({"Host": host} if host else {}))
    at = f"http://{host}" if host else ui.url
    assert json.loads(body)["api_url"] == f"{at}/api"
    assert headers["Content-Security-Policy"].endswith(f" {at} ws{at.removeprefix('http')}")


def test_a_host_that_is_none_reaches_no_header(ui):
    """It may hold what would end a policy."""
    headers, body = get(f"{ui.url}/ui-settings", Host="a;script-src *")
    assert "script-src" not in headers["Content-Security-Policy"]
    assert "script-src" not in json.loads(body)["api_url"]


def test_a_second_ui_says_where_the_first_is(ui):
    """It joins it; its end ends nobody else's."""
    process = start_ui(ui.environment, ui.folder)
    lines = [process.stdout.readline() for _ in range(3)]
    assert lines[0] == f"Prefect's UI is up already: {ui.url}, with the runs of {ui.folder / 'home'}\n"
    assert lines[2] == "Ctrl-C ends it.\n"
    process.terminate()
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert out == "It goes on until those who use it, such as runs, have ended.\n"
    assert healthy(f"{ui.url}/api")


def test_a_run_uses_the_server_of_the_ui(ui):
    """And the last one out stops it, whoever started it."""
    settings = PrefectSettings(ui.folder / "home", None, 4200)
    server = LocalServer(settings)
    assert (server.url, server.started, server.lives()) == (f"{ui.url}/api", False, True)
    assert server.release()
    assert not server.release()
    assert healthy(f"{ui.url}/api")


@pytest.mark.thorough
def test_writers_at_once_wait_for_each_other(ui):
    """SQLite refuses a write of a transaction that began as a reader when another has written meanwhile: a 503."""

    def ask(number):
        answers = []
        with requests.Session() as session:
            for turn in range(6):
                body = {"names": [f"tag:{number}"], "slots": 1}
                answers.append(
                    session.post(f"{ui.url}/api/v2/concurrency_limits/increment-with-lease", json=body, timeout=60)
                )
                body = {"key": f"key-{number}", "type": "markdown", "data": str(turn)}
                answers.append(session.post(f"{ui.url}/api/artifacts/", json=body, timeout=60))
        return [answer.status_code for answer in answers]

    with ThreadPoolExecutor(8) as pool:
        statuses = Counter(status for statuses in pool.map(ask, range(8)) for status in statuses)
    assert statuses == {200: 48, 201: 48}


def test_a_port_that_is_taken_is_one_sentence(tmp_path):
    """By another user's server, say; it names one that is free."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(
            InputError, match=rf"^port must be .*, got {port}: another program does; use another, .*--port"
        ):
            LocalServer(PrefectSettings(tmp_path, None, 4200), "127.0.0.1", port)


@pytest.mark.parametrize("host", ["192.0.2.7", "nowhere.invalid"])
def test_a_host_of_another_machine_is_one_sentence(tmp_path, host):
    """Before anything is started."""
    with pytest.raises(InputError, match=rf"^host must be an address of this machine, got '{host}'; leave --host out"):
        LocalServer(PrefectSettings(tmp_path, None, 4200), host, 4200)


@pytest.mark.slow
def test_a_host_that_others_reach_is_told(servers, tmp_path):
    """What that opens, in one sentence."""
    environment = servers.new_home(tmp_path / "home")
    process = start_ui(environment, tmp_path, "--host", "0.0.0.0")
    lines = [process.stdout.readline() for _ in range(3)]
    process.terminate()
    process.communicate(timeout=60)
    assert lines[1] == "Everyone who reaches 0.0.0.0 can read, change and start runs here: no password is asked for.\n"


def test_the_server_asks_nobody(ui):
    """Not even GitHub for the list of Prefect's collections, for which pages and workers ask it."""
    assert "process" in json.loads(get(f"{ui.url}/api/collections/views/aggregate-worker-metadata")[1])["prefect"]
    with pytest.raises(HTTPError, match="404"):
        get(f"{ui.url}/api/collections/views/demo-flows")
    assert ui.asked == []


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to open pages with")
@pytest.mark.parametrize("page", ["v2/dashboard", "v2/artifacts", "v2/work-pools/create", "runs", "work-pools/create"])
def test_the_pages_ask_nobody_else(ui, page):
    """Pages of both versions of the UI in a real browser: all that they ask is this server."""
    asked, _ = opened(f"{ui.url}/{page}")
    assert {urlsplit(url).netloc for url in asked} == {urlsplit(ui.url).netloc}
    assert any("/api/" in url for url in asked)
    assert ui.asked == []


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to open pages with")
def test_the_pages_work_through_a_tunnel(ui):
    """At another port, where the browser cannot reach the server's own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=forward, args=(listener, urlsplit(ui.url).port), daemon=True).start()
        netloc = f"localhost:{listener.getsockname()[1]}"
        asked, text = opened(f"http://{netloc}/v2/runs")
        listener.shutdown(socket.SHUT_RDWR)
    assert {urlsplit(url).netloc for url in asked} == {netloc}
    assert "Run a task or flow to get started" in text  # so the API told that there is none yet
    assert "Can't connect" not in text


def forward(listener, port):
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        server = socket.create_connection(("127.0.0.1", port))
        for source, target in ((connection, server), (server, connection)):
            threading.Thread(target=pass_on, args=(source, target), daemon=True).start()


def pass_on(source, target):
    with suppress(OSError), target:
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def opened(url):
    """Open a page in a browser of its own; return the addresses that pages asked, and the text that it shows.

    What the browser asks for itself, such as its maker's list of extensions, has no page as its initiator.
    """
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "net.json")
        quiet = ["background-networking", "component-update", "sync", "gpu", "quic", "default-apps", "extensions"]
        command = [
            *(CHROMIUM, "--headless", "--no-sandbox", "--no-first-run", *(f"--disable-{feature}" for feature in quiet)),
            *(f"--user-data-dir={folder}/profile", f"--log-net-log={log}", "--no-proxy-server"),
            *("--virtual-time-budget=6000", "--dump-dom", url),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=180, env={**os.environ, "HOME": folder})
        events = json.loads(log.read_text())["events"]
    requests = [event["params"] for event in events if "initiator" in event.get("params", {})]
    asked = {request["url"] for request in requests if request["initiator"].startswith("http")}
    text = re.sub(r"<(script|style).*?</\1>|<[^>]+>", " ", done.stdout, flags=re.DOTALL)
    return asked, " ".join(text.split())
