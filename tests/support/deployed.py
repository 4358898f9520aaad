"""The clone, deployed by the commands of docs/schedule-it.md to a server and a worker of its own."""

import json
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.settings import PREFECT_API_URL, temporary_settings
from serving import served
from watching import hear_terminal_signals

from mlp_core.artifacts.storage import locked
from tasks.context import RECORDS

ROOT = Path(__file__).parents[2]
QUICK = {"spirals": {"points": 40}, "sweep": {"depths": [1, 2], "epochs": 2, "batch_size": 32}}
LONG = {"sweep": {"depths": list(range(1, 13)), "epochs": 4000}}
"""A depth sweep of a second, and one of half a minute with twelve trainings."""


class Laboratory:
    """A copy of the clone, deployed to a server of its own, with one worker."""

    def __init__(self, folder, servers, environment):
        self.folder, self.servers, self.server_environment = folder, servers, environment
        self.url = f"http://127.0.0.1:{environment['PREFECT_SERVER_API_PORT']}/api"
        self.environment = {**environment, "PREFECT_API_URL": self.url, "PREFECT_WORKER_QUERY_SECONDS": "2"}
        del self.environment["PREFECT_SERVER_API_PORT"]
        self.environment.pop("PYTHONPATH", None)
        self.server = self.worker = self.client = self.notices = None

    def prefect(self, *arguments, **environment):
        """Run a command of Prefect's in the copy, as in a terminal without anyone to answer."""
        command = [sys.executable, "-m", "prefect", "--no-prompt", *arguments]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**self.environment, "PWD": "/", **environment},  # of a shell that was elsewhere
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,  # on a busy machine
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start_server(self):
        """Start the server: on the same port and with the same database as before."""
        self.server = self.servers.start(self.server_environment)

    def stop_server(self):
        """End the server."""
        self.servers.stop(self.server)

    def start_worker(self):
        """Start a worker; it makes the work pool if there is none."""
        command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "deep-mlp", "--type", "process"]
        with (self.folder.parent / "worker.log").open("a") as log:
            self.worker = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=hear_terminal_signals,  # a worker that ignores SIGINT does not end by SIGTERM
            )

    def stop_worker(self):
        """End the worker as Ctrl-C does."""
        self.worker.terminate()
        self.worker.wait(60)

    def run(self, name, **parameters):
        """Ask for a run of a deployment and return its id; notices of earlier runs, of the same name, are forgotten."""
        self.notices.received.clear()
        parameters = {"run": self.how, **parameters}
        deployment = self.client.read_deployment_by_name(name)
        return self.client.create_flow_run_from_deployment(deployment.id, parameters=parameters).id

    @property
    def artifacts(self):
        """Return the folder for results of the runs that the tests ask for."""
        return self.folder.parent / "artifacts"

    @property
    def how(self):
        """Return how those are run."""
        return {"artifacts": str(self.artifacts), "seeds": 2}

    @contextmanager
    def none_ends(self):
        """Keep the runs that the tests ask for from their end, however quick the machine is."""
        with locked([self.artifacts / RECORDS / "publishing"], lambda: None):
            yield

    def until(self, flow_run_id, *names, seconds=300):
        """Wait until a run is in a state of one of these names, on a busy machine, too, and return the run."""
        deadline = time.monotonic() + seconds
        while (run := self.client.read_flow_run(flow_run_id)).state_name not in names:
            assert time.monotonic() < deadline, (run.state, names, self.log(flow_run_id))
            assert not run.state.is_final(), (run.state, names, self.log(flow_run_id))
            time.sleep(0.2)
        return run

    def log(self, flow_run_id):
        """Return what the run wrote."""
        from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId

        wanted = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[flow_run_id]))
        return "\n".join(line.message for line in self.client.read_logs(wanted, limit=200))

    def tasks_of(self, flow_run_id):
        """Return a run's task runs."""
        return self.client.read_task_runs(flow_run_filter=FlowRunFilter(id={"any_": [flow_run_id]}))

    def trained_something(self, flow_run_id):
        """Wait until a run has trained something, but not everything."""
        while "trained" not in self.log(flow_run_id):
            assert not self.client.read_flow_run(flow_run_id).state.is_final()
            time.sleep(0.2)

    def processes_of(self, flow_run_id):
        """Return the numbers of the processes that execute a run, from the operating system."""
        pids = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):
                if f"PREFECT__FLOW_RUN_ID={flow_run_id}".encode() in path.read_bytes():
                    pids.append(int(path.parent.name))
        return pids

    def process_of(self, flow_run_id):
        """Return the number of one of them, if there is any."""
        return next(iter(self.processes_of(flow_run_id)), None)


class Notices:
    """A receiver of webhooks on loopback."""

    def __init__(self):
        self.received, self.answer = [], 204
        notices = self

        class Receiver(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                notices.received.append(SimpleNamespace(kind=self.headers["Content-Type"], **json.loads(body)))
                self.send_response(notices.answer)
                self.end_headers()

            def log_message(self, *_arguments):
                pass

        self.receiver = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
        self.url = f"http://127.0.0.1:{self.receiver.server_port}/notice"

    def of(self, flow_run, seconds=90):
        """Wait for the notice of a run's state and return it."""
        deadline = time.monotonic() + seconds
        while True:
            for notice in self.received:
                if f" / {flow_run.name} is {flow_run.state_name}: " in notice.text:
                    return notice
            assert time.monotonic() < deadline, self.received
            time.sleep(0.2)


@contextmanager
def deployed(home, servers, not_begun_seconds):
    """Deploy a copy of the clone, and give it.

    Args:
        home: An empty folder.
        servers: Starts and stops servers.
        not_begun_seconds: After which a run that has not begun is Crashed; automations.yaml has 300.
    """
    folder = home / "clone"
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True)
    for name in listed.stdout.decode().split():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    automations = folder / "automations.yaml"
    automations.write_text(automations.read_text().replace("within: 300", f"within: {not_begun_seconds}"))
    lab = Laboratory(folder, servers, servers.new_home(home / "prefect"))
    with ExitStack() as stack:
        lab.start_server()
        stack.callback(lab.stop_server)
        lab.notices = Notices()
        stack.enter_context(served(lab.notices.receiver))
        lab.start_worker()
        stack.callback(lab.stop_worker)
        stack.enter_context(temporary_settings({PREFECT_API_URL: lab.url}))
        lab.client = stack.enter_context(get_client(sync_client=True))
        deadline = time.monotonic() + 60
        while not lab.client.read_work_pools():
            assert time.monotonic() < deadline
            time.sleep(0.2)
        lab.prefect("deploy", "--all", DEEP_MLP_WEBHOOK_URL=lab.notices.url)
        yield lab
