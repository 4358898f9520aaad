"""What a run of a deployment sets, keeps, is named and says, with the real server's API; no worker."""

import fcntl
import json
import logging
import shutil
import socket
import ssl
import subprocess
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from prefect.blocks.notifications import SlackWebhook
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.exceptions import ObjectAlreadyExists
from prefect.states import Crashed, Running
from prefect.utilities.callables import parameter_schema
from prefect.utilities.importtools import import_object
from serving import served

from flows.automations import address_of, create_automations
from flows.deploying import _limit_pool, prepare
from flows.experiment import goes_on, in_form_terms
from flows.phase_diagram import phase_diagram
from flows.run_collector import SweepFailed
from flows.tutorial import tutorial
from mlp_core.errors import InputError
from mlp_core.experiments.catalog import experiments
from mlp_core.experiments.phase_diagram.experiment import PhaseDiagramSettings
from tasks.run_settings import ImageRunSettings
from tasks.stages import TUTORIAL

ROOT = Path(__file__).parents[2]
DEPLOYMENTS = {
    deployment["name"]: deployment for deployment in yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
}


@pytest.fixture
def client(api_url, made_once):
    """Give a client of the session's server, where one test at a time deploys, whatever worker it runs in."""
    with (made_once("deploying", lambda _: None) / "lock").open("w") as lock, get_client(sync_client=True) as client:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield client


@pytest.fixture
def asked(client, monkeypatch):
    """Give a function that asks for a run of a deployment; it returns the settings that the run's process gets."""
    deployments = set()

    def asked(name, **parameters):
        flow = import_object(DEPLOYMENTS[name]["entrypoint"])
        deployment = client.create_deployment(
            client.create_flow(flow),
            name,
            parameters=DEPLOYMENTS[name].get("parameters", {}),
            parameter_openapi_schema=parameter_schema(flow).model_dump(),
        )
        deployments.add(deployment)
        run = client.create_flow_run_from_deployment(deployment, parameters=parameters)
        monkeypatch.setenv("PREFECT__FLOW_RUN_ID", str(run.id))  # as a worker does
        return flow.validate_parameters(client.read_flow_run(run.id).parameters)

    yield asked
    for deployment in deployments:
        client.delete_deployment(deployment)


def test_one_seed_count_for_a_run_leaves_the_deployments_folder(asked):
    """The weekly phase diagram with other seeds still writes to its own folder, and is compared."""
    run = asked("weekly-phase-diagram", run={"seeds": 2})["run"]
    assert (run.seeds, run.artifacts, run.on_drift) == (2, "phase-diagram-artifacts", "drifted")


def test_a_nights_run_with_other_seeds_is_compared(asked):
    """Whether a run looks for drift is the deployment's, unless the run says so itself."""
    assert asked("nightly-tutorial", run={"seeds": 3})["run"].on_drift == "drifted"
    assert asked("nightly-tutorial", run={"on_drift": "ignore"})["run"].on_drift == "ignore"


def test_another_root_seed_leaves_the_deployments_seeds(asked):
    """64 seeds and the ablation stay, with another root seed and fewer epochs of the ablation."""
    groups = asked("depth-sweep-ablation", run={"seed": 7}, ablation={"ablation_epochs": 9})
    assert (groups["run"].seed, groups["run"].seeds) == (7, 64)
    assert (groups["ablation"].ablation, groups["ablation"].ablation_epochs) == (True, 9)


def test_another_width_leaves_the_tutorials_small_grid(asked):
    """What the flow itself sets otherwise than the experiment's own command stays, too: 40 cells, not 165."""
    grid = asked("nightly-tutorial", phase_diagram={"width": 32})["phase_diagram"]
    usual = tutorial.validate_parameters({})["phase_diagram"]
    assert grid == usual.model_copy(update={"width": 32})
    assert len(grid.depths) * len(grid.gains) == 40


