"""Polynomial features, every monomial of two inputs up to a degree; and inputs of one scale."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mlp_core.data.sizes import monomial_count


def monomials(points: Tensor, degree: int) -> Tensor:
    """Return the polynomial features of points: all monomials `x1^i x2^j` with `0 < i + j <= degree`.

    The constant is left out (it is the bias). The order is the tutorial's: i is the outer loop, j the inner one.

    Args:
        points: `[n, 2]`, the coordinates x1 and x2.
        degree: Highest total degree P, at least 1.

    Returns:
        `[n, monomial_count(degree)]`, the type of `points`; a transposed view, so not contiguous in memory.

    Example:
        >>> monomials(torch.tensor([[2.0, 3.0]]), degree=2).tolist()  # x2, x2^2, x1, x1 x2, x1^2
        [[3.0, 9.0, 2.0, 6.0, 4.0]]

    Source:
        Neuromatch Academy, Deep Learning, W1D3 tutorial 2, section 1.1.
    """
    powers = torch.stack([points.T**power for power in range(degree + 1)])
    features = torch.empty(monomial_count(degree), len(points), dtype=points.dtype)
    row = 0
    for i in range(degree + 1):
        first = int(i == 0)
        block = powers[first : degree + 1 - i, 1]
        torch.mul(powers[i, 0], block, out=features[row : row + len(block)])
        row += len(block)
    return features.T


def standardizer(train_inputs: Tensor) -> Callable[[Tensor], Tensor]:
    """Return a function that standardises inputs with mean and standard deviation of each feature in training.

    Args:
        train_inputs: `[n_train, features]`; no feature may be constant. The divisor of the variance is `n_train - 1`.

    Returns:
        Function of inputs `[n, features]`, which returns them as float32 of the same shape.

    Example:
        >>> standardizer(torch.tensor([[1.0], [2.0], [3.0]]))(torch.tensor([[4.0]])).tolist()
        [[2.0]]
    """
    # in double, as the squares of high monomials leave the range of single precision
    train = train_inputs.double()
    mean, deviation = train.mean(0), train.std(0)
    return lambda inputs: ((inputs.double() - mean) / deviation).float()
