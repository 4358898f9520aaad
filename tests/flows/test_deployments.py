"""The deployments: what prefect.yaml says, and runs of a copy of the clone with a real server and worker."""

import asyncio
import os
import re
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path

import prefect
import pytest
import yaml
from deployed import LONG, QUICK, deployed
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.client.schemas.filters import FlowRunFilter, TaskRunFilter
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Completed, Crashed
from prefect.utilities.importtools import import_object

from mlp_core.artifacts.baseline import accept
from tasks.run_settings import RunSettings
from tasks.stages import flow_names, flow_parameters

ROOT = Path(__file__).parents[2]
CONFIGURATION = yaml.safe_load((ROOT / "prefect.yaml").read_text())
AUTOMATIONS = yaml.safe_load((ROOT / "automations.yaml").read_text())["automations"]
NAMES = [
    f"{deployment['entrypoint'].split('.')[-1]}/{deployment['name']}" for deployment in CONFIGURATION["deployments"]
]


@pytest.mark.parametrize("deployment", CONFIGURATION["deployments"], ids=NAMES)
def test_a_deployment_is_what_it_names(deployment):
    """Its entrypoint is a flow that takes its parameters; one run at a time; its name says which."""
    flow = import_object(deployment["entrypoint"])
    flow.validate_parameters(deployment.get("parameters", {}))
    assert flow.name in deployment["name"]
    assert deployment["tags"] == ["deep-mlp"]
    assert deployment["work_pool"]["work_queue_name"] == deployment["name"]
    assert deployment["description"].endswith(".")


def test_a_schedule_is_told_by_its_slug():
    """By it Prefect keeps whether somebody switched it off, as long as the file does not say."""
    for deployment in CONFIGURATION["deployments"]:
        for schedule in deployment.get("schedules", []):
            assert schedule.keys() == {"slug", "cron", "timezone"}


def test_every_command_has_a_deployment():
    """What runs by hand runs on a schedule, too."""
    deployed = {deployment["entrypoint"] for deployment in CONFIGURATION["deployments"]}
    modules = flow_names()
    assert deployed == {f"flows.{module}.{module}" for module in modules}
    for module in modules:
        import_module(f"flows.{module}")


def test_the_automations_wait_for_more_than_two_heartbeats():
    """A run whose heartbeat is late once is not dead; one that is gone is marked within two minutes."""
    heartbeat = int(
        CONFIGURATION["definitions"]["work_pool"]["job_variables"]["env"]["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"]
    )
    assert 2 * heartbeat < AUTOMATIONS[0]["trigger"]["within"] <= 120 - heartbeat
    assert AUTOMATIONS[1]["trigger"]["within"] == 300


def test_the_server_knows_when_each_schedule_comes_next():
    """It reckons in libraries of its own; if they do not go together, no run comes, and its log alone says so."""
    from prefect.server.schemas.schedules import CronSchedule

    schedules = [
        schedule for deployment in CONFIGURATION["deployments"] for schedule in deployment.get("schedules", [])
    ]
    for schedule in schedules:
        minute, hour, *_ = map(str, schedule["cron"].split())
        comes = asyncio.run(CronSchedule(cron=schedule["cron"], timezone=schedule["timezone"]).get_dates(2))
        assert [(str(at.minute), str(at.hour)) for at in comes] == [(minute, hour)] * 2
    assert len(schedules) == 3


@pytest.mark.parametrize("cron", ["0 3 * * *", "30 2 * * *"])
@pytest.mark.parametrize(
    ("timezone", "first_day"),
    [
        pytest.param("Europe/Berlin", datetime(2027, 3, 26, tzinfo=UTC), id="a night of 23 hours"),
        pytest.param("Europe/Berlin", datetime(2027, 10, 29, tzinfo=UTC), id="a night of 25 hours"),
        pytest.param("America/New_York", datetime(2027, 11, 5, tzinfo=UTC), id="another one"),
    ],
)
def test_a_night_that_changes_the_clocks_has_one_run(timezone, first_day, cron):
    """The file says UTC, which knows no such night; who writes another zone loses no run and gets none twice."""
    from prefect.server.schemas.schedules import CronSchedule

    schedule = CronSchedule(cron=cron, timezone=timezone)
    comes = asyncio.run(schedule.get_dates(6, start=first_day + timedelta(hours=12)))
    days = [first_day.date() + timedelta(days=number) for number in range(1, 7)]
    assert [at.date() for at in comes] == days
    assert len({at.astimezone(UTC) for at in comes}) == 6


