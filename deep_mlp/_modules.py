"""Activations as plain PyTorch modules."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mlp_core.activations import activation_family


class Erf(nn.Module):
    """The error function, which PyTorch has as a function alone."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return erf of each number."""
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
    """Return the module of an activation's canonical name.

    Example:
        >>> activation_module("leaky_relu(0.1)")
        LeakyReLU(negative_slope=0.1)
    """
    family, parameters = activation_family(name)
    return MODULES[family](*parameters)
