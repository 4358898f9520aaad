"""Networks without a hidden layer on many inputs, trained in compiled code.

Their step is limited by how fast the examples come from memory, so each example is read where it lies, once for all
members that see the same batch: a sum over the inputs for each class, and a sum of inputs over the batch for the
gradient. A number depends on its member alone: sums over the inputs are sixteen sums of every sixteenth input, sums
over a batch go from its first example to its last (see `mlp_core.engine.vectors`).

A member's weights lie class after class, each row filled up with zeros to whole vectors, as do the examples' inputs.
Products compute two classes at a time; of an odd number of classes the last is computed twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mlp_core.engine.arithmetic import uniform_arithmetic
from mlp_core.engine.batches import batches_per_epoch
from mlp_core.engine.compilation import part, program
from mlp_core.engine.compiled import adam_step, cross_entropy, sgd_step
from mlp_core.engine.configs import known_optimizer
from mlp_core.engine.networks import Ensemble
from mlp_core.engine.orders import draw_orders, order_state
from mlp_core.engine.products import aligned
from mlp_core.engine.vectors import LANES, constant, fma, load, lower, spread, store, totals, upper

BLOCK = 64
"""Examples that stay in the second cache while all members see them."""
_CALL = 20_000_000  # examples times parameters: a few milliseconds


@part
def _multiply(weights: Any, n_classes: int, inputs: Any, places: Any, length: int, work: Any, width: int) -> None:
    """Write the logits of a block, a row of `width` numbers for each class."""
    for example in range(0, width, 4):
        p0, p1, p2, p3 = places[example], places[example + 1], places[example + 2], places[example + 3]
        for row in range(0, n_classes, 2):
            other = min(row + 1, n_classes - 1)
            a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = constant(work, 0.0)
            for at in range(0, length, LANES):
                a, b = load(weights, row * length + at), load(weights, other * length + at)
                x0, x1, x2, x3 = (
                    load(inputs, p0 + at),
                    load(inputs, p1 + at),
                    load(inputs, p2 + at),
                    load(inputs, p3 + at),
                )
                a0, a1, a2, a3 = fma(a, x0, a0), fma(a, x1, a1), fma(a, x2, a2), fma(a, x3, a3)
                b0, b1, b2, b3 = fma(b, x0, b0), fma(b, x1, b1), fma(b, x2, b2), fma(b, x3, b3)
            sums, others = totals(a0, a1, a2, a3), totals(b0, b1, b2, b3)
            store(work, row * width + example, lower(sums) + upper(sums))
            store(work, other * width + example, lower(others) + upper(others))


@part
def _weigh(gradient: Any, n_classes: int, inputs: Any, places: Any, length: int, work: Any, width: int) -> None:
    """Add the gradient of a block to that of a batch: sums over its examples of delta times input."""
    for example in range(0, width, 4):
        p0, p1, p2, p3 = places[example], places[example + 1], places[example + 2], places[example + 3]
        for row in range(0, n_classes, 2):
            other = min(row + 1, n_classes - 1)
            at = row * width + example
            a0, a1, a2, a3 = spread(work, at), spread(work, at + 1), spread(work, at + 2), spread(work, at + 3)
            at = other * width + example
            b0, b1, b2, b3 = spread(work, at), spread(work, at + 1), spread(work, at + 2), spread(work, at + 3)
            for at in range(0, length, LANES):
                x0, x1, x2, x3 = (
                    load(inputs, p0 + at),
                    load(inputs, p1 + at),
                    load(inputs, p2 + at),
                    load(inputs, p3 + at),
                )
                a, b = load(gradient, row * length + at), load(gradient, other * length + at)
                a, b = fma(a0, x0, a), fma(b0, x0, b)
                a, b = fma(a1, x1, a), fma(b1, x1, b)
                a, b = fma(a2, x2, a), fma(b2, x2, b)
                a, b = fma(a3, x3, a), fma(b3, x3, b)
                store(gradient, row * length + at, a)
                store(gradient, other * length + at, b)


@program
def train_steps(
    parameters: Any, moments: Any, powers: Any, n_classes: int, is_adam: bool, rate: float, decay: float,
    class_weights: Any, inputs: Any, labels: Any, orders: Any, batch_size: int, first: int, end: int,
    work: Any, places: Any, gradient: Any, losses: Any,
) -> None:  # fmt: skip
    """Train members that see the same batches for the steps `first` .. `end` - 1 of an epoch, in place.

    Returns nothing: it changes `parameters`, `moments`, `powers` and `losses`.

    Args:
        parameters: `[members, numbers]`: the rows of weights, the bias last, and zeros.
        moments: Adam's running means of the gradient and of its square, `[members, 2, numbers]`.
        powers: Adam's two decay rates to the power of the steps taken so far, `[members, 2]`; 1 at the start.
        n_classes: Number of classes.
        is_adam: Whether to step as Adam does, else as SGD.
        rate: Learning rate.
        decay: Weight decay, decoupled from the gradient.
        class_weights: Factor on the loss of an example of each class, `[classes]`; empty if all count alike.
        inputs: The examples' inputs, then a 1, then zeros as many as in a row of weights; flat.
        labels: Class of each example.
        orders: Order of the examples, uint32 `[n]`.
        batch_size: Examples of a step; the last one of an epoch may have fewer.
        first: The first step to take, from 0.
        end: The step after the last.
        work: Memory for a block: a row for each class, and two more.
        places: int64 `[BLOCK]`, memory for where the examples of a block begin.
        gradient: Memory as large as `parameters`, all 0.
        losses: Sum of the losses of the epoch's examples, float64 `[members]`; these steps are added to it.
    """
    n_examples, length = len(labels), parameters.shape[1] // n_classes
    for step in range(first, end):
        start = step * batch_size
        size = min(batch_size, n_examples - start)
        for block in range(0, size, BLOCK):
            n = min(BLOCK, size - block)
            width = -(-n // LANES) * LANES
            label_row, share_row = n_classes * width, (n_classes + 1) * width
            for column in range(width):
                example = orders[start + block + min(column, n - 1)]
                places[column] = np.int64(example) * length
                work[label_row + column] = labels[example]
                share = 1.0 / size if column < n else 0.0  # what fills up the rows counts nothing
                work[share_row + column] = share * class_weights[labels[example]] if len(class_weights) else share
            for member in range(len(parameters)):
                _multiply(parameters[member], n_classes, inputs, places, length, work, width)
                losses[member] += size * cross_entropy(work, np.int64(0), n_classes, label_row, share_row, width)
                _weigh(gradient[member], n_classes, inputs, places, length, work, width)
        for member in range(len(parameters)):
            if is_adam:
                adam_step(parameters[member], gradient[member], moments[member], rate, decay, powers[member])
            else:
                sgd_step(parameters[member], gradient[member], rate, decay)
            for at in range(parameters.shape[1]):
                gradient[member, at] = 0.0


@uniform_arithmetic()
def train_linear(
    ensemble: Ensemble,
    inputs: Tensor,
    labels: Tensor,
    streams: Sequence[torch.Generator],
    *,
    n_epochs: int,
    batch_size: int,
    drop_last: bool,
    optimizer: str,
    learning_rate: float,
    weight_decay: float = 0.0,
    class_weights: Tensor | None = None,
    after_epoch: Callable[[int], bool] | None = None,
    checkpoint: Callable[[float], object] = lambda done: None,
) -> Tensor:
    """Train an ensemble of networks without a hidden layer in place, in compiled code.

    Args:
        ensemble: Its parameters are changed in place.
        inputs: `[n, features]`, of the parameters' type.
        labels: int64 `[n]`.
        streams: A generator for all members, or one for each. The orders of the examples are those that
            `torch.randperm` would draw from it; the generator itself is not changed.
        n_epochs: Number of epochs.
        batch_size: Examples per step.
        drop_last: Leave out the last batch of an epoch if it is short.
        optimizer: `adam` or `sgd`.
        learning_rate: Step size, above 0.
        weight_decay: Decoupled: each step also subtracts `learning_rate * weight_decay` times all parameters.
        class_weights: float32 `[classes]`, factor on the loss of an example of each class.
        after_epoch: Called with the number of each epoch from 0; when it returns False, the training ends.
        checkpoint: Called every few milliseconds with the share of the training that is done; it may raise to stop.

    Returns:
        Mean training loss in nats, `[epochs, members]`, each batch weighted by its size, of the epochs until the end.

    Raises:
        InputError: If there is no such optimizer (the message lists the choices), or an epoch would have no step.
    """
    is_adam = known_optimizer(optimizer) == "adam"
    (layer,), n, n_members = ensemble.layers, len(labels), ensemble.n_members
    n_batches = batches_per_epoch(n, batch_size, drop_last=drop_last)
    parameters, examples = _in_rows(layer, layer.shape[2]), _in_rows(inputs, layer.shape[2])
    examples[:, inputs.shape[1]] = 1
    numbers, classes = parameters.flatten(1).numpy(), labels.numpy()
    moments = np.zeros((n_members, 2, numbers.shape[1]), numbers.dtype)
    powers, states = np.ones((n_members, 2)), [order_state(stream) for stream in streams]
    weights = np.empty(0, np.float32) if class_weights is None else class_weights.numpy()
    n_alike = n_members // len(streams)  # members that see the same batches
    groups = [slice(first, first + n_alike) for first in range(0, n_members, n_alike)]
    n_steps = max(1, _CALL // (min(n, batch_size) * numbers[:n_alike].size))
    orders, losses = np.empty(n, np.uint32), np.zeros((n_epochs, n_members))
    work, places = np.zeros((layer.shape[1] + 2) * BLOCK, numbers.dtype), np.zeros(BLOCK, np.int64)
    gradient = np.zeros_like(numbers[:n_alike])
    for epoch in range(n_epochs):
        for index, (group, state) in enumerate(zip(groups, states, strict=True)):
            draw_orders(state, orders[None])
            for first in range(0, n_batches, n_steps):
                checkpoint((epoch + (index + first / n_batches) / len(groups)) / n_epochs)
                train_steps(
                    numbers[group], moments[group], powers[group], layer.shape[1], is_adam, learning_rate, weight_decay,
                    weights, examples.flatten().numpy(), classes, orders, batch_size, first,
                    min(first + n_steps, n_batches), work, places, gradient, losses[epoch, group],
                )  # fmt: skip
        layer.copy_(parameters[:, :, : layer.shape[2]])
        if after_epoch and not after_epoch(epoch):
            losses = losses[: epoch + 1]
            break
    return torch.from_numpy(losses / min(n, n_batches * batch_size)).to(layer.dtype)


def _in_rows(numbers: Tensor, length: int) -> Tensor:
    """Return a copy whose rows are filled up with zeros to `length` numbers and to whole vectors."""
    filled = numbers.new_zeros(*numbers.shape[:-1], aligned(length))
    filled[..., : numbers.shape[-1]] = numbers
    return filled
