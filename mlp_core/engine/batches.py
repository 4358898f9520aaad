"""Batches: who sees which examples in which order."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import chain, cycle, pairwise
from queue import SimpleQueue
from threading import Thread
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from mlp_core.data.augmentation import augmented_batch, draw_augmentations
from mlp_core.engine.arithmetic import uniform_arithmetic
from mlp_core.engine.networks import aligned_rows
from mlp_core.engine.products import aligned


class Batch(NamedTuple):
    """Inputs and labels of one training step: the same examples for all members, or each member's own.

    Attributes:
        inputs: float32 `[features + 1, batch]`, or `[members, features + 1, batch]`; the last feature is 1.
        targets: float32 `[classes, batch]`, or `[members, classes, batch]`: the one-hot labels divided by minus the
            batch size, so that the mean cross-entropy is `(targets * log_softmax(logits)).sum()`.
    """

    inputs: Tensor
    targets: Tensor


Epochs = Iterable[Iterable[Batch]]

_CHUNK_PIXELS = 1024 * 3072  # of images prepared at a time: 13 MB, in each of two buffers
_AHEAD_BATCHES = 5  # 1,326 features make them 3.4 MB: more left the caches, fewer cost more hand-overs than they gained


def per_seed_epochs(
    inputs: Tensor,
    labels: Tensor,
    generators: Sequence[torch.Generator],
    *,
    n_classes: int,
    n_epochs: int,
    batch_size: int,
    drop_last: bool = False,
) -> Generator[Iterator[Batch]]:
    """Yield epochs in which each member sees all examples in its own random order.

    The batches of an epoch are views of one memory; they are overwritten when the next epoch is asked for.

    Args:
        inputs: float32 `[n, features]`.
        labels: int64 `[n]`.
        generators: One per member; its orders are drawn from it.
        n_classes: Number of classes.
        n_epochs: Number of epochs.
        batch_size: Examples per step.
        drop_last: Leave out the last batch of an epoch if it is short.

    Yields:
        Per epoch its batches, inputs `[members, features + 1, batch]`.
    """
    columns = [*inputs.T.contiguous(), *one_hot_targets(labels, n_classes, batch_size)]
    n_inputs = inputs.shape[1] + 1
    orders = torch.empty(len(generators), len(labels), dtype=torch.int32)
    # Where each step's numbers stand in them; what fills up a cache line repeats a number
    numbered = torch.arange(orders.numel()).view(orders.shape)
    places = torch.cat(
        [
            pad(step, (0, aligned(step.shape[1]) - step.shape[1])).flatten()
            for step in torch.split(numbered, batch_size, 1)
        ]
    )
    sizes = [min(batch_size, len(labels) - start) for start in range(0, len(labels), batch_size)]
    # A member's part of a batch begins on a cache line, whoever stands before it; what fills it up is not read
    lengths = [len(generators) * aligned(size) for size in sizes]
    # One buffer for all epochs: fresh memory every epoch took a third of the time of 128 members
    shuffled = torch.ones(n_inputs + n_classes, sum(lengths), device=inputs.device)
    steps = [
        step.view(len(shuffled), len(generators), -1).transpose(0, 1)[:, :, :size]
        for step, size in zip(torch.split(shuffled, lengths, 1), sizes, strict=True)
    ]  # [members, features + 1 + classes, batch]
    destinations = [*shuffled[: n_inputs - 1], *shuffled[n_inputs:]]  # the last feature stays 1
    batches = [Batch(step[:, :n_inputs], step[:, n_inputs:]) for step in steps]
    n_left = len(labels) % batch_size
    if n_left and drop_last:
        batches.pop()
    for _ in range(n_epochs):
        for order, stream in zip(orders, generators, strict=True):
            torch.randperm(len(labels), generator=stream, out=order)
        by_step = orders.take(places).to(inputs.device)
        for column, destination in zip(columns, destinations, strict=True):
            torch.index_select(column, 0, by_step, out=destination)
        if n_left and not drop_last:
            batches[-1].targets.mul_(batch_size / n_left)
        yield iter(batches)


def shared_epochs(
    inputs: Tensor,
    labels: Tensor,
    generator: torch.Generator,
    *,
    n_classes: int,
    n_epochs: int,
    batch_size: int,
    has_spare_core: Callable[[], bool] = lambda: False,
) -> Generator[Iterator[Batch]]:
    """Yield epochs in which all members see the same batches, in a new random order each epoch.

    Args:
        inputs: float32 `[n, features]`.
        labels: int64 `[n]`.
        generator: The orders are drawn from it.
        n_classes: Number of classes.
        n_epochs: Number of epochs.
        batch_size: Examples per step; the last batch of an epoch may be short.
        has_spare_core: Called before each epoch; if True, a second thread may prepare its batches ahead, which changes
            the speed but no number.

    Yields:
        Per epoch its batches, inputs `[features + 1, batch]`; a batch is overwritten when the next is asked for.
    """
    rows = aligned_rows(len(labels), inputs.shape[1] + 1, inputs.device).fill_(1)
    rows[:, :-1] = inputs
    targets = one_hot_targets(labels, n_classes, batch_size)
    # Short rows are soon gathered, and where one begins would depend on its batch: row_length
    can_go_ahead = inputs.device.type == "cpu" and rows.shape[1] >= 64
    n_most = min(batch_size * (_AHEAD_BATCHES if can_go_ahead else 1), len(labels))
    buffers = cycle(_Gathered(n_most, rows, targets, batch_size) for _ in range(2))

    def pieces() -> Iterator[tuple[bool, _Gathered, Tensor]]:
        buffer = next(buffers)
        for _ in range(n_epochs):
            order = torch.randperm(len(labels), generator=generator).to(inputs.device)
            # A batch that this thread gathers is still in its core's cache when it trains on it
            ahead = can_go_ahead and has_spare_core()
            for indices in torch.split(order, batch_size * (_AHEAD_BATCHES if ahead else 1)):
                if ahead:
                    buffer = next(buffers)  # one is being trained on
                yield ahead, buffer, indices

    with closing(_prepared(_Gathered.gather, pieces())) as gathered:
        for _ in range(n_epochs):
            yield _epoch(gathered, len(labels))


class _Gathered:
    """Memory for some batches, and the batches: views that are made once, as to make them costs each short step."""

    def __init__(self, n_most: int, rows: Tensor, targets: Tensor, batch_size: int) -> None:
        self.rows, self.targets, self.batch_size = rows, targets, batch_size
        self.chosen_rows = aligned_rows(n_most, rows.shape[1], rows.device)
        self.chosen_targets = targets.new_empty(len(targets), n_most)
        self.batches = _batches(self.chosen_rows, self.chosen_targets, batch_size)

    def gather(self, indices: Tensor) -> list[Batch]:
        """Return the batches of some examples."""
        n = len(indices)
        rows, targets = self.chosen_rows[:n], self.chosen_targets[:, :n]
        torch.index_select(self.rows, 0, indices, out=rows)
        torch.index_select(self.targets, 1, indices, out=targets)
        if n % self.batch_size:
            return _batches(rows, targets, self.batch_size)
        return self.batches[: n // self.batch_size]


def _batches(rows: Tensor, targets: Tensor, batch_size: int) -> list[Batch]:
    """Cut prepared examples into batches, the last of which may be short."""
    parts = list(zip(torch.split(rows.T, batch_size, 1), torch.split(targets, batch_size, 1), strict=True))
    n_last = parts[-1][1].shape[1]
    if n_last < batch_size:
        parts[-1] = parts[-1][0], parts[-1][1] * (batch_size / n_last)
    return [Batch(*part) for part in parts]


def _prepared(prepare: Callable[..., list[Batch]], jobs: Iterator[Any]) -> Generator[list[Batch]]:
    """Yield `prepare(*job)` for each `(ahead, *job)`: if ahead, by a second thread while the one before it is used.

    By queues: next to steps as short as those of one network, an executor's futures are slow.
    """
    wanted: SimpleQueue[Any] = SimpleQueue()
    prepared: SimpleQueue[list[Batch] | BaseException] = SimpleQueue()

    def prepare_ahead() -> None:
        with uniform_arithmetic():
            for job in iter(wanted.get, None):
                try:
                    prepared.put(prepare(*job))
                except BaseException as error:  # raised where the batches are asked for
                    prepared.put(error)

    thread: Thread | None = None
    waiting = False
    try:
        for job, following in pairwise(chain(jobs, [None])):
            batches = prepared.get() if waiting else prepare(*job[1:])
            if isinstance(batches, BaseException):
                raise batches
            waiting = following is not None and following[0]
            if waiting:
                wanted.put(following[1:])
                if thread is None:
                    helper = Thread(target=prepare_ahead, daemon=True)  # or epochs that are left unread hold the exit
                    helper.start()
                    thread = helper
            yield batches
    finally:
        if thread:
            wanted.put(None)
            thread.join()


def _epoch(prepared: Iterator[list[Batch]], n_examples: int) -> Iterator[Batch]:
    while n_examples:
        batches = next(prepared)
        n_examples -= sum(batch.targets.shape[1] for batch in batches)
        yield from batches


def one_hot_targets(labels: Tensor, n_classes: int, batch_size: int) -> Tensor:
    """Return one-hot labels divided by minus the batch size, `[classes, n]`: the targets of a `Batch`.

    Args:
        labels: int64 `[n]`, 0 .. `n_classes` - 1.
        n_classes: Number of classes.
        batch_size: Examples per step.

    Example:
        >>> one_hot_targets(torch.tensor([1, 0]), n_classes=2, batch_size=4)
        tensor([[-0.0000, -0.2500],
                [-0.2500, -0.0000]])
    """
    return torch.eye(n_classes, device=labels.device).index_select(1, labels) / -batch_size


def augmented_epochs(
    images: Tensor,
    labels: Tensor,
    generator: torch.Generator,
    *,
    n_classes: int,
    n_epochs: int,
    batch_size: int,
) -> Generator[Iterator[Batch]]:
    """Yield epochs of images in random order, each rotated and flipped at random; all members see the same batches.

    A second thread prepares the next examples while the caller trains on these.

    Args:
        images: uint8 `[n, channels, height, width]`.
        labels: int64 `[n]`.
        generator: Orders, angles and flips are drawn from it.
        n_classes: Number of classes.
        n_epochs: Number of epochs.
        batch_size: Examples per step; the last batch of an epoch may be short.

    Yields:
        Per epoch its batches, inputs `[channels * height * width + 1, batch]`; use each before asking for the next, for
        its memory is used again.
    """
    targets = one_hot_targets(labels, n_classes, batch_size)
    n_at_once = _CHUNK_PIXELS // images[0].numel()
    chunk = min(batch_size * max(1, n_at_once // batch_size), len(images))
    # The last feature stays 1
    buffers = cycle(aligned_rows(chunk, images[0].numel() + 1, images.device).fill_(1) for _ in range(2))

    def pieces() -> Iterator[tuple[Any, ...]]:
        for _ in range(n_epochs):
            order = torch.randperm(len(images), generator=generator)
            draws = (order, *draw_augmentations(len(images), generator))
            for piece in zip(*(torch.split(part, chunk) for part in draws), strict=True):
                yield True, next(buffers), *piece

    def prepare(buffer: Tensor, order: Tensor, angles: Tensor, flips: Tensor) -> list[Batch]:
        buffer = buffer[: len(order)]
        augmented_batch(images, order, angles, flips, out=buffer[:, :-1])
        return _batches(buffer, targets.index_select(1, order.to(images.device)), batch_size)

    with closing(_prepared(prepare, pieces())) as prepared:
        for _ in range(n_epochs):
            yield _epoch(prepared, len(images))
