"""What the flows have in common: photographs, waiting, and an honest end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any, TypeVar
from uuid import UUID

from prefect import unmapped
from prefect.context import FlowRunContext
from prefect.futures import PrefectFuture, wait
from prefect.states import Completed

from mlp_core.artifacts.storage import Artifact
from mlp_core.data.addresses import ANIMAL_FACES, ANIMAL_FACES_URL, SYNTHETIC, is_web_address, shown_address
from mlp_core.engine.plans import TrainingPlan, ensembles
from mlp_core.errors import DeepMlpError, Drifted, InputError
from mlp_core.machine import devices
from mlp_core.settings import Run, RunOnPhotographs, Settings
from tasks.analysis import Failure, collect_history, write_report
from tasks.claims import claimed_tables, measure_claims
from tasks.data import ImageSource, ImageTable, decode_images, download_images, draw_faces, locate_images
from tasks.drift import compare_with_baseline
from tasks.laboratory import hold_results, logger, side_by_side
from tasks.monitoring import Progress, report_lost
from tasks.resources import available_bytes, check_memory
from tasks.training import TrainedConfiguration, names_in_short, train_configurations

Result = TypeVar("Result")


@dataclass(frozen=True)
class Training:
    """A training that was submitted: one configuration, or several together.

    Attributes:
        plans: What it trains.
        data: What it trains on, or the task that makes that.
        n_members: Members of each plan.
        future: Its task.
    """

    plans: tuple[TrainingPlan, ...]
    data: Any
    n_members: int
    future: PrefectFuture[list[TrainedConfiguration]]

    def one_by_one(self) -> list[Training]:
        """Submit the training of each configuration alone."""
        return [
            Training(
                (plan,), self.data, self.n_members, train_configurations.submit((plan,), self.data, self.n_members)
            )
            for plan in self.plans
        ]


Trainings = dict[TrainingPlan, Training]
"""The trainings of a run by what they train."""
_NAMES_IN_A_LINE = 8


def submit_trainings(
    plans: Iterable[TrainingPlan], data: Artifact | ImageTable, n_members: int, submitted: Trainings | None = None
) -> Trainings:
    """Submit the training of each plan, but none that this run has submitted already; return them all."""
    plans, trainings = list(plans), dict(submitted or {})
    together = ensembles([plan for plan in plans if plan not in trainings], n_members, side_by_side())
    for ensemble, future in zip(
        together, train_configurations.map(together, unmapped(data), unmapped(n_members)), strict=True
    ):
        trainings |= dict.fromkeys(ensemble, Training(ensemble, data, n_members, future))
    return {plan: trainings[plan] for plan in plans}


def table_settings(run: Run, *models: Settings, **more: Any) -> dict[str, Any]:
    """Return the settings that a result table carries in its metadata."""
    values = {"seeds": run.seeds, "seed": run.seed, **more}
    for model in models:
        values |= model.model_dump(mode="json")
    return values


def photograph_settings(run: RunOnPhotographs, pictures: ImageTable) -> dict[str, Any]:
    """Return what the table of results on photographs carries about them."""
    settings = {"images": shown_address(run.images), "bad_images_left_out": pictures.skipped_in_words()}
    return settings | ({"images_remarks": "; ".join(pictures.remarks)} if pictures.remarks else {})


class SweepFailed(DeepMlpError):
    """Some tasks failed; what the others made is kept, and in the report."""

    said = True


def photographs(run: RunOnPhotographs) -> ImageTable:
    """Return the decoded photographs of the run's source, before anything is trained on them."""
    return submit_photographs(run)()


def submit_photographs(run: RunOnPhotographs) -> Callable[[], ImageTable]:
    """Submit the decoding of the photographs of the run's source; return what waits for them.

    Unless tasks are threads of this process, the flow itself decodes them, and at once: another process would need a
    helper of its own, and another machine does not have the user's files.
    """
    url = ANIMAL_FACES_URL if run.images == ANIMAL_FACES else run.images
    source: Artifact | ImageSource
    if run.images == SYNTHETIC:
        source = draw_faces(run.seed)
    elif is_web_address(url):
        source = download_images(url)
    else:
        source = locate_images(run.images)
    if run.runner == "threads":
        decoding = decode_images.submit(source, run.skip_bad_images, run.seed)
        return lambda: _with_room(decoding.result())
    pictures = _with_room(decode_images(source, run.skip_bad_images, run.seed))
    return lambda: pictures


def _with_room(pictures: ImageTable) -> ImageTable:
    """Refuse a run whose number of classes, which no setting says, makes it too large for this machine's memory."""
    context = FlowRunContext.get()
    if context:
        check_memory((context.parameters or {}).values(), available_bytes(), len(pictures.classes))
    return pictures


def device_of(run: Run) -> str:
    """Return the device to train on.

    Raises:
        InputError: If the device asked for is not there.
    """
    available = devices() if run.device != "cpu" else ["cpu"]
    if run.device == "auto":
        return available[0]
    if run.device not in available:
        message = (
            f"device must be one that this machine has ({', '.join(available)}), got {run.device!r}; use --device auto."
        )
        raise InputError(message)
    return run.device


