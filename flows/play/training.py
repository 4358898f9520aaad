"""The networks of one question, trained member by member in threads, and what is known of them meanwhile.

A member is trained from its first step to its last by the same code as in a flow, so it is the flow's own network, and
whatever is shown of it is final. A question that is no longer asked is dropped at its next checkpoint.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlp_core.data.datasets import Split
from mlp_core.data.transforms import applied
from mlp_core.engine.architecture import is_small
from mlp_core.engine.arithmetic import uniform_arithmetic
from mlp_core.engine.configs import NETWORKS_TOGETHER, TrainConfig
from mlp_core.engine.members import TrainedMembers, train_members, untrained_members
from mlp_core.engine.networks import Ensemble
from mlp_core.errors import Stopped
from mlp_core.machine import cores

MAP_SIDE = 96
"""Points of a decision map along each axis; the page smooths them."""
_MAP_PART = 1024  # points at a time stay in the second-level cache
_MOST_EPOCHS_SHOWN = 200
_SECONDS_BETWEEN_SHARES = 0.1


@dataclass(frozen=True)
class DecisionMap:
    """The class that networks predict together at each point of a square grid.

    Attributes:
        classes: Class of highest mean probability, uint8 `[side, side]`; rows from the bottom (x2), columns x1.
        certainty: That mean probability, scaled from chance (0) to 1 (255), uint8 `[side, side]`.
        n: Number of networks in the mean.
    """

    classes: NDArray[np.uint8]
    certainty: NDArray[np.uint8]
    n: int


def decision_map(probabilities: NDArray[np.float32], n: int) -> DecisionMap:
    """Return the decision map for summed class probabilities of several networks.

    Args:
        probabilities: Sum over the networks, `[classes, points]`, points in the order of `square`.
        n: Number of networks.

    Example:
        >>> half = np.full((2, MAP_SIDE**2), 0.5, np.float32)
        >>> shown = decision_map(half, 1)
        >>> shown.classes.shape, int(shown.certainty.max())
        ((96, 96), 0)
    """
    chance = 1 / len(probabilities)
    share = (probabilities.max(0) / n - chance) / (1 - chance)
    certainty = np.rint(255 * np.clip(share, 0, 1)).astype(np.uint8)
    classes = probabilities.argmax(0).astype(np.uint8)
    return DecisionMap(classes.reshape(MAP_SIDE, MAP_SIDE), certainty.reshape(MAP_SIDE, MAP_SIDE), n)


def square(extent: float) -> Tensor:
    """Return the grid points of a decision map, float32 `[side^2, 2]`; x1 changes fastest, rows from the bottom.

    Args:
        extent: Half the side of the square, which is centred on the origin.

    Example:
        >>> square(2.0)[0].tolist(), square(2.0)[-1].tolist()
        ([-2.0, -2.0], [2.0, 2.0])
    """
    axis = torch.linspace(-extent, extent, MAP_SIDE)
    x2, x1 = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([x1.flatten(), x2.flatten()], 1)


@dataclass
class Progress:
    """State of the training of a question's members; arrays are indexed by member.

    Attributes:
        test_accuracy: float64 `[members]`; NaN where a member is not finished or diverged.
        train_accuracy: The same on training examples.
        finished: Numbers of the finished members (diverged ones too), in the order in which they finished.
        losses: Train losses of each member at up to 200 evenly spaced epochs; None if it is not finished.
        share: Share of the work that is done, 0..1.
        seconds: Time since the start; stops when all have finished.
        error: Message of the error that ended the training; empty if there was none.
    """

    test_accuracy: NDArray[np.float64]
    train_accuracy: NDArray[np.float64]
    losses: list[NDArray[np.float32] | None]
    finished: list[int] = field(default_factory=list)
    share: float = 0.0
    seconds: float = 0.0
    error: str = ""

    @property
    def is_complete(self) -> bool:
        """Return whether all members have finished."""
        return len(self.finished) == len(self.losses)

    @property
    def n_diverged(self) -> int:
        """Return how many of the finished members diverged (have no finite test accuracy)."""
        return int(np.isnan(self.test_accuracy[self.finished]).sum())


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
        nothing: list[NDArray[np.float32] | None] = [None] * n_members
        self.progress = Progress(np.full(n_members, np.nan), np.full(n_members, np.nan), nothing)
        self._data, self._extent, self._on_change = data, extent, on_change
        self._states: dict[int, dict[str, Tensor]] = {}
        self._sum = np.zeros((config.layer_sizes[-1], MAP_SIDE**2), np.float32)
        self._n_mapped = 0
        self._shares: dict[int, float] = {}
        self._stopped = threading.Event()
        self._told = 0.0
        together = 1 if is_small(config.layer_sizes, config.device) else NETWORKS_TOGETHER // 2
        self._parts = iter([range(first, min(first + together, n_members)) for first in range(0, n_members, together)])
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start one training thread per core."""
        self._started = time.monotonic()
        self._inputs = applied(self.config.inputs, self._data)
        for transform in self.config.inputs:
            self._data = transform.split(self._data)
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(cores())]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ask the threads to stop; they end within milliseconds and drop unfinished members."""
        self._stopped.set()

    def wait(self) -> None:
        """Wait until all threads have ended."""
        for thread in self._threads:
            thread.join()

    def accuracies(self) -> NDArray[np.float64]:
        """Return a copy of the members' test accuracies, 0..1; NaN where a member is not finished or diverged."""
        with self.lock:
            return self.progress.test_accuracy.copy()

    def untrained_map(self, n: int = 8) -> DecisionMap:
        """Return the decision map of the first n members before training."""
        n = min(n, self.n_members)
        ensemble = untrained_members(self.config, range(n))
        return decision_map(self._probabilities(ensemble).sum(0), n)

    def mean_map(self) -> DecisionMap | None:
        """Return the decision map of all finished members that did not diverge; None if there are none."""
        with self.lock:
            return decision_map(self._sum, self._n_mapped) if self._n_mapped else None

    def member_map(self, member: int) -> DecisionMap | None:
        """Return the decision map of one member; None if it is not finished or diverged."""
        with self.lock:
            state = self._states.get(member)
        if state is None:
            return None
        ensemble = Ensemble.from_state(state, self.config.activation)
        return decision_map(self._probabilities(ensemble)[0], 1)

    def _work(self) -> None:
        try:
            with uniform_arithmetic():
                while True:
                    with self.lock:
                        members = next(self._parts, None)
                    if members is None or self._stopped.is_set():
                        return
                    self._train(members)
        except Stopped:
            pass
        except Exception as error:  # a defect, or memory that is gone: the page says so, and others go on
            with self.lock:
                self.progress.error = f"{type(error).__name__}: {error}"
            self._on_change()
            raise

    def _train(self, members: Sequence[int]) -> None:
        trained = train_members(self.config, self._data, members, lambda share: self._checkpoint(members, share))
        finite = [place for place, accuracy in enumerate(trained.test_accuracy.isfinite().tolist()) if accuracy]
        state = {name: stacked[finite] for name, stacked in trained.state.items()}
        maps = (
            self._probabilities(Ensemble.from_state(state, self.config.activation)) if finite else self._sum[None][:0]
        )
        if not self._stopped.is_set():
            self._record(trained, finite, maps)
            self._on_change()

    def _record(self, trained: TrainedMembers, finite: Sequence[int], maps: NDArray[np.float32]) -> None:
        chosen = np.unique(np.linspace(0, trained.train_loss.shape[1] - 1, _MOST_EPOCHS_SHOWN).round().astype(int))
        with self.lock:
            progress = self.progress
            for place, member in enumerate(trained.member):
                progress.test_accuracy[member] = trained.test_accuracy[place]
                progress.train_accuracy[member] = trained.train_accuracy[place]
                progress.losses[member] = trained.train_loss[place].numpy()[chosen]
                progress.finished.append(member)
                self._shares.pop(member, None)
            for place in finite:
                state = {name: stacked[place : place + 1] for name, stacked in trained.state.items()}
                self._states[trained.member[place]] = {name: value.clone() for name, value in state.items()}
            self._sum += maps.sum(0)
            self._n_mapped += len(finite)
            self._note_time()

    def _checkpoint(self, members: Sequence[int], share: float) -> None:
        if self._stopped.is_set():
            raise Stopped
        with self.lock:
            self._shares.update(dict.fromkeys(members, share))
            self._note_time()
            is_news = self.progress.seconds > self._told + _SECONDS_BETWEEN_SHARES
        if is_news:
            self._told = self.progress.seconds
            self._on_change()

    def _note_time(self) -> None:
        progress = self.progress
        progress.share = (len(progress.finished) + sum(self._shares.values())) / self.n_members
        progress.seconds = time.monotonic() - self._started

    def _probabilities(self, ensemble: Ensemble) -> NDArray[np.float32]:
        """Return the probabilities of the members' classes everywhere, float32 `[members, classes, points]`."""
        with uniform_arithmetic():
            parts = torch.split(square(self._extent), _MAP_PART)
            logits = [ensemble.logits(self._inputs(part)) for part in parts]
            return torch.softmax(torch.cat(logits, 2), 1).numpy()
