"""The one training loop: cross-entropy on an ensemble, gradients by hand, a flat optimizer.

SGD needs no gradient by itself: the products that would make it add its step to the parameters.

Each member has its own loss; nothing couples members, so that one of them alone gives what it gives in company.
Autograd would do, and costs little from some thirty members up; for one small network its bookkeeping
took four times as long as the arithmetic. The tests compare these gradients with autograd's.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mlp_core.batches import Batch, Epochs
from mlp_core.errors import InputError
from mlp_core.networks import Ensemble

OPTIMIZERS = ("adam", "sgd")


def train(
    ensemble: Ensemble,
    epochs: Epochs,
    *,
    optimizer: str,
    learning_rate: float,
    checkpoint: Callable[[], None] = lambda: None,
) -> Tensor:
    """Train all members of an ensemble at once, in place.

    A member whose loss is no longer finite stays as it is, a result; the others are not touched by it.

    Args:
        ensemble: Changed in place.
        epochs: Epochs of batches, as `private_epochs` or `shared_epochs` make them.
        optimizer: One of `OPTIMIZERS`.
        learning_rate: Step size, above 0.
        checkpoint: Called before every step; it may raise to stop the training.

    Returns:
        Mean training loss in nats, `[epochs, members]`, each batch weighted by its size.

    Example:
        >>> from mlp_core.batches import private_epochs
        >>> generators = [torch.Generator().manual_seed(seed) for seed in range(2)]
        >>> ensemble = Ensemble([1, 4, 2], "tanh", generators)
        >>> inputs, labels = torch.linspace(-1, 1, 64).unsqueeze(1), (torch.arange(64) >= 32).long()
        >>> epochs = private_epochs(inputs, labels, generators, n_classes=2, n_epochs=50, batch_size=16)
        >>> losses = train(ensemble, epochs, optimizer="adam", learning_rate=0.05)
        >>> tuple(losses.shape), bool((losses[-1] < 0.2).all())
        ((50, 2), True)
    """
    new_pass, step = _optimizer(optimizer, ensemble, learning_rate)
    passes: dict[int, _Pass] = {}  # by batch size: the usual one, and the last of an epoch
    history = []
    for batches in epochs:
        losses, sizes = [], []
        for batch in batches:
            checkpoint()
            size = batch.targets.shape[-1]
            if size not in passes:
                passes[size] = new_pass(size)
            losses.append(passes[size].backward(batch))
            sizes.append(size)
            step()
        weights = torch.tensor(sizes, dtype=torch.float32, device=ensemble.parameters.device)
        # A running sum: the order of its terms does not depend on how many members there are
        history.append((torch.stack(losses) * (weights / weights.sum()).unsqueeze(1)).cumsum(0)[-1])
    return torch.stack(history)


def gradients(ensemble: Ensemble, batch: Batch) -> list[Tensor]:
    """Return the gradient of each member's mean cross-entropy on one batch, shaped like `ensemble.layers`.

    Example:
        >>> from mlp_core.batches import one_hot_targets
        >>> ensemble = Ensemble([1, 2], "relu", [torch.Generator()])
        >>> _ = ensemble.parameters.zero_()  # so that both classes have probability 1/2
        >>> targets = one_hot_targets(torch.tensor([0]), n_classes=2, batch_size=1)
        >>> gradients(ensemble, Batch(torch.tensor([[3.0], [1.0]]), targets))[0].tolist()
        [[[-1.5, -0.5], [1.5, 0.5]]]
    """
    gradient = torch.zeros_like(ensemble.parameters)
    _Pass(ensemble, batch.targets.shape[-1], gradient).backward(batch)
    return ensemble.views(gradient)


class _Pass:
    """Forward and backward for one batch size, in memory that is taken once.

    Fresh memory at every step cost more than the arithmetic: the kernel has to clear each of its pages.

    Args:
        ensemble: The members.
        batch_size: Examples per step.
        gradient: Where to write the gradient, laid out like the parameters; None to take a step of SGD instead.
        learning_rate: Size of that step.
    """

    def __init__(
        self, ensemble: Ensemble, batch_size: int, gradient: Tensor | None, learning_rate: float = 0.0
    ) -> None:
        self.ensemble = ensemble
        self.gradients = ensemble.layers if gradient is None else ensemble.views(gradient)
        self.steps, self.factor = gradient is None, -learning_rate
        n_members, widths = ensemble.n_members, ensemble.layer_sizes[1:]
        new = ensemble.parameters.new_ones
        self.pre_activations = [new(n_members, width, batch_size) for width in widths]
        self.deltas = [new(n_members, width, batch_size) for width in widths[:-1]]
        signals = [new(n_members, width + 1, batch_size) for width in widths[:-1]]  # the last row stays 1
        self.signals = signals
        self.activations = [signal[:, :-1] for signal in signals]
        self.saved = self.pre_activations if ensemble.activation.saves_input else self.activations
        # transposed views, once: making a view costs a small network a tenth of its step
        self.weights_backward = [layer[:, :, :-1].transpose(1, 2) for layer in ensemble.layers]
        self.signals_backward = [signal.transpose(1, 2) for signal in signals]
        self.log_probabilities, self.loss_terms, self.last_delta = new(3, *self.pre_activations[-1].shape)
        self.scale = 1 / batch_size

    def backward(self, batch: Batch) -> Tensor:
        """Write the gradient of each member's mean cross-entropy, or step; return the losses `[members]`."""
        layers, activation, last = self.ensemble.layers, self.ensemble.activation, len(self.gradients) - 1
        self._first_product(batch.inputs)
        for layer in range(last):
            activation.forward(self.pre_activations[layer], self.activations[layer])
            torch.bmm(layers[layer + 1], self.signals[layer], out=self.pre_activations[layer + 1])
        # [members, classes, batch]
        log_probabilities = torch.log_softmax(self.pre_activations[last], 1, out=self.log_probabilities)
        losses = torch.mul(log_probabilities, batch.targets, out=self.loss_terms).sum((1, 2))

        # d loss / d logits = (softmax - one-hot) / batch size
        delta = torch.add(batch.targets, log_probabilities.exp_(), alpha=self.scale, out=self.last_delta)
        for layer in range(last, 0, -1):
            # a step changes these weights
            delta_before = torch.bmm(self.weights_backward[layer], delta, out=self.deltas[layer - 1])
            activation.backward(delta_before, self.saved[layer - 1])
            self._gradient(layer, delta, self.signals_backward[layer - 1])
            delta = delta_before
        if batch.inputs.dim() == 2:
            self._shared_gradient(delta.view(-1, delta.shape[2]), batch.inputs.T)
        else:
            self._gradient(0, delta, batch.inputs.transpose(1, 2))
        return losses

    def _first_product(self, inputs: Tensor) -> None:
        layer, out = self.ensemble.layers[0], self.pre_activations[0]
        if inputs.dim() == 2:
            torch.mm(layer.flatten(0, 1), inputs, out=out.view(-1, out.shape[2]))
        else:
            torch.bmm(layer, inputs, out=out)

    def _gradient(self, layer: int, delta: Tensor, signal: Tensor) -> None:
        if self.steps:
            self.gradients[layer].baddbmm_(delta, signal, alpha=self.factor)
        else:
            torch.bmm(delta, signal, out=self.gradients[layer])

    def _shared_gradient(self, delta: Tensor, inputs: Tensor) -> None:
        out = self.gradients[0].view(-1, inputs.shape[1])
        if self.steps:
            out.addmm_(delta, inputs, alpha=self.factor)
        else:
            torch.mm(delta, inputs, out=out)


