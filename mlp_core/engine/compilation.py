"""How functions of numbers become machine code: by numba, once on a machine, for the same processor on all of them.

The code is kept in the user's cache folder, or in the one that `NUMBA_CACHE_DIR` names, under a digest of its source
and of the compiler's versions. Where that folder cannot be written, or holds what cannot be read, each program compiles
for itself. Numba is slow to import: what imports this module does so when there is something to compute.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import llvmlite
import llvmlite.binding
import numba
from numba import config, njit
from numba.core import caching
from numba.misc.appdirs import AppDirs

_Function = TypeVar("_Function", bound=Callable[..., Any])

_SOURCES = ("compilation", "vectors", "tiles", "elementary", "compiled", "linear", "orders", "augmented", "wide_layer")
_TARGETS = {
    "x86-64-v4": ("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx2", "fma", "bmi2"),
    "x86-64-v3": ("avx2", "fma", "bmi2"),
}
"""Processors to compile for, the best one first, and some of what they have, and a processor that is less lacks."""
_OPTIONS = {"error_model": "numpy", "no_cfunc_wrapper": True}


def _target() -> tuple[str | None, str | None]:
    """Return the processor to compile for and its further features; None leaves both to numba: this one."""
    if name := os.environ.get("NUMBA_CPU_NAME"):
        return name, os.environ.get("NUMBA_CPU_FEATURES", "")
    features = llvmlite.binding.get_host_cpu_features()
    for target, needed in _TARGETS.items():
        if all(features.get(name) for name in needed):
            return target, ""
    return None, None


# Before the first function is made, or numba has chosen already. The bits are the same for every target, see `vectors`
config.CPU_NAME, config.CPU_FEATURES = _target()
N_SUMS = 16 if config.CPU_NAME == "x86-64-v4" else 4
"""Vectors of sixteen sums that stay in registers: x86-64-v4 has 32 of sixteen numbers, x86-64-v3 16 of eight."""
# A tenth less time to compile than 3; the code is as fast, since the source says what is a vector
config.OPT = type(config.OPT)(2)


class _Locator(caching._CacheLocator):  # type: ignore[misc] # numba has no annotations
    """Where compiled code is kept; unlike numba's own it may be a folder that only can be read."""

    def __init__(self) -> None:
        sources = (Path(__file__).with_name(f"{name}.py").read_bytes() for name in _SOURCES)
        versions = f"{numba.__version__} {llvmlite.__version__}".encode()
        self.stamp = sha256(b"\0".join([versions, *sources])).hexdigest()
        root = config.CACHE_DIR or AppDirs("deep-mlp", appauthor=False).user_cache_dir
        self.folder = Path(root) / f"compiled-{self.stamp[:16]}"

    def get_cache_path(self) -> str:
        return str(self.folder)

    def get_source_stamp(self) -> str:
        return self.stamp

    def get_disambiguator(self) -> str:
        return "0"

    @classmethod
    def from_function(cls, function: object, file: object) -> _Locator:
        return cls()


class _Results(caching.CompileResultCacheImpl):  # type: ignore[misc]
    _locator_classes = (_Locator,)


class _Cache(caching.Cache):  # type: ignore[misc]
    """Numba's cache, whose faults cost a compilation and no more."""

    _impl_class = _Results

    def load_overload(self, signature: Any, context: Any) -> Any:
        try:
            return super().load_overload(signature, context)
        except Exception:  # a file that was cut short can raise anything
            with suppress(OSError):
                self.flush()
            return None

    def save_overload(self, signature: Any, result: Any) -> None:
        with suppress(OSError):  # a full disk, a folder that cannot be written
            super().save_overload(signature, result)


part: Callable[[_Function], _Function] = njit(**_OPTIONS, no_cpython_wrapper=True)
"""Of a function that compiled functions alone call."""


@contextmanager
def _uncollected() -> Iterator[None]:
    """Switch off garbage collection: of all that a compiler makes it finds little, and takes a fifth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def program(function: _Function) -> _Function:
    """Return a function that numba compiles at its first call, and that releases Python's lock (GIL) while it runs.

    The machine code is kept on disk, see `mlp_core.engine.compilation`: later processes load it. A decorator, for
    functions that Python calls; `part` is for those that compiled functions alone call.
    """
    dispatcher = njit(**_OPTIONS, nogil=True)(function)
    dispatcher._cache = _Cache(function)
    dispatcher.compile = _uncollected()(dispatcher.compile)
    compiled: _Function = dispatcher
    return compiled
