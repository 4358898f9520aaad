"""What Prefect's UI shows of a run: read back from the real server."""

import base64
import io
import json
import logging
import re
import time
from concurrent.futures import Future
from unittest.mock import patch
from uuid import uuid4

import pyarrow.parquet as pq
import pytest
from PIL import Image
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterKey
from prefect.client.schemas.sorting import ArtifactSort
from prefect.futures import PrefectConcurrentFuture
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.states import Completed

from flows.local_run import _announce, _seconds_of_such_runs
from mlp_core.experiments.depth_sweep.experiment import DepthSweep
from mlp_core.experiments.sections import all_sections
from mlp_core.report.page import read_report_content, report_sections
from tasks.context import RunContext
from tasks.monitoring import Progress
from tasks.run_settings import RunSettings


def artifacts_of(state, flow_name):
    """Return a run's artifacts by what they hold; each key comes once, and begins with the flow's name."""
    wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[state.state_details.flow_run_id]))
    with get_client(sync_client=True) as client:
        artifacts = client.read_artifacts(artifact_filter=wanted)
    assert len({artifact.key for artifact in artifacts}) == len(artifacts)
    return {artifact.key.removeprefix(f"{flow_name}-"): artifact for artifact in artifacts}


@pytest.mark.parametrize(
    "experiment",
    [
        "depth_sweep",
        pytest.param("signal_propagation", marks=pytest.mark.thorough),
        pytest.param("tutorial", marks=pytest.mark.slow),
    ],
)
def test_a_run_carries_its_results(run, copied, experiment):
    """A table, figures that are whole images, the report's path; the figures stay small enough for the server."""
    root = copied(experiment)
    artifacts = artifacts_of(run(experiment, root).state, experiment.replace("_", "-"))
    rows = json.loads(artifacts["results"].data)
    if experiment == "depth_sweep":
        table = pq.read_table(root / "results/depth_sweep.parquet")
        mean = sum(table["test_accuracy"].to_pylist()[:2]) / 2
        assert [row["hidden layers"] for row in rows] == ["1", "2"]
        assert rows[0]["test accuracy"].startswith(f"{100 * mean:.1f}")
    if experiment == "tutorial":
        assert {"depth_sweep", "gain_sweep", "phase_diagram", "signal_propagation"} <= {
            row["experiment"] for row in rows
        }
        assert rows[0].keys() == rows[-1].keys() == {"experiment", "configuration", "test accuracy", "more"}
    markdown = artifacts["figures"].data
    images = [base64.b64decode(text) for text in re.findall(r"\(data:image/png;base64,([^)]*)\)", markdown)]
    sections = report_sections(read_report_content(root, all_sections()), all_sections())
    assert [section.title for section in sections] == re.findall(r"^## (.*)$", markdown, re.MULTILINE)
    left_out = markdown.count(": in the report*")
    assert len(images) + left_out == sum(
        len(section.figures[: None if len(sections) == 1 else 1]) for section in sections
    )
    assert len(markdown) < 300_000
    assert left_out == 0 or len(markdown) > 240_000
    for image in images:
        Image.open(io.BytesIO(image)).verify()
    in_short = re.sub(r"\\(.)", r"\1", artifacts["report"].data)
    assert f"`{root / 'report.html'}`" in in_short
    for section in sections:
        assert all(text in in_short for text in (section.title, *section.summary, *section.details))
    if experiment != "signal_propagation":
        assert artifacts["progress"].data == 100