def test_the_weekly_phase_diagram_has_a_folder_of_its_own():
    """Its grid is not the tutorial's, and results of another grid are never compared; git looks at neither folder."""
    runs = {
        deployment["entrypoint"]: deployment["parameters"]["run"]
        for deployment in CONFIGURATION["deployments"]
        if "schedules" in deployment
    }
    folders = {
        RunSettings.model_validate(runs[flow]).artifacts
        for flow in ("flows.tutorial.tutorial", "flows.phase_diagram.phase_diagram")
    }
    assert len(folders) == 2
    for folder in folders:
        assert subprocess.run(["git", "check-ignore", "--quiet", f"{folder}/report.html"], cwd=ROOT).returncode == 0


@pytest.fixture(scope="module")
def laboratory(servers, tmp_path_factory):
    """Give a copy of the clone that is deployed, with automations that do not wait as long for a run to begin."""
    with deployed(tmp_path_factory.mktemp("deployments"), servers, not_begun_seconds=110) as lab:
        yield lab


@pytest.mark.slow
def test_all_is_deployed_and_deploying_again_changes_nothing(laboratory):
    """Every flow, the three schedules and the automations are there once, however often they are deployed."""
    rounds = []
    for _ in range(2):
        deployments = laboratory.client.read_deployments()
        schedules = {str(schedule.schedule.cron) for deployment in deployments for schedule in deployment.schedules}
        automations = sorted((automation.name, automation.id) for automation in laboratory.client.read_automations())
        rounds.append((sorted(deployment.name for deployment in deployments), schedules, automations))
        laboratory.prefect("deploy", "--all", DEEP_MLP_WEBHOOK_URL=laboratory.notices.url)
    assert rounds[0] == rounds[1]
    assert rounds[0][0] == sorted(name.split("/")[1] for name in NAMES)
    assert rounds[0][1] == {"0 3 * * *", "0 4 * * 0", "0 5 * * 0"}
    assert [name for name, _ in rounds[0][2]] == sorted(automation["name"] for automation in AUTOMATIONS)


@pytest.mark.slow
def test_deploying_again_leaves_what_somebody_switched_off_and_added(laboratory):
    """What it does change is said in a line each: another time is the file's again, a deleted schedule comes back."""
    client = laboratory.client

    def schedules(name):
        return {schedule.slug: schedule for schedule in client.read_deployment_by_name(name).schedules}

    phase, gains, tutorial = (
        "phase-diagram/weekly-phase-diagram",
        "gain-sweep/weekly-gain-sweep",
        "tutorial/nightly-tutorial",
    )
    paused, moved, gone = schedules(phase)["weekly"], schedules(gains)["weekly"], schedules(tutorial)["nightly"]
    ids = {name: client.read_deployment_by_name(name).id for name in (phase, gains, tutorial)}
    client.update_deployment_schedule(ids[phase], paused.id, active=False)
    client.update_deployment_schedule(ids[gains], moved.id, schedule=CronSchedule(cron="0 6 * * 0", timezone="UTC"))
    client.create_deployment_schedules(ids[gains], [(CronSchedule(cron="0 1 1 1 *"), True)])
    client.delete_deployment_schedule(ids[tutorial], gone.id)
    output = laboratory.prefect("deploy", "--all")
    assert [line for line in output.splitlines() if line.startswith("deep-mlp: ")] == [
        f"deep-mlp: {tutorial}: the schedule 'nightly' is not on the server, and is switched on: 0 3 * * *",
        f"deep-mlp: {gains}: the schedule 'weekly' is that of prefect.yaml again: 0 4 * * 0 UTC, not 0 6 * * 0 UTC",
        f"deep-mlp: {phase}: the schedule 'weekly' stays switched off",
    ]
    assert not schedules(phase)["weekly"].active
    assert sorted(str(schedule.schedule.cron) for schedule in schedules(gains).values()) == ["0 1 1 1 *", "0 4 * * 0"]
    assert schedules(tutorial)["nightly"].active
    client.update_deployment_schedule(ids[phase], paused.id, active=True)
    (added,) = [schedule for slug, schedule in schedules(gains).items() if slug != "weekly"]
    client.delete_deployment_schedule(ids[gains], added.id)


