"""Activations as functions of numpy arrays, with their derivatives."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlp_core.activations import SELU_ALPHA, SELU_SCALE, activation_family

_Array = NDArray[np.float64]


@dataclass(frozen=True)
class ActivationFunction:
    """An activation function and its derivative, both of NumPy arrays, element by element.

    Attributes:
        function: Returns the activations of pre-activations.
        derivative: Returns the derivatives at pre-activations; at a kink, the one on its left.
    """

    function: Callable[[_Array], _Array]
    derivative: Callable[[_Array], _Array]


def _sigmoid(u: _Array) -> _Array:
    return (1 + np.tanh(u / 2)) / 2


def _leaky_relu(slope: float) -> ActivationFunction:
    return ActivationFunction(lambda u: np.where(u > 0, u, slope * u), lambda u: np.where(u > 0, 1.0, slope))


def _gelu() -> ActivationFunction:
    from scipy.special import ndtr  # here: 0.2 s, which every run with gains would take before its server starts

    return ActivationFunction(
        lambda u: u * ndtr(u),
        lambda u: ndtr(u) + u * np.exp(-(u**2) / 2) / math.sqrt(2 * math.pi),
    )


def _erf() -> ActivationFunction:
    from scipy.special import erf

    return ActivationFunction(erf, lambda u: 2 / math.sqrt(math.pi) * np.exp(-(u**2)))


_FUNCTIONS: dict[str, Callable[..., ActivationFunction]] = {
    "relu": lambda: _leaky_relu(0.0),
    "tanh": lambda: ActivationFunction(np.tanh, lambda u: 1 - np.tanh(u) ** 2),
    "sigmoid": lambda: ActivationFunction(_sigmoid, lambda u: _sigmoid(u) * _sigmoid(-u)),
    "gelu": _gelu,
    "erf": _erf,
    "selu": lambda: ActivationFunction(
        lambda u: SELU_SCALE * np.where(u > 0, u, SELU_ALPHA * np.expm1(np.minimum(u, 0))),
        lambda u: SELU_SCALE * np.where(u > 0, 1.0, SELU_ALPHA * np.exp(np.minimum(u, 0))),
    ),
    "leaky_relu": _leaky_relu,
}


def activation_function(name: str) -> ActivationFunction:
    """Return the activation function of a canonical name, such as `relu` or `leaky_relu(0.1)`, and its derivative.

    Raises:
        InputError: If no activation has that name; the message lists the choices.

    Example:
        >>> leaky_relu = activation_function("leaky_relu(0.1)")
        >>> leaky_relu.function(np.array([-1.0, 2.0])), leaky_relu.derivative(np.array([-1.0, 2.0]))
        (array([-0.1,  2. ]), array([0.1, 1. ]))
    """
    family, parameters = activation_family(name)
    return _FUNCTIONS[family](*parameters)
