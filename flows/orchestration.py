"""What the flows have in common: photographs, waiting, and an honest end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from prefect.futures import PrefectFuture, wait

from mlp_core.errors import InputError
from mlp_core.settings import Run
from tasks.analysis import collect_history, write_report
from tasks.data import ImageTable, decode_images, download_images, draw_faces, locate_images
from tasks.laboratory import logger
from tasks.training import TrainedConfiguration

Result = TypeVar("Result")
PIXELS = 3 * 32 * 32


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

    def __init__(self) -> None:
        self.trained: list[TrainedConfiguration] = []
        self.failures: list[str] = []

    def gather(self, futures: Sequence[PrefectFuture[Result]]) -> list[Result]:
        """Wait for all and return the results of those that succeeded."""
        wait(list(futures))
        results = []
        for future in futures:
            if future.state.is_completed():
                results.append(future.result())
            else:
                self.failures.append(future.state.message or future.state.name)
        return results

    def trainings(self, futures: Sequence[PrefectFuture[TrainedConfiguration]]) -> list[TrainedConfiguration]:
        """Wait for an experiment's trainings and return those that succeeded."""
        trained = self.gather(futures)
        self.trained += trained
        return trained

    def publish(self, results: Sequence[PrefectFuture[Any]]) -> str:
        """Wait for tables and figures, write history and report, and return the report's path.

        Raises:
            SweepFailed: If any task failed; after everything that could be written was written.
        """
        made = self.gather(results)
        report = ""
        if self.trained:
            history = collect_history.submit(self.trained)
            report = write_report.submit([*made, history]).result()
        if self.failures:
            shown = "; ".join(self.failures[:5])
            message = f"{len(self.failures)} tasks failed, the report holds what the others made: {shown}"
            logger.error(message)
            raise SweepFailed(message)
        return report