def test_a_flow_called_with_some_settings_keeps_its_own_others():
    """Without a deployment, and without a server, the same."""
    assert phase_diagram.validate_parameters({"run": {"artifacts": "here"}})["run"].seeds == 2
    assert phase_diagram.validate_parameters({"run": None})["run"].seeds == 2
    whole = phase_diagram.validate_parameters({"run": ImageRunSettings(), "grid": PhaseDiagramSettings(width=8)})
    assert (whole["run"].seeds, whole["grid"].width) == (8, 8)


def test_bad_settings_of_a_run_are_one_sentence_in_the_forms_words(asked):
    """It names the field as the form does, and the value."""
    with pytest.raises(InputError, match=r"^Scheduler must be left out unless Runner dask, got 'tcp://127.0.0.1:1'"):
        asked("depth-sweep", run={"scheduler": "tcp://127.0.0.1:1"})


def test_the_forms_words_replace_options_and_nothing_else():
    """Of options whose names begin alike each has its own title; what is no setting stays."""
    sentence = "seeds must be fewer; use --seed, --seeds, --skip-bad-images 3 or --yes and depth-sweep."
    replaced = in_form_terms(sentence)
    assert replaced == (
        "Seeds per configuration must be fewer; use Root seed, Seeds per configuration, Skip bad images 3 or --yes "
        "and depth-sweep."
    )


@pytest.mark.parametrize("error", [InputError("points must be more."), SweepFailed("1 task failed")])
def test_a_run_that_ends_by_its_user_or_its_tasks_logs_a_sentence(error, caplog):
    """No traceback of Prefect's own code; a defect of the program keeps it."""
    from flows.experiment import _without_traceback

    log = logging.getLogger("tests.of.runs")
    log.addFilter(_without_traceback)
    for raised in (error, KeyError("defect")):
        try:
            raise raised
        except (InputError, SweepFailed, KeyError):
            log.exception("Encountered exception during execution: %r", raised)
    ours, defect = caplog.records
    assert (ours.getMessage(), ours.exc_info) == (str(error), None)
    assert defect.exc_info


def test_runs_are_named_by_what_they_do(run, client, tmp_path):
    """Activation and seeds in the name; the tag of the deployments' runs; nothing else is tagged with it."""
    state = run("depth_sweep", tmp_path / "artifacts", seeds=1).state
    flow_run = client.read_flow_run(state.state_details.flow_run_id)
    assert (flow_run.name, flow_run.tags) == ("depth-sweep relu 1 seed", ["deep-mlp"])


def test_a_run_that_is_at_work_is_not_crashed(client, monkeypatch):
    """Whoever says that it is, it is Resumed as long as it is at work; what crashed for good stays so."""
    monkeypatch.setattr("flows.experiment._SECONDS_BETWEEN_LOOKS", 0.1)
    flow_run = client.create_flow_run(phase_diagram, state=Running())
    with goes_on(flow_run.id):
        client.set_flow_run_state(flow_run.id, Crashed(message="No sign of life"), force=True)
        deadline = time.monotonic() + 60
        while client.read_flow_run(flow_run.id).state_name != "Resumed":
            assert time.monotonic() < deadline
            time.sleep(0.05)
    client.set_flow_run_state(flow_run.id, Crashed(message="killed"), force=True)
    time.sleep(0.5)
    assert client.read_flow_run(flow_run.id).state_name == "Crashed"


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_a_form_begins_with_the_experiment_and_ends_with_how_to_run_it(name):
    """Images are in the forms of experiments that take them alone; the rarest settings come last."""
    schema = parameter_schema(import_object(DEPLOYMENTS[name]["entrypoint"])).model_dump()
    groups = sorted(schema["properties"], key=lambda group: schema["properties"][group]["position"])
    run = schema["definitions"][schema["properties"]["run"]["$ref"].rpartition("/")[2]]["properties"]
    assert groups[-1] == "run"
    assert "spirals" not in groups[:1]
    flow = DEPLOYMENTS[name]["entrypoint"].rpartition(".")[2]
    on_images = any("images" in experiment.data for experiment in experiments() if flow in (TUTORIAL, experiment.tag))
    assert ("images" in run) == on_images
    assert list(run)[-3:] == ["runner", "workers", "scheduler"]
    assert (run["seeds"]["title"], run["seed"]["title"]) == ("Seeds per configuration", "Root seed")