@pytest.mark.slow
def test_of_the_runs_that_were_missed_one_catches_up(laboratory):
    """After nights without a worker one run trains; the others say that they were skipped, and which run goes."""
    deployment = laboratory.client.read_deployment_by_name("polynomial/polynomial")
    laboratory.worker.kill()
    laboratory.worker.wait()
    how = {"artifacts": str(laboratory.folder.parent / "missed"), "seeds": 1}
    (schedule,) = laboratory.client.create_deployment_schedules(deployment.id, [(CronSchedule(cron="0 3 * * *"), True)])
    parameters = {"run": how, "model": {"degree": 2, "epochs": 1}}
    laboratory.client.update_deployment_schedule(deployment.id, schedule.id, parameters=parameters)
    now = datetime.now(UTC)
    missed = {"start_time": str(now - timedelta(days=3)), "end_time": str(now), "min_runs": 3, "max_runs": 3}
    laboratory.client.request("POST", "/deployments/{id}/schedule", path_params={"id": deployment.id}, json=missed)
    laboratory.start_worker()
    wanted = FlowRunFilter(
        deployment_id={"any_": [deployment.id]}, tags={"all_": ["auto-scheduled"]}, expected_start_time={"before_": now}
    )
    deadline = time.monotonic() + 240
    try:
        while True:
            runs = laboratory.client.read_flow_runs(flow_run_filter=wanted)
            if all(run.state.is_final() for run in runs):
                break
            assert time.monotonic() < deadline, [(run.expected_start_time, run.state) for run in runs]
            time.sleep(1)
    finally:
        laboratory.client.delete_deployment_schedule(deployment.id, schedule.id)
    first, second, last = sorted(runs, key=lambda run: run.expected_start_time)
    assert [run.state_name for run in (first, second, last)] == ["Completed", "Skipped", "Skipped"]
    assert last.state.type == StateType.CANCELLED
    assert f"when the run of {first.expected_start_time:%Y-%m-%d} 03:00 UTC was, which catches up" in last.state.message
    assert laboratory.log(last.id) == ""  # no process was started for it


@pytest.mark.slow
def test_bad_input_of_a_form_is_a_sentence_and_a_refused_notice_is_an_event(laboratory):
    """The run's log has no traceback; the service that answers 400 is in the server's events, with its answer."""
    laboratory.notices.answer = 400
    try:
        failed = laboratory.run("depth-sweep/depth-sweep", spirals={"points": 10})
        run = laboratory.until(failed, "Failed")
        laboratory.notices.of(run)
    finally:
        laboratory.notices.answer = 204
    sentence = "Batch size must be at most the 32 training points, got 128; use a smaller Batch size or more Points."
    assert run.state.message.endswith(sentence)
    log = laboratory.log(failed)
    assert sentence in log
    assert "Traceback" not in log
    refused = {"filter": {"event": {"name": ["prefect.automation.action.failed"]}}}
    deadline = time.monotonic() + 30
    while not (events := laboratory.client.request("POST", "/events/filter", json=refused).json()["events"]):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert "error=400" in events[0]["payload"]["notification_log"]


@pytest.mark.slow
def test_a_run_that_was_taken_for_crashed_goes_on(laboratory):
    """As on a machine that was suspended: it makes itself Resumed, a notice says so, and it completes."""
    deadline = time.monotonic() + 240
    with laboratory.none_ends():
        flow_run_id = laboratory.run("depth-sweep/depth-sweep", **LONG, run={**laboratory.how, "seed": 5})
        laboratory.trained_something(flow_run_id)
        laboratory.client.set_flow_run_state(flow_run_id, Crashed(message="No sign of life"), force=True)
        while (run := laboratory.client.read_flow_run(flow_run_id)).state_name != "Resumed":
            assert run.state_name == "Crashed"
            assert time.monotonic() < deadline
            time.sleep(0.5)
    laboratory.until(flow_run_id, "Completed")
    while not any("is Resumed: " in notice.text for notice in laboratory.notices.received):
        assert time.monotonic() < deadline, laboratory.notices.received
        time.sleep(0.5)


