"""Batches: who sees which examples in which order."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import cycle
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from mlp_core.data.augmentation import draw_augmentations
from mlp_core.engine.arithmetic import uniform_arithmetic
from mlp_core.engine.networks import aligned_rows
from mlp_core.engine.products import aligned
from mlp_core.errors import InputError


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


def batches_per_epoch(n_examples: int, batch_size: int, *, drop_last: bool) -> int:
    """Return the number of training steps of an epoch.

    Args:
        n_examples: Training examples.
        batch_size: Examples per step.
        drop_last: Leave out the last batch of an epoch if it is short.

    Raises:
        InputError: If there is no step at all.

    Example:
        >>> batches_per_epoch(10, 4, drop_last=False), batches_per_epoch(10, 4, drop_last=True)
        (3, 2)
    """
    n_batches = n_examples // batch_size if drop_last else -(-n_examples // batch_size)
    if n_batches == 0:
        message = f"batch_size must be at most the {n_examples} training examples, got {batch_size}; use a smaller one."
        raise InputError(message)
    return n_batches


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
) -> Generator[Iterator[Batch]]:
    """Yield epochs in which all members see the same batches, in a new random order each epoch.

    Args:
        inputs: float32 `[n, features]`.
        labels: int64 `[n]`.
        generator: The orders are drawn from it.
        n_classes: Number of classes.
        n_epochs: Number of epochs.
        batch_size: Examples per step; the last batch of an epoch may be short.

    Yields:
        Per epoch its batches, inputs `[features + 1, batch]`; a batch is overwritten when the next is asked for.
    """
    rows = aligned_rows(len(labels), inputs.shape[1] + 1, inputs.device).fill_(1)
    rows[:, :-1] = inputs
    targets = one_hot_targets(labels, n_classes, batch_size)
    chosen_rows = aligned_rows(min(batch_size, len(labels)), rows.shape[1], rows.device)

    def epoch() -> Iterator[Batch]:
        order = torch.randperm(len(labels), generator=generator).to(inputs.device)
        for indices in torch.split(order, batch_size):
            chosen = torch.index_select(rows, 0, indices, out=chosen_rows[: len(indices)])
            yield from _batches(chosen, targets.index_select(1, indices), batch_size)

    for _ in range(n_epochs):
        yield epoch()


def _batches(rows: Tensor, targets: Tensor, batch_size: int) -> list[Batch]:
    """Cut prepared examples into batches, the last of which may be short."""
    parts = list(zip(torch.split(rows.T, batch_size, 1), torch.split(targets, batch_size, 1), strict=True))
    n_last = parts[-1][1].shape[1]
    if n_last < batch_size:
        parts[-1] = parts[-1][0], parts[-1][1] * (batch_size / n_last)
    return [Batch(*part) for part in parts]


def _prepared(prepare: Callable[..., list[Batch]], jobs: Iterator[Any]) -> Generator[list[Batch]]:
    """Yield `prepare(*job)` for each job; a second thread prepares it while the one before it is used."""
    with ThreadPoolExecutor(1) as pool:
        waiting = None
        for job in jobs:
            ready, waiting = waiting, pool.submit(uniform_arithmetic()(prepare), *job)
            if ready:
                yield ready.result()
        if waiting:
            yield waiting.result()


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
                yield next(buffers), *piece

    def prepare(buffer: Tensor, order: Tensor, angles: Tensor, flips: Tensor) -> list[Batch]:
        buffer = buffer[: len(order)]
        from mlp_core.engine.augmented import augmented_batch  # numba is slow to import

        augmented_batch(images, order, angles, flips, buffer[:, :-1])
        return _batches(buffer, targets.index_select(1, order.to(images.device)), batch_size)

    with closing(_prepared(prepare, pieces())) as prepared:
        for _ in range(n_epochs):
            yield _epoch(prepared, len(images))
