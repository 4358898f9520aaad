"""The networks of one question, trained in threads, and what is known of them meanwhile.

All members go on together, some epochs at a time and in turn, so that somebody who looks sees what usually happens and
not what the first of them did. The last epoch leaves the flow's own networks, to the last bit. A question that is no
longer asked is dropped at its next checkpoint.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from flows.play.maps import MAP_SIDE, PREVIEW_SIDE, DecisionMap, class_probabilities, decision_map, square
from flows.play.progress import Progress
from mlp_core.data.datasets import Split
from mlp_core.data.transforms import applied
from mlp_core.engine.architecture import is_small, parameter_count
from mlp_core.engine.arithmetic import uniform_arithmetic
from mlp_core.engine.configs import NETWORKS_TOGETHER, TrainConfig
from mlp_core.engine.members import member_seed, small_training, train_members, untrained_members
from mlp_core.engine.networks import Ensemble
from mlp_core.errors import Stopped
from mlp_core.machine import cores

if TYPE_CHECKING:
    from mlp_core.engine.small import Workspace

_SLICE_SECONDS = 0.002
"""Processor time of a member's turn: to measure it afterwards takes a fiftieth of that."""
_LEAST_EPOCHS = 2
_TIMES_A_PREVIEW = 25
"""A preview waits until training took so many times the processor time that the last preview took: 4 % of it all."""
_PREVIEW_WORK = 500_000_000
"""Members times points times parameters of a preview, some ten milliseconds: of wide networks it shows a few."""
_SECONDS_BETWEEN_SHARES = 0.1


