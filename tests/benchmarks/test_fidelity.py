"""The comparison with the tutorial's own networks finds differences where there are some, and there alone."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import fidelity
from benchmarks.work import depth_configs


def sample(stream, shift=0.0, n=64, never=0):
    accuracy = stream.normal(0.8 + shift, 0.05, n)
    return fidelity.Sample(1 - accuracy, np.where(np.arange(n) < never, 0.25, accuracy), accuracy, 4)


@pytest.mark.thorough
def test_equal_distributions_are_seldom_told_apart_and_others_always():
    """Of 200 pairs of samples at most 1 in 20 after correction; a shift, or networks that never learned, are seen."""
    stream = np.random.default_rng(0)
    pairs = [(sample(stream), sample(stream, n=1024)) for _ in range(200)]
    least = [fidelity.corrected(np.array(fidelity.differences(*pair))).min() for pair in pairs]
    assert sum(p_value < 0.05 for p_value in least) <= 10 + 6  # two standard errors
    assert max(fidelity.differences(sample(stream), sample(stream, shift=0.06))[:3]) < 1e-3
    assert fidelity.differences(sample(stream), sample(stream, never=20))[3] < 1e-3


@pytest.mark.slow
def test_both_ways_train_what_the_configuration_says():
    """After six epochs the two cannot be told apart, and networks of one epoch can."""
    config = replace(depth_configs()[0], epochs=6, learning_rate=0.01)
    loss, train_accuracy, test_accuracy = np.array(fidelity.tutorials_networks(config, range(8))).T
    theirs = fidelity.Sample(loss, train_accuracy, test_accuracy, 4)
    ours, control = (fidelity.our_sample(replace(config, epochs=n), 64) for n in (6, 1))
    assert min(fidelity.differences(theirs, ours)) > 1e-3
    assert min(fidelity.differences(theirs, control)) < 1e-3


def test_the_table_names_every_configuration():
    """With its two medians, its counts, and the least p-value of each comparison."""
    stream = np.random.default_rng(0)
    rows = [sample(stream), sample(stream, never=3)], [sample(stream), sample(stream)], [sample(stream, 0.1)] * 2
    *_, first, second = fidelity.in_markdown(["one", "two"], *rows).splitlines()
    assert first.startswith("| one | 8")
    assert "3 of 64" in second