@pytest.mark.parametrize("pwd", ["/", None])
def test_the_clone_is_where_prefect_yaml_lies(pwd, client, tmp_path, monkeypatch):
    """Whatever the environment says of the current folder; elsewhere nothing is deployed. Each has its own queue."""
    if pwd:
        monkeypatch.setenv("PWD", pwd)
    else:
        monkeypatch.delenv("PWD", raising=False)
    monkeypatch.chdir(ROOT)
    with suppress(ObjectAlreadyExists):
        client.create_work_pool(WorkPoolCreate(name="deep-mlp", type="process"))
    assert prepare() == {"directory": str(ROOT)}
    queues = client.read_work_queues(work_pool_name="deep-mlp")
    assert {queue.name: queue.concurrency_limit for queue in queues} == {
        "default": None,
        **dict.fromkeys(DEPLOYMENTS, 1),
    }
    assert client.read_work_pool("deep-mlp").concurrency_limit == 4
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=rf"got {tmp_path}; change to the clone"):
        prepare()


def test_a_limit_that_somebody_set_stays(client, capsys):
    """Deploying says which limit it sets on how many runs go at a time, and sets none where there is one."""
    client.create_work_pool(WorkPoolCreate(name="another", type="process"))
    _limit_pool(client, "another")
    assert "`prefect work-pool set-concurrency-limit another N` sets another limit." in capsys.readouterr().out
    client.update_work_pool("another", WorkPoolUpdate(concurrency_limit=9))
    _limit_pool(client, "another")
    assert client.read_work_pool("another").concurrency_limit == 9
    assert capsys.readouterr().out == ""
    client.delete_work_pool("another")


@pytest.fixture
def receiver():
    """Give a receiver of webhooks on loopback: its port, its answer, and what came."""

    class Receiver(BaseHTTPRequestHandler):
        answer, received = 200, []

        def do_POST(self):
            self.received.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(Receiver.answer)
            self.end_headers()
            self.wfile.write(b"ok")  # without which Slack's answer is no consent

        def log_message(self, *_arguments):
            pass

    Receiver.received = []
    server = Receiver.of = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    Receiver.port = server.server_port
    with served(server):
        yield Receiver


APPRISE = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")
FIRST = "Runs that drifted, failed or crashed are told here."


@pytest.mark.parametrize(
    "own",
    [
        "https://hooks.slack.com/services/T/B/x",
        "https://discord.com/api/webhooks/1/x",
        "https://prod-12.westeurope.logic.azure.com:443/workflows/1/triggers/manual/paths/invoke?sig=x",
        "https://ntfy.sh/runs",
        "mailto://me:secret@example.org",
    ],
)
def test_services_that_apprise_knows_get_their_own_form(own):
    """Their addresses pass as they are; any other web address gets a text alone, with its own query."""
    assert address_of(own) == own
    assert address_of("https://chat.example.org/hooks/x?token=1") == (
        "jsons://chat.example.org/hooks/x?-token=1&:message=text&:title=&:version=&:attachments=&:type="
    )


@APPRISE
@pytest.mark.parametrize(
    ("address", "path", "body"),
    [
        ("http://127.0.0.1:{}/hooks/a?token=1", "/hooks/a?token=1", f'{{"text": "{FIRST}"}}'),
        ("ntfy://127.0.0.1:{}/runs", "/", f'{{"topic": "runs", "title": "deep-mlp", "message": "{FIRST}"}}'),
    ],
)
def test_a_first_notice_goes_out_at_deployment(address, path, body, receiver, client, monkeypatch, capsys):
    """In the service's own form; it is kept secret in the block that later ones use."""
    monkeypatch.setenv("DEEP_MLP_WEBHOOK_URL", address.format(receiver.port))
    create_automations(str(ROOT / "automations.yaml"))
    assert receiver.received == [(path, body.encode())]
    assert capsys.readouterr().out == ""
    (notice,) = client.read_automations_by_name("deep-mlp: notice")
    block = client.read_block_document(notice.actions[0].block_document_id, include_secrets=False)
    assert str(receiver.port) not in str(block.data)
    assert isinstance(SlackWebhook.load("deep-mlp", _sync=True), SlackWebhook)