@pytest.mark.slow
def test_runs_that_are_suspended_for_two_minutes_complete(laboratory):
    """By `kill -STOP`, as by a laptop's lid: called Crashed meanwhile, one that has much to do yet, and a quick one."""
    longer = {**LONG, "run": {**laboratory.how, "seed": 6}}
    quick = {"model": {"degree": 2, "epochs": 1}}
    with laboratory.none_ends():
        ids = [laboratory.run("depth-sweep/depth-sweep", **longer), laboratory.run("polynomial/polynomial", **quick)]
        for flow_run_id in ids:
            laboratory.until(flow_run_id, "Running")
            for pid in laboratory.processes_of(flow_run_id):
                os.kill(pid, signal.SIGSTOP)
    time.sleep(120)
    for flow_run_id in ids:
        laboratory.until(flow_run_id, "Crashed", seconds=60)
    for pid in [pid for flow_run_id in ids for pid in laboratory.processes_of(flow_run_id)]:
        os.kill(pid, signal.SIGCONT)
    deadline = time.monotonic() + 240
    while [laboratory.client.read_flow_run(flow_run_id).state_name for flow_run_id in ids] != ["Completed"] * 2:
        assert time.monotonic() < deadline, [laboratory.client.read_flow_run(flow_run_id).state for flow_run_id in ids]
        time.sleep(0.5)


@pytest.mark.slow
def test_a_schedule_fires(laboratory):
    """A run that nobody asked for comes at its time, with the schedule's parameters, in the clone's own folder."""
    deployment = laboratory.client.read_deployment_by_name("depth-sweep/depth-sweep")
    schedule = IntervalSchedule(interval=timedelta(seconds=20))
    (created,) = laboratory.client.create_deployment_schedules(deployment.id, [(schedule, True)])
    laboratory.client.update_deployment_schedule(deployment.id, created.id, parameters={"run": {"seeds": 2}, **QUICK})
    came_by_itself = FlowRunFilter(
        deployment_id={"any_": [deployment.id]},
        tags={"all_": ["auto-scheduled"]},
        state={"name": {"any_": ["Completed"]}},
    )
    try:
        deadline = time.monotonic() + 300
        while not laboratory.client.read_flow_runs(flow_run_filter=came_by_itself):
            assert time.monotonic() < deadline, (laboratory.folder.parent / "worker.log").read_text()
            time.sleep(0.5)
    finally:
        laboratory.client.delete_deployment_schedule(deployment.id, created.id)
    assert (laboratory.folder / "artifacts" / "report.html").exists()


@pytest.mark.slow
def test_a_custom_run_has_its_own_parameters_and_log(laboratory):
    """Parameters changed for one run decide its results, and it shows them all; its log says what was trained."""
    flow_run_id = laboratory.run("depth-sweep/depth-sweep", **QUICK)
    parameters = laboratory.until(flow_run_id, "Completed").parameters
    fields = {group: set(type(settings).model_fields) for group, settings in flow_parameters("depth_sweep").items()}
    assert {group: set(values) for group, values in parameters.items()} == fields
    assert (parameters["run"]["seeds"], parameters["sweep"]["depths"]) == (2, QUICK["sweep"]["depths"])
    import pyarrow.parquet as pq

    assert set(pq.read_table(laboratory.artifacts / "results/depth_sweep.parquet")["depth"].to_pylist()) == {1, 2}
    assert "trained depth_sweep depth=1 width=14: 2 members in " in laboratory.log(flow_run_id)


@pytest.mark.slow
def test_a_cancelled_run_stops_frees_its_slot_and_keeps_what_was_finished(laboratory):
    """The next run waits for the slot, gets it when the first is cancelled, and trains only what is missing."""
    with laboratory.none_ends():
        first = laboratory.run("depth-sweep/depth-sweep", **LONG)
        laboratory.until(first, "Running")
        second = laboratory.run("depth-sweep/depth-sweep", **LONG)
        laboratory.trained_something(first)
        pid = laboratory.process_of(first)
        assert laboratory.client.read_flow_run(second).state.type == StateType.SCHEDULED
        laboratory.prefect("flow-run", "cancel", str(first))
        laboratory.until(first, "Cancelled")
    assert not Path(f"/proc/{pid}").exists()
    laboratory.until(second, "Completed")
    trained = [laboratory.log(run).count("trained depth_sweep") for run in (first, second)]
    assert trained[0] > 0
    assert sum(trained) == 12


@pytest.mark.slow
def test_a_worker_killed_and_restarted_goes_on(laboratory):
    """The run of a killed worker goes on to its end, and what was asked for meanwhile is run by the next worker."""
    with laboratory.none_ends():
        first = laboratory.run("depth-sweep/depth-sweep", **{**LONG, "run": {**laboratory.how, "seed": 1}})
        laboratory.until(first, "Running")
        laboratory.worker.kill()
        laboratory.worker.wait()
        second = laboratory.run("depth-sweep/depth-sweep", **QUICK)
        laboratory.start_worker()
    assert laboratory.until(first, "Completed").end_time
    laboratory.until(second, "Completed")


