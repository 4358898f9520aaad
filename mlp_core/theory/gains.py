"""Gains that keep signals or gradients from layer to layer, next to PyTorch's."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mlp_core.activations import activation_family
from mlp_core.theory.maps import chi, length_map


def forward_gain(activation: str) -> float:
    """Return the Xavier gain that keeps the mean square of the pre-activations at 1 from layer to layer.

    It is `1 / sqrt(E[phi(z)^2])` for z standard normal and phi the activation, in layers of equal width without biases.
    For leaky_relu(a) this is `sqrt(2 / (1 + a^2))`.

    Args:
        activation: Canonical name, such as `relu` or `leaky_relu(0.1)`.

    Example:
        >>> [round(forward_gain(name), 3) for name in ("leaky_relu(0.1)", "relu", "tanh")]
        [1.407, 1.414, 1.593]

    Source:
        He et al. 2015, eq. 10 and 15.
    """
    return 1 / math.sqrt(length_map(1.0, activation, sigma_w=1.0, sigma_b=0.0))


def backward_gain(activation: str) -> float:
    """Return the Xavier gain that keeps a gradient's mean square the same from layer to layer.

    It is `1 / sqrt(E[phi'(z)^2])` for z standard normal and phi' the activation's derivative: it holds for layers of
    equal width whose pre-activations have the mean square 1. `forward_gain` is its counterpart for signals.

    Args:
        activation: Canonical name, such as `relu` or `leaky_relu(0.1)`.

    Example:
        >>> [round(backward_gain(name), 3) for name in ("relu", "tanh", "selu")]
        [1.414, 1.467, 0.966]
    """
    return 1 / math.sqrt(chi(1.0, activation, sigma_w=1.0))


TABULATED_ACTIVATIONS = ("relu", "leaky_relu(0.1)", "tanh", "sigmoid", "gelu", "erf", "selu")
"""One of each family, in the order in which the report shows them."""


@dataclass(frozen=True)
class GainRow:
    """Xavier gains of one activation by theory, and the one that PyTorch recommends.

    Attributes:
        activation: Canonical name.
        forward: See `forward_gain`.
        backward: See `backward_gain`.
        pytorch: What `torch.nn.init.calculate_gain` returns; None if it knows no such activation.
        pytorch_formula: The same as PyTorch's documentation writes it; `none` if there is none.
        remark: How PyTorch's value compares with the two, in words.
    """

    activation: str
    forward: float
    backward: float
    pytorch: float | None
    pytorch_formula: str
    remark: str


_SAME = "the same forward and backward"
_PYTORCH_GAINS: dict[str, Callable[..., tuple[float | None, str, str]]] = {
    "relu": lambda: (math.sqrt(2), "sqrt(2)", _SAME),
    "tanh": lambda: (
        5 / 3,
        "5/3",
        "above both: lengths settle above 1 (q* = 1.18) and gradients grow by 1.21 in each layer",
    ),
    "sigmoid": lambda: (1.0, "1", "far below both: gradients vanish, to 1/18 of their mean square in each layer"),
    "gelu": lambda: (None, "none", "no value; the length that the forward gain keeps repels its neighbours"),
    "erf": lambda: (None, "none", "no value; gradients ask for less than signals"),
    "selu": lambda: (3 / 4, "3/4", "below both: gives up unit length (q* = 0.023) for gradients that hardly grow"),
    "leaky_relu": lambda slope: (math.sqrt(2 / (1 + slope**2)), "sqrt(2 / (1 + slope^2))", _SAME),
}


def gain_table(activations: Sequence[str]) -> list[GainRow]:
    """Return a row per activation, in the same order: its gains by theory, PyTorch's gain and a remark.

    Args:
        activations: Canonical names.

    Example:
        >>> [(row.activation, round(row.forward, 3), row.pytorch_formula) for row in gain_table(["tanh", "selu"])]
        [('tanh', 1.593, '5/3'), ('selu', 1.0, '3/4')]

    Source:
        He et al. 2015, eq. 10, 14 and 15; PyTorch's documentation of `torch.nn.init.calculate_gain`.
    """
    rows = []
    for activation in activations:
        forward, backward = forward_gain(activation), backward_gain(activation)
        family, parameters = activation_family(activation)
        pytorch = _PYTORCH_GAINS[family](*parameters)
        rows.append(GainRow(activation, forward, backward, *pytorch))
    return rows