@pytest.fixture(scope="module")
def service_certificate(tmp_path_factory):
    """Give a folder with a certificate of all services, and its key."""
    folder = tmp_path_factory.mktemp("certificate")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=s"
    names = "subjectAltName=DNS:hooks.slack.com,DNS:discord.com,DNS:ntfy.sh,DNS:x.logic.azure.com"
    files = ["-keyout", "key.pem", "-out", "certificate.pem"]
    subprocess.run([*command.split(), *files, "-addext", names], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
def services(receiver, service_certificate, monkeypatch):
    """Give the receiver as the servers of the services: by TLS, behind a proxy that leads every address to it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(service_certificate / "certificate.pem", service_certificate / "key.pem")

    def lead_there(listener):
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                while b"\r\n\r\n" not in connection.recv(1 << 16):
                    pass
                connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                with suppress(OSError), context.wrap_socket(connection, server_side=True) as secured:
                    receiver(secured, ("127.0.0.1", 0), receiver.of)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{listener.getsockname()[1]}")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(service_certificate / "certificate.pem"))
        threading.Thread(target=lead_there, args=[listener], daemon=True).start()
        yield receiver
        listener.shutdown(socket.SHUT_RDWR)


@APPRISE
@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make a certificate with")
@pytest.mark.parametrize(
    ("address", "path", "text"),
    [
        (f"https://hooks.slack.com/services/{'T' * 9}/{'B' * 9}/{'x' * 24}", None, lambda sent: str(sent)),
        *(
            pytest.param(*service, marks=pytest.mark.thorough)
            for service in (
                ("https://discord.com/api/webhooks/123/abc", "/api/webhooks/123/abc", lambda sent: sent["content"]),
                (
                    "https://x.logic.azure.com:443/workflows/a/triggers/manual/paths/invoke?sig=b",
                    None,
                    lambda sent: str(sent),
                ),
                ("https://ntfy.sh/runs", "/", lambda sent: sent["message"]),
            )
        ),
    ],
    ids=["Slack", "Discord", "Teams", "ntfy"],
)
def test_each_service_gets_its_own_form(address, path, text, services, client, monkeypatch, capsys):
    """What its webhook takes, with our text in it; a refusal is said."""
    monkeypatch.setenv("DEEP_MLP_WEBHOOK_URL", address)
    create_automations(str(ROOT / "automations.yaml"))
    ((asked, body),) = services.received
    assert path in (None, asked)
    assert FIRST in text(json.loads(body))
    assert capsys.readouterr().out == ""
    services.answer = 400
    create_automations(str(ROOT / "automations.yaml"))
    assert "error=400" in capsys.readouterr().out


@APPRISE
def test_a_refused_first_notice_is_said(receiver, client, monkeypatch, capsys):
    """A service that answers 400 would do so at night: the deployment says so, and goes on."""
    receiver.answer = 400
    monkeypatch.setenv("DEEP_MLP_WEBHOOK_URL", f"http://127.0.0.1:{receiver.port}/")
    create_automations(str(ROOT / "automations.yaml"))
    out = capsys.readouterr().out
    assert out.startswith("deep-mlp: a first notice to DEEP_MLP_WEBHOOK_URL failed, and so will others: ")
    assert "error=400" in out
    assert client.read_automations_by_name("deep-mlp: notice")


def test_what_is_no_address_for_notices_is_refused(client, monkeypatch):
    """One sentence, and nothing is created."""
    monkeypatch.setenv("DEEP_MLP_WEBHOOK_URL", "slack, please")
    with pytest.raises(InputError, match=r"^DEEP_MLP_WEBHOOK_URL must be an address such as .*got 'slack, please'"):
        create_automations(str(ROOT / "automations.yaml"))