@pytest.mark.slow
def test_a_run_whose_process_was_killed_is_crashed_at_once(laboratory):
    """The worker sees it; the notice says so; the next run trains what is missing, and ends the first one's tasks."""
    how = {**laboratory.how, "seed": 2}
    with laboratory.none_ends():
        killed = laboratory.run("depth-sweep/depth-sweep", **{**LONG, "run": how})
        laboratory.trained_something(killed)
        os.kill(laboratory.process_of(killed), signal.SIGKILL)
    run = laboratory.until(killed, "Crashed", seconds=30)
    notice = laboratory.notices.of(run)
    assert notice.kind == "application/json"
    assert notice.text.startswith(f"depth-sweep / {run.name} is Crashed: ")
    assert not {"Running", "Pending"}.isdisjoint(task_run.state_name for task_run in laboratory.tasks_of(killed))
    following = laboratory.run("depth-sweep/depth-sweep", **{**LONG, "run": how})
    laboratory.until(following, "Completed")
    assert {task_run.state_name for task_run in laboratory.tasks_of(killed)} <= {"Completed", "Cached", "Crashed"}
    assert sum(laboratory.log(run_id).count("trained depth_sweep") for run_id in (killed, following)) == 12


@pytest.mark.slow
def test_a_run_killed_with_its_worker_is_crashed_within_two_minutes(laboratory):
    """As if the machine had lost its power: nobody is left to say so but the server."""
    with laboratory.none_ends():
        killed = laboratory.run("depth-sweep/depth-sweep", **{**LONG, "run": {**laboratory.how, "seed": 3}})
        laboratory.until(killed, "Running")
        laboratory.worker.kill()
        os.kill(laboratory.process_of(killed), signal.SIGKILL)
        laboratory.worker.wait()
    try:
        run = laboratory.until(killed, "Crashed", seconds=120)
    finally:
        laboratory.start_worker()
    assert run.state.message.startswith("No sign of life for 90 seconds")


@pytest.mark.slow
def test_a_run_killed_with_its_worker_before_it_began_is_crashed_within_two_minutes(laboratory):
    """The same while it imports; its place is free again, and a run that began in time stays what it is."""
    ended = laboratory.run("depth-sweep/depth-sweep", **QUICK)
    laboratory.until(ended, "Completed")
    killed = laboratory.run("depth-sweep/depth-sweep", **QUICK)
    while not (pid := laboratory.process_of(killed)):
        time.sleep(0.05)
    laboratory.worker.kill()
    while pid:  # what prepares the run has a process of its own
        os.kill(pid, signal.SIGKILL)
        pid = laboratory.process_of(killed)
    laboratory.worker.wait()
    assert laboratory.client.read_flow_run(killed).state.type == StateType.PENDING
    try:
        run = laboratory.until(killed, "Crashed", seconds=120)
    finally:
        laboratory.start_worker()
    assert run.state.message.startswith("Not begun 5 minutes after a worker took it")
    laboratory.until(laboratory.run("depth-sweep/depth-sweep", **QUICK), "Completed")
    assert laboratory.client.read_flow_run(ended).state_name == "Completed"


@pytest.mark.slow
def test_a_run_outlives_its_server(laboratory):
    """A server killed and started again after ten seconds finds the run at work, which completes."""
    with laboratory.none_ends():
        flow_run_id = laboratory.run("depth-sweep/depth-sweep", **{**LONG, "run": {**laboratory.how, "seed": 4}})
        laboratory.trained_something(flow_run_id)
        laboratory.server.kill()
        laboratory.server.wait()
        time.sleep(10)
        laboratory.start_server()
    laboratory.until(flow_run_id, "Completed")
    import pyarrow.parquet as pq

    # Not the log: Prefect leaves out the lines that it could not send meanwhile
    table = pq.read_table(laboratory.artifacts / "results/depth_sweep.parquet")
    assert set(table["depth"].to_pylist()) == set(range(1, 13))
    deadline = time.monotonic() + 30  # the server writes the tasks' states after the run's
    while {task_run.state_name for task_run in laboratory.tasks_of(flow_run_id)} != {"Completed"}:
        assert time.monotonic() < deadline, [
            (task_run.name, task_run.state) for task_run in laboratory.tasks_of(flow_run_id)
        ]
        time.sleep(0.5)


