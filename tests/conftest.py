"""What tests of whole runs share: Prefect for the session, image_zip, tiny experiments, the real program.

The server is a real one on loopback, in a home of its own, started when a test first asks for it. All workers of
`pytest --numprocesses` share it, and each finished experiment too: who asks first makes it, the others wait.

Who starts the workers imports this file before anything else happens, so it imports what it needs where it does.
"""

import fcntl
import gc
import io
import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import zipfile
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import certifi
import pytest
from pages import WITHOUT_BROWSER
from watching import MARK, hear_terminal_signals, processes

from flows import prefect_server
from tasks.process import configure


def pytest_configure(config):
    """Keep the developer's own Prefect out of the tests; Prefect reads all this as it is imported."""
    if not hasattr(config, "workerinput"):  # a worker has it from who started it
        for name in [name for name in os.environ if name.startswith("PREFECT_")]:
            del os.environ[name]
        os.environ["PREFECT_HOME"] = tempfile.mkdtemp(prefix="deep-mlp-tests-")
        os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{free_port()}/api"
        os.environ["PREFECT_API_BLOCKS_REGISTER_ON_START"] = "false"
        # or each client asks for a token, which no server here gives
        os.environ["PREFECT_CLIENT_CSRF_SUPPORT_ENABLED"] = "false"
        os.environ["PREFECT_API_SSL_CERT_FILE"] = str(_one_certificate(Path(os.environ["PREFECT_HOME"])))
        os.environ["NO_PROXY"] = "127.0.0.1"
        # programs that tests start would compile every module again, a second each
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False  # and each worker every test module, three seconds
    configure()


@pytest.hookimpl(wrapper=True)
def pytest_collection(session):
    """Import all that is tested without looking for garbage among it.

    Hypothesis looks there for who refers to NumPy's generator, when a test of its kind first runs: that is now, before
    all that is large, in each process but that of `--numprocesses`, which runs no tests.
    """
    if not session.config.pluginmanager.hasplugin("dsession"):
        import numpy as np  # noqa: F401
        from hypothesis import given
        from hypothesis.strategies import none

        given(none())(lambda nothing: None)()
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_modifyitems(items):
    """Begin with those that wait for other programs: at the end a worker would wait alone, or start one twice."""
    programs = {"program", "good_run", "ui", "loaded", "chromium"}
    items.sort(key=lambda item: programs.isdisjoint(getattr(item, "fixturenames", ())))


def pytest_collection_finish():
    """Never look for garbage among what was imported, and seldom at all: it took a tenth of the tests' time."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)


def pytest_terminal_summary(terminalreporter):
    """Say which tests are left out on a machine without a browser."""
    if WITHOUT_BROWSER:
        terminalreporter.write_line("no Chromium with its driver here: the tests of pages are skipped")


def _one_certificate(folder):
    """Return a file of one authority's certificate: each of Prefect's clients, here without TLS, reads all of them."""
    end = "-----END CERTIFICATE-----\n"
    path = folder / "certificate.pem"
    path.write_text(Path(certifi.where()).read_text().partition(end)[0] + end)
    return path


def pytest_unconfigure(config):
    """Stop the session's server and remove its home, when the last worker has ended."""
    if hasattr(config, "workerinput"):
        return
    home = Path(os.environ["PREFECT_HOME"])
    if (home / SERVER_NUMBER).exists():
        os.kill(int((home / SERVER_NUMBER).read_text()), signal.SIGTERM)
        deadline = time.monotonic() + 30
        while _is_locked(home / SERVER_LOG) and time.monotonic() < deadline:
            time.sleep(0.05)
    shutil.rmtree(home, ignore_errors=True)


SERVER_LOG = "server.log"
"""Locked as long as its server is up, whoever has started that."""
SERVER_NUMBER = "session-server.pid"
IDLE_SERVICES = (
    *("CANCELLATION_CLEANUP", "EVENT_PERSISTER", "FOREMAN", "LATE_RUNS", "PAUSE_EXPIRATIONS", "REPOSSESSOR"),
    *("SCHEDULER", "TRIGGERS", "CLEANUP_RECONCILER"),
)
"""What deployments, workers and automations need: tests of those have servers of their own."""


