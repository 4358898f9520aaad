"""What a processor is asked to do alike in every thread that computes with networks: one thread, no subnormal numbers.

- One thread, or a library would cut its sums by the number of cores.
- Numbers below 1.2e-38 in size (subnormal: they have fewer digits) count as 0. Some processors compute with them a
  hundred times slower than with others, and 6 in 100 of the monomials to degree 50 are subnormal. The switch belongs
  to a thread, so that bits would depend on where a member trains, if it were not the same wherever one does.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from threading import Lock

import torch
from threadpoolctl import ThreadpoolController

_lock = Lock()
_n_inside = 0
_restored_last = ExitStack()  # by whoever leaves last: the number of threads is the process's


@cache
def _prepare_for_forks() -> None:
    """Let a forked process compute on one thread: torch's others are gone, and it would wait for them for ever."""
    os.register_at_fork(after_in_child=partial(torch.set_num_threads, 1))


@contextmanager
def uniform_arithmetic() -> Iterator[None]:
    """Compute on one thread, with subnormal numbers taken for 0, inside the `with` block or the decorated function.

    PyTorch and NumPy's BLAS are limited to one thread in the whole process until the last such block ends, in whatever
    thread; subnormal numbers (below 1.2e-38 in size) count as 0 in this thread alone. Both are as before afterwards.

    Example:
        >>> tiny = torch.tensor([1e-40])
        >>> with uniform_arithmetic():
        ...     torch.get_num_threads(), (tiny * 1).item()
        (1, 0.0)
        >>> (tiny * 1).item() > 0
        True
    """
    _prepare_for_forks()
    flushed_before = flushes_subnormals()
    _enter()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(flushed_before)
        _leave()


def flushes_subnormals() -> bool:
    """Return whether PyTorch's computations in this thread take subnormal numbers (below 1.2e-38 in size) for 0."""
    return (torch.tensor([1e-40]) * 1).item() == 0


def has_bits_of_its_own() -> bool:
    """Return whether this x86-64 processor lacks AVX2, so that last digits differ from other processors.

    Without AVX2 PyTorch draws other first weights, and computes other spirals. False on processors of other families.
    """
    return platform.machine().lower() in ("x86_64", "amd64") and torch.backends.cpu.get_cpu_capability() == "DEFAULT"


def _enter() -> None:
    global _n_inside
    with _lock:
        if _n_inside == 0:
            _restored_last.callback(torch.set_num_threads, torch.get_num_threads())
            _restored_last.enter_context(_blas().limit(limits=1, user_api="blas"))  # NumPy's
        _n_inside += 1


def _leave() -> None:
    global _n_inside
    with _lock:
        _n_inside -= 1
        if _n_inside == 0:
            _restored_last.close()


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController()