def test_the_progress_counts_each_training_once(run, tmp_path):
    """Four trainings, and none twice though two experiments may wait for the same."""
    sweep = DepthSweep(depths=(1, 2, 3, 4), epochs=2, batch_size=32)
    artifacts = artifacts_of(run("depth_sweep", tmp_path / "artifacts", sweep=sweep).state, "depth-sweep")
    assert artifacts["progress"].description == "4 of 4 trainings have ended"


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore:Artifact creation outside:FutureWarning")  # no server, so no run to be in
def test_a_server_that_is_gone_costs_the_display_alone(caplog, monkeypatch):
    """As while it is started again on a busy machine: a line says so, and the run goes on."""
    monkeypatch.setenv("PREFECT__RUNTIME__FLOW_RUN__FLOW_NAME", "depth-sweep")
    training: Future = Future()
    nobody = {PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_CLIENT_MAX_RETRIES: 0}
    with temporary_settings(nobody), caplog.at_level(logging.WARNING, "deep_mlp"):
        progress = Progress(RunContext("artifacts", 1))
        progress.expect([PrefectConcurrentFuture(uuid4(), training)])
        training.set_result(Completed())
        progress.end()
    assert "Prefect's UI does not show all of this run: " in caplog.text


@pytest.mark.slow
def test_the_progress_moves_while_a_sweep_is_at_work(program, servers, tmp_path):
    """Who looks now and then sees nothing, then shares of the trainings that only grow, and all at the end."""
    wanted = ArtifactFilter(key=ArtifactFilterKey(any_=["depth-sweep-progress"]))
    environment = servers.new_home(tmp_path / "home")  # other runs' progress would be newer on the session's server
    url = f"http://127.0.0.1:{environment['PREFECT_SERVER_API_PORT']}/api"
    server = servers.start(environment)
    seen = []
    try:
        with temporary_settings({PREFECT_API_URL: url}), get_client(sync_client=True) as client:

            def newest():
                return client.read_artifacts(artifact_filter=wanted, sort=ArtifactSort.CREATED_DESC, limit=1)

            process = program.start("depth-sweep --depths 1:8 --epochs 3000 --seeds 2 --workers 1", environment)
            while process.poll() is None:
                seen += [artifact.data for artifact in newest()]
                time.sleep(0.2)
            _, err = process.communicate()
            assert process.returncode == 0, err
            seen += [artifact.data for artifact in newest()]
    finally:
        servers.stop(server)
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0, 100)
    assert any(0 < share < 100 for share in seen), seen


@pytest.mark.slow
def test_a_run_knows_how_long_such_runs_took(run, copied):
    """Those with the same settings, the last one first; one with another number of seeds is another run."""
    root = copied("depth_sweep")
    states = [run("depth_sweep", root, seeds=seeds).state for seeds in (2, 1, 2)]
    with get_client(sync_client=True) as client:
        runs = [client.read_flow_run(state.state_details.flow_run_id) for state in states]
    seconds = [flow_run.total_run_time.total_seconds() for flow_run in runs]
    assert _seconds_of_such_runs(runs[2]) == [seconds[2], seconds[0]]
    assert _seconds_of_such_runs(runs[1]) == [seconds[1]]


@pytest.mark.parametrize(
    ("name", "seeds", "seconds", "lines"),
    [
        ("depth-sweep", 8, [], []),
        (
            "depth-sweep",
            8,
            [9.4, 74.0],
            ["depth-sweep: 8 seeds, in {}; such runs took 9 s to 74 s on this machine, the last one 9 s"],
        ),
        ("tutorial", 8, [], ["tutorial: every experiment, 8 seeds, in {}"]),
        (
            "tutorial",
            1,
            [46.0],
            ["tutorial: the tutorial's own experiments, 1 seed, in {}; such a run took 46 s on this machine"],
        ),
    ],
)
def test_a_run_says_what_it_is_about_to_do(caplog, tmp_path, name, seeds, seconds, lines):
    """The tutorial always, the others where they know how long it took before."""
    logger = logging.getLogger("deep_mlp")
    with patch.object(logger, "propagate", True), caplog.at_level(logging.INFO, "deep_mlp"):
        _announce(name, RunSettings(seeds=seeds, artifacts=str(tmp_path)), seconds)
    start = ", not counting Prefect's start" if seconds else ""
    assert caplog.messages == [line.format(tmp_path) + start for line in lines]
