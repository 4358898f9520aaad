"""The training loop of large networks: cross-entropy on an ensemble, gradients by hand, a flat optimizer.

Small ones and those of one layer have others, `mlp_core.engine.small` and `mlp_core.engine.linear`;
`mlp_core.engine.architecture` says which they are.
SGD needs no gradient by itself: the products that would make it add its step to the parameters.

Each member has its own loss; nothing couples members, so that one of them alone gives what it gives in company.
Autograd would do, and costs little from some thirty members up; for one small network its bookkeeping
took four times as long as the arithmetic. The tests compare these gradients with autograd's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlp_core.engine.architecture import is_small
from mlp_core.engine.arithmetic import uniform_arithmetic
from mlp_core.engine.batches import Batch, Epochs
from mlp_core.engine.configs import known_optimizer
from mlp_core.engine.networks import Ensemble, stored_numbers
from mlp_core.engine.products import aligned, member_matrices, product, settled_product

_MANY_INPUTS, _SEVERAL_UNITS = 512, 8
"""Of a first layer that compiled code computes; a tile of its sums is up to eight units high. Milliseconds of a step of
eight members with SGD, batches of 64, by it and by a library's products (AMD EPYC, family 25 model 17, one thread):
256-64-3 0.59 and 0.55, 784-32-10 0.73 and 0.81, 3072-8-3 0.87 and 1.14, 3072-64-64-64-3 5.2 and 6.0."""


@uniform_arithmetic()
@np.errstate(over="ignore", invalid="ignore")  # a network that diverges is a result
def train(
    ensemble: Ensemble,
    epochs: Epochs,
    *,
    optimizer: str,
    learning_rate: float,
    weight_decay: float = 0.0,
    class_weights: Tensor | None = None,
    after_epoch: Callable[[int], bool] = lambda epoch: True,
    checkpoint: Callable[[], object] = lambda: None,
) -> Tensor:
    """Train all members of an ensemble at once, in place, with the cross-entropy loss.

    A member that diverges (its loss is no longer a finite number) is kept; the other members are not affected.

    Args:
        ensemble: Its parameters are changed in place.
        epochs: Epochs of batches, as `per_seed_epochs` or `shared_epochs` make them.
        optimizer: One of `OPTIMIZERS`.
        learning_rate: Step size, above 0.
        weight_decay: Decoupled: each step also subtracts `learning_rate * weight_decay` times all parameters.
        class_weights: float32 `[classes]`, factor on the loss of an example of each class.
        after_epoch: Called with the number of each epoch from 0; when it returns False, the training ends.
        checkpoint: Called before every step; it may raise to stop the training.

    Returns:
        Mean training loss in nats of each epoch until the end, `[epochs, members]`, each batch weighted by its size.

    Example:
        >>> from mlp_core.engine.batches import per_seed_epochs
        >>> generators = [torch.Generator().manual_seed(seed) for seed in range(2)]
        >>> ensemble = Ensemble([1, 4, 2], "tanh", generators)
        >>> inputs, labels = torch.linspace(-1, 1, 64).unsqueeze(1), (torch.arange(64) >= 32).long()
        >>> epochs = per_seed_epochs(inputs, labels, generators, n_classes=2, n_epochs=50, batch_size=16)
        >>> losses = train(ensemble, epochs, optimizer="adam", learning_rate=0.05)
        >>> tuple(losses.shape), bool((losses[-1] < 0.2).all())
        ((50, 2), True)
    """
    new_pass, step = _optimizer(optimizer, ensemble, learning_rate, weight_decay)
    passes: dict[int, _Pass] = {}  # by batch size: the usual one, and the last of an epoch
    history = []
    for epoch, batches in enumerate(epochs):
        losses, sizes = [], []
        for batch in batches:
            checkpoint()
            if class_weights is not None:
                batch = Batch(batch.inputs, batch.targets * class_weights.unsqueeze(1))
            size = batch.targets.shape[-1]
            if size not in passes:
                passes[size] = new_pass(batch)
                passes[size].weighted = class_weights is not None
            losses.append(passes[size].backward(batch))
            sizes.append(size)
            step()
        weights = torch.tensor(sizes, dtype=torch.float32, device=ensemble.parameters.device)
        # A running sum: the order of its terms does not depend on how many members there are
        history.append((torch.stack(losses) * (weights / weights.sum()).unsqueeze(1)).cumsum(0)[-1])
        if not after_epoch(epoch):
            break
    return torch.stack(history)


@uniform_arithmetic()
@np.errstate(over="ignore", invalid="ignore")  # a network that diverges is a result
def gradients(ensemble: Ensemble, batch: Batch) -> list[Tensor]:
    """Return the gradient of each member's mean cross-entropy loss on one batch with respect to its parameters.

    A tensor `[members, out, in + 1]` per layer, the gradient of the bias last, like `ensemble.layers`. The ensemble is
    not changed.

    Example:
        >>> from mlp_core.engine.batches import one_hot_targets
        >>> ensemble = Ensemble([1, 2], "relu", [torch.Generator()])
        >>> _ = ensemble.parameters.zero_()  # so that both classes have probability 1/2
        >>> targets = one_hot_targets(torch.tensor([0]), n_classes=2, batch_size=1)
        >>> gradients(ensemble, Batch(torch.tensor([[3.0], [1.0]]), targets))[0].tolist()
        [[[-1.5, -0.5], [1.5, 0.5]]]
    """
    gradient = torch.zeros_like(ensemble.parameters)
    _Pass(ensemble, batch, gradient).backward(batch)
    return ensemble.views(gradient)


def reads_rows(layer: Tensor, inputs: Tensor) -> bool:
    """Return whether `mlp_core.engine.wide_layer` computes a layer on a batch.

    It does on a CPU, for many inputs that lie example by example, the same for all members.

    Args:
        layer: The members' weights, bias last, `[members, units, inputs]`.
        inputs: A batch, `[inputs, examples]` or `[members, inputs, examples]`.
    """
    n_units, n_inputs = layer.shape[1:]
    alike = inputs.ndim == 2 and inputs.stride(0) == 1 and inputs.dtype == layer.dtype
    alike = alike and inputs.stride(1) == aligned(inputs.stride(1))  # rows that are filled up
    return layer.device.type == "cpu" and alike and n_inputs >= _MANY_INPUTS and n_units >= _SEVERAL_UNITS


class _FirstMoments(NamedTuple):
    """What the first layer needs for a step of Adam; the means are those of the gradient and of its square."""

    rate: float
    decay: float
    means: Sequence[Tensor]
    powers: NDArray[np.float64]


class _Pass:
    """Forward and backward for batches of one layout, in memory that is taken once.

    Fresh memory at every step cost more than the arithmetic: the kernel has to clear each of its pages. What is
    multiplied where is settled once, too: making the views costs a small network a tenth of its step.

    Args:
        ensemble: The members.
        batch: The first of the batches.
        gradient: Where to write the gradient, laid out like the parameters; None to take a step of SGD instead.
        learning_rate: Size of that step.
        first_moments: If given, the first layer takes a step of Adam at once.
    """

    def __init__(
        self,
        ensemble: Ensemble,
        batch: Batch,
        gradient: Tensor | None,
        learning_rate: float = 0.0,
        first_moments: _FirstMoments | None = None,
    ) -> None:
        layers, inputs = ensemble.layers, batch.inputs
        widths, batch_size = ensemble.layer_sizes[1:], batch.targets.shape[-1]

        def matrices(n_rows: int, *, touching: bool = False) -> Tensor:
            return member_matrices(ensemble.parameters, ensemble.n_members, n_rows, batch_size, touching=touching)

        self.activation = ensemble.activation
        logits, self.log_probabilities, self.loss_terms, last_delta = (
            matrices(widths[-1], touching=True) for _ in range(4)
        )
        self.pre_activations = [*(matrices(width) for width in widths[:-1]), logits]
        signals = [matrices(width + 1) for width in widths[:-1]]
        for signal in signals:
            signal[:, -1] = 1
        self.activations = [signal[:, :-1] for signal in signals]
        self.saved = self.pre_activations if self.activation.saves_input else self.activations
        self.deltas = [*(matrices(width) for width in widths[:-1]), last_delta]
        self.exponentiate: Callable[[], object] = self.log_probabilities.exp_
        if self.log_probabilities.device.type == "cpu":  # NumPy's is the faster one
            self.exponentiate = partial(np.exp, self.log_probabilities.numpy(), self.log_probabilities.numpy())
        self.scale, self.weighted = 1 / batch_size, False

        gradients = layers if gradient is None else ensemble.views(gradient)
        factor = -learning_rate if gradient is None else None
        self.first_product: Callable[[Tensor], object]
        self.first_gradient: Callable[[Tensor], object]
        if reads_rows(layers[0], inputs):
            from mlp_core.engine.wide_layer import ADAM, GRADIENT, SGD, WideLayer  # numba is slow to import

            first = WideLayer(layers[0], self.pre_activations[0], self.deltas[0])
            self.first_product = first.multiply
            if first_moments:
                self.first_gradient = first.descent(ADAM, layers[0], *first_moments)
            else:
                kind = SGD if gradient is None else GRADIENT
                self.first_gradient = first.descent(kind, gradients[0], learning_rate)
        else:
            self.first_product = product(layers[0], inputs.shape, self.pre_activations[0])
            self.first_gradient = product(self.deltas[0], inputs.mT.shape, gradients[0], factor)
        self.products = [
            settled_product(*operands) for operands in zip(layers[1:], signals, self.pre_activations[1:], strict=True)
        ]
        self.products_backward = [
            settled_product(layer[:, :, :-1].mT, delta, before)
            for layer, delta, before in zip(layers[1:], self.deltas[1:], self.deltas[:-1], strict=True)
        ]
        self.gradients = [
            settled_product(delta, signal.mT, out, factor)
            for delta, signal, out in zip(self.deltas[1:], signals, gradients[1:], strict=True)
        ]

    def backward(self, batch: Batch) -> Tensor:
        """Write the gradient of each member's mean cross-entropy, or step; return the losses `[members]`."""
        last = len(self.products)
        self.first_product(batch.inputs)
        for layer in range(last):
            self.activation.forward(self.pre_activations[layer], self.activations[layer])
            self.products[layer]()
        # [members, classes, batch]
        log_probabilities = torch.log_softmax(self.pre_activations[last], 1, out=self.log_probabilities)
        losses = torch.mul(log_probabilities, batch.targets, out=self.loss_terms).sum((1, 2))

        # d loss / d logits = (softmax - one-hot) / batch size
        self.exponentiate()
        if self.weighted:  # each example's probabilities count as much as its target
            log_probabilities.mul_(batch.targets.sum(-2, keepdim=True).neg_().mul_(1 / self.scale))
        torch.add(batch.targets, log_probabilities, alpha=self.scale, out=self.deltas[last])
        for layer in range(last - 1, -1, -1):
            self.products_backward[layer]()  # before its gradient: a step changes these weights
            self.activation.backward(self.deltas[layer], self.saved[layer])
            self.gradients[layer]()
        self.first_gradient(batch.inputs.mT)
        return losses


