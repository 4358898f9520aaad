"""Prefect's server down, lost, back, locked, somebody else's; a deployment whose code is gone."""

import json
import logging
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow.parquet as pq
import pytest
from serving import served
from smallest import smallest_parameters
from watching import MARK, processes, runs, stop_by_keyboard, stop_by_termination, wait_for

from flows.command_line import main
from flows.local_run import _run
from flows.server import _stop, gone, healthy, reach_directly
from mlp_core.artifacts.storage import locked
from mlp_core.errors import InputError
from tasks.context import RECORDS
from tasks.run_settings import RunSettings
from tasks.stages import flow_parameters

ROOT = Path(__file__).parents[2]
LOGGER = logging.getLogger("deep_mlp")
# Most of them wait for a worker
ENDLESS = "depth-sweep --points 4000 --depths 1:12 --epochs 1000000 --batch-size 32 --seeds 2"
LONG = "depth-sweep --points 40 --depths 1:5 --epochs 2000 --batch-size 32 --seeds 2"


class _Answers(BaseHTTPRequestHandler):
    """Answers every request with one status and text."""

    def do_GET(self):
        """Send them."""
        status, text = self.server.answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        """Stay silent."""


@pytest.fixture
def http_server():
    """Give a function that serves one answer on loopback and returns the address."""
    with ExitStack() as until_end:

        def serve(status, text):
            server = ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
            server.answer = status, text
            return f"{until_end.enter_context(served(server))}/api"

        yield serve


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """Give a function that runs the program, here, with an address of a server, and returns its sentence."""
    monkeypatch.chdir(tmp_path)

    def refused(url):
        monkeypatch.setenv("PREFECT_API_URL", url)
        monkeypatch.setattr(sys, "argv", ["deep-mlp", "depth-sweep"])
        started = time.monotonic()
        with pytest.raises(SystemExit) as ended:
            main()
        output = capsys.readouterr()
        assert time.monotonic() < started + 60  # Prefect's client would try for ten minutes
        assert (ended.value.code, output.out) == (2, "")
        assert list(tmp_path.iterdir()) == []
        return output.err

    return refused


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:9/api", "Connection refused"),
        ("http://nowhere.invalid/api", "[Nn]ame"),
        ("127.0.0.1:4200/api", "unknown url type|no Prefect API"),
        ("not an address", "no Prefect API"),
        ("http://127.0.0.1:42x0/api", "no Prefect API"),
    ],
)
def test_a_server_that_is_not_there_is_one_sentence(refused, url, reason):
    """An address in PREFECT_API_URL where nobody answers is said within seconds, with the reason and the way out."""
    sentence = refused(url)
    assert sentence.startswith(
        "deep-mlp: PREFECT_API_URL must be the address of a Prefect server that is up, such as http"
    )
    assert sentence.endswith("start that server, or unset the variable and a run starts its own.\n")
    assert re.search(f"got '{url}': .*({reason})", sentence), sentence


@pytest.mark.parametrize(
    ("status", "text"), [(200, b"<html>a page</html>"), (404, b"not found"), (200, b"{}"), (200, b"false")]
)
def test_another_server_at_that_address_is_told_from_prefect_s(refused, http_server, status, text):
    """A page, a 404, or any other answer is not Prefect's."""
    assert "what answers there is no Prefect API" in refused(http_server(status, text))


def serve(listener, behave):
    """Accept connections in a thread of their own, and let another one behave for each, until the listener closes."""

    def accept():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=behave, args=[connection], daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def test_a_server_that_speaks_no_http_is_told_from_prefect_s(refused):
    """Neither is it taken for one that is lost: somebody answers there."""

    def greet(connection):
        with suppress(OSError), connection:  # who asked may have gone
            connection.recv(1 << 16)
            connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        serve(listener, greet)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/api"
        assert "what answers there is no Prefect API" in refused(url)
        assert not gone(url)
        listener.shutdown(socket.SHUT_RDWR)


def test_a_proxy_is_not_asked_for_a_server_on_this_machine(good_run):
    """With HTTP_PROXY alone, at which nobody listens, a run completes."""
    assert good_run.status == 0, good_run.err


