"""Small networks: their ensembles handed to compiled code, one member after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlp_core.activations import activation_family
from mlp_core.engine.architecture import parameter_count
from mlp_core.engine.arithmetic import uniform_arithmetic
from mlp_core.engine.augmented import augmented_batch
from mlp_core.engine.batches import batches_per_epoch
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
from mlp_core.engine.linear import train_linear
from mlp_core.engine.networks import Ensemble
from mlp_core.engine.orders import draw_orders, order_state
from mlp_core.engine.products import aligned
from mlp_core.engine.tiles import N_ROWS
from mlp_core.engine.vectors import LANES
from mlp_core.engine.wide_layer import SGD, WideLayer

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
_OTHER_SECONDS = 30.0  # a process that was forked where it should not be may never end
_CLASSIFIED = BLOCK  # examples at a time: four times as many took a fifth longer, part of it for empty places


@dataclass
class Workspace:
    """Memory of a thread that trains small networks.

    Attributes:
        n_orders: How many orders of the examples are drawn at a time.
        orders: Room for them, flat.
        layers: Table of the layers, see `mlp_core.engine.compiled`.
        work: Room for a batch, laid out as `layers` says.
        gradient: Room for a member's gradient.
        validation: The validation examples, and room for some of them; see `train`.
    """

    n_orders: int
    orders: NDArray[np.uint32]
    layers: NDArray[np.int64]
    work: NDArray[np.floating]
    gradient: NDArray[np.floating]
    validation: tuple[Any, ...]


@dataclass
class _Optimizer:
    """What a member needs to go on: Adam's moments, the powers of its decay rates, the state of its orders."""

    moments: NDArray[np.floating]
    powers: NDArray[np.float64]
    orders: NDArray[np.uint32]


