"""Questions as runs of a flow: a program of its own for each, on the Prefect server that is up."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from flows.play.question import Asked, playground
from flows.prefect_settings import read_prefect_settings
from flows.server import LocalServer, reach_directly
from mlp_core.errors import DeepMlpError, InputError

MOST_RUNS = 2
"""At work at the same time."""
_LOOK_SECONDS = 0.3
_PATIENCE_SECONDS = 120
_END_SECONDS = 10


class FlowRuns:
    """Runs questions of the page as Prefect flows, each in a process of its own, and reports their state.

    Args:
        artifacts: Artifact folder of these runs.
    """

    def __init__(self, artifacts: str) -> None:
        self._artifacts, self._lock = artifacts, threading.Lock()
        self._server: LocalServer | None = None
        self._runs: set[subprocess.Popen[str]] = set()
        self._n_at_work = 0

    def start(self, asks: Asked, tell: Callable[..., None]) -> None:
        """Run a question as a flow in the background; return at once.

        Args:
            asks: The question.
            tell: Called from another thread at each change, with `state` (`starting`, `running`, `completed`,
                `failed`), `sentence` and, once it is known, `url` of the run in Prefect's UI.

        Raises:
            InputError: If `MOST_RUNS` runs are already at work.
        """
        with self._lock:
            if self._n_at_work >= MOST_RUNS:
                message = f"flow runs at work must be at most {MOST_RUNS}; wait until one has ended."
                raise InputError(message)
            self._n_at_work += 1
        threading.Thread(target=self._run, args=(asks, tell), daemon=True).start()

    def close(self) -> None:
        """Interrupt all runs as Ctrl-C does (kill them after 10 s); stop the Prefect server if no one else uses it."""
        with self._lock:
            runs, server = list(self._runs), self._server
        for run in runs:
            run.send_signal(signal.SIGINT)
        for run in runs:
            try:
                run.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                run.kill()
        if server:
            server.release()

    def _run(self, asks: Asked, tell: Callable[..., None]) -> None:
        try:
            tell(state="starting", sentence="Prefect's server is starting.")
            api_url = self._api_url()
            tell(state="starting", sentence="The flow is starting.")
            self._watch(asks, api_url, tell)
        except DeepMlpError as error:
            tell(state="failed", sentence=str(error))
        finally:
            with self._lock:
                self._n_at_work -= 1

    def _api_url(self) -> str:
        reach_directly()
        settings = read_prefect_settings()
        if settings.api_url:
            return settings.api_url
        with self._lock:
            if self._server is None or not self._server.lives():
                self._server = LocalServer(settings)
            server = self._server
        server.wait()
        return server.url

    def _watch(self, asks: Asked, api_url: str, tell: Callable[..., None]) -> None:
        begun = datetime.now(UTC) - timedelta(seconds=1)
        name = playground().tag.replace("_", "-")
        run = subprocess.Popen(
            [sys.executable, "-m", "flows.command_line", name, *asks.options, "--artifacts", self._artifacts],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C is this program's, which tells it
        )
        with self._lock:
            self._runs.add(run)
        lines: list[str] = []
        reading = threading.Thread(target=lambda: lines.extend(run.stderr or ()), daemon=True)
        reading.start()
        url, deadline = "", time.monotonic() + _PATIENCE_SECONDS
        while run.poll() is None:
            if not url and time.monotonic() < deadline:
                url = _run_page(api_url, name, begun, self._parameters(asks))
                if url:
                    tell(state="running", sentence="The flow is at work.", url=url)
            time.sleep(_LOOK_SECONDS)
        url = url or _run_page(api_url, name, begun, self._parameters(asks))
        reading.join(_END_SECONDS)
        if run.stderr:
            run.stderr.close()
        with self._lock:
            self._runs.discard(run)
        if run.returncode == 0:
            tell(state="completed", sentence=f"The flow has completed; its report lies in {self._artifacts}.", url=url)
        else:
            reason = next((line.strip() for line in reversed(lines) if line.strip()), "no reason was given")
            tell(state="failed", sentence=f"The flow has failed: {reason}", url=url)

    def _parameters(self, asks: Asked) -> dict[str, Any]:
        groups = {name: group.model_dump(mode="json") for name, group in asks.flow_settings.items()}
        groups["run"]["artifacts"] = self._artifacts
        return groups


def _run_page(api_url: str, flow: str, begun: datetime, parameters: dict[str, Any]) -> str:
    """Return the page of the newest run of a flow with these parameters; empty if there is none yet."""
    import httpx

    asked = {
        "flows": {"name": {"any_": [flow]}},
        "flow_runs": {"start_time": {"after_": begun.isoformat()}},
        "sort": "START_TIME_DESC",
        "limit": 20,
    }
    try:
        answer = httpx.post(f"{api_url}/flow_runs/filter", json=asked, timeout=5, trust_env=False)
        rows = answer.raise_for_status().json()
    except (httpx.HTTPError, ValueError):
        return ""
    for row in rows:
        run_parameters = row["parameters"]
        if all(run_parameters.get(name) == values for name, values in parameters.items()):
            return f"{api_url.removesuffix('/api')}/runs/flow-run/{row['id']}"
    return ""