def test_proxies_that_the_user_excludes_stay_excluded(monkeypatch):
    """Of the two names the one in lower case counts, as everywhere; `*` excludes all hosts only alone."""
    for excluded, kept in {"": "127.0.0.1,localhost", "a.b, localhost": "a.b,localhost,127.0.0.1", "*": "*"}.items():
        monkeypatch.setenv("NO_PROXY", "another.host")
        monkeypatch.setenv("no_proxy", excluded)
        reach_directly()
        reach_directly()
        assert os.environ["no_proxy"] == os.environ["NO_PROXY"] == kept


@contextmanager
def without_times(api_url):
    """Give the address of what passes all on to a server but the question for tasks, which it answers with 500."""

    def relay(connection):
        with connection, socket.create_connection(("127.0.0.1", urlsplit(api_url).port)) as server:
            threading.Thread(target=pass_on, args=[server, connection], daemon=True).start()
            pass_on(connection, server)

    def pass_on(source, target):
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if data.startswith(b"POST /api/task_runs/filter "):
                    source.sendall(
                        b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                    )
                    while source.recv(1 << 16):
                        pass
                    return
                target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        serve(listener, relay)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/api/"
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.thorough
def test_a_server_that_does_not_tell_the_times_hides_no_end(api_url, monkeypatch, caplog, tmp_path):
    """Its answer 500, after the run, costs the table of times; a run that failed still says why."""
    from prefect import flow
    from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    @flow
    def failing():
        message = "no such thing"
        raise InputError(message)

    flow_run_ids = []
    failing.on_running(lambda _flow, flow_run, _state: flow_run_ids.append(flow_run.id))
    monkeypatch.setattr("flows.local_run.stop_helpers", lambda: None)  # the next test's has two seconds of imports
    for name in ("propagate", "level", "handlers"):  # as they are afterwards, too
        monkeypatch.setattr(LOGGER, name, [caplog.handler] if name == "handlers" else getattr(LOGGER, name))
    for handler in logging.getLogger().handlers:
        monkeypatch.setattr(handler, "filters", [*handler.filters])
    with (
        without_times(api_url) as url,
        temporary_settings({PREFECT_API_URL: url, PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}),
        pytest.raises(InputError, match=r"^no such thing$"),
    ):
        _run(failing, {}, RunSettings(artifacts=str(tmp_path)), 0.0, url, flow_run_ids)
    assert len(flow_run_ids) == 1
    assert "the server does not tell the times of all tasks: " in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "status", "last"),
    [
        ("", 0, "the server does not tell"),
        (" --arms 2 --points 10", 2, "deep-mlp: batch_size must be at most the 16 training"),
    ],
    ids=["whole", "failed"],
)
def test_the_program_ends_well_without_the_times(program, api_url, more, status, last):
    """The server is reached though its address ends with a slash and HTTP_PROXY is set."""
    with without_times(api_url) as url:
        environment = {name: value for name, value in os.environ.items() if name.lower() != "no_proxy"}
        environment |= {"PREFECT_API_URL": url, "HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}
        ran = program.start(program.depth_sweep + more, environment)
        out, err = ran.communicate(timeout=120)
    assert ran.returncode == status, err
    assert "the server does not tell the times of all tasks: " in err
    assert "Traceback" not in err
    assert last in err.splitlines()[-1]
    assert ("report   " in out) == (status == 0)


@pytest.fixture
def refused_at_home(program_here, monkeypatch, tmp_path):
    """Give a function that runs the program, here, with an environment of Prefect's and returns its sentence."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PREFECT_API_URL")

    def refused_at_home(command, **changed):
        for name, value in {"PREFECT_HOME": str(tmp_path / "home"), **changed}.items():
            monkeypatch.setenv(name, value)
        ran = program_here(command)
        assert (ran.status, ran.out) == (2, ""), ran.err
        assert ran.err.startswith("deep-mlp: ")
        assert ran.err.count("\n") == 1
        return ran.err

    return refused_at_home


@pytest.mark.parametrize("command", ["depth-sweep", "ui"])
@pytest.mark.parametrize("port", ["abc", "0", "65536"])
def test_a_port_that_is_none_is_one_sentence(refused_at_home, tmp_path, command, port):
    """PREFECT_SERVER_API_PORT is looked at before anything is made."""
    sentence = refused_at_home(command, PREFECT_SERVER_API_PORT=port)
    rule = f"PREFECT_SERVER_API_PORT must be a number from 1 to 65535, got '{port}'; unset it for 4200."
    assert sentence == f"deep-mlp: {rule}\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["depth-sweep", "ui"])
@pytest.mark.parametrize(
    ("home", "reason"),
    [("file/home", "Not a directory"), ("file", "File exists"), ("~nobody-of-that-name", "Could not determine home")],
    ids=["below a file", "a file", "nobody's"],
)
def test_a_home_that_is_no_folder_is_one_sentence(refused_at_home, tmp_path, command, home, reason):
    """PREFECT_HOME is looked at before a server is started."""
    (tmp_path / "file").touch()
    location = home if home.startswith("~") else str(tmp_path / home)
    sentence = refused_at_home(command, PREFECT_HOME=location)
    assert sentence.startswith("deep-mlp: PREFECT_HOME must be ")
    assert location in sentence
    assert reason in sentence
    assert sentence.endswith("set it to another folder.\n")
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_a_server_that_is_slow_or_wants_a_password_is_not_gone(http_server):
    """Only where nobody listens is a server lost; a server that refuses or is busy is there."""
    assert not gone(http_server(401, b"who are you?"))
    assert not gone(http_server(503, b"database is locked"))
    assert not healthy(http_server(503, b"database is locked"))
    assert gone("http://127.0.0.1:9/api")


def test_a_server_that_hears_no_sigterm_is_gone_when_it_was_stopped():
    """Not a moment later, when who looks for processes that are left would still see it."""
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); signal.pause()"
    server = subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE, text=True, start_new_session=True)
    with server.stdout as lines:
        assert lines.readline() == "deaf\n"
        _stop(server.pid, 0.1)
        with pytest.raises(ChildProcessError):  # it was waited for
            os.waitpid(server.pid, os.WNOHANG)
    server.returncode = 0


@pytest.mark.slow
def test_a_server_of_another_home_is_not_adopted(program, servers, tmp_path):
    """It may be stopped by its own people: a run starts one of its own, and leaves that one as it is."""
    theirs = servers.new_home(tmp_path / "theirs")
    server = servers.start(theirs)
    try:
        ours = {**servers.new_home(tmp_path / "ours"), "PREFECT_SERVER_API_PORT": theirs["PREFECT_SERVER_API_PORT"]}
        process = program.start(program.depth_sweep, ours)
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert server.poll() is None
    finally:
        servers.stop(server)
    assert runs(tmp_path / "ours", "flow_run") == ["Completed"]
    assert runs(tmp_path / "theirs", "flow_run") == []


@pytest.mark.slow
def test_a_server_of_the_same_home_is_used(program, servers, tmp_path):
    """Such as that of `deep-mlp ui`: a run starts none of its own, and does not stop it."""
    environment = servers.new_home(tmp_path / "home")
    server = servers.start(environment)
    try:
        process = program.start(program.depth_sweep, environment)
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert server.poll() is None
        assert not (tmp_path / "home/deep-mlp-server.log").read_text()
    finally:
        servers.stop(server)
    assert runs(tmp_path / "home", "flow_run") == ["Completed"]


def _with_its_server(program, servers, tmp_path, command):
    """Start a server and a program that uses it; return both, the environment, and when trainings are under way."""
    environment = servers.new_home(tmp_path / "home")
    server = servers.start(environment)
    url = f"http://127.0.0.1:{environment['PREFECT_SERVER_API_PORT']}/api"
    process = program.start(command, {**environment, "PREFECT_API_URL": url}, **{MARK: str(tmp_path)})
    wait_for(lambda: list(tmp_path.glob("artifacts/tables/spirals-*")), process)
    time.sleep(3)
    return server, process, environment, url


@pytest.mark.slow
@pytest.mark.parametrize("runner", ["threads", "processes"])
def test_a_server_that_is_lost_ends_the_run_within_a_minute(program, servers, tmp_path, runner):
    """Status 1 and one sentence; nothing half-written, no process left."""
    server, process, _, url = _with_its_server(program, servers, tmp_path, f"{ENDLESS} --runner {runner}")
    os.killpg(server.pid, 9)
    server.wait()
    started = time.monotonic()
    out, err = process.communicate(timeout=90)
    assert time.monotonic() < started + 60
    assert (process.returncode, out) == (1, "")
    last = err.strip().splitlines()[-1]
    assert (
        last == f"deep-mlp: the Prefect server at {url} is gone; what was finished is kept: run the same command again."
    )
    if runner == "threads":  # from worker processes come lines of Prefect's too
        assert "Traceback" not in err
    assert not list(tmp_path.rglob("artifacts/**/*.partial"))
    time.sleep(2)
    assert processes(str(tmp_path)) == []


@pytest.mark.slow
def test_ctrl_c_is_quick_after_the_server_is_lost(program, servers, tmp_path):
    """Nobody waits for a server that cannot be told."""
    server, process, _, _ = _with_its_server(program, servers, tmp_path, ENDLESS)
    os.killpg(server.pid, 9)
    server.wait()
    time.sleep(3)
    stop_by_keyboard(process)
    started = time.monotonic()
    process.communicate(timeout=90)
    assert time.monotonic() < started + 20
    assert process.returncode in {1, 130}
    assert processes(str(tmp_path)) == []


@pytest.mark.slow
def test_a_server_that_comes_back_is_used_again(program, servers, tmp_path):
    """Gone for some seconds, it is waited for, and the run completes."""
    with locked([tmp_path / "artifacts" / RECORDS / "publishing"], lambda: None):  # nor can the run end before
        server, process, environment, _ = _with_its_server(program, servers, tmp_path, LONG)
        os.killpg(server.pid, 9)
        server.wait()
        time.sleep(5)
        server = servers.start(environment)
    try:
        _, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
        assert len(pq.read_table(tmp_path / "artifacts/results/depth_sweep.parquet")) == 10
    finally:
        servers.stop(server)


@pytest.mark.slow
def test_a_locked_database_is_waited_for(program, servers, tmp_path):
    """Another program that holds SQLite's lock for ten seconds costs those, and nothing else."""
    with locked([tmp_path / "artifacts" / RECORDS / "publishing"], lambda: None):  # nor can the run end before
        server, process, _, _ = _with_its_server(program, servers, tmp_path, LONG)
        with closing(sqlite3.connect(tmp_path / "home/prefect.db", isolation_level=None, timeout=30)) as database:
            database.execute("BEGIN IMMEDIATE")
            time.sleep(10)
            database.execute("ROLLBACK")
    try:
        _, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
        assert len(pq.read_table(tmp_path / "artifacts/results/depth_sweep.parquet")) == 10
    finally:
        servers.stop(server)


@pytest.mark.slow
def test_a_deployment_whose_code_moved_fails_and_says_so(servers, tmp_path):
    """The run is Crashed, its log ends with the step that looks for the folder, and its event names the folder."""
    environment = servers.new_home(tmp_path / "home")
    server = servers.start(environment)
    url = f"http://127.0.0.1:{environment['PREFECT_SERVER_API_PORT']}/api"
    code = tmp_path / "code"
    code.mkdir()
    for name in ("flows", "tasks", "mlp_core"):
        shutil.copytree(ROOT / name, code / name)
    shutil.copy(ROOT / "prefect.yaml", code)
    environment |= {"PREFECT_API_URL": url, "PWD": str(code)}
    prefect = [sys.executable, "-m", "prefect"]

    def asked(*arguments, cwd=tmp_path):
        done = subprocess.run([*prefect, *arguments], cwd=cwd, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    try:
        asked("work-pool", "create", "deep-mlp", "--type", "process")
        asked("--no-prompt", "deploy", "--name", "depth-sweep-ablation", cwd=code)
        asked("deployment", "run", "depth-sweep/depth-sweep-ablation")
        code.rename(tmp_path / "moved")
        asked("worker", "start", "--pool", "deep-mlp", "--run-once")
    finally:
        servers.stop(server)
    assert runs(tmp_path / "home", "flow_run") == ["Crashed"]
    with closing(sqlite3.connect(tmp_path / "home/prefect.db")) as database:
        log = [message for (message,) in database.execute("SELECT message FROM log ORDER BY timestamp")]
        failed = "SELECT payload FROM events WHERE event = 'prefect.flow-run.pull-step.failed'"
        events = [json.loads(payload) for (payload,) in database.execute(failed)]
    steps = [message for message in log if "step" in message]
    assert steps[-1] == "Executing deployment step: set_working_directory", log
    assert [event["inputs"] for event in events] == [{"directory": str(code)}]  # Prefect puts it into no message


@pytest.mark.slow
def test_a_record_of_a_dead_server_harms_nobody(program, servers, tmp_path):
    """After a crash of the machine a number may be another program's: that one is neither used nor stopped."""
    home = tmp_path / "home"
    environment = servers.new_home(home)
    with subprocess.Popen(["sleep", "300"]) as innocent:
        record = {"pid": innocent.pid, "url": "http://127.0.0.1:9/api"}
        (home / "deep-mlp-server.json").write_text(json.dumps(record))
        process = program.start(program.depth_sweep, environment)
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert innocent.poll() is None
        innocent.kill()


@pytest.fixture
def limit(ui):
    """Give a function that limits how many tasks with a tag run at once, and counts some as running.

    At the server of the UI: at the session's, runs of other workers would meet the limit.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
    from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    here = temporary_settings({PREFECT_API_URL: f"{ui.url}/api", PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None})
    with here, get_client(sync_client=True) as client, ExitStack() as until_end:

        def limit(tag, most, taken=0):
            wanted = GlobalConcurrencyLimitCreate(name=f"tag:{tag}", limit=most, active_slots=taken)
            client.create_global_concurrency_limit(wanted)
            until_end.callback(client.delete_global_concurrency_limit_by_name, f"tag:{tag}")

        yield limit
        for run in client.read_flow_runs():  # what looks at the UI finds none
            client.delete_flow_run(run.id)


@pytest.mark.parametrize("experiment", ["polynomial", "tutorial"])
def test_a_limit_of_none_is_refused(limit, without_drawing, ended_tasks, tmp_path, experiment):
    """Before a task begins: each would fail with a traceback."""
    limit("polynomial", 0)
    flow = getattr(import_module(f"flows.{experiment}"), experiment)
    settings = type(flow_parameters(experiment)["run"])
    how = settings(artifacts=str(tmp_path / "artifacts"), seeds=2)
    ended_tasks.clear()
    with pytest.raises(
        InputError, match=r"^the limit on tasks with the tag polynomial must be at least 1, got 0, "
    ) as no:
        flow(run=how, **smallest_parameters(experiment))
    assert str(no.value).endswith("raise it in Prefect's UI, or `prefect concurrency-limit delete polynomial`.")
    assert ended_tasks == []
    assert not (tmp_path / "artifacts").exists()


@pytest.mark.thorough
def test_who_waits_for_a_full_limit_says_so(limit, monkeypatch):
    """Once, with how to see it, and not as long as another of its tasks is at work."""
    from prefect import flow, task
    from prefect.client.orchestration import get_client
    from prefect.states import Completed, Pending, Running

    from tasks.context import logger
    from tasks.limits import report_waits

    def nothing():
        pass

    monkeypatch.setattr("tasks.limits._SECONDS_BETWEEN_LOOKS", 0.2)
    lines = []
    monkeypatch.setattr(logger, "info", lambda text, *values: lines.append(text % values))
    limit("polynomial", 1, taken=1)
    with get_client(sync_client=True) as client:
        flow_run = client.create_flow_run(flow(nothing), state=Running())
        common = {"flow_run_id": flow_run.id, "task_inputs": {}}
        client.create_task_run(task(nothing), dynamic_key="0", state=Pending(), extra_tags=["polynomial"], **common)
        at_work = client.create_task_run(task(nothing), dynamic_key="1", state=Running(), **common)
        with report_waits(flow_run.id):
            time.sleep(1)
            assert lines == []
            client.set_task_run_state(at_work.id, Completed(), force=True)
            deadline = time.monotonic() + 60
            while not lines:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            time.sleep(1)
        client.set_flow_run_state(flow_run.id, Completed(), force=True)
    assert lines == [
        "waiting for the limit on tasks with the tag polynomial, of which 1 of 1 are at work; see "
        "`prefect concurrency-limit inspect polynomial`"
    ]


@pytest.mark.slow
@pytest.mark.parametrize("command", ["depth-sweep", "depth-sweep --runner processes", "tutorial --seeds 1"])
@pytest.mark.parametrize("stop", [stop_by_keyboard, stop_by_termination])
def test_a_run_that_waits_ends_at_once(program, limit, ui, tmp_path, command, stop):
    """Whoever waits for a place that nobody gives is left behind; the run and its tasks are Crashed."""
    limit("depth_sweep", 1, taken=1)
    process = program.start(command, PREFECT_API_URL=f"{ui.url}/api", **{MARK: str(tmp_path)})
    for line in process.stderr:
        assert "ERROR" not in line
        if "waiting for the limit on tasks with the tag depth_sweep" in line:
            break
    stop(process)
    started = time.monotonic()
    err = process.stderr.read()
    process.wait(60)
    assert time.monotonic() < started + 10
    assert (process.returncode, err.strip()) == (130, "deep-mlp: stopped; what was finished is kept.")
    time.sleep(1)
    assert processes(str(tmp_path)) == []
