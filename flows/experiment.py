"""The flow of an experiment: which settings a run has, how it is named, and what a run of a deployment does besides."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from inspect import Parameter, Signature, signature
from typing import Any
from uuid import UUID

import prefect.runtime
from httpx import HTTPError
from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.states import Cancelled, Running

from flows.lost_runs import end_left_tasks
from flows.orchestration import run_experiments
from mlp_core.errors import DeepMlpError, InputError
from mlp_core.experiments.catalog import of_flow
from mlp_core.settings import Settings, title_of, validated
from tasks.stages import flow_help, flow_names, flow_parameters

TAG = "deep-mlp"
"""Of every run, however it was started; each deployment in prefect.yaml has it, too."""
_SECONDS_BETWEEN_LOOKS = 20.0
_TITLES = {
    name: title_of(name, field)
    for flow in flow_names()
    for settings in flow_parameters(flow).values()
    for name, field in type(settings).model_fields.items()
}


class ExperimentFlow(Flow[..., Any]):
    """A Prefect flow whose parameters are groups of settings, of which a run may set single values.

    Prefect itself replaces whole groups: a run that sets one value would lose the deployment's and the flow's values of
    the others.
    """

    def validate_parameters(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Return the parameters with all groups complete: a run's values over the deployment's over the defaults.

        Raises:
            InputError: For the first value that breaks a rule, in one sentence.
        """
        deployed, groups = _deployed_parameters(), {}
        for name, parameter in signature(self.fn).parameters.items():
            group = parameters.get(name)
            if group is None or isinstance(group, dict):
                values = {**dict(parameter.default), **deployed.get(name, {}), **(group or {})}
                with _in_form_terms():
                    group = validated(parameter.annotation, values)
            groups[name] = group
        return super().validate_parameters({**parameters, **groups})


def experiment_flow(flow: str, run_experiments: Callable[..., Any] = run_experiments) -> ExperimentFlow:
    """Create the Prefect flow of an experiment, or of the tutorial.

    Its parameters are the groups of settings of its experiments, so that its form in Prefect's UI has them all. A run
    of a deployment also cancels other scheduled runs of it that are due, and ends tasks that earlier runs left open.

    Args:
        flow: Name of the flow, such as `depth_sweep`.
        run_experiments: Function of the name and the parameters that does the work.
    """
    parameters = flow_parameters(flow)
    members = of_flow(flow)

    def run(*args: Settings, **kwargs: Settings) -> Any:
        arguments = own.bind(*args, **kwargs).arguments
        context: Any = FlowRunContext.get()
        this = context.flow_run
        if this.deployment_id is None:
            with get_client(sync_client=True) as client:
                client.update_flow_run(this.id, tags={*this.tags, TAG})
            return run_experiments(flow, arguments)
        with get_client(sync_client=True) as client:
            _skip_others(client, this)
            end_left_tasks(client, TAG, this.id)
            client.update_flow_run(
                this.id, parameters={group: dict(values) for group, values in context.parameters.items()}
            )
        # For good: Prefect logs the run's error when this has returned, and the process ends with the run
        logging.getLogger("prefect.flow_runs").addFilter(_without_traceback)
        with _in_form_terms(), goes_on(this.id):
            return run_experiments(flow, arguments)

    def run_name() -> str:
        groups = prefect.runtime.flow_run.parameters
        seeds = groups["run"].seeds
        label = members[0].run_name.format(**groups) if members else ""
        data = groups["source"].label if "source" in groups and groups["source"] != parameters["source"] else ""
        return " ".join(part for part in (name, label, data, f"{seeds} seed{'s' * (seeds != 1)}") if part)

    name = flow.replace("_", "-")
    run.__name__ = run.__qualname__ = flow
    run.__doc__ = flow_help(flow)
    own = Signature(
        [
            Parameter(group, Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=type(default))
            for group, default in parameters.items()
        ],
        return_annotation=str,
    )
    run.__signature__ = own  # type: ignore[attr-defined]
    return ExperimentFlow(run, name=name, flow_run_name=run_name)


@contextmanager
def goes_on(flow_run_id: UUID) -> Iterator[None]:
    """Set a flow run back to Running, while the context lasts, whenever the server has marked it as crashed.

    The server marks a run whose heartbeats stay away as crashed, also if its machine was only suspended. A thread looks
    every 20 seconds.

    Args:
        flow_run_id: A run that this process is executing.
    """
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(_SECONDS_BETWEEN_LOOKS):
            with suppress(HTTPError, OSError), get_client(sync_client=True) as client:
                state = client.read_flow_run(flow_run_id).state
                if state and state.is_crashed() and not ended.is_set():
                    message = "It was taken for crashed, but is at work, and goes on."
                    client.set_flow_run_state(flow_run_id, Running(name="Resumed", message=message), force=True)

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    try:
        yield
    finally:
        ended.set()
        looking.join(_SECONDS_BETWEEN_LOOKS)


def _deployed_parameters() -> dict[str, Any]:
    """Return what the deployment of the current run sets; nothing if it has none."""
    deployment_id = prefect.runtime.deployment.id
    if deployment_id is None:
        return {}
    with get_client(sync_client=True) as client:
        return client.read_deployment(deployment_id).parameters


def _skip_others(client: SyncPrefectClient, this: FlowRun) -> None:
    """End the other scheduled runs of the same deployment that are due: this one catches up for them.

    After days without a worker every missed run comes: one is enough. What is run again was asked for by somebody.
    """
    if not this.auto_scheduled or this.run_count > 1:
        return
    due = FlowRunFilter.model_validate(
        {
            "deployment_id": {"any_": [this.deployment_id]},
            "tags": {"all_": ["auto-scheduled"]},
            "expected_start_time": {"before_": datetime.now(UTC)},
            "state": {"type": {"any_": ["SCHEDULED"]}},
        }
    )
    for other in client.read_flow_runs(flow_run_filter=due):
        if other.run_count == 0:
            client.set_flow_run_state(other.id, Cancelled(name="Skipped", message=_describe_skipped(other, this)))


def _describe_skipped(skipped: FlowRun, instead: FlowRun) -> str:
    due, other = (f"{run.expected_start_time:%Y-%m-%d %H:%M} UTC" for run in (skipped, instead))
    return f"Due at {due}, and not begun when the run of {other} was, which catches up."


@contextmanager
def _in_form_terms() -> Iterator[None]:
    """Call settings as the custom run's form does in a sentence about them, if the run is of a deployment."""
    try:
        yield
    except InputError as error:
        if prefect.runtime.deployment.id is None:
            raise
        raise InputError(in_form_terms(str(error))) from None


def in_form_terms(sentence: str) -> str:
    """Return an error sentence with the form's field titles instead of setting names and command-line options.

    Example:
        >>> in_form_terms("batch_size must be at most 32, got 128; lower --batch-size.")
        'Batch size must be at most 32, got 128; lower Batch size.'
    """
    names = "|".join(sorted(_TITLES, key=len, reverse=True))
    sentence = re.sub(rf"^({names})\b", lambda match: _TITLES[match[1]], sentence)
    options = names.replace("_", "-")
    return re.sub(rf"--({options})\b(?!-)", lambda match: _TITLES[match[1].replace("-", "_")], sentence)


def _without_traceback(record: logging.LogRecord) -> bool:
    """Show an end that is no defect of the program as its sentence alone."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, DeepMlpError):
        record.msg, record.args, record.exc_info = str(error), (), None
    return True