class SmallTraining:
    """An ensemble of small networks in training: each member goes on from where the last call left it.

    How the epochs are cut into calls changes no bit. Threads may train different members at the same time, each with
    a workspace of its own.

    Args:
        ensemble: Its parameters are changed in place by `run`.
        inputs: `[n, features]`, of the parameters' type.
        labels: int64 `[n]`.
        streams: A generator per member, or one for all. The orders of the examples are those that `torch.randperm`
            would draw from it; the generator itself is not changed.
        n_epochs: Number of epochs.
        batch_size: Examples per step.
        drop_last: Leave out the last batch of an epoch if it is short.
        optimizer: `adam` or `sgd`.
        learning_rate: Step size, above 0.
        weight_decay: Decoupled: each step also subtracts `learning_rate * weight_decay` times all parameters.
        class_weights: float32 `[classes]`, factor on the loss of an example of each class.
        validation: Inputs `[n, features]` and labels of examples to classify after each epoch.

    Attributes:
        parameters: A row per member, see `packed`.
        n_right: How many validation examples a member classifies correctly after each epoch, int64 `[members, epochs]`.
        n_epochs_done: Number of epochs that each member has been trained, a list.

    Raises:
        InputError: If there is no such optimizer (the message lists the choices), or an epoch would have no step.
        TypeError: If inputs and parameters have different types.

    Example:
        >>> generators = [torch.Generator().manual_seed(seed) for seed in range(2)]
        >>> ensemble = Ensemble([1, 4, 2], "tanh", generators)
        >>> inputs, labels = torch.linspace(-1, 1, 64).unsqueeze(1), (torch.arange(64) >= 32).long()
        >>> options = {"n_epochs": 50, "batch_size": 16, "drop_last": True, "optimizer": "adam", "learning_rate": 0.05}
        >>> losses = SmallTraining(ensemble, inputs, labels, generators, **options).run()
        >>> tuple(losses.shape), bool((losses[-1] < 0.2).all())
        ((50, 2), True)
    """

    def __init__(
        self,
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
        validation: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        self._is_adam = known_optimizer(optimizer) == "adam"
        if inputs.dtype != ensemble.parameters.dtype:  # compiled code would refuse them, too, after three seconds
            message = f"inputs must be {ensemble.parameters.dtype} as the parameters are, got {inputs.dtype}"
            raise TypeError(message)
        self._ensemble, self._n, self._n_epochs = ensemble, len(labels), n_epochs
        self._streams = [*streams] * (ensemble.n_members // len(streams))
        self._n_batches = batches_per_epoch(self._n, batch_size, drop_last=drop_last)
        self._n_seen = min(self._n, self._n_batches * batch_size)
        self._batch_size = min(self._n, batch_size)
        work_of_step = self._batch_size * parameter_count(ensemble.layer_sizes)
        self._n_steps = max(1, _CALL // work_of_step)  # of a call
        self._rate, self._decay = learning_rate, weight_decay
        self._class_weights = np.empty(0, np.float32) if class_weights is None else class_weights.numpy()
        self._examples = torch.cat([inputs, labels.unsqueeze(1)], 1).flatten().numpy()
        self.parameters = packed(ensemble)
        self.n_epochs_done = [0] * ensemble.n_members
        self._losses = np.zeros((ensemble.n_members, n_epochs))
        self.n_right = np.zeros((ensemble.n_members, n_epochs), np.int64)
        examples = validation or (inputs[:0], labels[:0])
        self._validation = _in_blocks(examples[0]), examples[1].numpy()
        self._optimizers: dict[int, _Optimizer] = {}

    def workspace(self, most_epochs: int | None = None) -> Workspace:
        """Return memory for `advance`, one for each thread that trains.

        Args:
            most_epochs: How many orders of the examples to draw at a time, at most; None for no limit.
        """
        n_together = max(1, min(self._n_epochs, self._n_steps // self._n_batches, most_epochs or self._n_epochs))
        orders = np.zeros(n_together * self._n + LANES - 1, np.uint32)
        layers, work = _layout(self._ensemble, self._batch_size)
        of_block, space = _layout(self._ensemble, _CLASSIFIED)
        validation = of_block, *self._validation, space, _CLASSIFIED
        n_parameters = aligned(parameter_count(self._ensemble.layer_sizes))
        gradient = np.zeros(n_parameters, self.parameters.dtype)
        return Workspace(n_together, orders, layers, work, gradient, validation)

    def advance(
        self, member: int, n_epochs: int, space: Workspace, checkpoint: Callable[[float], object] = lambda done: None
    ) -> None:
        """Train a member some epochs further; call it where `uniform_arithmetic` holds.

        Args:
            member: Its index in the ensemble.
            n_epochs: How many epochs; what would go beyond the last one is left out.
            space: Memory, see `workspace`.
            checkpoint: Called every few milliseconds with the member's epochs so far; it may raise to stop, and the
                member cannot be trained further then.
        """
        parameters = self.parameters[member]
        if member not in self._optimizers:
            moments = np.zeros((2, len(parameters)), parameters.dtype)
            self._optimizers[member] = _Optimizer(moments, np.ones(2), order_state(self._streams[member]))
        state, n_batches = self._optimizers[member], self._n_batches
        kind, leak = _activation(self._ensemble)
        begin = self.n_epochs_done[member]
        end = min(begin + n_epochs, self._n_epochs)
        for epoch in range(begin, end, space.n_orders):
            n_orders = min(space.n_orders, end - epoch)
            draw_orders(state.orders, space.orders[: n_orders * self._n].reshape(n_orders, self._n))
            for first in range(0, n_orders * n_batches, self._n_steps):
                checkpoint(epoch + first / n_batches)
                train(
                    parameters, state.moments, state.powers, space.layers, kind, leak, self._is_adam, self._rate,
                    self._decay, self._class_weights, self._examples, space.orders, self._batch_size, n_batches,
                    first, min(first + self._n_steps, n_orders * n_batches), space.work, space.gradient,
                    self._losses[member, epoch:], space.validation, self.n_right[member, epoch:],
                )  # fmt: skip
        self.n_epochs_done[member] = end
        if end == self._n_epochs:
            del self._optimizers[member]

    def losses(self, member: int) -> NDArray[np.floating]:
        """Return a member's mean loss of each epoch so far in nats, each batch weighted by its size."""
        losses = self._losses[member, : self.n_epochs_done[member]] / self._n_seen
        return losses.astype(self.parameters.dtype)

    @uniform_arithmetic()
    def run(
        self,
        after_epoch: Callable[[int, int, NDArray[np.floating]], bool] | None = None,
        checkpoint: Callable[[float], object] = lambda done: None,
        ends: Sequence[int] = (),
    ) -> Tensor:
        """Train all members from their first epoch to their last, one after the other.

        Args:
            after_epoch: Called after an epoch of a member with the member's index in the ensemble, the number of the
                epoch from 0 and its parameters, see `packed`, which it may change. When it returns False, the member
                stops.
            ends: After how many epochs it is called, the last of them all; after each if empty.
            checkpoint: Called every few milliseconds with the share of the training that is done; it may raise to stop.

        Returns:
            Mean training loss in nats, `[epochs, members]`, each batch weighted by its size; 0 after a member's stop.
        """
        n_members, n_epochs = self._losses.shape
        ends = (ends or range(1, n_epochs + 1)) if after_epoch else [n_epochs]
        space = self.workspace(max(end - begin for begin, end in pairwise([0, *ends])))
        for member in range(n_members):

            def told(done: float, member: int = member) -> None:
                checkpoint((member + done / n_epochs) / n_members)

            for begin, end in pairwise([0, *ends]):
                self.advance(member, end - begin, space, told)
                if after_epoch and not after_epoch(member, end - 1, self.parameters[member]):
                    break
            self._optimizers.pop(member, None)
        unpack(self.parameters, self._ensemble)
        return torch.from_numpy(self._losses.T / self._n_seen).to(self._ensemble.parameters.dtype)


def compile_ahead() -> None:
    """Compile the code that trains and measures networks, so that later calls need not wait.

    Takes some seconds the first time on a machine, on two cores; later the compiled code is loaded from disk. Call it
    in a process without other threads, which it forks.
    """
    inputs, labels, streams = torch.zeros(1, 1), torch.zeros(1, dtype=torch.int64), [torch.Generator()]
    options: dict[str, Any] = {"n_epochs": 1, "batch_size": 1, "drop_last": False, "optimizer": "adam"}
    options["learning_rate"] = 0.01

    ensemble = Ensemble([1, 1, 2], "relu", streams)

    def compile_others() -> None:
        image, rows = torch.zeros(1, 1, 1, 1, dtype=torch.uint8), torch.empty(1, 2)
        augmented_batch(image, labels, torch.zeros(1), torch.tensor([False]), rows[:, :-1])
        predict_small(ensemble, inputs)  # meanwhile the other has compiled the orders that both need
        train_linear(Ensemble([1, 2], "relu", streams), inputs, labels, streams, **options)
        layer, results = torch.zeros(1, 8, 32), torch.zeros(1, 8, 1)
        wide_layer, example = WideLayer(layer, results, results), torch.zeros(1, 32)
        wide_layer.multiply(example.mT)
        wide_layer.descent(SGD, layer)(example)

    other = get_context("fork").Process(target=compile_others, daemon=True)
    other.start()
    SmallTraining(ensemble, inputs, labels, streams, **options).run()
    other.join(_OTHER_SECONDS)
    compile_others()  # by now it is on disk; if the other failed, it is compiled here


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


def small_predictor(
    ensemble: Ensemble, inputs: Tensor, checkpoint: Callable[[], object] = lambda: None
) -> Callable[[NDArray[np.floating]], NDArray[np.int64]]:
    """Return a function from one member's parameters to the most probable classes of `inputs`, int64 `[n]`.

    Use it to classify the same inputs many times, such as validation examples after each epoch.

    Args:
        ensemble: Gives the architecture; its parameters are not used.
        inputs: `[n, features]`.
        checkpoint: Called every few milliseconds of the function's work; it may raise to stop.

    Returns:
        Function of one row of `packed`.
    """
    layers, work = _layout(ensemble, _CLASSIFIED)
    kind, leak = _activation(ensemble)
    n, n_inputs, blocks = *inputs.shape, _in_blocks(inputs)
    n_together = max(1, _CALL // parameter_count(ensemble.layer_sizes) // _CLASSIFIED) * _CLASSIFIED

    def classes(parameters: NDArray[np.floating]) -> NDArray[np.int64]:
        answers = np.empty(n, np.int64)
        for first in range(0, n, n_together):
            checkpoint()
            part = blocks[first * n_inputs :]
            classify(parameters, layers, kind, leak, part, work, _CLASSIFIED, answers[first : first + n_together])
        return answers

    return classes


def _in_blocks(inputs: Tensor) -> NDArray[np.floating]:
    """Return inputs `[n, features]` as `classify` takes them: `[blocks, features, examples]`, flat, the rest 0."""
    n, n_inputs = inputs.shape
    blocks = inputs.new_zeros(-(-n // _CLASSIFIED), _CLASSIFIED, n_inputs)
    blocks.view(-1, n_inputs)[:n] = inputs
    filled: NDArray[np.floating] = blocks.transpose(1, 2).contiguous().flatten().numpy()
    return filled


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
    # Gradients read some rows too many; then deltas side by side, labels and weights of the examples
    rows(N_ROWS + N_ROWS + 2)
    memory, table = torch.zeros(end, dtype=ensemble.parameters.dtype), []
    for (n_inputs, n_outputs), signal, result, delta in zip(sizes, signals, results, deltas, strict=True):
        memory[signal + n_inputs * width : signal + (n_inputs + 1) * width] = 1
        table.append((n_inputs, n_outputs, weights, signal, result, delta))
        weights += (n_inputs + 1) * n_outputs
    return np.array(table), memory.numpy()


def packed(ensemble: Ensemble) -> NDArray[np.floating]:
    """Copy the parameters of each member into a row of an array `[members, numbers]`, for the compiled code.

    A row holds the layers one after the other, each `[out, in + 1]` with the bias last. Zeros follow, because the
    compiled products read some rows of weights beyond the end.
    """
    flat = torch.cat([layer.flatten(1) for layer in ensemble.layers], 1)
    longest = max(ensemble.layer_sizes) + 1
    packed = flat.new_zeros(len(flat), aligned(flat.shape[1] + (N_ROWS - 1) * longest))
    packed[:, : flat.shape[1]] = flat
    return packed.numpy()


def unpack(packed: NDArray[np.floating], ensemble: Ensemble) -> None:
    """Copy rows of parameters, one per member, see `packed`, into an ensemble.

    Example:
        >>> ensemble, other = Ensemble([2, 4], "relu", [torch.Generator()]), Ensemble.zeros([2, 4], "relu", 1)
        >>> unpack(packed(ensemble), other)
        >>> torch.equal(ensemble.parameters, other.parameters)
        True
    """
    start = 0
    for layer in ensemble.layers:
        n_numbers = layer[0].numel()
        layer.copy_(torch.from_numpy(packed[:, start : start + n_numbers]).view(layer.shape))
        start += n_numbers
