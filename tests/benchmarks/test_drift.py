"""The drift table counts nights of the very comparison that the program makes."""

import numpy as np

from benchmarks import drift
from benchmarks.work import depth_configs


def test_nights_with_alarms_are_counted():
    """Nothing changes: no alarm; a configuration of two members is lost: each night."""
    assert drift.alarms(drift.shifted(lambda stream, shape: np.zeros(shape), 0), 4, 3) == 0
    assert drift.alarms(drift.LOST["all members of one of 12 configurations diverge"], 2, 3) == 3
    assert drift.alarms(drift.shifted(lambda stream, shape: np.zeros(shape), 5), 4, 3) == 3


def test_a_last_bit_changes_some_trained_members():
    """Rounding noise is real: the same members end elsewhere, and without it they do not."""
    plan = depth_configs()[2]
    first, again, other = drift.train("some", [plan], range(8), (0, 0, 1)).values
    np.testing.assert_array_equal(first, again)
    assert (first != other)[..., 0].any()
