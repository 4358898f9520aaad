"""The same arithmetic wherever a member trains, also on processors that this machine does not have."""

import json
import os
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
import torch
from processors import MKL_NAMES, OPENBLAS_NAMES, environment, parameters
from threadpoolctl import threadpool_info

from mlp_core.engine.arithmetic import flushes_subnormals, uniform_arithmetic
from mlp_core.engine.networks import Ensemble
from mlp_core.engine.training import accuracy, predict

PROJECT = Path(__file__).parents[2]


@pytest.mark.parametrize("variant", parameters([("Haswell", "default", "SSE4_2")]), ids="-".join)
def test_a_member_is_the_same_in_any_company_with_every_processors_arithmetic(variant):
    """Drawn sizes and batches, with the products that OpenBLAS, PyTorch and MKL have for other processors.

    OpenBLAS and PyTorch tell that they use them. MKL chooses on Intel's processors alone. A processor without AVX2 is
    known: its numbers have last digits of their own, which the log says.
    """
    openblas, aten, mkl = variant
    done = subprocess.run(
        [sys.executable, PROJECT / "tests/support/company.py", "5"],
        env={**os.environ, **environment(variant), "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    report, *mkl_report = done.stdout.splitlines()
    report = json.loads(report)
    assert report["torch"] == aten.upper()
    assert report["has_bits_of_its_own"] == (aten == "default" and platform.machine() == "x86_64")
    assert set(report["openblas"]) <= OPENBLAS_NAMES[openblas]
    assert report["flushed"] == [True]
    assert "MKL_VERBOSE" in mkl_report[0]
    if "GenuineIntel" in Path("/proc/cpuinfo").read_text():
        assert MKL_NAMES[mkl] in mkl_report[0]


def blas_threads():
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def test_afterwards_the_process_is_as_it_was():
    """Threads of torch and NumPy, and subnormal numbers; also after an error, and nested."""
    np.ones((2, 2)) @ np.ones((2, 2))
    torch.set_num_threads(2)
    before = torch.get_num_threads(), blas_threads(), flushes_subnormals()
    with uniform_arithmetic():
        with pytest.raises(KeyError), uniform_arithmetic():
            raise KeyError
        assert (torch.get_num_threads(), blas_threads(), flushes_subnormals()) == (1, {1}, True)
    assert (torch.get_num_threads(), blas_threads(), flushes_subnormals()) == before


def test_a_thread_that_leaves_first_does_not_change_the_others():
    """Only the last one gives the process its threads back; subnormal numbers are each thread's own."""
    inside, left = Barrier(2), Barrier(2)

    def leave_first():
        with uniform_arithmetic():
            inside.wait()
        left.wait()
        return flushes_subnormals()

    def stay():
        with uniform_arithmetic():
            inside.wait()
            left.wait()
            return torch.get_num_threads(), flushes_subnormals()

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.submit(leave_first), pool.submit(stay)
        assert first.result() is False
        assert second.result() == (1, True)


def test_numpys_products_know_no_subnormal_numbers_either():
    """The switch is the thread's: it holds for all libraries that compute in it."""
    tiny = np.full((4, 4), 1e-40, np.float32)
    with uniform_arithmetic():
        assert not (tiny @ np.ones((4, 4), np.float32)).any()
    assert (tiny @ np.ones((4, 4), np.float32)).all()


@pytest.mark.parametrize("is_flushed", [False, True])
@pytest.mark.parametrize("sizes", [(2, 4), (2, 300, 4)], ids=["small", "large"])
def test_what_a_network_answers_does_not_depend_on_the_thread_that_asks(sizes, is_flushed):
    """A logit of 1e-40 counts as 0, so that the first class is as probable; the thread's own switch stays as it was."""
    ensemble = Ensemble(sizes, "relu", [torch.Generator().manual_seed(0)])
    *before, last = (layer.zero_() for layer in ensemble.layers)
    for layer in before:
        layer[..., 0] = 1
    last[0, 3, 0] = 1e-20
    inputs, labels = torch.full((5, 2), 1e-20), torch.zeros(5, dtype=torch.int64)

    def ask():
        torch.set_flush_denormal(is_flushed)
        bare = ensemble.logits(inputs).argmax(1)
        return bare, predict(ensemble, inputs), accuracy(ensemble, inputs, labels), flushes_subnormals()

    with ThreadPoolExecutor(1) as pool:
        bare, answers, share, is_still_flushed = pool.submit(ask).result()
    assert bare.tolist() == [[0 if is_flushed else 3] * 5]
    assert answers.tolist() == [[0] * 5]
    assert share.tolist() == [1]
    assert is_still_flushed == is_flushed
