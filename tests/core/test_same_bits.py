"""Small networks have the same bits on every x86-64 processor with AVX2.

Box2D tests its determinism between platforms alike: one digest stands here, and must come out everywhere.
"""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from bits import all_digests

PROJECT = Path(__file__).parents[2]
DIGESTS = [
    "5e76537daa401c68373fb4a334ef7e081e06039817ec770c3b1d72296c4cba28",  # a depth sweep, all activations and optimizers
    "a1fa1a88ab787d1c5014577e0b81b94952f6d4aba40a7d04b314e205b08e2b2f",  # one layer on many inputs
    "c3c1d1150f047af17d19f0fc35ece096fc7d5462c94e9258c07ac43e97d705e7",  # hidden layers on many inputs, with validation
    "015f5ebfdee80b82d3e3debb9ceea5b6ce057fb8736f459efc46b6b97f624786",  # the first layer of large networks
]

slow = pytest.mark.slow


@pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"),
    reason="PyTorch draws other weights on this processor",
)
@pytest.mark.parametrize(
    ("target", "capability"),
    [
        ("", "default of this machine"),
        pytest.param("haswell", "avx2", marks=slow),
        pytest.param("x86-64-v3", "avx2", marks=slow),
        pytest.param("znver2", "avx512", marks=slow),
        pytest.param("x86-64-v2", "avx2", marks=slow),  # without fused multiply-add, which takes a hundred times longer
    ],
)
def test_weights_losses_and_accuracies_have_the_same_bits_everywhere(target, capability):
    """Of a depth sweep, all activations and optimizers, whatever processor the code is compiled for."""
    if target:
        assert digest(NUMBA_CPU_NAME=target, ATEN_CPU_CAPABILITY=capability) == DIGESTS
    else:
        assert all_digests() == DIGESTS


@slow
@pytest.mark.skipif(
    platform.machine() != "x86_64" or not shutil.which("qemu-x86_64"),
    reason="needs an emulator of x86-64 processors; Debian's package qemu-user has one, from 7.2 on with AVX2",
)
@pytest.mark.parametrize("processor", ["Haswell", "EPYC"])
def test_an_emulated_processor_has_the_same_bits(processor, tmp_path):
    """Of Intel and AMD, without AVX-512; libraries and compiler see no other processor."""
    assert digest("qemu-x86_64", "-cpu", processor, NUMBA_CACHE_DIR=str(tmp_path)) == DIGESTS


def digest(*emulator, **environment):
    """Return what a process of its own prints, with more variables in its environment."""
    paths = os.pathsep.join(map(str, [PROJECT, PROJECT / "tests/support"]))
    done = subprocess.run(
        [*emulator, sys.executable, PROJECT / "tests/support/bits.py"],
        env={**os.environ, "PYTHONPATH": paths, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()