def _is_locked(path):
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """Give a function that makes a folder of the whole session: a name, and what makes it; the others wait for it."""
    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    root = tmp_path_factory.getbasetemp().parent if is_worker else tmp_path_factory.getbasetemp()

    def made_once(name, make):
        folder = root / "made-once" / name
        folder.parent.mkdir(exist_ok=True)
        with folder.with_suffix(".lock").open("a+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            lock.seek(0)
            if not lock.read():
                shutil.rmtree(folder, ignore_errors=True)  # of one that failed
                folder.mkdir()
                make(folder)
                lock.write("made")
        return folder

    return made_once


@pytest.fixture(scope="session")
def new_port():
    """Give a function that returns a port that nobody uses."""
    return free_port


def free_port():
    """Return a port that nobody uses, and that no other process of these tests was given.

    It lies below those that systems hand out by themselves, else a client could get it before it is used. A UDP socket
    of the same number, held until this process ends, tells the others.
    """
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)  # hypothesis seeds the usual one
        reservation = socket.socket(type=socket.SOCK_DGRAM)
        try:
            reservation.bind(("127.0.0.1", port))
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            reservation.close()
            continue
        reservation.detach()  # from its object, which would close it
        return port


class Servers:
    """Prefect servers on loopback, each in a home of its own."""

    def start_for_the_session(self, home, port):
        """Start the server that all tests share."""
        idle = {f"PREFECT_SERVER_SERVICES_{name}_ENABLED": "false" for name in IDLE_SERVICES}
        idle["PREFECT_SERVER_EVENTS_STREAM_OUT_ENABLED"] = "false"  # for pages that show events as they come
        idle["PREFECT_UI_ENABLED"] = "false"
        environment = {**self.environment(home), **idle, "PREFECT_SERVER_API_PORT": str(port)}
        with socket.create_server(("127.0.0.1", port)) as listener:  # as the program starts one, in half the time
            process = self.start(environment, prefect_server.__file__, str(listener.fileno()), listener=listener)
        process.returncode = 0  # it outlives who started it, of which Popen would warn
        (home / SERVER_NUMBER).write_text(str(process.pid))

    def new_home(self, home):
        """Make a home, with the tables that Prefect's own program lacks, and return its users' environment."""
        home.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(home / "prefect.db")) as database:
            database.executescript(prefect_server.TABLES.read_text())
        return self.environment(home)

    def environment(self, home):
        """Return an environment with a home and a port that nobody uses."""
        environment = {**os.environ, "PREFECT_HOME": str(home), "PREFECT_SERVER_API_PORT": str(free_port())}
        del environment["PREFECT_API_URL"]
        return environment

    def start(self, environment, *program, listener=None):
        """Start a server, Prefect's own or another program that takes a listening socket, and return its process."""
        from flows.server import healthy

        log = Path(environment["PREFECT_HOME"], SERVER_LOG)
        with log.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            command = [sys.executable, *(program or ("-m", "prefect", "server", "start"))]
            how = {"stdout": file, "stderr": file, "pass_fds": [listener.fileno()] if listener else ()}
            process = subprocess.Popen(command, env=environment, **how, start_new_session=True)
        deadline = time.monotonic() + 120
        while not healthy(f"http://127.0.0.1:{environment['PREFECT_SERVER_API_PORT']}/api"):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        return process

    def stop(self, process):
        """End a server, which writes what it still holds."""
        process.terminate()
        process.wait(60)


@pytest.fixture(scope="session")
def servers(made_once):
    """Give servers and homes; the session's server is up."""
    servers = Servers()
    home, port = Path(os.environ["PREFECT_HOME"]), urlsplit(os.environ["PREFECT_API_URL"]).port
    made_once("server", lambda _: servers.start_for_the_session(home, port))
    return servers


@pytest.fixture(scope="session")
def api_url(servers):
    """Give the address of the session's server, which Prefect's settings have already."""
    return os.environ["PREFECT_API_URL"]


