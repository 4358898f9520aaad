"""Random orders in compiled code: the permutations that `torch.randperm` draws, without Python's lock.

A quarter of a small network's training was torch's `randperm`. PyTorch draws from MT19937 (Matsumoto and Nishimura
1998, doi:10.1145/272991.272995) and shuffles from the front: the number at i changes places with the one that a draw,
modulo how many are left, places further. The tests compare the two.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mlp_core.engine.compilation import part, program

_N, _M = 624, 397  # numbers of a state, and how far apart those are that are mixed
_HIGH, _LOW, _MIX = 0x80000000, 0x7FFFFFFF, 0x9908B0DF
_LEFT, _USED = 2, 4  # where PyTorch's state, as 32-bit numbers, has what is left of the draws, and how many are used
_NUMBERS = slice(6, 6 + 2 * _N, 2)  # each is followed by 32 zeros


def order_state(stream: torch.Generator) -> NDArray[np.uint32]:
    """Copy the state of a PyTorch generator on the CPU, for `draw_orders`, as uint32 `[1249]`.

    The first 624 numbers are those of MT19937, the next is how many of them are used; the others are scratch memory.
    The generator is not changed.

    Example:
        >>> generator, orders = torch.Generator().manual_seed(1), np.empty((2, 5), np.uint32)
        >>> draw_orders(order_state(generator), orders)
        >>> orders.tolist() == [torch.randperm(5, generator=generator).tolist() for _ in range(2)]
        True
    """
    words = stream.get_state().numpy().view(np.uint32)
    state = np.zeros(_N + 1 + _N, np.uint32)
    state[:_N], state[_N] = words[_NUMBERS], _N if words[_LEFT] == 1 else words[_USED]
    return state


@part
def _mixed(high: Any, low: Any, other: Any) -> Any:
    number = (high & _HIGH) | (low & _LOW)
    return other ^ (number >> 1) ^ ((number & 1) * _MIX)


@part
def _renew(state: Any) -> None:
    """Make the next 624 numbers of a state."""
    for at in range(_N - _M):
        state[at] = _mixed(state[at], state[at + 1], state[at + _M])
    for at in range(_N - _M, _N - 1):
        state[at] = _mixed(state[at], state[at + 1], state[at + _M - _N])
    state[_N - 1] = _mixed(state[_N - 1], state[0], state[_M - 1])


@part
def _tempered(number: Any) -> Any:
    number ^= number >> 11
    number ^= (number << 7) & 0x9D2C5680
    number ^= (number << 15) & 0xEFC60000
    return number ^ (number >> 18)


@program
def draw_orders(state: Any, orders: Any) -> None:
    """Fill each row of `orders` with a random permutation of 0 .. n - 1, the same as `torch.randperm` would draw.

    Args:
        state: Copied by `order_state`; it is advanced in place.
        orders: uint32 `[orders, n]`, n below 2^32 / 20: for larger n PyTorch draws 64 bits, and orders would differ.
    """
    n_orders, n = orders.shape
    for row in range(n_orders):
        for at in range(n):
            orders[row, at] = at
        first = 0
        while first < n - 1:
            if state[_N] == _N:
                _renew(state)
                state[_N] = 0
            used = state[_N]
            n_draws = min(_N - used, n - 1 - first)
            for draw in range(n_draws):
                number, n_left = np.uint32(_tempered(state[used + draw])), n - first - draw
                # A division of float64 is exact enough to be cut to a whole number
                state[_N + 1 + draw] = number - np.int32(np.float64(number) / np.float64(n_left)) * n_left
            for draw in range(n_draws):
                at = first + draw
                other = at + state[_N + 1 + draw]
                orders[row, at], orders[row, other] = orders[row, other], orders[row, at]
            first += n_draws
            state[_N] = used + n_draws
