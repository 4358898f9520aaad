"""One open page: what it asks, the jobs that answer, and what it is told of them."""

from __future__ import annotations

import asyncio
import json
import math
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple, Protocol

import numpy as np

from flows.play.expectation import expectation
from flows.play.maps import DecisionMap
from flows.play.progress import Progress
from flows.play.question import Asked, OwnTable, Question, asked
from flows.play.training import Job
from flows.play.verdict import verdict
from mlp_core.data.datasets import Split
from mlp_core.engine.architecture import LEARNED_MARGIN, parameter_count
from mlp_core.engine.configs import TrainConfig
from mlp_core.errors import InputError
from mlp_core.experiments.catalog import experiment_in
from mlp_core.settings import validated
from mlp_core.statistics.intervals import median_interval, share_interval
from mlp_core.statistics.wording import format_share

QUESTION, PINNED, POLYNOMIAL = "question", "pinned", "polynomial"
"""What a page shows side by side; the place of each is the number in its maps."""
_PLACES = (QUESTION, PINNED, POLYNOMIAL)
_MEMBER, _LOSSES = 3, 4
"""What else a binary message is of: a member's map; the losses at a place are this number and that of the place."""
_POLYNOMIAL_SEEDS = 8
_MOST_POINTS = 800
_BEYOND = 1.1
"""Half the side of a map, as a multiple of the training region's radius."""
_SECONDS_BETWEEN_NEWS = 0.05
_MOST_NUMBER = 2**31


class Channel(Protocol):
    """Interface of what a session writes to: a WebSocket."""

    async def send_text(self, data: str) -> None:
        """Send a text message (JSON)."""

    async def send_bytes(self, data: bytes) -> None:
        """Send a binary message (a decision map)."""


@dataclass
class Subject:
    """A training job, and how much of its progress the page has already received.

    Attributes:
        key: Identifies what is trained; equal keys share one job.
        asks: The question; for the polynomial, the question that it is compared with.
        job: The training job.
        shown: The last map sent; None if none was.
    """

    key: object
    asks: Asked
    job: Job
    shown: DecisionMap | None = None


class _Wanted(NamedTuple):
    key: object
    asks: Asked
    config: TrainConfig
    n_members: int


