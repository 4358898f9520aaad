"""How far the members of a question have come."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_MOST_EPOCHS_SHOWN = 200


class Progress:
    """State of the training of a question's members; arrays are indexed by member.

    Args:
        n_members: Number of members.
        n_epochs: Epochs that each is trained.

    Attributes:
        n_epochs_done: int64 `[members]`, epochs after which each member was last measured; 0 if it was not yet.
        test_accuracy: float64 `[members]`, 0..1, of that epoch; NaN where a member has none, or has diverged.
        train_accuracy: The same on training examples; NaN until a member is finished.
        is_finished: bool `[members]`; those that diverged are finished at the last epoch, too.
        shown_epochs: Up to 200 evenly spaced epochs, from 0.
        losses: float32 `[members, shown epochs]`, mean train loss of these epochs in nats; NaN where there is none yet.
        reached: float64 `[members]`, epochs trained so far, in parts.
        seconds: Time since the start; stops when all have finished.
        error: Message of the error that ended the training; empty if there was none.

    Example:
        >>> progress = Progress(n_members=2, n_epochs=4)
        >>> progress.note(1, np.array([1.4, 1.2], np.float32), test_accuracy=0.5)
        >>> progress.share, progress.epoch, progress.is_complete
        (0.25, 2, False)
    """

    def __init__(self, n_members: int, n_epochs: int) -> None:
        n_shown = min(n_epochs, _MOST_EPOCHS_SHOWN)
        self.shown_epochs = np.linspace(0, n_epochs - 1, n_shown).round().astype(int)
        self.n_epochs_done = np.zeros(n_members, np.int64)
        self.test_accuracy, self.train_accuracy = np.full((2, n_members), np.nan)
        self.is_finished = np.zeros(n_members, bool)
        self.losses = np.full((n_members, n_shown), np.nan, np.float32)
        self.reached = np.zeros(n_members)
        self.seconds, self.error, self._n_epochs = 0.0, "", n_epochs

    @property
    def is_complete(self) -> bool:
        """Return whether all members have finished."""
        return bool(self.is_finished.all())

    @property
    def share(self) -> float:
        """Return the share of the work that is done, 0..1."""
        return float(self.reached.mean()) / self._n_epochs

    @property
    def is_measured(self) -> NDArray[np.bool_]:
        """Return whether each member was measured at all, `[members]`."""
        return self.n_epochs_done > 0

    @property
    def epoch(self) -> int:
        """Return after how many epochs the members were measured: the least of those that were; 0 if none was."""
        measured = self.n_epochs_done[self.is_measured]
        return int(measured.min()) if len(measured) else 0

    def note(self, member: int, losses: NDArray[np.floating], test_accuracy: float) -> None:
        """Note what a member has come to.

        Args:
            member: Its number.
            losses: Its train loss of each epoch so far, `[epochs]`.
            test_accuracy: 0..1; NaN if it has diverged.
        """
        visible = self.shown_epochs[self.shown_epochs < len(losses)]
        self.losses[member, : len(visible)] = losses[visible]
        self.n_epochs_done[member] = self.reached[member] = len(losses)
        self.test_accuracy[member] = test_accuracy

    def finish(self, members: Sequence[int], train_accuracy: Sequence[float]) -> None:
        """Note that members are finished.

        Args:
            members: Their numbers.
            train_accuracy: Of each, 0..1; NaN if it has diverged.
        """
        self.is_finished[list(members)] = True
        self.train_accuracy[list(members)] = train_accuracy
