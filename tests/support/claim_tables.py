"""Tables whose truth is known, to make claims on."""

import numpy as np

from mlp_core.experiments.depth_sweep.published import PUBLISHED_CURVE

UP, DOWN, BOTH, NEITHER = "supported", "not supported", "undecided", "neither"


def stream(seed=0):
    return np.random.default_rng(seed)


def table(by, means, n=16, value="test_accuracy", deviation=0.01, seed=0, first_seed=0, key="seed"):
    """Return one row per level and seed: values around the level's mean, those of a seed alike in part."""
    common, own = stream(seed).normal(0, deviation, (2, len(means), n))
    values = np.array(list(means.values()))[:, None] + common[0] + own
    return {
        by: np.repeat(list(means), n),
        key: np.tile(first_seed + np.arange(n), len(means)),
        value: values.ravel(),
    }


def depths(*means, **more):
    return table("depth", dict(enumerate(means, 1)), **more)


def exact(columns, value="test_accuracy"):
    """Return the values of a table, one row per level."""
    return columns[value].reshape(len(np.unique(columns[next(iter(columns))])), -1)


DEFAULT = (0.80, 0.92, 0.62)


PUBLISHED = tuple(PUBLISHED_CURVE.values())


def inside(mean, **more):
    return table("depth", {1: mean}, **more)


def outside(mean, **more):
    return table("depth", {1: mean}, value="outside_accuracy", **more)


def units(mean, value="extent", n=10, **more):
    return table("unit", {unit: mean + unit / 1000 for unit in range(6)}, value=value, n=n, **more)


FILTERS, TEMPLATES = np.array([0.06, 0.09, 0.12]), np.array([0.29, 0.33])


GAINS = np.linspace(0.1, 3.0, 10)


def gains(peak, flatness=0.05, **more):
    """Return a gain sweep with its peak at a gain of the grid."""
    columns = table("gain", {gain: 0.5 - flatness * abs(gain - peak) for gain in GAINS}, **more)
    return {**columns, "theoretical_gain": np.full(len(columns["gain"]), 1.407)}
