"""Validation examples during training: the members' accuracy after each epoch, and which epoch's weights are kept."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ValidationHistory:
    """Accuracy of members on validation examples after each epoch, and the epoch whose weights each member keeps.

    Attributes:
        accuracy: float64 `[members, epochs]`, 0 .. 1; NaN after the epoch in which a member's training stopped.
        kept_epoch: int64 `[members]`, from 1: the epoch whose weights the member has after training.
        seconds: Processor time of a member's training, the mean over those that were trained with it.
    """

    accuracy: NDArray[np.float64]
    kept_epoch: NDArray[np.int64]
    seconds: float


class EarlyStopping:
    """Early stopping: records the validation accuracy of members after each epoch, and says who trains on.

    A member stops when its validation accuracy has not risen for `patience` epochs; the weights to keep are those of
    its best epoch, the first of equal ones. Without patience it trains to the end and keeps its last weights. The
    caller copies the weights.

    Args:
        n_members: Number of members.
        n_epochs: Largest number of epochs.
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
        self._since = time.thread_time()
        self._epochs: list[float] = []

    def clock(self, n_epochs: int = 1) -> None:
        """Record the processor time at the end of epochs, of one member or of all at once; see `seconds`.

        Args:
            n_epochs: How many there were since the last call.
        """
        now = time.thread_time()
        self._epochs += [(now - self._since) / n_epochs] * n_epochs
        self._since = now

    @property
    def seconds(self) -> float:
        """Return the processor time of a member's training in seconds, the mean over the members.

        The median epoch times the number of epochs: the first epoch may also compile code.
        """
        return float(np.median(self._epochs)) * len(self._epochs) / len(self.accuracy)

    def record(self, member: int, epoch: int, accuracy: float) -> bool:
        """Record a member's validation accuracy after an epoch; return whether its weights are now the ones to keep.

        Args:
            member: Index of the member, from 0.
            epoch: Number of the epoch, from 0.
            accuracy: Validation accuracy, 0 .. 1.
        """
        self.accuracy[member, epoch] = accuracy
        self._last[member] = epoch + 1
        if self.patience and accuracy <= self._best[member]:
            return False
        self._best[member], self.kept_epoch[member] = accuracy, epoch + 1
        return True

    def record_all(self, accuracy: NDArray[np.float64]) -> None:
        """Record the validation accuracies of members that trained to the end without patience and keep the last.

        Args:
            accuracy: `[members, epochs]`, 0 .. 1.
        """
        self.accuracy[:], self._last[:], self.kept_epoch[:] = accuracy, accuracy.shape[1], accuracy.shape[1]

    def goes_on(self, member: int) -> bool:
        """Return whether a member has not stopped early; the last epoch ends its training all the same."""
        return not self.patience or bool(self._last[member] - self.kept_epoch[member] < self.patience)

    @property
    def stopped(self) -> NDArray[np.bool_]:
        """Return a mask `[members, epochs]`: True for the epochs that a member did not train."""
        return np.asarray(np.arange(self.accuracy.shape[1]) >= self._last[:, None])
