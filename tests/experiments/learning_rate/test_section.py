"""What the report says of the learning rates."""

import numpy as np
import pandas as pd
import pytest

from mlp_core.experiments.learning_rate.experiment import STARTS
from mlp_core.experiments.learning_rate.section import SECTION

RATES = (0.001, 0.01, 0.1, 1.0)


def table(accuracies, n=8):
    """Return a result table: by start the accuracy at each rate, NaN where all members diverged."""
    rows = [
        {
            "initialization": start,
            "learning_rate": rate,
            "seed": seed,
            "epochs": 100,
            "status": "diverged" if np.isnan(accuracy) else "ok",
            "learned": bool(accuracy > 0.3),
            "train_accuracy": accuracy,
            "test_accuracy": accuracy - 0.1 - (seed - 3.5) / 1000,
        }
        for start, own in zip(STARTS, accuracies, strict=False)
        for rate, accuracy in zip(RATES, own, strict=True)
        for seed in range(n)
    ]
    return pd.DataFrame(rows)


def findings(accuracies, n=8):
    return SECTION.content(table(accuracies, n), {"seed": 2021, "arms": 4})


INSIDE, OPEN = (0.3, 0.9, 0.95, np.nan), (0.7, 0.9, 0.95, 0.8)


def test_both_ranges_are_said_with_the_best_rates():
    """62.5 % is enough, 30 % is not, and where all diverged nothing trains."""
    content = findings((INSIDE, OPEN))
    assert content.summary == [
        "From PyTorch's start learning rates from 0.01 to 0.1 train.",
        "From Xavier's start learning rates from 0.001 to 1 train.",
    ]
    assert content.details[:2] == [
        "From PyTorch's start rates from 0.01 to 0.1 train, and a member's own range is 1.00 decades wide (median); "
        "from Xavier's start rates from 0.001 to 1 train, and a member's own range is 3.00 decades wide (median).",
        "Highest median test accuracy: 0.1 (85.0 %) from PyTorch's start and 0.1 (85.0 %) from Xavier's start.",
    ]
    assert content.details[2].startswith("Of 64 members 8 diverged")
    assert len(content.rows) == 8
    (widths,) = content.extra_tables
    assert [row[-1] for row in widths.rows] == [
        "inside the rates tried",
        "smallest and largest rate tried: may be wider",
    ]


def test_one_seed_has_no_interval():
    """The range of the one member is shown all the same."""
    content = findings((INSIDE, OPEN), n=1)
    assert "rates from 0.01 to 0.1 train, and a member's own range is 1.00 decades wide (median);" in content.details[0]
    assert [row[4] for row in content.extra_tables[0].rows] == ["1.00", "3.00"]


@pytest.mark.parametrize("accuracy", [0.25, np.nan])
def test_a_start_from_which_no_rate_trains(accuracy):
    """Is said, not shown as a range of no width."""
    content = findings(((accuracy,) * 4, INSIDE))
    assert content.summary[0] == "From PyTorch's start no learning rate trains."
    assert content.details[0].startswith("From PyTorch's start no rate trains; from Xavier's start rates")
    assert content.extra_tables[0].rows[0][1:] == ["8", "none", "none", "none", "no rate trains"]


def test_a_start_whose_trainings_failed_is_left_out():
    """The other one is told alone."""
    content = findings((INSIDE,))
    assert content.summary[0].startswith("From PyTorch's start")
    assert "Xavier" not in " ".join(content.summary)
