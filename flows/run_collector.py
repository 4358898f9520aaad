"""What the tasks of a run made and what failed, and the run's end: report, comparison with the baseline, state."""

from __future__ import annotations

from collections import UserList
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from uuid import UUID

from prefect.futures import PrefectFuture, wait
from prefect.states import Completed

from mlp_core.engine.configs import TrainConfig, Trial
from mlp_core.errors import DeepMlpError, Drifted
from tasks.caching import is_from_cache
from tasks.context import RunContext, logger
from tasks.drift import compare_with_baseline
from tasks.monitoring import Progress, report_lost
from tasks.report import Failure, claimed_tables, measure_claims, write_report
from tasks.results import collect_history
from tasks.training import TrainedConfig, TrainedTrial, names_in_short, train_configurations

Result = TypeVar("Result")


@dataclass(frozen=True)
class Submitted:
    """A submitted training task, of one configuration or of several that train together.

    Attributes:
        configs: The configurations.
        data: Their examples, or the future of the task that makes them.
        n_members: Members of each configuration.
        future: The task's future.
    """

    configs: tuple[TrainConfig, ...]
    data: Any
    n_members: int
    future: PrefectFuture[list[TrainedConfig]]

    def one_by_one(self, context: RunContext) -> list[Submitted]:
        """Submit a separate training task for each configuration, and return them."""
        data, n_members = self.data, self.n_members
        return [
            Submitted((config,), data, n_members, train_configurations.submit(context, (config,), data, n_members))
            for config in self.configs
        ]


_NAMES_IN_A_LINE = 8


class SweepFailed(DeepMlpError):
    """At least one task of a run failed; the results of the other tasks are kept and are in the report."""

    said = True


def _reason(future: PrefectFuture[Any]) -> str:
    """Return why a task failed; one that was lost with its dask workers has no state of its end yet."""
    if not future.state.is_final():
        try:
            future.result()
        except Exception as error:
            return f"{type(error).__name__}: {error}"
    return (future.state.message or future.state.name or "").removeprefix("Task run encountered an exception ")


class RunCollector:
    """Collects the results and failures of a run's tasks, and ends the run with report and state.

    Args:
        context: The run's context.

    Attributes:
        trained: Successful trainings.
        failed: Failures, by the id of the task run.
        experiments: Names of the experiments that the run has worked on.
        progress: The run's progress display.
    """

    def __init__(self, context: RunContext) -> None:
        self.context = context
        self.trained: list[TrainedTrial] = []
        self.failed: dict[UUID, Failure] = {}
        self.experiments: set[str] = set()
        self._one_by_one: dict[UUID, list[Submitted]] = {}
        self.progress = Progress(context)

    def collect(
        self, futures: Iterable[PrefectFuture[Result]], experiment: str = "", names: Iterable[str] = ()
    ) -> list[Result]:
        """Wait for tasks and return the results of those that succeeded; the others are recorded in `failed`.

        Args:
            futures: The tasks.
            experiment: The experiment they belong to; empty if there are several.
            names: A name for each task, for messages of failure.
        """
        futures = list(futures)
        names = [*names] or [""] * len(futures)
        wait(futures)
        if futures and experiment:
            self.experiments.add(experiment)
        results = []
        for future, name in zip(futures, names, strict=True):
            if future.state.is_completed():
                results.append(future.result())
            else:
                reason = _reason(future)
                if not future.state.is_final():
                    report_lost(future.task_run_id, reason)
                # by task run, as two experiments may wait for the same training
                self.failed[future.task_run_id] = Failure(experiment, f"{name}: {reason}" if name else reason)
        return results

    def collect_trainings(
        self, trials: Sequence[Trial], submitted: Mapping[TrainConfig, Submitted], experiment: str
    ) -> list[TrainedTrial]:
        """Wait for an experiment's trainings and return those that succeeded, in the order of the trials.

        If configurations that train together fail, each is trained once more alone.

        Args:
            trials: The experiment's trials.
            submitted: The run's training tasks, by configuration.
            experiment: Name of the experiment.
        """
        own = {trial.config: submitted[trial.config] for trial in trials}
        self.progress.expect(training.future for training in own.values())
        tasks = {training.future.task_run_id: training for training in own.values()}
        wait([training.future for training in tasks.values()])
        asked = [retried for training in tasks.values() for retried in self._retry_individually(training)]
        results = self.collect(
            [training.future for training in asked],
            experiment,
            [names_in_short(training.configs) for training in asked],
        )
        by_config = {result.config: result for together in results for result in together}
        trained = [
            TrainedTrial(trial, by_config[trial.config].n_members, by_config[trial.config].blocks)
            for trial in trials
            if trial.config in by_config
        ]
        if kept := [config.name for config, training in own.items() if is_from_cache(training.future.state)]:
            more = ", ..." if len(kept) > _NAMES_IN_A_LINE else ""
            listed = ", ".join(kept[:_NAMES_IN_A_LINE]) + more
            logger.info("from the cache: %d of %d %s: %s", len(kept), len(own), experiment, listed)
        self.trained += trained
        return trained

    def _retry_individually(self, training: Submitted) -> list[Submitted]:
        """Return a training; where several configurations failed together, one of each, as one may be to blame."""
        if len(training.configs) == 1 or training.future.state.is_completed():
            return [training]
        key = training.future.task_run_id
        if key not in self._one_by_one:
            logger.warning("training %d configurations together failed; each is trained alone", len(training.configs))
            self._one_by_one[key] = training.one_by_one(self.context)
        return self._one_by_one[key]

    def publish(self, results: Sequence[PrefectFuture[Any]], on_drift: str) -> Any:
        """Wait for tables and figures, then write history, claims, comparison with the baseline, and report.

        Args:
            results: The tasks that make tables and figures.
            on_drift: What to do if metrics differ from the baseline: `ignore`, `drifted` or `failed`; see
                `RunSettings`.

        Returns:
            The report's path; or, if a metric moved and `on_drift` is `drifted`, a Completed state named Drifted with
            that path.

        Raises:
            SweepFailed: If any task failed; everything that could be written has been written.
            Drifted: If a metric moved and `on_drift` is `failed`.
        """
        # Before the results are there: it is made while the last figures are drawn
        history = [collect_history.submit(self.context, UserList(self.trained))] if self.trained else []
        # a figure is several files
        artifacts = [
            artifact
            for outcome in self.collect(results)
            for artifact in (outcome if isinstance(outcome, list) else [outcome])
        ]
        self.progress.end()
        report = ""
        artifacts += self.collect(history)
        if tables := claimed_tables(self.context.root, artifacts):
            artifacts += self.collect([measure_claims.submit(self.context, tables)])
        drift = ""
        if artifacts and on_drift != "ignore":
            drift = "".join(self.collect([compare_with_baseline.submit(self.context, artifacts)]))
        if artifacts or self.failed:
            whole = ", ".join(sorted(self.experiments))
            failures = [replace(failure, experiment=failure.experiment or whole) for failure in self.failed.values()]
            report = write_report.submit(self.context, artifacts, sorted(self.experiments), failures).result()
        if self.failed:
            reasons = "; ".join([failure.reason for failure in self.failed.values()][:5])
            kept = "the report holds what the others made" if report else "there are no results for a report"
            count = "1 task" if len(self.failed) == 1 else f"{len(self.failed)} tasks"
            message = f"{count} failed, {kept}: {reasons}"
            logger.error(message)
            raise SweepFailed(message)
        if drift and on_drift == "failed":
            raise Drifted(drift)
        return Completed(name="Drifted", message=drift, data=report) if drift else report
