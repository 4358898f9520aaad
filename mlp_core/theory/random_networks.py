"""Signals in random networks, measured: what `mlp_core.theory.predictions` says of infinite width.

A weight matrix is drawn when its layer needs it and dropped at once, so that memory holds one layer of one member and
never a network: 20 layers of 1000 units are 80 MB a member. On the way back the matrices are needed again, and are
drawn again, from generators that only seed, member and layer decide. That second draw takes half of the time, but it is
back-propagation itself: a tangent carried along forward would need none, yet follows the theory of gradients only
where all layers are alike, and would not test its assumption that the weights on the way back are as good as
independent of the signals on the way there.

Expect at finite width: without biases the mean of q over members is that of the theory at any width and depth for relu
and leaky_relu, but single members scatter by about `sqrt(5 depth / width)`, and the mean of their logarithms lies
below: compare means. For the curved activations the mean itself is off, by an amount of the order of 1 / width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from mlp_core.engine.arithmetic import uniform_arithmetic
from mlp_core.engine.networks import activation
from mlp_core.errors import InputError
from mlp_core.seeds import generator
from mlp_core.theory.weight_scales import WeightScale


@dataclass(frozen=True)
class MeasuredSignals:
    """Mean squares, correlations and gradients measured in random networks, float64 `[members, layers]` each.

    Layers are counted from the inputs.

    Attributes:
        mean_square: Mean over the units of the squares of the first input's pre-activations; q in the theory.
        correlation: Cosine of the angle between the two inputs' pre-activations; c in the theory.
        gradient_mean_square: Mean over the units of the squares of the gradient with respect to the first input's
            pre-activations. At the last layer the gradient is a random vector whose mean square is 1.
    """

    mean_square: Tensor
    correlation: Tensor
    gradient_mean_square: Tensor

    def gradient_growth(self) -> Tensor:
        """Return the gradient's mean square in each layer divided by that in the next, `[members, layers - 1]`.

        With equal widths this is the measured chi_1. Compare its mean over members with the theory: the mean of a root
        of the whole product is too low, because single members scatter.
        """
        return self.gradient_mean_square[:, :-1] / self.gradient_mean_square[:, 1:]


def gaussian_inputs(n_features: int, mean_square: float, correlation: float, stream: torch.Generator) -> Tensor:
    """Draw two inputs in random directions that have exactly this mean square and correlation, float64 `[2, features]`.

    They are drawn as Gaussians and then made orthogonal and scaled, so that chance in the inputs adds no scatter.

    Args:
        n_features: Number of features, at least 2.
        mean_square: Mean of the squared features of each input, above 0.
        correlation: Cosine of the angle between the two inputs, -1 .. 1.
        stream: Generator that the directions are drawn from.

    Raises:
        ValueError: If a number is out of its range.

    Example:
        >>> first, second = gaussian_inputs(50, 2.0, 0.5, torch.Generator().manual_seed(0))
        >>> round((first @ first).item() / 50, 6), round((first @ second).item() / 50, 6)
        (2.0, 1.0)
    """
    if n_features < 2 or not mean_square > 0 or not -1 <= correlation <= 1:
        message = (
            "n_features must be at least 2, mean_square above 0 and correlation in -1 .. 1, "
            f"got {(n_features, mean_square, correlation)!r}."
        )
        raise ValueError(message)
    draws = torch.randn(n_features, 2, dtype=torch.float64, generator=stream)
    first, across = torch.linalg.qr(draws)[0].T * math.sqrt(n_features * mean_square)
    return torch.stack([first, correlation * first + math.sqrt(1 - correlation**2) * across])


def input_lengths(inputs: Tensor) -> tuple[tuple[float, float], float]:
    """Return the mean square of each of two inputs, and the cosine of the angle between them.

    These are the arguments `q_inputs` and `c_inputs` of `predicted_signals`.

    Args:
        inputs: The two inputs, `[2, features]`.

    Example:
        >>> input_lengths(torch.tensor([[1.0, 1.0], [2.0, -2.0]]))
        ((1.0, 4.0), 0.0)
    """
    first, second = inputs.double()
    lengths = float(first.square().mean()), float(second.square().mean())
    return lengths, float((first * second).mean()) / math.sqrt(lengths[0] * lengths[1])


@uniform_arithmetic()
def measure_signals(
    scale: WeightScale,
    activation_name: str,
    sigma_b: float,
    inputs: Tensor,
    members: Sequence[int],
    seed: int,
    distribution: Literal["normal", "uniform"] = "normal",
) -> MeasuredSignals:
    """Measure mean squares, correlations and gradients of two inputs in random networks, layer by layer.

    Two inputs go forward through each network (member), and a random gradient backward; nothing is trained. A member's
    random numbers depend on its number and the seed alone: members of equal number differ between two scales only in
    the size of their weights. The arithmetic is float64, so that nothing overflows or fades to 0 in a hundred layers;
    draws are float32, which takes a quarter of the time. Where all units of a layer are dead, mean squares are 0 and
    correlations NaN from there on.

    Args:
        scale: Layer sizes and the standard deviation of each layer's weights.
        activation_name: Canonical name; the activation follows every layer but the last.
        sigma_b: Standard deviation of a bias, at least 0.
        inputs: Two examples, `[2, features]`, of any mean squares; all members see the same.
        members: Numbers of the members, at least one.
        seed: Root seed.
        distribution: Distribution of weights and biases; the standard deviations are the same for both.

    Returns:
        A row per member, in the order of `members`.

    Raises:
        InputError: If the activation or the distribution has no such name.
        ValueError: If the inputs do not have the shape.

    Example:
        >>> from mlp_core.theory.weight_scales import mean_field_scale
        >>> inputs = gaussian_inputs(100, 1.0, 0.0, torch.Generator().manual_seed(0))
        >>> scale = mean_field_scale([100] * 11, sigma_w=2**0.5)
        >>> found = measure_signals(scale, "relu", 0.0, inputs, range(64), seed=2021)
        >>> tuple(found.mean_square.shape), 1.6 < found.mean_square[:, -1].mean().item() < 2.4  # theory: 2
        ((64, 10), True)
    """
    if distribution not in ("normal", "uniform"):
        message = f"distribution must be normal or uniform, got {distribution!r}."
        raise InputError(message)
    if inputs.shape != (2, scale.layer_sizes[0]):
        message = f"inputs must be two examples of {scale.layer_sizes[0]} features, got shape {list(inputs.shape)}."
        raise ValueError(message)
    networks = _Networks(scale, activation_name, sigma_b, seed, distribution)
    parts = [networks.measure(inputs.double(), [member]) for member in members]  # company would change last digits
    return MeasuredSignals(*(torch.cat(columns) for columns in zip(*parts, strict=True)))


@dataclass(frozen=True)
class _Networks:
    scale: WeightScale
    activation_name: str
    sigma_b: float
    seed: int
    distribution: str

    def measure(self, inputs: Tensor, members: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        transfer = activation(self.activation_name)
        n_layers = len(self.scale.deviations)
        signal = inputs.T.expand(len(members), -1, -1)
        mean_squares, correlations, saved = [], [], []
        for layer in range(n_layers):
            weights, biases = self.draw(layer, members)
            pre_activations = (weights @ signal).mul_(self.scale.deviations[layer]).add_(biases, alpha=self.sigma_b)
            first, second = pre_activations.unbind(2)
            mean_squares.append(first.square().mean(1))
            correlations.append(torch.cosine_similarity(first, second, dim=1, eps=0.0))
            signal = torch.empty_like(pre_activations)
            transfer.forward(pre_activations, signal)
            saved.append((pre_activations if transfer.saves_input else signal)[:, :, 0].clone())

        gradient = torch.stack([self.direction(member) for member in members])
        gradients = [gradient.square().mean(1)]
        for layer in range(n_layers - 1, 0, -1):
            weights, _ = self.draw(layer, members)
            gradient = (weights.mT @ gradient[:, :, None])[:, :, 0].mul_(self.scale.deviations[layer])
            transfer.backward(gradient, saved[layer - 1])
            gradients.append(gradient.square().mean(1))
        return torch.stack(mean_squares, 1), torch.stack(correlations, 1), torch.stack(gradients[::-1], 1)

    def draw(self, layer: int, members: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return weights `[members, out, in]` and biases `[members, out, 1]` of variance 1, the same at every call."""
        n_inputs, n_outputs = self.scale.layer_sizes[layer : layer + 2]
        weights, biases = torch.empty(len(members), n_outputs, n_inputs), torch.empty(len(members), n_outputs, 1)
        for index, member in enumerate(members):
            stream = generator(self.seed, "signals", member, layer)
            for draw in (weights[index], biases[index]):
                if self.distribution == "normal":
                    draw.normal_(generator=stream)
                else:
                    draw.uniform_(-math.sqrt(3), math.sqrt(3), generator=stream)
        return weights.double(), biases.double()

    def direction(self, member: int) -> Tensor:
        """Return the gradient at the last layer, `[out]`."""
        stream = generator(self.seed, "signals", member, "gradient")
        draw = torch.randn(self.scale.layer_sizes[-1], generator=stream).double()
        return draw / draw.square().mean().sqrt()
