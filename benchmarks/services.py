"""A Prefect server and a worker in a home of their own, and a schedule of depth sweeps, for load and soak."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import tasks  # noqa: F401 - the project's own defaults for Prefect, which server and worker inherit
from flows.server import healthy

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.orchestration import SyncPrefectClient

PATIENCE_SECONDS = 1800  # a machine that is busy with other work may need minutes for one run
PREFECT = [sys.executable, "-m", "prefect", "--no-prompt"]
SERVER = [*PREFECT, "server", "start"]
WORKER = [*PREFECT, "worker", "start", "--pool", "deep-mlp", "--type", "process"]
_ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Place:
    """Folders and address of a Prefect server, its worker and their runs.

    Attributes:
        clone: A copy of the code, so that edits of the original do not change running work.
        home: Prefect's home folder.
        artifacts: Artifact folder; not created yet.
        log: File with the output of server and worker.
        url: Address of the server's API.
    """

    clone: Path
    home: Path
    artifacts: Path
    log: Path
    url: str


@contextmanager
def place_of_its_own() -> Iterator[Place]:
    """Create temporary folders for a Prefect server and its runs, and set the environment so that children use them."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stopped)
    port = os.environ.get("PREFECT_SERVER_API_PORT", "4200")
    url = f"http://127.0.0.1:{port}/api"
    if healthy(url):
        sys.exit(f"port {port} is in use; set PREFECT_SERVER_API_PORT to a free one.")
    with tempfile.TemporaryDirectory() as folder:
        place = Place(*(Path(folder, name) for name in ("clone", "prefect", "artifacts", "log")), url)
        place.home.mkdir()
        _copy_the_clone(place.clone)
        # Also read by Prefect's client in this process, as it is imported
        os.environ |= {"PREFECT_HOME": str(place.home), "PREFECT_SERVER_API_PORT": port, "PREFECT_API_URL": url}
        yield place


def _copy_the_clone(to: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=_ROOT, capture_output=True, check=True
    )
    for name in listed.stdout.decode().splitlines():
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # deleted, and not yet committed
            shutil.copy(_ROOT / name, to / name)


def _stopped(*_: object) -> NoReturn:
    """End everything once; who presses Ctrl-C again must not leave a server behind."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def give_up(reason: str, log: Path) -> NoReturn:
    """Exit the program with a reason and the last 2,000 characters of a log."""
    sys.exit(f"{reason}:\n{log.read_text(errors='replace')[-2000:]}")


def wait_until(condition: Callable[[], object], otherwise: str, log: Path) -> None:
    """Wait until a condition holds; exit the program if it does not within `PATIENCE_SECONDS`.

    Args:
        condition: Called twice a second.
        otherwise: The reason to print when giving up.
        log: Log whose end is printed then.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            give_up(otherwise, log)
        time.sleep(0.5)


@contextmanager
def running(command: list[str], place: Place) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process while the context lasts; at its end stop it and all its descendants.

    Args:
        command: The program and its arguments.
        place: Where it runs, and where its output goes.
    """
    with place.log.open("a") as output:
        process = subprocess.Popen(
            command, cwd=place.clone, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield process
    finally:
        family = descendants(process.pid)
        process.terminate()
        family |= descendants(process.pid)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pid in family:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def descendants(pid: int) -> set[int]:
    """Return the numbers of all processes that a process started, directly or indirectly; Linux only."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parents[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
    descended, latest = set(), {pid}
    while latest := {child for child, parent in parents.items() if parent in latest}:
        descended |= latest
    return descended


@contextmanager
def scheduled(client: SyncPrefectClient, place: Place, parameters: dict[str, Any], seconds: float) -> Iterator[UUID]:
    """Deploy the depth sweep as docs/schedule-it.md describes, and schedule it while the context lasts.

    Args:
        client: Client of the server.
        place: Folders of server and worker; both must be running.
        parameters: Parameters of each run.
        seconds: Time between two runs.

    Yields:
        The deployment's id.
    """
    from prefect.client.schemas.schedules import IntervalSchedule

    from flows.automations import create_automations

    wait_until(client.read_work_pools, "the worker made no work pool", place.log)
    create_automations(str(place.clone / "automations.yaml"))
    with place.log.open("a") as output:
        deploy = [*PREFECT, "deploy", "--name", "depth-sweep"]
        if subprocess.run(deploy, cwd=place.clone, stdout=output, stderr=output).returncode:
            give_up("nothing was deployed", place.log)
    deployment = client.read_deployment_by_name("depth-sweep/depth-sweep").id
    every = IntervalSchedule(interval=timedelta(seconds=seconds))
    (schedule,) = client.create_deployment_schedules(deployment, [(every, True)], parameters=parameters)
    yield deployment
    client.delete_deployment_schedule(deployment, schedule.id)
