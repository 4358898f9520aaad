"""Small networks have the same bits on every x86-64 processor with AVX2.

Box2D tests its determinism between platforms alike: one digest stands here, and must come out everywhere.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

PROJECT = Path(__file__).parents[2]
DIGEST = "5e76537daa401c68373fb4a334ef7e081e06039817ec770c3b1d72296c4cba28"

slow = pytest.mark.slow


@pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"),
    reason="PyTorch draws other weights on this processor",
)
@pytest.mark.parametrize(
    ("target", "capability"),
    [
        ("", "default of this machine"),
        ("haswell", "avx2"),
        pytest.param("x86-64-v3", "avx2", marks=slow),
        pytest.param("znver2", "avx512", marks=slow),
        pytest.param("x86-64-v2", "avx2", marks=slow),  # without fused multiply-add, which takes a hundred times longer
    ],
)
def test_weights_losses_and_accuracies_have_the_same_bits_everywhere(target, capability):
    """Of a depth sweep, all activations and optimizers, whatever processor the code is compiled for."""
    environment = {**os.environ, "PYTHONPATH": f"{PROJECT}{os.pathsep}{PROJECT / 'tests/support'}"}
    if target:
        environment |= {"NUMBA_CPU_NAME": target, "ATEN_CPU_CAPABILITY": capability}
    done = subprocess.run(
        [sys.executable, PROJECT / "tests/support/bits.py"],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == DIGEST
