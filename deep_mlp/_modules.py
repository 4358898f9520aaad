"""Activations as plain PyTorch modules."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mlp_core.activations import activation_family


class Erf(nn.Module):
    """Activation layer that applies the error function erf; PyTorch has erf as a function only."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return erf of each number of the inputs, in their shape."""
        return torch.erf(inputs)


MODULES: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "gelu": nn.GELU,
    "erf": Erf,
    "selu": nn.SELU,
}


def activation_module(name: str) -> nn.Module:
    """Return a new PyTorch layer (`torch.nn.Module`) of the activation with this canonical name.

    Example:
        >>> activation_module("leaky_relu(0.1)")
        LeakyReLU(negative_slope=0.1)
    """
    family, parameters = activation_family(name)
    return MODULES[family](*parameters)