def _reason(future: PrefectFuture[Any]) -> str:
    """Return why a task failed; one that was lost with its dask workers has no state of its end yet."""
    if not future.state.is_final():
        try:
            future.result()
        except Exception as error:
            return f"{type(error).__name__}: {error}"
    return (future.state.message or future.state.name).removeprefix("Task run encountered an exception ")


class Outcome:
    """Collects what the tasks of a run made, and what failed."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.trained: list[TrainedConfiguration] = []
        self.failed: dict[UUID, Failure] = {}
        self.experiments: set[str] = set()
        self._one_by_one: dict[UUID, list[Training]] = {}
        self.progress = Progress()

    def gather(
        self, futures: Iterable[PrefectFuture[Result]], experiment: str = "", names: Iterable[str] = ()
    ) -> list[Result]:
        """Wait for all and return the results of those that succeeded.

        Args:
            futures: The tasks.
            experiment: Whose they are, if they are one's.
            names: Of the trainings.
        """
        futures = list(futures)
        wait(futures)
        hold_results()
        if futures and experiment:
            self.experiments.add(experiment)
        results = []
        for future, name in zip_longest(futures, names, fillvalue=""):
            if future.state.is_completed():
                results.append(future.result())
            else:
                reason = _reason(future)
                if not future.state.is_final():
                    report_lost(future.task_run_id, reason)
                # by task run, as two experiments may wait for the same training
                self.failed[future.task_run_id] = Failure(experiment, f"{name}: {reason}" if name else reason)
        return results

    def trainings(
        self, trainings: Trainings, shown: Mapping[TrainingPlan, TrainingPlan] | None = None
    ) -> list[TrainedConfiguration]:
        """Wait for an experiment's trainings and return those that succeeded.

        Args:
            trainings: The trainings.
            shown: Under which name the experiment shows a plan, in the history too, if not under its own.
        """
        self.progress.expect(training.future for training in trainings.values())
        submitted = {training.future.task_run_id: training for training in trainings.values()}
        wait([training.future for training in submitted.values()])
        asked = [one for training in submitted.values() for one in self._mended(training)]
        names = shown or {}
        experiment = next((names.get(plan, plan).experiment for plan in trainings), "")
        made = self.gather([one.future for one in asked], experiment, [names_in_short(one.plans) for one in asked])
        found = {one.plan: one for together in made for one in together}
        trained = [found[plan] for plan in trainings if plan in found]
        if kept := [plan.configuration for plan in trainings if trainings[plan].future.state.name == "Cached"]:
            more = ", ..." if len(kept) > _NAMES_IN_A_LINE else ""
            shown_names = ", ".join(kept[:_NAMES_IN_A_LINE]) + more
            logger.info("from the cache: %d of %d %s: %s", len(kept), len(trainings), experiment, shown_names)
        self.trained += [replace(one, plan=names.get(one.plan, one.plan)) for one in trained]
        return trained

    def _mended(self, training: Training) -> list[Training]:
        """Return a training; where several configurations failed together, one of each, as one may be to blame."""
        if len(training.plans) == 1 or training.future.state.is_completed():
            return [training]
        key = training.future.task_run_id
        if key not in self._one_by_one:
            logger.warning("training %d configurations together failed; each is trained alone", len(training.plans))
            self._one_by_one[key] = training.one_by_one()
        return self._one_by_one[key]

    def publish(self, results: Sequence[PrefectFuture[Any]]) -> Any:
        """Wait for tables and figures, compare with the baseline, write history and report.

        Returns:
            The report's path; in a state named Drifted if a figure moved and the run is to end so.

        Raises:
            SweepFailed: If any task failed; after everything that could be written was written.
            Drifted: If a figure moved and the run is to fail then.
        """
        made = self.gather(results)
        self.progress.end()
        report = ""
        if self.trained:
            made += self.gather([collect_history.submit(self.trained)])
        if tables := claimed_tables(made):
            made += self.gather([measure_claims.submit(tables)])
        drift = ""
        if made and self.run.on_drift != "ignore":
            drift = "".join(self.gather([compare_with_baseline.submit(made)]))
        if made or self.failed:
            whole = ", ".join(sorted(self.experiments))
            failures = [replace(one, experiment=one.experiment or whole) for one in self.failed.values()]
            report = write_report.submit(made, sorted(self.experiments), failures).result()
        if self.failed:
            shown = "; ".join([failure.reason for failure in self.failed.values()][:5])
            kept = "the report holds what the others made" if report else "there are no results for a report"
            count = "1 task" if len(self.failed) == 1 else f"{len(self.failed)} tasks"
            message = f"{count} failed, {kept}: {shown}"
            logger.error(message)
            raise SweepFailed(message)
        if drift and self.run.on_drift == "failed":
            raise Drifted(drift)
        return Completed(name="Drifted", message=drift, data=report) if drift else report
