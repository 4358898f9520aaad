"""Matrix products of an ensemble, member by member: company never chooses a member's arithmetic.

A library picks how it adds up a product by the shapes, the strides and the alignment of its operands. Rows of several
members in one matrix, or several members in one batched call, would let their number decide that. So each member's
product is a call of its own, of the same shapes, on memory that begins at the same place of a cache line.
GPUs are the exception: there all members are one batched call, and a member's last digits may depend on its company.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_Array = NDArray[Any]

_ALIGNMENT = 16  # numbers on a cache line
_SMALL = 1_000_000
"""Multiplications: below, a call of NumPy costs less; above, torch's MKL is faster.

With torch's for all of them, an epoch of five networks 3072-128-64-32-3 took 1.00 to 1.08 times as long (median 1.03),
and one of 3072-64-64-64-3 0.96 to 1.11 (1.02): Intel Xeon (Sapphire Rapids), thread time, other work alongside.
"""


def aligned(n_numbers: int) -> int:
    """Round a number of float32 values up to whole cache lines, of 16 values each.

    Example:
        >>> aligned(16), aligned(17)
        (16, 32)
    """
    return -(-n_numbers // _ALIGNMENT) * _ALIGNMENT


def member_matrices(like: Tensor, n_members: int, n_rows: int, n_columns: int, *, touching: bool = False) -> Tensor:
    """Return an uninitialized tensor `[members, rows, columns]` in which each member's matrix begins on a cache line.

    Each matrix is contiguous, with a gap between two members: an element-wise function then runs over each of them
    alone, over the same length however many members there are.

    Args:
        like: The new tensor has this one's type and device.
        n_members: Number of members.
        n_rows: Rows of each matrix.
        n_columns: Columns of each matrix.
        touching: If False, at least one number stays free between two members, and the distance is rounded up to a
            multiple of 16 numbers. If True, no number need stay free: `log_softmax` copies tensors with gaps.

    Example:
        >>> member_matrices(torch.empty(0), 3, 2, 8).stride()
        (32, 8, 1)
        >>> member_matrices(torch.empty(0), 3, 2, 8, touching=True).stride()
        (16, 8, 1)
    """
    n_numbers = n_rows * n_columns
    memory = like.new_empty(n_members, aligned(n_numbers + (not touching)))
    return memory[:, :n_numbers].view(n_members, n_rows, n_columns)


def product(
    left: Tensor, right_shape: Sequence[int], out: Tensor, factor: float | None = None
) -> Callable[[Tensor], object]:
    """Return a function of `right` that writes each member's matrix product `left @ right` into `out`.

    What products of equal shape have in common is prepared once. On a CPU each member's product is a call of its own,
    so that its last digits do not depend on the number of members.

    Args:
        left: float32 `[members, rows, summed]`.
        right_shape: Shape of what the function will get: `[members, summed, columns]`, or `[summed, columns]` where
            all members share it.
        out: float32 `[members, rows, columns]`.
        factor: If given, `factor` times the product is added to `out`, which is not overwritten.

    Example:
        >>> left, out = torch.tensor([[[1.0, 2.0]], [[3.0, 4.0]]]), torch.empty(2, 1, 1)
        >>> _ = product(left, (2, 1), out)(torch.tensor([[1.0], [10.0]]))
        >>> out.flatten().tolist()
        [21.0, 43.0]
    """
    is_shared = len(right_shape) == 2
    if left.device.type != "cpu":
        return _batched(left, is_shared, out, factor)
    if _is_small(left, right_shape):
        by_numpy = _by_numpy(left, out, factor)
        return lambda right: by_numpy(right.numpy())
    pairs = list(zip(left, out, strict=True))

    def by_torch(right: Tensor) -> None:
        for member, (matrix, target) in enumerate(pairs):
            other = right if is_shared else right[member]
            if factor is None:
                torch.mm(matrix, other, out=target)
            else:
                target.addmm_(matrix, other, alpha=factor)

    return by_torch


def settled_product(left: Tensor, right: Tensor, out: Tensor, factor: float | None = None) -> Callable[[], object]:
    """Return a function without arguments that writes the product `left @ right` of each member into `out`.

    It uses the values that the matrices have when it is called: they may change, their memory must stay the same.

    Args:
        left: float32 `[members, rows, summed]`.
        right: float32 `[members, summed, columns]` or `[summed, columns]`.
        out: float32 `[members, rows, columns]`.
        factor: See `product`.
    """
    if left.device.type == "cpu" and _is_small(left, right.shape):
        return partial(_by_numpy(left, out, factor), right.numpy())
    return partial(product(left, right.shape, out, factor), right)


def multiply(left: Tensor, right: Tensor) -> Tensor:
    """Return the matrix product of `left` and `right` for each member, `[members, rows, columns]`.

    Args:
        left: float32 `[members, rows, summed]`.
        right: float32 `[members, summed, columns]`, or `[summed, columns]` where all members share it.
    """
    out = member_matrices(left, len(left), left.shape[1], right.shape[-1])
    product(left, right.shape, out)(right)
    return out


def _is_small(left: Tensor, right_shape: Sequence[int]) -> bool:
    return left.shape[1] * left.shape[2] * right_shape[-1] <= _SMALL


def _by_numpy(left: Tensor, out: Tensor, factor: float | None) -> Callable[[_Array], object]:
    """NumPy's `matmul` calls the library once for each member."""
    left_array, out_array = left.numpy(), out.numpy()
    if factor is None:
        return lambda right: np.matmul(left_array, right, out_array)
    products = member_matrices(out, *out.shape)
    products_array = products.numpy()

    def add(right: _Array) -> None:
        np.matmul(left_array, right, products_array)
        out.add_(products, alpha=factor)

    return add


def _batched(left: Tensor, is_shared: bool, out: Tensor, factor: float | None) -> Callable[[Tensor], object]:
    n_members = len(left)

    def batched(right: Tensor) -> Tensor:
        matrices = right.expand(n_members, -1, -1) if is_shared else right
        if factor is None:
            return torch.bmm(left, matrices, out=out)
        return out.baddbmm_(left, matrices, alpha=factor)

    return batched
