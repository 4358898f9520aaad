"""Cases of parametrised tests: every activation, and combinations of which `make test` leaves some out."""

from itertools import product

import pytest

from mlp_core.activations import ACTIVATION_NAMES

SLOPES = ("0.0", "0.01", "0.1", "0.5")


def every_activation():
    """Return the canonical names of all activations offered, the leaky one at a few slopes."""
    slopes = {name: SLOPES if "SLOPE" in name else ("",) for name in ACTIVATION_NAMES}
    return [name.replace("SLOPE", slope) for name in ACTIVATION_NAMES for slope in slopes[name]]


def combinations(first, *others):
    """Return all combinations of values as cases.

    `make test` takes every value of the first list and every combination of the others, in turn; the rest is thorough.
    """
    rest = list(product(*others))
    quick = {(first[place % len(first)], rest[place % len(rest)]) for place in range(max(len(first), len(rest)))}
    return [
        pytest.param(value, *more, marks=() if (value, more) in quick else pytest.mark.thorough)
        for value in first
        for more in rest
    ]
