"""Ensembles of multilayer perceptrons: many members of one architecture as batched tensors.

Activations are `[members, features, batch]`, weights `[members, out, in]`. With the batch axis last and contiguous the
small matrix products of these networks run several times faster than with `[members, batch, features]`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from mlp_core.activations import SELU_ALPHA, SELU_SCALE, activation_family
from mlp_core.engine.products import aligned, member_matrices, multiply
from mlp_core.errors import InputError

_aten = torch.ops.aten
_SCHEMES = ("pytorch", "xavier_normal", "xavier_uniform")


@dataclass(frozen=True)
class Activation:
    """An activation function and its derivative, which write into given tensors and do not use autograd.

    Attributes:
        forward: `forward(z, out)` writes the activations of the pre-activations `z` into `out`.
        backward: `backward(g, saved)` multiplies `g`, the gradient with respect to the activations, in place by the
            derivative: `g` is then the gradient with respect to the pre-activations.
        saves_input: Whether `saved` are the pre-activations; else they are the activations.
    """

    forward: Callable[[Tensor, Tensor], object]
    backward: Callable[[Tensor, Tensor], object]
    saves_input: bool = False


def _leaky_relu(slope: float) -> Activation:
    return Activation(
        lambda z, out: _aten.leaky_relu.out(z, slope, out=out),
        lambda g, h: _aten.leaky_relu_backward.grad_input(g, h, slope, True, grad_input=g),
    )


def _like(z: Tensor) -> Tensor:
    return torch.empty_strided(z.shape, z.stride(), dtype=z.dtype, device=z.device)  # members stay apart


def _gaussian(z: Tensor) -> Tensor:
    """Return exp(-z^2)."""
    return torch.square(z, out=_like(z)).neg_().exp_()


def _gelu_slope(z: Tensor) -> Tensor:
    """Return the derivative of z Phi(z): Phi(z) + z phi(z), Phi and phi of the standard normal distribution."""
    scaled = torch.mul(z, math.sqrt(0.5), out=_like(z))
    density = _gaussian(scaled).mul_(z).mul_(1 / math.sqrt(2 * math.pi))
    return scaled.erf_().add_(1).mul_(0.5).add_(density)


_ACTIVATIONS: dict[str, Callable[..., Activation]] = {
    "relu": lambda: Activation(
        lambda z, out: torch.clamp_min(z, 0, out=out),
        lambda g, h: _aten.threshold_backward.grad_input(g, h, 0, grad_input=g),
    ),
    "tanh": lambda: Activation(
        lambda z, out: torch.tanh(z, out=out),
        lambda g, h: _aten.tanh_backward.grad_input(g, h, grad_input=g),
    ),
    "sigmoid": lambda: Activation(
        lambda z, out: torch.sigmoid(z, out=out),
        lambda g, h: _aten.sigmoid_backward.grad_input(g, h, grad_input=g),
    ),
    "gelu": lambda: Activation(
        # PyTorch's own is oneDNN's for contiguous memory and another one elsewhere: a member alone would differ
        lambda z, out: torch.mul(z, math.sqrt(0.5), out=out).erf_().add_(1).mul_(z).mul_(0.5),
        lambda g, z: g.mul_(_gelu_slope(z)),
        saves_input=True,
    ),
    "erf": lambda: Activation(
        lambda z, out: torch.erf(z, out=out),
        lambda g, z: g.mul_(_gaussian(z)).mul_(2 / math.sqrt(math.pi)),
        saves_input=True,
    ),
    "selu": lambda: Activation(
        lambda z, out: _aten.elu.out(z, SELU_ALPHA, SELU_SCALE, 1, out=out),
        lambda g, h: _aten.elu_backward.grad_input(g, SELU_ALPHA, SELU_SCALE, 1, True, h, grad_input=g),
    ),
    "leaky_relu": _leaky_relu,
}


def activation(name: str) -> Activation:
    """Return the activation function of a canonical name, such as `relu` or `leaky_relu(0.1)`.

    `mlp_core.activations` turns a user's spelling into the canonical name.

    Raises:
        InputError: If no activation has that name; the message lists the choices.

    Example:
        >>> activation("leaky_relu(0.1)").forward(torch.tensor([-1.0, 2.0]), torch.empty(2))
        tensor([-0.1000,  2.0000])
    """
    family, parameters = activation_family(name)
    return _ACTIVATIONS[family](*parameters)


@dataclass(frozen=True)
class Initialization:
    """Distribution from which the first weights and biases are drawn.

    Attributes:
        scheme: `pytorch` (weights and biases uniform in +-1/sqrt(fan_in), as `torch.nn.Linear`), `xavier_normal` or
            `xavier_uniform` (weights by Glorot & Bengio 2010, eq. 12 and 16, biases as PyTorch's).
        gains: Xavier's factor on the standard deviation `sqrt(2 / (fan_in + fan_out))`: one for all members, or
            one per member; unused by `pytorch`.
    """

    scheme: str = "pytorch"
    gains: tuple[float, ...] = (1.0,)


class Ensemble:
    """Multilayer perceptrons of one architecture (the members), each with its own parameters, computed as one tensor.

    A bias is the weight of a constant input 1, the last of each layer: one matrix product then does a layer, and one
    its gradient. All parameters lie in one flat buffer, so that a step of Adam is one operation however many layers and
    members there are.

    Args:
        layer_sizes: Inputs, hidden widths, outputs.
        activation_name: Canonical name of the hidden layers' activation.
        generators: One per member; the member's parameters are drawn from it, layer by layer, weights then biases.
        initialization: How weights start.
        device: Where the parameters live.

    Attributes:
        parameters: float32, all members' parameters, and zeros that fill up cache lines.
        layers: One view `[members, out, in + 1]` of `parameters` per layer, the bias last.

    Example:
        >>> ensemble = Ensemble([2, 14, 4], "relu", [torch.Generator().manual_seed(s) for s in range(3)])
        >>> tuple(ensemble.logits(torch.zeros(5, 2)).shape)  # [members, classes, examples]
        (3, 4, 5)
    """

    def __init__(
        self,
        layer_sizes: Sequence[int],
        activation_name: str,
        generators: Sequence[torch.Generator],
        initialization: Initialization = Initialization(),
        device: torch.device | str = "cpu",
    ) -> None:
        self._allocate(layer_sizes, activation_name, len(generators), device)
        gains = initialization.gains * (self.n_members if len(initialization.gains) == 1 else 1)
        # Views of all members at once: two threads that start many networks wait for each other at every call
        weights, biases = ([layer[..., part].unbind() for layer in self.layers] for part in (slice(-1), -1))
        for member, (stream, gain) in enumerate(zip(generators, gains, strict=True)):
            for weight, bias in zip(weights, biases, strict=True):
                _draw_weight(weight[member], initialization.scheme, gain, stream)
                _draw_uniform(bias[member], weight[member].shape[1] ** -0.5, stream)

    def _allocate(
        self, layer_sizes: Sequence[int], activation_name: str, n_members: int, device: torch.device | str
    ) -> None:
        self.layer_sizes, self.n_members = tuple(layer_sizes), n_members
        self.activation_name, self.activation = activation_name, activation(activation_name)
        n_numbers = sum(stored_numbers(n_inputs, n_outputs) for n_inputs, n_outputs in pairwise(layer_sizes))
        self.parameters = torch.zeros(n_members * n_numbers, device=device)
        self.layers = self.views(self.parameters)

    @classmethod
    def zeros(cls, layer_sizes: Sequence[int], activation_name: str, n_members: int) -> Ensemble:
        """Return an ensemble on the CPU whose parameters are all 0, for somebody to fill.

        Args:
            layer_sizes: Inputs, hidden widths, outputs.
            activation_name: Canonical name of the hidden layers' activation.
            n_members: Number of members.
        """
        ensemble = cls.__new__(cls)
        ensemble._allocate(layer_sizes, activation_name, n_members, "cpu")
        return ensemble

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], activation_name: str) -> Ensemble:
        """Return an ensemble with the parameters of `state`, on the CPU: the inverse of `state()`.

        Args:
            state: Stacked weights `[members, out, in]` and biases `[members, out]`, named as `state()` names them.
            activation_name: Canonical name of the hidden layers' activation.
        """
        weights = [state[f"{2 * index}.weight"] for index in range(len(state) // 2)]
        sizes = [weights[0].shape[2], *(weight.shape[1] for weight in weights)]
        ensemble = cls.zeros(sizes, activation_name, weights[0].shape[0])
        for index, layer in enumerate(ensemble.layers):
            layer[:, :, :-1] = weights[index]
            layer[:, :, -1] = state[f"{2 * index}.bias"]
        return ensemble

    def views(self, flat: Tensor) -> list[Tensor]:
        """Return a view `[members, out, in + 1]` per layer, bias last, of a flat tensor laid out like `parameters`."""
        layers, start = [], 0
        for n_inputs, n_outputs in pairwise(self.layer_sizes):
            row, stored = row_length(n_inputs + 1), stored_numbers(n_inputs, n_outputs)
            end = start + self.n_members * stored
            members = flat[start:end].view(self.n_members, stored)[:, : n_outputs * row]
            layers.append(members.view(self.n_members, n_outputs, row)[:, :, : n_inputs + 1])
            start = end
        return layers

    @np.errstate(over="ignore", invalid="ignore")  # a network that diverged is a result
    def logits(self, inputs: Tensor) -> Tensor:
        """Return the logits of all members, `[members, classes, examples]`, for inputs `[examples, features]`."""
        signal = inputs.T
        for index, layer in enumerate(self.layers):
            # Adding the bias here spares a copy of the inputs with a constant: it took most of the time
            pre_activation = multiply(layer[:, :, :-1], signal).add_(layer[:, :, -1:])
            if index == len(self.layers) - 1:
                return pre_activation
            signal = member_matrices(pre_activation, *pre_activation.shape)
            self.activation.forward(pre_activation, signal)
        raise AssertionError

    def state(self) -> dict[str, Tensor]:
        """Return copies of all members' parameters on the CPU, named as in a `torch.nn.Sequential`.

        Layer i is module 2i of the Sequential, as an activation follows each: `0.weight` `[members, out, in]`,
        `0.bias` `[members, out]`, `2.weight` and so on. Indexed by a member they load with `load_state_dict`.
        """
        state = {}
        for index, layer in enumerate(self.layers):
            state[f"{2 * index}.weight"] = layer[:, :, :-1].cpu().contiguous()
            state[f"{2 * index}.bias"] = layer[:, :, -1].cpu().contiguous()
        return state


def row_length(n_numbers: int) -> int:
    """Return the distance in memory between the first numbers of two neighbouring rows of a weight matrix.

    It is `n_numbers` for rows of fewer than 64 numbers; longer rows are padded, so that each begins on a cache line.
    Without it the products of a layer with 3073 inputs took a fifth longer.
    """
    return n_numbers if n_numbers < 64 else aligned(n_numbers)


def stored_numbers(n_inputs: int, n_outputs: int) -> int:
    """Return how many numbers one layer of one member takes in memory, biases and padding included.

    Always whole cache lines, so that each member's matrix begins on one.

    Example:
        >>> stored_numbers(2, 14)  # 42 and what fills up
        48
    """
    return aligned(n_outputs * row_length(n_inputs + 1))


def aligned_rows(n_rows: int, n_numbers: int, device: torch.device | str = "cpu") -> Tensor:
    """Return an uninitialized float32 tensor `[n_rows, n_numbers]`; long rows each begin on a cache line.

    Rows of 64 numbers or more are padded to whole cache lines; shorter ones follow each other without a gap: see
    `row_length`.

    Example:
        >>> aligned_rows(4, 3073).stride(), aligned_rows(4, 3).stride()
        ((3088, 1), (3, 1))
    """
    return torch.empty(n_rows, row_length(n_numbers), device=device)[:, :n_numbers]


def with_constant(inputs: Tensor) -> Tensor:
    """Append a feature 1 to inputs `[examples, features]`: its weight in a layer is the bias.

    Example:
        >>> with_constant(torch.tensor([[2.0, 3.0]]))
        tensor([[2., 3., 1.]])
    """
    return torch.cat([inputs, inputs.new_ones(len(inputs), 1)], 1)


def _draw_weight(weight: Tensor, scheme: str, gain: float, stream: torch.Generator) -> None:
    if scheme not in _SCHEMES:
        message = f"scheme must be one of {', '.join(_SCHEMES)}, got {scheme!r}."
        raise InputError(message)
    n_outputs, n_inputs = weight.shape
    deviation = gain * math.sqrt(2 / (n_inputs + n_outputs))
    if scheme == "xavier_normal":
        # Drawn apart: PyTorch draws other numbers where rows have gaps
        weight.copy_(torch.randn(weight.shape, generator=stream).mul_(deviation))
    else:
        _draw_uniform(weight, n_inputs**-0.5 if scheme == "pytorch" else math.sqrt(3) * deviation, stream)


def _draw_uniform(numbers: Tensor, bound: float, stream: torch.Generator) -> None:
    if numbers.device.type == "cpu":
        numbers.uniform_(-bound, bound, generator=stream)
    else:  # where it trains changes no start
        numbers.copy_(torch.empty(numbers.shape).uniform_(-bound, bound, generator=stream))