def _optimizer(
    name: str, ensemble: Ensemble, learning_rate: float, weight_decay: float
) -> tuple[Callable[[Batch], _Pass], Callable[[], object]]:
    """Return what makes the pass of batches like a first one, and the step that follows it."""
    parameters = ensemble.parameters
    if known_optimizer(name) == "sgd":
        before = parameters.clone() if weight_decay else None

        def decay_step() -> None:
            if before is not None:  # the pass has taken the step; what decays are the weights before it
                parameters.add_(before, alpha=-learning_rate * weight_decay)
                before.copy_(parameters)

        return (lambda batch: _Pass(ensemble, batch, None, learning_rate)), decay_step
    gradient, *moments = (torch.zeros_like(parameters) for _ in range(3))
    n_steps, one = torch.zeros((), device=parameters.device), torch.ones((), device=parameters.device)
    powers, n_taken = np.ones(2), 0  # parameters whose step the pass takes

    def new_pass(batch: Batch) -> _Pass:
        nonlocal n_taken
        if not reads_rows(ensemble.layers[0], batch.inputs):
            return _Pass(ensemble, batch, gradient)
        n_taken = ensemble.n_members * stored_numbers(*ensemble.layer_sizes[:2])
        means = [ensemble.views(moment)[0] for moment in moments]
        return _Pass(ensemble, batch, gradient, 0.0, _FirstMoments(learning_rate, weight_decay, means, powers))

    def adam_step() -> None:
        n_steps.add_(one)  # a Python number would be made a tensor every time
        # What torch.optim.Adam(fused=True) runs; its Python wrapper costs more than a step of a small network
        adam = torch._fused_adamw_ if weight_decay else torch._fused_adam_
        numbers, slopes, means, squares = (of_all[n_taken:] for of_all in (parameters, gradient, *moments))
        adam(
            [numbers], [slopes], [means], [squares], [], [n_steps],
            lr=learning_rate, beta1=0.9, beta2=0.999, weight_decay=weight_decay, eps=1e-8,
            amsgrad=False, maximize=False,
        )  # fmt: skip

    return new_pass, adam_step


