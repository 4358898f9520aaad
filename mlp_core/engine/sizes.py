"""How large networks are: parameters and widths. Plain arithmetic, no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

_SMALL_INPUTS, _SMALL_WIDTH = 128, 256
"""Microseconds of a member's step by compiled code and by a library's products (AMD EPYC, Zen 4, one thread, batches of
128; 1 member, 8 members of which each has its own batches): 2-32-32-4 21 and 100, 37; 2-256-256-4 760 and 980, 930;
2-512-512-4 3400 and 3000, 3200; 128-128-128-4 380 and 500, 420; 256-4 190 and 180, 75; 1325-4 1500 and 930, 720."""

LEARNED_MARGIN = 0.05
"""A member learned if its train accuracy is at least this far above chance."""


def parameter_count(layer_sizes: Sequence[int]) -> int:
    """Return the trainable parameters of one member, biases included.

    Args:
        layer_sizes: Inputs, hidden widths, outputs.

    Example:
        >>> [parameter_count([2, *[width] * depth, 4]) for depth, width in ((1, 14), (2, 7), (3, 6), (4, 5), (5, 4))]
        [102, 109, 130, 129, 112]
    """
    return sum((n_inputs + 1) * n_outputs for n_inputs, n_outputs in pairwise(layer_sizes))


def is_small(layer_sizes: Sequence[int], device: str) -> bool:
    """Return whether compiled code trains a network, member by member; a product of a library at a time is for others.

    Nothing else decides it, so that no member is another one in company.

    Args:
        layer_sizes: Inputs, hidden widths, outputs.
        device: `cpu`, `cuda` or `mps`.

    Example:
        >>> is_small((2, 14, 4), "cpu"), is_small((2, 14, 4), "cuda"), is_small((3072, 128, 64, 32, 3), "cpu")
        (True, False, False)
    """
    n_inputs, *widths = layer_sizes
    return device == "cpu" and n_inputs <= _SMALL_INPUTS and max(widths) <= _SMALL_WIDTH


def hidden_width(depth: int, *, n_inputs: int, n_outputs: int, min_parameters: int) -> int:
    """Return the smallest width of equal hidden layers that reaches a parameter budget.

    With biases, `depth` hidden layers of width w hold `(depth - 1) w^2 + (n_inputs + depth + n_outputs) w + n_outputs`
    parameters; the width is the ceiling of this quadratic's positive root, and at least 1. The true
    count may exceed the budget, never miss it.

    Args:
        depth: Hidden layers, the output layer not counted; at least 1.
        n_inputs: Features of an example.
        n_outputs: Logits of an example, one per class.
        min_parameters: Trainable parameters the network must have at least.

    Raises:
        ValueError: If an argument is below 1.

    Example:
        >>> [hidden_width(depth, n_inputs=2, n_outputs=4, min_parameters=100) for depth in range(1, 6)]
        [14, 7, 6, 5, 4]
    """
    if min(depth, n_inputs, n_outputs, min_parameters) < 1:
        given = (depth, n_inputs, n_outputs, min_parameters)
        message = f"depth, inputs, outputs and budget must be at least 1, got {given}."
        raise ValueError(message)
    square, linear, constant = depth - 1, n_inputs + depth + n_outputs, n_outputs - min_parameters
    if square == 0:
        return max(1, -(constant // linear))
    width = max(1, (math.isqrt(max(0, linear**2 - 4 * square * constant)) - linear) // (2 * square))
    while square * width**2 + linear * width + constant < 0:
        width += 1
    return width
