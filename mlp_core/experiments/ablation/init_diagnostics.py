"""What may keep a member from learning, measured before its first step.

Adam divides a gradient by its own size, so that a small one trains as well as a large one; only a gradient of zero, as
behind dead units, is lost. Both are measured here, so that the two can be told apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mlp_core.data.datasets import Split
from mlp_core.engine.arithmetic import uniform_arithmetic
from mlp_core.engine.batches import Batch, one_hot_targets
from mlp_core.engine.configs import TrainConfig
from mlp_core.engine.members import untrained_members
from mlp_core.engine.networks import Ensemble, with_constant
from mlp_core.engine.products import member_matrices, multiply
from mlp_core.engine.training import gradients


@dataclass(frozen=True)
class InitDiagnostics:
    """Dead units and gradients of members before their first step; each a float64 tensor `[members]`.

    Attributes:
        dead_share: Share of hidden units that are 0 on every training example, 0..1; NaN unless the activation is ReLU.
        dead_layers: Number of hidden layers whose units are all dead, so that no signal passes; NaN unless ReLU.
        first_gradient_mean_square: Mean square of the loss gradient over the first layer's weights and biases, on the
            whole training set.
        last_gradient_mean_square: The same over the output layer's weights and biases.
    """

    dead_share: Tensor
    dead_layers: Tensor
    first_gradient_mean_square: Tensor
    last_gradient_mean_square: Tensor


@uniform_arithmetic()
def measure_at_init(config: TrainConfig, data: Split, members: Sequence[int]) -> InitDiagnostics:
    """Measure dead units and gradients of members before their first step, with the weights that training starts from.

    Args:
        config: The configuration; it is not trained here.
        data: Its training examples, float32 inputs `[n, features]`, are used at once; test examples are not.
        members: Numbers of the members.

    Returns:
        One value per member, in the order of `members`.
    """
    ensemble = untrained_members(config, members)
    inputs, labels = data.train_inputs.to(config.device), data.train_labels.to(config.device)
    squares = gradient_mean_squares(ensemble, inputs, labels)
    dead = [layer.cpu().double() for layer in dead_units(ensemble, inputs)] if config.activation == "relu" else []
    missing = torch.full((len(members),), math.nan, dtype=torch.float64)
    return InitDiagnostics(
        torch.cat(dead, 1).mean(1) if dead else missing,
        torch.stack([layer.all(1) for layer in dead]).sum(0).double() if dead else missing,
        squares[:, 0],
        squares[:, -1],
    )


def dead_units(ensemble: Ensemble, inputs: Tensor) -> list[Tensor]:
    """Return which hidden units have an output of at most 0 on every input.

    Such a ReLU unit passes no gradient: neither its own weights nor anything before it learns through it.

    Args:
        ensemble: The members, with any activation; the result is meaningful for ReLU.
        inputs: float32 `[examples, features]`.

    Returns:
        One bool tensor `[members, units]` for each hidden layer, first layer first.

    Example:
        >>> ensemble = Ensemble([1, 2, 1], "relu", [torch.Generator()])
        >>> _ = ensemble.layers[0].copy_(torch.tensor([[[1.0, 0.0], [0.0, -1.0]]]))  # x, and always -1
        >>> dead_units(ensemble, torch.tensor([[-1.0], [1.0]]))
        [tensor([[False,  True]])]
    """
    signal, dead = with_constant(inputs).T, []
    for layer in ensemble.layers[:-1]:
        pre_activation = multiply(layer, signal)
        signal = member_matrices(pre_activation, ensemble.n_members, layer.shape[1] + 1, len(inputs)).fill_(1)
        ensemble.activation.forward(pre_activation, signal[:, :-1])
        dead.append((signal[:, :-1] <= 0).all(2))
    return dead


def gradient_mean_squares(ensemble: Ensemble, inputs: Tensor, labels: Tensor) -> Tensor:
    """Return the mean square of the loss gradient in each layer of each member.

    The loss is the mean cross-entropy over all examples at once.

    Args:
        ensemble: The members.
        inputs: float32 `[examples, features]`.
        labels: int64 `[examples]`.

    Returns:
        float64 `[members, layers]` on the CPU, each the mean over a layer's weights and biases; the output layer last.

    Example:
        >>> ensemble = Ensemble([1, 2], "relu", [torch.Generator()])
        >>> _ = ensemble.parameters.zero_()  # so that both classes have probability 1/2
        >>> gradient_mean_squares(ensemble, torch.tensor([[3.0]]), torch.tensor([0])).tolist()  # 1.5^2 and 0.5^2
        [[1.25]]
    """
    targets = one_hot_targets(labels, ensemble.layer_sizes[-1], len(labels))
    layers = gradients(ensemble, Batch(with_constant(inputs).T.contiguous(), targets))
    # On the CPU: Apple's GPUs have no float64
    return torch.stack([layer.cpu().double().square().mean((1, 2)) for layer in layers], 1)