class Session:
    """One open page of the playground: receives its messages, runs its trainings and sends it their progress.

    Args:
        channel: The page's WebSocket.
        run_flow: Starts a question as a flow; gets the question and a function that sends the run's state to the page.
    """

    def __init__(self, channel: Channel, run_flow: Callable[[Asked, Callable[..., None]], None]) -> None:
        self._channel, self._run_flow = channel, run_flow
        self._loop, self._news = asyncio.get_running_loop(), asyncio.Event()
        self._outbox: asyncio.Queue[str | bytes] = asyncio.Queue(64)
        self._subjects: dict[str, Subject] = {}
        self._id = 0
        self._own: OwnTable | None = None
        self._member: int | None = None
        self._member_epoch = 0

    async def hear(self, message: str) -> None:
        """Handle one JSON message of the page: a question, a member to show, a table, or a flow to run.

        Raises:
            InputError: If the message is malformed or cannot be followed.
        """
        try:
            values = json.loads(message)
            kind = values["kind"]
            if kind == "ask":
                await self._ask(values)
            elif kind == "member":
                member = values["member"]
                self._member, self._member_epoch = None if member is None else _whole(member), 0
                self._news.set()
            elif kind == "table":
                self._own = await asyncio.to_thread(OwnTable.read, str(values["name"]), str(values["text"]))
                await self._put(json.dumps({"kind": "table", "name": self._own.name}))
            elif kind == "flow":
                self._start_flow()
            else:
                raise KeyError(kind)  # noqa: TRY301 as any other message that is none
        except InputError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            message = f"a message must be ask, member, table or flow with its values, got {type(error).__name__}."
            raise InputError(message) from None

    async def tell(self) -> None:
        """Send progress to the page until cancelled, at most every 50 ms."""
        while True:
            await self._news.wait()
            self._news.clear()
            for place in _PLACES:
                while not self._outbox.empty():  # the answer to a question goes before the numbers of it
                    await self._send(self._outbox.get_nowait())
                if subject := self._subjects.get(place):
                    for message in self._news_of(place, subject):
                        await self._send(message)
            await self._show_member()
            await asyncio.sleep(_SECONDS_BETWEEN_NEWS)

    def close(self) -> None:
        """Stop all trainings of the page."""
        for subject in self._subjects.values():
            subject.job.stop()
        self._subjects = {}

    async def _send(self, message: str | bytes) -> None:
        if isinstance(message, str):
            await self._channel.send_text(message)
        else:
            await self._channel.send_bytes(message)

    async def _put(self, message: str | bytes) -> None:
        await self._outbox.put(message)
        self._news.set()

    def _soon(self) -> None:
        """Wake `tell`; called in any thread."""
        with suppress(RuntimeError):  # the loop is closed: the program has ended, and nobody is left to be told
            self._loop.call_soon_threadsafe(self._news.set)

    async def _ask(self, values: Mapping[str, Any]) -> None:
        number = _whole(values["id"])
        try:
            question = asked(values["question"], self._own)
            pinned = self._pinned(values["pinned"]) if values.get("pinned") else None
            degree = _whole(values.get("polynomial") or 0)
            wanted = {QUESTION: _Wanted(question, question, question.config, question.question.seeds)}
            if pinned:
                wanted[PINNED] = _Wanted(pinned, pinned, pinned.config, pinned.question.seeds)
            if degree:
                config = _polynomial(question, degree)
                key = config, question.question.data, question.question.noise, id(question.own)
                wanted[POLYNOMIAL] = _Wanted((*key, question.question.points), question, config, _POLYNOMIAL_SEEDS)
        except InputError as error:
            await self._put(_refusal(number, str(error)))
            return
        if values.get("wait"):  # for a bet: nothing is trained yet
            wanted = {}
        there = {subject.key: subject for subject in self._subjects.values()}
        self._id, before, self._subjects, self._member = number, self._subjects, {}, None
        for place, request in wanted.items():
            job = there[request.key].job if request.key in there else self._new_job(request)
            self._subjects[place] = Subject(request.key, request.asks, job)
        kept = [id(subject.job) for subject in self._subjects.values()]
        for subject in before.values():
            if id(subject.job) not in kept:
                subject.job.stop()
        await self._put(_answer(number, question))
        self._news.set()

    def _pinned(self, values: Mapping[str, Any]) -> Asked:
        try:
            return asked(values, self._own)
        except InputError as error:
            message = f"pinned {error}"
            raise InputError(message) from None

    def _new_job(self, wanted: _Wanted) -> Job:
        data = wanted.asks.data
        job = Job(wanted.config, data, wanted.n_members, extent_of(data), self._soon)
        job.start()
        return job

    async def _show_member(self) -> None:
        """Send the map of the member that the page looks at, if it has been trained further."""
        number, subject, member = self._id, self._subjects.get(QUESTION), self._member
        if subject is None or member is None or not 0 <= member < subject.job.n_members:
            return
        if subject.job.progress.n_epochs_done[member] > self._member_epoch:
            decision_map = await asyncio.to_thread(subject.job.member_map, member)
            if decision_map and (number, member) == (self._id, self._member):
                self._member_epoch = decision_map.epoch
                await self._send(_frame(number, _MEMBER, member, decision_map))

    async def refuse(self, sentence: str) -> None:
        """Send the page the sentence that explains why a message was refused."""
        await self._put(_refusal(None, sentence))

    def _start_flow(self) -> None:
        subject = self._subjects.get(QUESTION)
        if subject is None:
            message = "a question must be asked before it is run as a flow."
            raise InputError(message)

        def tell(**fields: Any) -> None:
            putting = self._put(json.dumps({"kind": "flow", **fields}))
            try:
                asyncio.run_coroutine_threadsafe(putting, self._loop)
            except RuntimeError:  # as in `_soon`: a flow ends after the program that started it was interrupted
                putting.close()

        if subject.asks.own:
            message = f"a table of this page cannot be run as a flow; run: {subject.asks.command} with the file's path."
            raise InputError(message)
        self._run_flow(subject.asks, tell)

    def _news_of(self, place: str, subject: Subject) -> list[str | bytes]:
        job, messages = subject.job, list[str | bytes]()
        with job.lock:
            progress = job.progress
            message = {
                "kind": "progress",
                "id": self._id,
                "place": place,
                "n": job.n_members,
                "epoch": progress.epoch,
                "test": [_number(accuracy) for accuracy in progress.test_accuracy],
                "share": round(progress.share, 4),
                "seconds": round(progress.seconds, 2),
                "complete": progress.is_complete,
                "error": progress.error,
                "summary": _summary(job),
            }
            if place != POLYNOMIAL:
                messages.append(_losses_frame(self._id, place, progress))
        decision_map = job.mean_map()
        if decision_map and decision_map is not subject.shown:
            subject.shown = decision_map
            messages.append(_frame(self._id, _PLACES.index(place), decision_map.n, decision_map))
        if place == QUESTION and PINNED in self._subjects:
            messages.append(self._comparison())
        messages.append(json.dumps(message))  # the last: what is told as complete has its map and its comparison
        return messages

    def _comparison(self) -> str:
        question, pinned = self._subjects[QUESTION], self._subjects[PINNED]
        accuracies = question.job.accuracies(), pinned.job.accuracies()
        outcome = verdict(question.asks, accuracies[0], pinned.asks, accuracies[1])
        comparison = outcome.comparison and {
            name: _number(value) if isinstance(value, float) else value
            for name, value in asdict(outcome.comparison).items()
        }
        return json.dumps({"kind": "compared", "id": self._id, "sentence": outcome.sentence, "comparison": comparison})


