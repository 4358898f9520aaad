"""Runs of deployments, as an operator has them: what a server, a worker and a clock do to them."""

from uuid import uuid4

import pytest
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.states import Cancelled, Crashed, Running

from flows.lost_runs import end_left_tasks


@pytest.fixture
def client(api_url):
    """Give a client of the session's server."""
    with get_client(sync_client=True) as client:
        yield client


@flow(name="run of a task")
def nothing():
    """Do nothing."""


@pytest.mark.parametrize(
    ("state", "tag", "again", "ended"),
    [
        pytest.param(Crashed(), "one", False, "Crashed", id="of a crashed run"),
        pytest.param(Cancelled(), "one", False, "Crashed", id="of a cancelled run"),
        pytest.param(Running(), "one", True, "Crashed", id="of a run that is begun again"),
        pytest.param(Running(), "one", False, "Running", id="of a run at work"),
        pytest.param(Crashed(), "another", False, "Running", id="of another program"),
    ],
)
def test_a_task_without_its_run_is_ended_by_the_next(client, state, tag, again, ended):
    """Nobody else ends it; what is at work, or another program's, is left alone."""
    flow_run = client.create_flow_run(nothing, state=state, tags=[tag])
    client.create_task_run(task(lambda: None, name="at work"), flow_run.id, dynamic_key="0", state=Running())
    end_left_tasks(client, "one", flow_run.id if again else uuid4())
    (task_run,) = client.read_task_runs(flow_run_filter=FlowRunFilter(id={"any_": [flow_run.id]}))
    assert task_run.state_name == ended