@uniform_arithmetic()
def predict(ensemble: Ensemble, inputs: Tensor, *, chunk: int = 512) -> Tensor:
    """Return the most probable class of each example, by each member.

    Args:
        ensemble: The trained members.
        inputs: float32 `[n, features]`.
        chunk: Examples computed at a time, which bounds the memory; small networks on a CPU do not use it.

    Returns:
        int64 `[members, n]`.
    """
    if is_small(ensemble.layer_sizes, inputs.device.type):
        from mlp_core.engine.small import predict_small

        return predict_small(ensemble, inputs)
    return torch.cat([ensemble.logits(part).argmax(1) for part in torch.split(inputs, chunk)], 1)


def accuracy(ensemble: Ensemble, inputs: Tensor, labels: Tensor) -> Tensor:
    """Return each member's accuracy: the share of examples that it classifies correctly.

    Args:
        ensemble: The trained members.
        inputs: float32 `[n, features]`.
        labels: int64 `[n]`.

    Returns:
        float64 `[members]`, in 0 .. 1.

    Example:
        >>> ensemble = Ensemble([1, 2], "relu", [torch.Generator().manual_seed(0)])
        >>> _ = ensemble.layers[0].copy_(torch.tensor([[[1.0, 0.0], [-1.0, 0.0]]]))
        >>> accuracy(ensemble, torch.tensor([[1.0], [-1.0]]), torch.tensor([0, 0]))
        tensor([0.5000], dtype=torch.float64)
    """
    right = (predict(ensemble, inputs) == labels).sum(1)
    return right.cpu().double() / len(labels)  # Apple's GPUs have no float64
