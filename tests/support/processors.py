"""Other processors' arithmetic, for programs that a test starts."""

from itertools import product

import pytest
from numpy._core._multiarray_umath import __cpu_features__

MKL_NAMES = {"SSE4_2": "Streaming SIMD Extensions 4.2", "AVX2": "Extensions 2", "AVX512": "Extensions 512"}
OPENBLAS_NAMES = {"Haswell": {"Haswell"}, "SkylakeX": {"SkylakeX"}, "Zen": {"Zen", "Haswell"}}
VARIANTS = list(product(OPENBLAS_NAMES, ("default", "avx2"), MKL_NAMES))


def parameters(in_every_run):
    """Return all variants for `parametrize`, slow but for some."""
    slow = [pytest.param(variant, marks=pytest.mark.slow) for variant in VARIANTS if variant not in in_every_run]
    return [*in_every_run, *slow]


def environment(variant):
    """Return what makes the libraries choose a variant as they are loaded; skip where the processor cannot."""
    openblas, aten, mkl = variant
    if openblas == "SkylakeX" and not __cpu_features__["AVX512_SKX"]:
        pytest.skip("this processor has no AVX-512")
    return {"OPENBLAS_CORETYPE": openblas, "ATEN_CPU_CAPABILITY": aten, "MKL_ENABLE_INSTRUCTIONS": mkl}
