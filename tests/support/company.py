"""`python company.py`: train members alone and in company, in this process, and tell which arithmetic it used.

A process of its own, since a library chooses its arithmetic as it is loaded. Prints one line of JSON.
"""

import hashlib
import json
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy  # noqa: F401 - or its library is not loaded when it is asked for
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_info

from mlp_core.activations import ACTIVATION_NAMES
from mlp_core.data.datasets import Split
from mlp_core.engine.arithmetic import flushes_subnormals, has_bits_of_its_own
from mlp_core.engine.configs import TrainConfig
from mlp_core.engine.members import train_batched, train_members

_digest = hashlib.sha256()
_flushed = []


def plans():
    """Draw what to train: any sizes, batches and optimizer, also far from the tutorial's."""
    return st.builds(
        lambda n_inputs, hidden, n_classes, name, **chosen: TrainConfig(
            "one", "company", (n_inputs, *hidden, n_classes), activation=name, scheme="xavier_normal", epochs=1,
            seed=2021, device="cpu", learning_rate=0.01, inputs=(), **chosen,
        ),
        n_inputs=st.one_of(st.integers(1, 70), st.sampled_from([1326, 3072])),
        hidden=st.lists(st.one_of(st.integers(1, 70), st.just(128)), max_size=3),
        n_classes=st.integers(2, 12),
        name=st.sampled_from([name.replace("SLOPE", "0.1") for name in ACTIVATION_NAMES]),
        optimizer=st.sampled_from(["adam", "sgd"]),
        batch_size=st.integers(1, 140),
        batches=st.sampled_from(["per_seed_order", "shared_order"]),
        gains=st.sampled_from([(1.0,), (0.5, 1.4)]),
    )  # fmt: skip


def equal(first, other):
    """Return whether two results are equal to the bit, NaN where the other is NaN."""
    return torch.equal(first.nan_to_num(7.0), other.nan_to_num(7.0))


def check(n_plans):
    """Train as many drawn plans, members 0 to 4 together and two of them alone; all numbers must be equal."""

    @settings(max_examples=n_plans, deadline=None, database=None, derandomize=True, suppress_health_check=HealthCheck)
    @given(plans(), st.integers(150, 300))
    def compare(plan, n_examples):
        stream = torch.Generator().manual_seed(0)
        inputs = torch.randn(n_examples, plan.layer_sizes[0], generator=stream)
        inputs[:, 0] *= 1e-39  # subnormal
        labels = torch.randint(0, plan.layer_sizes[-1], (n_examples,), generator=stream)
        data = Split(inputs[:140], labels[:140], inputs[140:], labels[140:])
        together = train_members(plan, data, range(5), lambda done: _flushed.append(flushes_subnormals()))
        for members in ([3], [4, 0]):
            (part,) = train_batched([plan], data, members)
            for name, value in part.state.items():
                assert equal(value, together.state[name][members]), (plan, members, name)
            assert equal(part.train_loss, together.train_loss[members]), (plan, members)
            assert equal(part.test_accuracy, together.test_accuracy[members]), (plan, members)
            assert equal(part.train_accuracy, together.train_accuracy[members]), (plan, members)
        _digest.update(together.train_loss.numpy().tobytes())

    compare()


if __name__ == "__main__":
    with ThreadPoolExecutor(1) as thread:  # as a runner does
        thread.submit(check, int(sys.argv[1])).result()
    check(2)
    report = {
        "torch": torch.backends.cpu.get_cpu_capability(),
        "has_bits_of_its_own": has_bits_of_its_own(),
        "openblas": [library["architecture"] for library in threadpool_info() if library["internal_api"] == "openblas"],
        "flushed": sorted(set(_flushed)),
        "threads": torch.get_num_threads(),
        "losses": _digest.hexdigest(),
    }
    sys.stdout.write(json.dumps(report) + "\n")
    sys.stdout.flush()
    with torch.backends.mkl.verbose(torch.backends.mkl.VERBOSE_ON):  # it names itself on the standard output
        torch.mm(torch.ones(64, 64), torch.ones(64, 64))
