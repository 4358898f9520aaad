"""How large networks are: parameters and widths. Plain arithmetic, no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

_SMALL_INPUTS, _SMALL_WEIGHTS = 128, 2**17
"""Microseconds of a member's step by compiled code and by a library's products (AMD EPYC, family 25 model 17, one
thread, batches of 128 of its own), for a processor with AVX-512 and for one with AVX2 alone: 2-758-4 78 and 239, 73 and
233; 2-20000-4 with AVX2 4026 and 9800; 2-362-362-4 with AVX2 1320 and 1391; 2-512-512-4 2034 and 2948, 2546 and 2525;
2-1024-1024-4 9643 and 12178, 15492 and 11915; 128-1024-4 836 and 1304, 900 and 1213. For a member alone, each of 8 that
shuffle for themselves, and of 8 that see the same batches: 256-4 41 and 175, 27 and 77, 25 and 20; 1325-4 240 and 954,
152 and 735, 144 and 72. So more inputs are not of this loop, since members gain from batches that they share."""

LEARNED_MARGIN = 0.05
"""A member learned if its train accuracy is at least this far above chance."""


def parameter_count(layer_sizes: Sequence[int]) -> int:
    """Return the number of trainable parameters of one network, biases included.

    Args:
        layer_sizes: Number of inputs, widths of the hidden layers, number of outputs.

    Example:
        >>> [parameter_count([2, *[width] * depth, 4]) for depth, width in ((1, 14), (2, 7), (3, 6), (4, 5), (5, 4))]
        [102, 109, 130, 129, 112]
    """
    return sum((n_inputs + 1) * n_outputs for n_inputs, n_outputs in pairwise(layer_sizes))


def is_small(layer_sizes: Sequence[int], device: str) -> bool:
    """Return whether a network is small enough that the project's compiled code trains it, one member at a time.

    It is if it is on a CPU, has at most 128 inputs, and no layer has more than 131,072 weights, biases not counted. For
    others see `is_linear`. The number of members decides nothing, so that a member's result does not depend on it.

    Args:
        layer_sizes: Number of inputs, widths of the hidden layers, number of outputs.
        device: `cpu`, `cuda` or `mps`.

    Example:
        >>> is_small((2, 14, 4), "cpu"), is_small((2, 14, 4), "cuda"), is_small((3072, 128, 64, 32, 3), "cpu")
        (True, False, False)
    """
    most_weights = max(n_inputs * n_outputs for n_inputs, n_outputs in pairwise(layer_sizes))
    return device == "cpu" and layer_sizes[0] <= _SMALL_INPUTS and most_weights <= _SMALL_WEIGHTS


def is_linear(layer_sizes: Sequence[int], device: str) -> bool:
    """Return whether a network is one layer on a CPU: `mlp_core.engine.linear` trains it, however many its inputs.

    Unless it is small, see `is_small`, or its images are augmented, which makes each batch anew.

    Args:
        layer_sizes: Number of inputs, widths of the hidden layers, number of outputs.
        device: `cpu`, `cuda` or `mps`.

    Example:
        >>> is_linear((1325, 4), "cpu"), is_linear((1325, 14, 4), "cpu")
        (True, False)
    """
    return device == "cpu" and len(layer_sizes) == 2


def hidden_width(depth: int, *, n_inputs: int, n_outputs: int, min_parameters: int) -> int:
    """Return the smallest width of equal hidden layers that reaches a parameter budget.

    With biases, `depth` hidden layers of width w hold `(depth - 1) w^2 + (n_inputs + depth + n_outputs) w + n_outputs`
    parameters; the width is the ceiling of this quadratic's positive root, and at least 1. The
    number of parameters is at least the budget and may exceed it.

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