@pytest.mark.slow
def test_a_deleted_run_leaves_no_rows(laboratory):
    """`prefect flow-run delete` takes the run, its tasks and its log out of the database; results stay."""
    flow_run_id = laboratory.run("depth-sweep/depth-sweep", **QUICK)
    laboratory.until(flow_run_id, "Completed")
    tasks = laboratory.tasks_of(flow_run_id)
    assert tasks
    laboratory.prefect("flow-run", "delete", str(flow_run_id))
    with pytest.raises(ObjectNotFound):
        laboratory.client.read_flow_run(flow_run_id)
    by_number = TaskRunFilter(id={"any_": [task_run.id for task_run in tasks]})
    assert laboratory.client.read_task_runs(task_run_filter=by_number) == []
    deadline = time.monotonic() + 30
    while laboratory.log(flow_run_id):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert (laboratory.artifacts / "results/depth_sweep.parquet").exists()


@pytest.mark.slow
def test_a_server_that_keeps_runs_for_thirty_days_deletes_older_ones(servers, tmp_path):
    """As docs/operations.md starts it: a run that ended 31 days ago goes, with tasks, log and table; others stay."""
    command = (ROOT / "docs/operations.md").read_text()
    settings = dict(re.findall(r"(PREFECT_SERVER_SERVICES_DB_VACUUM_\w+)=(\w+)", command))
    environment = {**servers.new_home(tmp_path / "prefect"), **settings}
    server = servers.start({**environment, "PREFECT_SERVER_SERVICES_DB_VACUUM_LOOP_SECONDS": "2"})
    url = f"http://127.0.0.1:{environment['PREFECT_SERVER_API_PORT']}/api"
    try:
        with temporary_settings({PREFECT_API_URL: url}), get_client(sync_client=True) as client:
            old, recent = (_ended_run(client, name) for name in ("old", "recent"))
            with closing(sqlite3.connect(tmp_path / "prefect/prefect.db", timeout=30)) as database, database:
                long_ago = datetime.now(UTC) - timedelta(days=31)
                changed = database.execute("UPDATE flow_run SET end_time = ? WHERE name = 'old'", (str(long_ago),))
                assert changed.rowcount == 1
            deadline = time.monotonic() + 60
            while {run.id for run in client.read_flow_runs()} != {recent} or _rows(client) != (1, 1, 1):
                assert time.monotonic() < deadline, (client.read_flow_runs(), _rows(client), old)
                time.sleep(0.5)
    finally:
        servers.stop(server)


def _ended_run(client, name):
    """Make a run with a task, a line of its log and a table, that has ended, and return its id."""

    @prefect.flow(name=name)
    def nothing():
        """Do nothing."""

    run = client.create_flow_run(nothing, name=name)
    client.create_task_run(prefect.task(lambda: None, name=name), run.id, dynamic_key="0", state=Completed())
    client.create_logs(
        [{"name": name, "level": 20, "message": name, "timestamp": str(datetime.now(UTC)), "flow_run_id": str(run.id)}]
    )
    table = ArtifactCreate(key=name, type="markdown", data=name, flow_run_id=run.id)
    client.request("POST", "/artifacts/", json=table.model_dump(mode="json", exclude_unset=True))
    client.set_flow_run_state(run.id, Completed(), force=True)
    return run.id


def _rows(client):
    """Return how many task runs, lines of logs and artifacts there are."""
    return len(client.read_task_runs()), len(client.read_logs()), len(client.read_artifacts())


@pytest.mark.slow
def test_the_notice_of_a_run_that_drifted_says_what_moved(laboratory, raise_baseline):
    """A scheduled run compares itself; the webhook gets the figure, from what to what, and which version changed."""
    how = {**laboratory.how, "artifacts": str(laboratory.folder.parent / "nightly"), "on_drift": "drifted"}
    laboratory.until(laboratory.run("depth-sweep/depth-sweep", **QUICK, run=how), "Completed")
    root = Path(how["artifacts"])
    accept(root, datetime.now(UTC))
    raise_baseline(root)
    run = laboratory.until(laboratory.run("depth-sweep/depth-sweep", **QUICK, run=how), "Drifted")
    notice = laboratory.notices.of(run)
    assert notice.text == f"depth-sweep / {run.name} is Drifted: {run.state.message}"
    assert "depth_sweep depth=2" in notice.text
    assert "Changed since: torch 2.9.0 → " in notice.text