def encoded_image(colour, stream, form):
    """Return a small image: a blob of a colour on a ground of any colour."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (32, 32), tuple(stream.randrange(256) for _ in range(3)))
    left, top = stream.randrange(8), stream.randrange(8)
    ImageDraw.Draw(image).ellipse((left, top, left + 20, top + 20), fill=colour)
    file = io.BytesIO()
    image.save(file, form)
    return file.getvalue()


@pytest.fixture(scope="session")
def image_zip(made_once):
    """Give a zip of 60 train and 24 test images of three classes, JPEG and PNG."""

    def make(folder):
        stream = random.Random(0)
        with zipfile.ZipFile(folder / "faces.zip", "w") as archive:
            for split, count in (("train", 20), ("val", 8)):
                for name, colour in (("cat", "orange"), ("dog", "brown"), ("wild", "gold")):
                    for number in range(count):
                        form = ("jpeg", "png")[number % 2]
                        image = encoded_image(colour, stream, form)
                        archive.writestr(f"faces/{split}/{name}/{number:02d}.{form}", image)

    return made_once("image_zip", make) / "faces.zip"


@pytest.fixture(scope="session")
def ended_tasks():
    """Collect (name, state name) of every task run that ends in this process."""
    from prefect import Task

    import tasks.data
    import tasks.report
    import tasks.results
    import tasks.training

    ended = []

    def note(task, task_run, state):
        ended.append((task_run.name, state.name))

    for module in (tasks.data, tasks.report, tasks.results, tasks.training):
        for task in vars(module).values():
            if isinstance(task, Task):
                task.on_completion(note)
                task.on_failure(note)
    return ended


@contextmanager
def kept_helper():
    """Keep a failed run's helper processes, if they are idle: the next one's begins with imports of two seconds."""
    from tasks import execution, helper_process

    def stop_at_work():
        if any(helper.at_work for helper in helper_process._helpers):
            helper_process.stop_helpers()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execution, "stop_helpers", stop_at_work)
        yield


@pytest.fixture(scope="session")
def drawn_once(made_once):
    """Give what stands for `run_in_helper` where a run's figures do not matter."""
    from drawn import DrawnOnce

    return DrawnOnce(made_once("drawn", lambda _: None))


@pytest.fixture
def without_drawing(monkeypatch, drawn_once):
    """Let flows that a test calls itself take figures that were drawn before, and leave the helper process idle."""
    monkeypatch.setattr("tasks.results.run_in_helper", drawn_once)
    with kept_helper():
        yield


@pytest.fixture(scope="session")
def run(api_url, ended_tasks, image_zip, drawn_once):
    """Give a function that runs a tiny experiment in this process: a folder, changed parameters, changed settings.

    It returns the flow's state and the names of its tasks by the names of their states. Where its figures do not
    matter they may be another run's: `DrawnOnce` says how. The server hears of the flow's run and not of its tasks,
    which Prefect tells it by events: that was a quarter of its work.
    """
    from importlib import import_module

    from prefect.context import SettingsContext
    from prefect.settings import (
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        PREFECT_LOGGING_TO_API_ENABLED,
        temporary_settings,
    )
    from smallest import smallest_parameters

    from mlp_core.report import poster
    from tasks import monitoring
    from tasks.run_settings import ImageRunSettings
    from tasks.stages import flow_parameters

    quick = {
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,  # saves a second per run, spent on a thread that sleeps
        PREFECT_LOGGING_TO_API_ENABLED: False,
    }
    # Scaled once, too, for the report and for Prefect's UI
    thumbnail, address = cache(poster.thumbnail), cache(monitoring._address)
    with temporary_settings(quick):  # once: it reads all of Prefect's settings anew
        context = SettingsContext.get()

    def run(experiment, artifacts, *, seeds=2, images=image_zip, own_figures=False, **changed):
        flow = getattr(import_module(f"flows.{experiment}"), experiment)
        settings = type(flow_parameters(experiment)["run"])
        how = {name: changed.pop(name) for name in settings.model_fields if name in changed}
        if issubclass(settings, ImageRunSettings):
            how["images"] = str(images)
        how = settings(artifacts=artifacts, seeds=seeds, **how)
        ended_tasks.clear()
        drawn_once.own_figures = own_figures
        with context.model_copy(), kept_helper(), pytest.MonkeyPatch.context() as patch:
            patch.setattr("prefect.events.utilities.should_emit_events", lambda: False)
            # A refresh is to make everything again, and machines of dask cannot import what stands for it
            if not how.refresh and how.runner != "dask":
                patch.setattr("tasks.results.run_in_helper", drawn_once)
                patch.setattr(poster, "thumbnail", thumbnail)
                patch.setattr(monitoring, "_address", address)
            state = flow(run=how, **{**smallest_parameters(experiment), **changed}, return_state=True)
        tasks = {}
        for name, ending in ended_tasks:
            tasks.setdefault(ending, []).append(name)
        return SimpleNamespace(state=state, tasks=tasks)

    return run


@pytest.fixture(scope="session")
def finished(run, made_once):
    """Give a function that returns the artifact folder of a finished tiny experiment; who changes it takes a copy.

    The depth sweep's has figures of its own, each other one if told so: to draw those of all takes ten seconds.
    """

    def finished(experiment, own_figures=False):
        own_figures = own_figures or experiment == "depth_sweep"

        def make(folder):
            assert run(experiment, folder, own_figures=own_figures).state.is_completed()

        return made_once(f"{experiment}-with-figures" if own_figures else experiment, make)

    return finished


