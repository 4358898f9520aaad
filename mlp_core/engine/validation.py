"""Validation examples during training: the members' accuracy after each epoch, and which epoch's weights are kept."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ValidationHistory:
    """What members reached on validation examples.

    Attributes:
        accuracy: float64 `[members, epochs]`, 0 .. 1; NaN after the epoch in which a member's training stopped.
        kept_epoch: int64 `[members]`, from 1: the epoch whose weights the member has.
        seconds: Processor time of a member's training, the mean over those that were trained with it.
    """

    accuracy: NDArray[np.float64]
    kept_epoch: NDArray[np.int64]
    seconds: float


class EarlyStopping:
    """Decides after each epoch whether a member goes on, and remembers which epoch was its best.

    A member stops when its validation accuracy has not risen for `patience` epochs, and is left with the weights of its
    best epoch, the first of equal ones. Without patience it trains to the end and keeps its last weights.

    Args:
        n_members: Members.
        n_epochs: Epochs at most.
        patience: Epochs without a rise; 0 for no early stop.

    Example:
        >>> stopping = EarlyStopping(1, 5, patience=2)
        >>> [stopping.record(0, epoch, accuracy) for epoch, accuracy in enumerate([0.5, 0.7, 0.7, 0.6])]
        [True, True, False, False]
        >>> stopping.goes_on(0), int(stopping.kept_epoch[0])
        (False, 2)
    """

    def __init__(self, n_members: int, n_epochs: int, patience: int) -> None:
        self.patience = patience
        self.accuracy = np.full((n_members, n_epochs), np.nan)
        self.kept_epoch = np.zeros(n_members, np.int64)
        self._best = np.full(n_members, -1.0)
        self._last = np.zeros(n_members, np.int64)
        self._times = [time.thread_time()]

    def clock(self) -> None:
        """Take down that an epoch has ended, of one member or of all at once."""
        self._times.append(time.thread_time())

    @property
    def seconds(self) -> float:
        """Return the processor time of a member's training, from the median epoch: the first may compile code."""
        epochs = np.diff(self._times)
        return float(np.median(epochs)) * len(epochs) / len(self.accuracy)

    def record(self, member: int, epoch: int, accuracy: float) -> bool:
        """Take down what a member reached after an epoch, counted from 0; return whether these weights are to keep."""
        self.accuracy[member, epoch] = accuracy
        self._last[member] = epoch + 1
        if self.patience and accuracy <= self._best[member]:
            return False
        self._best[member], self.kept_epoch[member] = accuracy, epoch + 1
        return True

    def goes_on(self, member: int) -> bool:
        """Return whether a member is to train one more epoch, if there is one."""
        return not self.patience or bool(self._last[member] - self.kept_epoch[member] < self.patience)

    @property
    def stopped(self) -> NDArray[np.bool_]:
        """Return which epochs a member no longer trained, `[members, epochs]`."""
        return np.asarray(np.arange(self.accuracy.shape[1]) >= self._last[:, None])
