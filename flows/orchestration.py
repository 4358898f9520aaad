"""What the flows have in common: photographs, waiting, and an honest end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar
from uuid import UUID

from prefect import unmapped
from prefect.futures import PrefectFuture, wait
from prefect.states import Completed

from mlp_core.errors import Drifted, InputError
from mlp_core.plans import TrainingPlan, ensembles
from mlp_core.settings import Run, Settings
from mlp_core.storage import Artifact
from tasks.analysis import collect_history, write_report
from tasks.claims import claimed_tables, measure_claims
from tasks.data import ImageTable, decode_images, download_images, draw_faces, locate_images
from tasks.drift import compare_with_baseline
from tasks.laboratory import WORKERS, logger
from tasks.monitoring import Progress
from tasks.training import TrainedConfiguration, train_configurations

Result = TypeVar("Result")
Trainings = dict[TrainingPlan, PrefectFuture[list[TrainedConfiguration]]]
"""The trainings of a run by what they train."""
PIXELS = 3 * 32 * 32
_NAMES_IN_A_LINE = 8


def submit_trainings(
    plans: Iterable[TrainingPlan], data: Artifact | ImageTable, n_members: int, submitted: Trainings | None = None
) -> Trainings:
    """Submit the training of each plan, but none that this run has submitted already; return them all."""
    plans, trainings = list(plans), dict(submitted or {})
    together = ensembles([plan for plan in plans if plan not in trainings], n_members, WORKERS)
    for ensemble, future in zip(
        together, train_configurations.map(together, unmapped(data), unmapped(n_members)), strict=True
    ):
        trainings |= dict.fromkeys(ensemble, future)
    return {plan: trainings[plan] for plan in plans}


def table_settings(run: Run, *models: Settings, **more: Any) -> dict[str, Any]:
    """Return the settings that a result table carries in its metadata."""
    values = {"seeds": run.seeds, "seed": run.seed, **more}
    for model in models:
        values |= model.model_dump(mode="json")
    return values


class SweepFailed(RuntimeError):
    """Some tasks failed; what the others made is kept, and in the report."""


def photographs(run: Run) -> ImageTable:
    """Return the decoded photographs of the run's source, before anything is trained: bad input ends a run early."""
    from mlp_core.images import ANIMAL_FACES, ANIMAL_FACES_URL, SYNTHETIC

    url = ANIMAL_FACES_URL if run.images == ANIMAL_FACES else run.images
    source: PrefectFuture[Any]
    if run.images == SYNTHETIC:
        source = draw_faces.submit(run.seed)
    elif url.lower().startswith(("http://", "https://")):
        source = download_images.submit(url)
    else:
        source = locate_images.submit(run.images)
    source.result()
    return decode_images.submit(source).result()


def device_of(run: Run) -> str:
    """Return the device to train on.

    Raises:
        InputError: If the device asked for is not there.
    """
    from tasks.training import available_devices

    available = available_devices() if run.device != "cpu" else ["cpu"]
    if run.device == "auto":
        return available[0]
    if run.device not in available:
        message = (
            f"device must be one that this machine has ({', '.join(available)}), got {run.device!r}; use --device auto."
        )
        raise InputError(message)
    return run.device


class Outcome:
    """Collects what the tasks of a run made, and what failed."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.trained: list[TrainedConfiguration] = []
        self.failed: dict[UUID, str] = {}
        self.progress = Progress()

    def gather(self, futures: Iterable[PrefectFuture[Result]]) -> list[Result]:
        """Wait for all and return the results of those that succeeded."""
        futures = list(futures)
        wait(futures)
        results = []
        for future in futures:
            if future.state.is_completed():
                results.append(future.result())
            else:
                # by task run, as two experiments may wait for the same training
                self.failed[future.task_run_id] = future.state.message or future.state.name
        return results

    def trainings(
        self, trainings: Trainings, shown: Mapping[TrainingPlan, TrainingPlan] | None = None
    ) -> list[TrainedConfiguration]:
        """Wait for an experiment's trainings and return those that succeeded.

        Args:
            trainings: The trainings.
            shown: Under which name the experiment shows a plan, in the history too, if not under its own.
        """
        self.progress.expect(trainings.values())
        futures = {future.task_run_id: future for future in trainings.values()}
        found = {one.plan: one for together in self.gather(futures.values()) for one in together}
        trained = [found[plan] for plan in trainings if plan in found]
        cached = {task_run_id for task_run_id, future in futures.items() if future.state.name == "Cached"}
        if kept := [plan.configuration for plan in trainings if trainings[plan].task_run_id in cached]:
            shown_names = ", ".join(kept[:_NAMES_IN_A_LINE]) + (", ..." if len(kept) > _NAMES_IN_A_LINE else "")
            experiment = next(iter(trainings)).experiment
            logger.info("from the cache: %d of %d %s: %s", len(kept), len(trainings), experiment, shown_names)
        names = shown or {}
        self.trained += [replace(one, plan=names.get(one.plan, one.plan)) for one in trained]
        return trained

    def publish(self, results: Sequence[PrefectFuture[Any]]) -> Any:
        """Wait for tables and figures, compare with the baseline, write history and report.

        Returns:
            The report's path; in a state named Drifted if a figure moved and the run is to end so.

        Raises:
            SweepFailed: If any task failed; after everything that could be written was written.
            Drifted: If a figure moved and the run is to fail then.
        """
        self.progress.end()
        made = self.gather(results)
        report = ""
        if self.trained:
            made += self.gather([collect_history.submit(self.trained)])
        if tables := claimed_tables(made):
            made += self.gather([measure_claims.submit(tables)])
        drift = ""
        if made and self.run.on_drift != "ignore":
            drift = "".join(self.gather([compare_with_baseline.submit(made)]))
        if made:
            report = write_report.submit(made).result()
        if self.failed:
            shown = "; ".join(list(self.failed.values())[:5])
            message = f"{len(self.failed)} tasks failed, the report holds what the others made: {shown}"
            logger.error(message)
            raise SweepFailed(message)
        if drift and self.run.on_drift == "failed":
            raise Drifted(drift)
        return Completed(name="Drifted", message=drift, data=report) if drift else report
