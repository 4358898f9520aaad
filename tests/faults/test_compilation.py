"""Compiled code is kept, and whatever is wrong with where it is kept costs no more than compiling again."""

import os
import shutil
import subprocess
import sys
from multiprocessing import get_context
from pathlib import Path

import pytest
from doubling import double_numbers

PROJECT = Path(__file__).parents[2]
AHEAD = """
import torch
from mlp_core.engine import compiled, linear, orders
from mlp_core.engine.members import train_members
from mlp_core.data.datasets import Split, spirals, split
from mlp_core.engine.configs import Training, TrainConfig
from mlp_core.engine.small import compile_ahead

def n_compiled():
    return sum(sum(function.stats.cache_misses.values()) for function in PROGRAMS)

PROGRAMS = compiled.train, compiled.classify, linear.train_steps, orders.draw_orders
compile_ahead()
print(all(function.stats.cache_hits for function in PROGRAMS))
before = n_compiled()
for activation, optimizer in (("relu", "adam"), ("gelu", "sgd"), ("leaky_relu(0.1)", "sgd")):
    training = Training(activation, optimizer, epochs=1)
    config = TrainConfig.of(training, "any", "any", (2, 5, 5, 4), "shared_order")
    train_members(config, split(*spirals()), [0, 1])
inputs, labels = torch.zeros(9, 200), torch.zeros(9, dtype=torch.int64)
config = TrainConfig.of(Training(epochs=1, balanced=True), "any", "any", (200, 3), "shared_order")
train_members(config, Split(inputs, labels, inputs, labels), [0, 1])
print(n_compiled() - before)
"""


@pytest.fixture(scope="module")
def processes():
    """Give what starts processes that have imported numba: that takes it longer than to compile a function."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["numba"])
    return context


@pytest.fixture(scope="module")
def start(processes):
    """Give a function that starts a process with compiled code in a cache folder."""

    def start(folder, most_bytes=None, **environment):
        answers, its_end = processes.Pipe(duplex=False)
        with its_end:
            arguments = its_end, {"NUMBA_CACHE_DIR": str(folder), **environment}, most_bytes
            process = processes.Process(target=double_numbers, args=arguments)
            process.start()
        return process, answers

    return start


@pytest.fixture(scope="module")
def run(start):
    """Give a function that runs a process to its end and returns what it did."""

    def run(folder, **options):
        return outcome(*start(folder, **options))

    return run


@pytest.fixture(scope="module")
def compiled(run, made_once):
    """Give a cache folder that holds the function; who changes it takes a copy."""

    def make(folder):
        assert run(folder) == "compiled"

    return made_once("compiled", make)


def outcome(process, answers):
    with answers:
        what, errors = answers.recv()
    process.join()
    assert (process.exitcode, errors) == (0, "")
    process.close()
    return what


def test_what_was_compiled_is_found_for_the_same_processor(run, compiled, tmp_path):
    """By the next program; another processor's code lies next to it."""
    folder = shutil.copytree(compiled, tmp_path / "cache")
    assert run(folder) == "found"
    other = {"NUMBA_CPU_NAME": "x86-64-v2", "NUMBA_CPU_FEATURES": ""}
    assert run(folder, **other) == "compiled"
    assert run(folder) == "found"


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        (".nbc", b""),
        pytest.param(".nbc", b"no such thing", marks=pytest.mark.slow),
        pytest.param(".nbi", b"", marks=pytest.mark.slow),
        pytest.param(".nbi", b"no such thing", marks=pytest.mark.slow),
    ],
)
def test_a_damaged_file_is_made_again(run, compiled, tmp_path, suffix, content):
    """Whether the index or the code is cut short or something else."""
    folder = shutil.copytree(compiled, tmp_path / "cache")
    (path,) = folder.rglob(f"*{suffix}")
    path.write_bytes(content)
    assert [run(folder) for _ in range(2)] == ["compiled", "found"]


@pytest.mark.slow
def test_what_is_compiled_ahead_is_all_that_a_training_needs(tmp_path):
    """`make install` compiles once; the first training, of any network, finds all of it."""
    program = tmp_path / "program.py"
    program.write_text(AHEAD)
    for expected in ("False", "True"):  # whether all were found
        done = subprocess.run(
            [sys.executable, program],
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(PROJECT)},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout.split() == [expected, "0"]


@pytest.mark.thorough
def test_where_nothing_can_be_written_each_program_compiles(run, compiled, tmp_path):
    """A folder that cannot be made, or a disk that takes no byte; what is there already is found."""
    (tmp_path / "file").touch()
    assert run(tmp_path / "file" / "cache") == "compiled"
    assert run(tmp_path / "cache", most_bytes=0) == "compiled"
    assert not [path for path in tmp_path.glob("cache/**/*.nb*") if path.stat().st_size]
    assert run(shutil.copytree(compiled, tmp_path / "whole"), most_bytes=0) == "found"


@pytest.mark.thorough
def test_programs_that_compile_at_once_do_not_harm_each_other(start, run, tmp_path):
    """Each has its numbers, and what they leave is whole."""
    started = [start(tmp_path / "cache") for _ in range(2)]
    assert {outcome(*pair) for pair in started} <= {"compiled", "found"}
    assert run(tmp_path / "cache") == "found"