class Job:
    """Trains the members of one configuration in background threads.

    Args:
        config: What to train.
        data: The examples, before the configuration's transforms.
        n_members: Number of members.
        extent: Half the side of the decision maps.
        on_change: Called from a worker thread whenever the progress has changed.

    Attributes:
        progress: The state so far; read and write it only under `lock`.
        lock: Protects everything that the threads write.
    """

    def __init__(
        self, config: TrainConfig, data: Split, n_members: int, extent: float, on_change: Callable[[], object]
    ) -> None:
        self.config, self.n_members, self.lock = config, n_members, threading.Lock()
        self.progress = Progress(n_members, config.epochs)
        self._data, self._extent, self._on_change = data, extent, on_change
        self._is_small = is_small(config.layer_sizes, config.device)
        self._sum = np.zeros((config.layer_sizes[-1], MAP_SIDE**2), np.float32)
        self._n_mapped = 0
        self._map: DecisionMap | None = None
        self._stopped = threading.Event()
        self._told = 0.0
        self._threads = [threading.Thread(target=self._guarded, args=[self._begin], daemon=True)]

    def start(self) -> None:
        """Start the first of the training threads, one per core."""
        self._started = time.monotonic()
        self._threads[0].start()

    def stop(self) -> None:
        """Ask the threads to stop; they end within milliseconds and drop unfinished members."""
        self._stopped.set()

    def wait(self) -> None:
        """Wait until all threads have ended."""
        for thread in self._threads:  # the first one starts the others
            thread.join()

    def accuracies(self) -> NDArray[np.float64]:
        """Return a copy of the members' test accuracies, 0..1; NaN where a member is not finished or diverged."""
        with self.lock:
            return np.where(self.progress.is_finished, self.progress.test_accuracy, np.nan)

    def mean_map(self) -> DecisionMap | None:
        """Return the newest map of the members together, those that diverged left out; None if there is none yet."""
        with self.lock:
            return self._map

    def member_map(self, member: int) -> DecisionMap | None:
        """Return the decision map of one member of small networks, as far as it is trained.

        None if it has diverged, or was not trained yet.
        """
        with self.lock:
            epoch = int(self.progress.n_epochs_done[member])
            if not epoch or not np.isfinite(self.progress.test_accuracy[member]):
                return None
            row = self._shown[member : member + 1].copy()
        try:
            return decision_map(self._answers(row, MAP_SIDE)[0], 1, epoch)
        except Stopped:  # nobody asks for it any longer
            return None

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            with uniform_arithmetic():
                work()
        except Stopped:
            pass
        except Exception as error:  # a defect, or memory that is gone: the page says so, and others go on
            with self.lock:
                self.progress.error = f"{type(error).__name__}: {error}"
            self._on_change()
            raise

    def _begin(self) -> None:
        self._inputs = applied(self.config.inputs, self._data)
        for transform in self.config.inputs:
            self._data = transform.split(self._data)
        if self._is_small:
            self._prepare_turns()
        else:
            together = NETWORKS_TOGETHER // 2
            parts = [
                range(first, min(first + together, self.n_members)) for first in range(0, self.n_members, together)
            ]
            self._parts = deque(parts)
        work = self._take_turns if self._is_small else self._train_parts
        self._threads += [threading.Thread(target=self._guarded, args=[work], daemon=True) for _ in range(1, cores())]
        for thread in self._threads[1:]:
            thread.start()
        work()

    def _prepare_turns(self) -> None:
        members = range(self.n_members)
        self._ensemble = untrained_members(self.config, members)
        seeds = [member_seed(self.config, member) for member in members]
        data = self._data
        self._training = small_training(self.config, self._ensemble, data.train_inputs, data.train_labels, seeds)
        self._shown = self._training.parameters.copy()
        work_of_one = parameter_count(self.config.layer_sizes) * PREVIEW_SIDE**2
        self._n_preview = min(self.n_members, max(1, _PREVIEW_WORK // work_of_one))
        self._epochs_spent = self._seconds_spent = self._preview_at = 0.0
        self._previewing = threading.Lock()
        self._preview()
        self._idle = deque(members)  # a member in training is not in it

    def _take_turns(self) -> None:
        """Train members in turn, each for some milliseconds, until none is left that another thread does not train."""
        from mlp_core.engine.small import small_predictor  # its compiler takes a second to load

        data, space = self._data, self._training.workspace()
        predict_train, predict_test = (
            small_predictor(self._ensemble, inputs, self._checkpoint)
            for inputs in (data.train_inputs, data.test_inputs)
        )
        test_labels, train_labels = data.test_labels.numpy(), data.train_labels.numpy()
        while True:
            try:
                member = self._idle.popleft()
            except IndexError:
                return
            self._train_on(member, space)
            parameters = self._training.parameters[member]
            accuracy = float((predict_test(parameters) == test_labels).mean())
            if self._training.n_epochs_done[member] == self.config.epochs:
                self._finish(member, accuracy, float((predict_train(parameters) == train_labels).mean()))
            else:
                self._note(member, accuracy)
                self._idle.append(member)
                self._preview_if_due()

    def _train_on(self, member: int, space: Workspace) -> None:
        with self.lock:
            per_epoch = self._seconds_spent / self._epochs_spent if self._epochs_spent else 1.0
        begin, started = self._training.n_epochs_done[member], time.thread_time()
        n_epochs = max(_LEAST_EPOCHS, round(_SLICE_SECONDS / per_epoch))
        self._training.advance(member, n_epochs, space, lambda done: self._checkpoint([member], done))
        with self.lock:
            self._seconds_spent += time.thread_time() - started
            self._epochs_spent += self._training.n_epochs_done[member] - begin

    def _note(self, member: int, test_accuracy: float) -> bool:
        """Note what a member has come to; return whether it still has finite losses and parameters."""
        losses, parameters = self._training.losses(member), self._training.parameters[member]
        is_finite = bool(np.isfinite(losses).all() and np.isfinite(parameters).all())
        with self.lock:
            self._shown[member] = parameters
            self.progress.note(member, losses, test_accuracy if is_finite else np.nan)
            self.progress.seconds = time.monotonic() - self._started
        self._on_change()
        return is_finite

    def _finish(self, member: int, test_accuracy: float, train_accuracy: float) -> None:
        is_finite = self._note(member, test_accuracy)
        answers = self._answers(self._shown[member : member + 1], MAP_SIDE) if is_finite else None
        self._end([member], [train_accuracy if is_finite else np.nan], answers)

    def _train_parts(self) -> None:
        """Train members of large networks, some of them together from the first epoch to the last."""
        while True:
            try:
                members = self._parts.popleft()
            except IndexError:
                return
            self._train_part(members)

    def _train_part(self, members: range) -> None:
        config = self.config
        trained = train_members(
            config, self._data, members, lambda share: self._checkpoint(members, share * config.epochs)
        )
        finite = trained.test_accuracy.isfinite()
        answers = None
        if finite.any():
            state = {name: stacked[finite] for name, stacked in trained.state.items()}
            ensemble = Ensemble.from_state(state, config.activation)
            answers = class_probabilities(ensemble, square(self._extent, MAP_SIDE), self._inputs, self._checkpoint)
        with self.lock:
            for place, member in enumerate(members):
                losses, accuracy = trained.train_loss[place].numpy(), float(trained.test_accuracy[place])
                self.progress.note(member, losses, accuracy)
        self._end(members, trained.train_accuracy.tolist(), answers)

    def _end(
        self, members: Sequence[int], train_accuracy: Sequence[float], answers: NDArray[np.float32] | None
    ) -> None:
        """Note that members have finished, and what those that did not diverge answer, `[members, classes, points]`."""
        with self.lock:
            self.progress.finish(members, train_accuracy)
            self.progress.seconds = time.monotonic() - self._started
            if answers is not None:
                self._sum += answers.sum(0)
                self._n_mapped += len(answers)
            least = self._n_preview if self._is_small else 1
            if self._n_mapped and (self._n_mapped >= least or self.progress.is_complete):
                self._map = decision_map(self._sum, self._n_mapped, self.config.epochs)
        self._on_change()

    def _preview_if_due(self) -> None:
        if self._seconds_spent < self._preview_at or not self._previewing.acquire(blocking=False):
            return
        try:
            self._preview()
        finally:
            self._previewing.release()

    def _preview(self) -> None:
        """Show what the members answer now, as far as they are trained."""
        started = time.thread_time()
        with self.lock:
            rows = self._shown[: self._n_preview].copy()
            epoch = int(self.progress.n_epochs_done[: self._n_preview].min())
        answers = self._answers(rows, PREVIEW_SIDE)
        finite = np.isfinite(answers).all((1, 2))
        with self.lock:
            if finite.any() and not self._n_mapped:
                self._map = decision_map(answers[finite].sum(0), int(finite.sum()), epoch)
            self._preview_at = self._seconds_spent + _TIMES_A_PREVIEW * (time.thread_time() - started)
        self._on_change()

    def _answers(self, rows: NDArray[np.floating], side: int) -> NDArray[np.float32]:
        """Return the class probabilities, `[members, classes, side^2]`, of members with these parameters."""
        from mlp_core.engine.small import unpack

        ensemble = Ensemble.zeros(self.config.layer_sizes, self.config.activation, len(rows))
        unpack(rows, ensemble)
        return class_probabilities(ensemble, square(self._extent, side), self._inputs, self._checkpoint)

    def _checkpoint(self, members: Sequence[int] = (), n_epochs: float = 0.0) -> None:
        if self._stopped.is_set():
            raise Stopped
        if not members:
            return
        with self.lock:
            self.progress.reached[list(members)] = n_epochs
            self.progress.seconds = time.monotonic() - self._started
            is_news = self.progress.seconds > self._told + _SECONDS_BETWEEN_SHARES
        if is_news:
            self._told = self.progress.seconds
            self._on_change()
