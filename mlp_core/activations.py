"""Activations: their names, how each may be written, and the constants that their formulas share.

What an activation computes stands where it is computed: as PyTorch's operations in `mlp_core.engine.networks`, as
functions of numpy in `mlp_core.theory.activation_functions`, with PyTorch's gain in `mlp_core.theory.gains`. Each of
these has one table whose keys are the families of the names below.
"""

from __future__ import annotations

import math
import re

from mlp_core.errors import InputError

ACTIVATION_NAMES = ("relu", "tanh", "sigmoid", "gelu", "erf", "selu", "leaky_relu(SLOPE)")
ACTIVATION_FAMILIES = tuple(name.partition("(")[0] for name in ACTIVATION_NAMES)

SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805
"""Of Klambauer et al. 2017, as torch.nn.SELU has them."""

_CHOICES = f"must be one of {', '.join(ACTIVATION_NAMES)}"
_DEFAULT_SLOPE = "0.01"  # that of torch.nn.LeakyReLU


def canonical_activation(text: str) -> str:
    """Return the canonical name of an activation for any accepted spelling; the text is not evaluated as code.

    Case and underscores do not matter; `LeakyReLU()` has PyTorch's slope 0.01.

    Args:
        text: `relu`, `tanh`, ..., `leaky_relu(0.1)`, or the tutorial's spelling: `ReLU()`, `LeakyReLU(0.1)`.

    Raises:
        ValueError: If there is no such activation; the message lists the choices.

    Example:
        >>> canonical_activation("LeakyReLU(0.10)"), canonical_activation("ReLU()")
        ('leaky_relu(0.1)', 'relu')
    """
    match = re.fullmatch(r"\s*([A-Za-z_]+)\s*(?:\(\s*([^()]*?)\s*\))?\s*", text)
    name = match[1].lower().replace("_", "") if match else ""
    argument = (match[2] or "") if match else ""
    if name == "leakyrelu":
        return f"leaky_relu({_slope(argument or _DEFAULT_SLOPE)!r})"
    if name in ACTIVATION_NAMES and not argument:
        return name
    raise ValueError(_CHOICES)


def activation_family(name: str) -> tuple[str, tuple[float, ...]]:
    """Split an activation's canonical name into its family, such as `leaky_relu`, and its parameters, here the slope.

    The family is the key of the activation in the tables that compute it.

    Args:
        name: Canonical name; another spelling is refused.

    Raises:
        InputError: If no activation has that name; the message lists the choices.

    Example:
        >>> activation_family("leaky_relu(0.1)"), activation_family("relu")
        (('leaky_relu', (0.1,)), ('relu', ()))
    """
    try:
        canonical = canonical_activation(name)
    except ValueError as error:
        message = f"activation {error}, got {name!r}."
        raise InputError(message) from None
    if canonical != name:
        message = f"activation {_CHOICES}, got {name!r}."
        raise InputError(message)
    family, _, slope = name.rstrip(")").partition("(")
    return family, (float(slope),) if slope else ()


def _slope(text: str) -> float:
    try:
        slope = float(text)
    except ValueError:
        slope = math.nan
    if 0 <= slope < 1:
        return slope
    message = "must have a slope of at least 0 and below 1, such as leaky_relu(0.1)"
    raise ValueError(message)