def _optimizer(
    name: str, ensemble: Ensemble, learning_rate: float
) -> tuple[Callable[[int], _Pass], Callable[[], object]]:
    """Return what makes the pass of a batch size, and the step that follows it."""
    parameters = ensemble.parameters
    if name == "sgd":
        return (lambda size: _Pass(ensemble, size, None, learning_rate)), lambda: None
    if name != "adam":
        message = f"optimizer must be one of {', '.join(OPTIMIZERS)}, got {name!r}."
        raise InputError(message)
    gradient, *moments = (torch.zeros_like(parameters) for _ in range(3))
    n_steps, one = torch.zeros((), device=parameters.device), torch.ones((), device=parameters.device)

    def adam_step() -> None:
        n_steps.add_(one)  # a Python number would be made a tensor every time
        # What torch.optim.Adam(fused=True) runs; its Python wrapper costs more than a step of a small network
        torch._fused_adam_(
            [parameters], [gradient], [moments[0]], [moments[1]], [], [n_steps],
            lr=learning_rate, beta1=0.9, beta2=0.999, weight_decay=0.0, eps=1e-8, amsgrad=False, maximize=False,
        )  # fmt: skip

    return (lambda size: _Pass(ensemble, size, gradient)), adam_step


def predict(ensemble: Ensemble, inputs: Tensor, *, chunk: int = 2048) -> Tensor:
    """Return the members' most probable classes.

    Args:
        ensemble: The trained members.
        inputs: float32 `[n, features]`.
        chunk: Examples at a time, which bounds the memory.

    Returns:
        int64 `[members, n]`.
    """
    return torch.cat([ensemble.logits(part).argmax(1) for part in torch.split(inputs, chunk)], 1)


def accuracy(ensemble: Ensemble, inputs: Tensor, labels: Tensor) -> Tensor:
    """Return each member's share of examples classified correctly.

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
    return (predict(ensemble, inputs) == labels).double().mean(1)