@pytest.fixture
def copied(finished, tmp_path):
    """Give a function that copies the artifact folder of a finished experiment."""

    def copied(experiment, own_figures=False):
        folder = finished(experiment, own_figures=own_figures)
        return Path(shutil.copytree(folder, tmp_path / "artifacts", copy_function=shutil.copy2))

    return copied


@pytest.fixture(scope="session")
def raise_baseline():
    """Give a function that rewrites the accepted accuracies as if an older torch had reached more at depth 2."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from mlp_core.artifacts.baseline import BASELINE

    def raise_baseline(root, points=0.25, torch="2.9.0"):
        table = pq.read_table(root / BASELINE)
        metadata = dict(table.schema.metadata)
        settings = json.loads(metadata[b"settings"])
        settings["tables"]["depth_sweep"]["versions"]["torch"] = torch
        # two members that all change by just the same may do so by chance
        unlike = pc.multiply(pc.subtract(table["member"], 0.5), 0.002)
        higher = pc.if_else(pc.starts_with(table["configuration"], "depth=2"), pc.add(unlike, points), 0.0)
        raised = pc.add(table["test_accuracy"], higher)
        table = table.set_column(table.column_names.index("test_accuracy"), "test_accuracy", raised)
        metadata[b"settings"] = json.dumps(settings)
        pq.write_table(table.replace_schema_metadata(metadata), root / BASELINE)

    return raise_baseline


class Program:
    """The real program, in a folder of its own and, unless told otherwise, with the session's server."""

    depth_sweep = "depth-sweep --points 40 --depths 1,2 --epochs 2 --batch-size 32 --seeds 2"
    images = "images --hidden-widths 8 --epochs 2 --batch-size 32 --seeds 2"
    """The experiments of the same names above, as commands."""

    def __init__(self, folder):
        self.folder, self.processes = folder, []

    def start(self, command, environment=None, **changed):
        """Start a command as a terminal does, in a process group of its own, with pipes for what it writes."""
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.command_line", *command.split()],
            cwd=self.folder,
            env={**(environment or os.environ), **changed},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=hear_terminal_signals,
        )
        self.processes.append(process)
        return process

    def __call__(self, command, **environment):
        """Run a command to its end and return its exit status and what it wrote."""
        process = self.start(command, **environment)
        out, err = process.communicate(timeout=600)  # on a busy machine
        return SimpleNamespace(status=process.returncode, out=out, err=err)


@pytest.fixture(scope="session")
def good_run(servers, made_once):
    """Give a run of the real program with a server of its own, where HTTP_PROXY alone is set and nobody listens there.

    It holds the exit status, what the program wrote, the processes that it left, and its folder.
    """

    def make(folder):
        program, mark = Program(folder), str(folder)
        environment = servers.new_home(folder / "home")
        environment = {name: value for name, value in environment.items() if name.lower() != "no_proxy"}
        proxy = {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}
        more = {**proxy, "PYTHONWARNINGS": "always::ResourceWarning", MARK: mark}
        with program.start(f"{program.depth_sweep} --artifacts deep/er", environment, **more) as run:
            try:
                out, err = run.communicate(timeout=120)
            finally:
                run.kill()
        written = {"status": run.returncode, "out": out, "err": err, "left": processes(mark)}
        (folder / "run.json").write_text(json.dumps(written))

    folder = made_once("good-run", make)
    return SimpleNamespace(folder=folder, **json.loads((folder / "run.json").read_text()))


@pytest.fixture(scope="session")
def ui(servers, tmp_path_factory):
    """Run the UI, with another API set and behind a proxy; give its address, environment, and what it asks.

    Its server is also for tests that change what runs of others would meet at the session's.
    """
    from ui import running_ui

    folder = tmp_path_factory.mktemp("ui")
    with running_ui(servers.new_home(folder / "home"), folder) as ui:
        yield ui


@pytest.fixture
def program_here(monkeypatch, capsys):
    """Give a function that runs a command of the program in this process: for those that start no run.

    It returns what `program` returns, without three seconds of imports.
    """
    from flows.command_line import main

    def program_here(command):
        monkeypatch.setattr(sys, "argv", ["deep-mlp", *command.split()])
        with pytest.raises(SystemExit) as ended:
            main()
        output = capsys.readouterr()
        return SimpleNamespace(status=ended.value.code, out=output.out, err=output.err)

    return program_here


@pytest.fixture
def program(tmp_path, api_url):
    """Give the real program; what a failed test leaves running is killed."""
    running = Program(tmp_path)
    yield running
    for process in running.processes:
        with process:
            process.kill()
