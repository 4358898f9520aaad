"""Small networks: their ensembles handed to compiled code, one member after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlp_core.activations import activation_family
from mlp_core.engine.architecture import parameter_count
from mlp_core.engine.arithmetic import uniform_arithmetic
from mlp_core.engine.compiled import (
    BLOCK,
    ERF,
    GELU,
    LEAKY_RELU,
    NEEDS_PRE_ACTIVATION,
    RELU,
    SELU,
    SIGMOID,
    TANH,
    classify,
    train,
)
from mlp_core.engine.configs import known_optimizer
from mlp_core.engine.networks import Ensemble
from mlp_core.engine.orders import draw_orders, order_state
from mlp_core.engine.products import aligned
from mlp_core.engine.vectors import LANES

_KINDS = {
    "relu": RELU,
    "tanh": TANH,
    "sigmoid": SIGMOID,
    "gelu": GELU,
    "erf": ERF,
    "selu": SELU,
    "leaky_relu": LEAKY_RELU,
}
_CALL = 20_000_000  # examples times parameters: a few milliseconds, of which handing over to compiled code is little
_CLASSIFIED = BLOCK  # examples at a time: four times as many took a fifth longer, part of it for empty places


@uniform_arithmetic()
def train_small(
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
    after_epoch: Callable[[int, int, NDArray[np.floating]], bool] | None = None,
    checkpoint: Callable[[float], object] = lambda done: None,
) -> Tensor:
    """Train an ensemble of small networks in place, one member after the other, in compiled code.

    Args:
        ensemble: Its parameters are changed in place.
        inputs: `[n, features]`, of the parameters' type.
        labels: int64 `[n]`.
        streams: A generator per member. The orders of the examples are those that `torch.randperm` would draw from it;
            the generator itself is not changed.
        n_epochs: Number of epochs.
        batch_size: Examples per step.
        drop_last: Leave out the last batch of an epoch if it is short.
        optimizer: `adam` or `sgd`.
        learning_rate: Step size, above 0.
        weight_decay: Decoupled: each step also subtracts `learning_rate * weight_decay` times all parameters.
        class_weights: float32 `[classes]`, factor on the loss of an example of each class.
        after_epoch: Called after each epoch of a member with the member's index in the ensemble, the number of the
            epoch from 0 and its parameters, see `packed`, which it may change. When it returns False, the member stops.
        checkpoint: Called every few milliseconds with the share of the training that is done; it may raise to stop.

    Returns:
        Mean training loss in nats, `[epochs, members]`, each batch weighted by its size; 0 after a member's stop.

    Raises:
        InputError: If there is no such optimizer; the message lists the choices.
        TypeError: If inputs and parameters have different types.

    Example:
        >>> generators = [torch.Generator().manual_seed(seed) for seed in range(2)]
        >>> ensemble = Ensemble([1, 4, 2], "tanh", generators)
        >>> inputs, labels = torch.linspace(-1, 1, 64).unsqueeze(1), (torch.arange(64) >= 32).long()
        >>> options = {"n_epochs": 50, "batch_size": 16, "drop_last": True, "optimizer": "adam", "learning_rate": 0.05}
        >>> losses = train_small(ensemble, inputs, labels, generators, **options)
        >>> tuple(losses.shape), bool((losses[-1] < 0.2).all())
        ((50, 2), True)
    """
    is_adam = known_optimizer(optimizer) == "adam"
    if inputs.dtype != ensemble.parameters.dtype:  # compiled code would refuse them, too, after three seconds
        message = f"inputs must be {ensemble.parameters.dtype} as the parameters are, got {inputs.dtype}"
        raise TypeError(message)
    n = len(labels)
    n_batches = n // batch_size if drop_last else -(-n // batch_size)
    n_seen, batch_size = min(n, n_batches * batch_size), min(n, batch_size)
    n_steps = max(1, _CALL // (batch_size * parameter_count(ensemble.layer_sizes)))
    n_together = 1 if after_epoch else max(1, min(n_epochs, n_steps // n_batches))  # epochs
    orders = np.zeros(n_together * n + LANES - 1, np.uint32)
    numbers = packed(ensemble)
    layers, work = _layout(ensemble, batch_size)
    kind, leak = _activation(ensemble)
    examples = torch.cat([inputs, labels.unsqueeze(1)], 1).flatten().numpy()
    weights = np.empty(0, np.float32) if class_weights is None else class_weights.numpy()
    losses = np.zeros((ensemble.n_members, n_epochs))
    for member, (stream, parameters) in enumerate(zip(streams, numbers, strict=True)):
        moments, powers, state = np.zeros((2, len(parameters)), parameters.dtype), np.ones(2), order_state(stream)
        for epoch in range(0, n_epochs, n_together):
            n_orders = min(n_together, n_epochs - epoch)
            draw_orders(state, orders[: n_orders * n].reshape(n_orders, n))
            for first in range(0, n_orders * n_batches, n_steps):
                checkpoint((member + (epoch + first / n_batches) / n_epochs) / ensemble.n_members)
                train(
                    parameters, moments, powers, layers, kind, leak, is_adam, learning_rate,
                    weight_decay, weights, examples, orders, batch_size, n_batches,
                    first, min(first + n_steps, n_orders * n_batches), work, losses[member, epoch:],
                )  # fmt: skip
            if after_epoch and not after_epoch(member, epoch, parameters):
                break
    _unpack(numbers, ensemble)
    return torch.from_numpy(losses.T / n_seen).to(ensemble.parameters.dtype)


def compile_ahead() -> None:
    """Compile the code that trains and measures small networks, so that later calls need not wait.

    Takes some seconds the first time on a machine; later the compiled code is loaded from disk.
    """
    generators = [torch.Generator()]
    ensemble, inputs, labels = (
        Ensemble([1, 1, 2], "relu", generators),
        torch.zeros(1, 1),
        torch.zeros(1, dtype=torch.int64),
    )
    train_small(
        ensemble, inputs, labels, generators,
        n_epochs=1, batch_size=1, drop_last=False, optimizer="adam", learning_rate=0.01,
    )  # fmt: skip
    predict_small(ensemble, inputs)


def predict_small(ensemble: Ensemble, inputs: Tensor) -> Tensor:
    """Return the most probable class of each example, int64 `[members, n]`, for inputs `[n, features]` on the CPU.

    As `mlp_core.engine.training.predict`, for small networks: in compiled code.

    Example:
        >>> ensemble = Ensemble([1, 2], "relu", [torch.Generator()])
        >>> _ = ensemble.layers[0].copy_(torch.tensor([[[1.0, 0.0], [-1.0, 0.0]]]))
        >>> predict_small(ensemble, torch.tensor([[3.0], [-3.0]]))
        tensor([[0, 1]])
    """
    predict_packed = small_predictor(ensemble, inputs)
    return torch.from_numpy(np.stack([predict_packed(parameters) for parameters in packed(ensemble)]))


def small_predictor(ensemble: Ensemble, inputs: Tensor) -> Callable[[NDArray[np.floating]], NDArray[np.int64]]:
    """Return a function from one member's parameters to the most probable classes of `inputs`, int64 `[n]`.

    Use it to classify the same inputs many times, such as validation examples after each epoch.

    Args:
        ensemble: Gives the architecture; its parameters are not used.
        inputs: `[n, features]`.

    Returns:
        Function of one row of `packed`.
    """
    layers, work = _layout(ensemble, _CLASSIFIED)
    kind, leak = _activation(ensemble)
    rows = np.ascontiguousarray(inputs.numpy())

    def classes(parameters: NDArray[np.floating]) -> NDArray[np.int64]:
        answers = np.empty(len(rows), np.int64)
        classify(parameters, layers, kind, leak, rows, work, _CLASSIFIED, answers)
        return answers

    return classes


def _activation(ensemble: Ensemble) -> tuple[int, float]:
    family, parameters = activation_family(ensemble.activation_name)
    return _KINDS[family], parameters[0] if parameters else 0.0


def _layout(ensemble: Ensemble, n_examples: int) -> tuple[NDArray[np.int64], NDArray[np.floating]]:
    """Return the table of the layers, see `N_INPUTS`, and memory for so many examples, with rows of ones."""
    width = -(-n_examples // BLOCK) * BLOCK
    end = weights = 0

    def rows(n_rows: int) -> int:
        nonlocal end
        end += n_rows * width
        return end - n_rows * width

    sizes = list(pairwise(ensemble.layer_sizes))
    signals = [rows(n_inputs + 1) for n_inputs, _ in sizes]
    needs_both = _activation(ensemble)[0] in NEEDS_PRE_ACTIVATION
    results = [*([rows(n_inputs) for n_inputs, _ in sizes[1:]] if needs_both else signals[1:]), rows(sizes[-1][1])]
    deltas = [*(rows(n_inputs) for n_inputs, _ in sizes[1:]), results[-1]]
    rows(3 + 2)  # gradients read up to three rows too many; labels and weights of the examples
    memory, table = torch.zeros(end, dtype=ensemble.parameters.dtype), []
    for (n_inputs, n_outputs), signal, result, delta in zip(sizes, signals, results, deltas, strict=True):
        memory[signal + n_inputs * width : signal + (n_inputs + 1) * width] = 1
        table.append((n_inputs, n_outputs, weights, signal, result, delta))
        weights += (n_inputs + 1) * n_outputs
    return np.array(table), memory.numpy()


def packed(ensemble: Ensemble) -> NDArray[np.floating]:
    """Copy the parameters of each member into a row of an array `[members, numbers]`, for the compiled code.

    A row holds the layers one after the other, each `[out, in + 1]` with the bias last. Zeros follow, because the
    compiled products read up to a row of weights beyond the end.
    """
    flat = torch.cat([layer.flatten(1) for layer in ensemble.layers], 1)
    longest = max(ensemble.layer_sizes) + 1
    packed = flat.new_zeros(len(flat), aligned(flat.shape[1] + longest))
    packed[:, : flat.shape[1]] = flat
    return packed.numpy()


def _unpack(packed: NDArray[np.floating], ensemble: Ensemble) -> None:
    start = 0
    for layer in ensemble.layers:
        n_numbers = layer[0].numel()
        layer.copy_(torch.from_numpy(packed[:, start : start + n_numbers]).view(layer.shape))
        start += n_numbers