def extent_of(data: Split) -> float:
    """Return half the side of the square that a decision map covers: 1.1 times the training points' radius.

    The square is centred on the origin, and the radius is the largest distance of a training point from it.
    """
    return _BEYOND * radius_of(data)


def radius_of(data: Split) -> float:
    """Return the largest distance of a training point from the origin."""
    return float(data.train_inputs.norm(dim=1).max())


def _polynomial(asks: Asked, degree: int) -> TrainConfig:
    """Return the tutorial's polynomial model on the same points."""
    experiment = experiment_in("polynomial")
    settings = validated(experiment.settings, {"degree": degree})
    setup = replace(asks.stage.setup, settings=settings, n_seeds=_POLYNOMIAL_SEEDS)
    (trial,) = experiment.trials(setup)
    return trial.config


def _refusal(number: int | None, sentence: str) -> str:
    setting = sentence.split(" ", 1)[0]
    known = setting if setting in Question.model_fields else ""
    return json.dumps({"kind": "refused", "id": number, "setting": known, "sentence": sentence})


def _answer(number: int, asks: Asked) -> str:
    """Return what is known of a question before anything is trained."""
    data = asks.data
    first_points = slice(0, _MOST_POINTS)
    return json.dumps(
        {
            "kind": "asked",
            "id": number,
            "question": asks.question.model_dump(mode="json"),
            "sizes": asks.layer_sizes,
            "parameters": parameter_count(asks.layer_sizes),
            "points": [[round(x, 4) for x in point] for point in data.train_inputs[first_points].tolist()],
            "labels": data.train_labels[first_points].tolist(),
            "n_train": len(data.train_labels),
            "n_test": len(data.test_labels),
            "radius": radius_of(data),
            "extent": extent_of(data),
            "theory": {
                name: _number(value) if isinstance(value, float) else value
                for name, value in asdict(expectation(asks)).items()
            },
            "command": asks.command,
        }
    )


def _summary(job: Job) -> dict[str, Any]:
    """Return what the measured members say together; accuracies 0 .. 1, null where there is none."""
    progress = job.progress
    accuracies = progress.test_accuracy[progress.is_measured]
    finite = accuracies[np.isfinite(accuracies)]
    median = median_interval(accuracies)
    chance = 1 / job.config.layer_sizes[-1]
    learned = progress.train_accuracy[progress.is_finished] >= chance + LEARNED_MARGIN
    never = share_interval(int((~learned).sum()), len(learned))
    return {
        "n": len(accuracies),
        "median": _number(median.estimate),
        "low": _number(median.low),
        "high": _number(median.high),
        "mean": _number(float(finite.mean())) if len(finite) else None,
        "diverged": median.missing,
        "never_learned": int((~learned).sum()),
        "never_learned_words": format_share(never),
    }


def _whole(value: Any) -> int:
    """Return a number of a message as a whole number that fits into 32 bits.

    Raises:
        ValueError: If it is none.
    """
    if not isinstance(value, int) or not 0 <= value < _MOST_NUMBER:
        raise ValueError(value)
    return value


def _number(value: float) -> float | None:
    """Return a number as JSON has it: null for those that are not finite."""
    return round(float(value), 6) if math.isfinite(value) else None


def _losses_frame(number: int, place: str, progress: Progress) -> bytes:
    """Return loss curves as bytes: the question's number, what it is, members, epochs shown; then the losses."""
    header = struct.pack("<4i", number, _LOSSES + _PLACES.index(place), *progress.losses.shape)
    return header + progress.losses.tobytes()


def _frame(number: int, place: int, n: int, decision_map: DecisionMap) -> bytes:
    """Return a map as bytes: the question's number, the place, networks, side, epochs; then classes and certainties."""
    header = struct.pack("<5i", number, place, n, len(decision_map.classes), decision_map.epoch)
    return header + decision_map.classes.tobytes() + decision_map.certainty.tobytes()
