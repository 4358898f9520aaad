"""The figure of the learning rates shows what its table says."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from drawn import texts
from matplotlib.collections import PathCollection

from mlp_core.experiments.learning_rate.experiment import STARTS
from mlp_core.experiments.learning_rate.figures import learning_rate_figure


@pytest.fixture
def rates() -> pd.DataFrame:
    """Three rates of eight members from two starts; of the largest two and five diverged."""
    table = pd.DataFrame(
        {
            "initialization": np.repeat(list(STARTS), 24),
            "learning_rate": np.tile(np.repeat([0.001, 0.1, 10.0], 8), 2),
            "test_accuracy": 0.4 + 0.01 * np.arange(48),
            "status": "ok",
        }
    )
    diverged = [16, 17, 40, 41, 42, 43, 44]
    table.loc[diverged, "status"] = "diverged"
    table.loc[diverged, "test_accuracy"] = np.nan
    return table


def dots(figure):
    """Return the places of all dots with an accuracy, and how many crosses there are at the foot, start by start."""
    (axes,) = figure.axes
    parts = [part for part in axes.collections if isinstance(part, PathCollection)]
    crosses = [part for part in parts if part.get_offset_transform() == axes.get_xaxis_transform()]
    places = [part.get_offsets().compressed().reshape(-1, 2) for part in parts if part not in crosses]
    return np.concatenate(places), [len(part.get_offsets()) for part in crosses]


def test_every_member_is_a_dot_or_a_cross(rates):
    """Near its own rate, at its own accuracy; one that diverged at the foot, with the number above."""
    figure = learning_rate_figure(rates)
    places, crosses = dots(figure)
    assert sorted(places[:, 1]) == pytest.approx(sorted(100 * rates["test_accuracy"].dropna()))
    assert set(np.round(np.log10(places[:, 0]) / 2 - 0.5)) == {-2, -1, 0}  # a step is two decades
    assert crosses == [2, 5]
    lines = texts(figure).split("\n")
    assert {"2", "5", "PyTorch's start", "Xavier's start", "diverged, with their number", "25 %"} <= set(lines)
    assert "median and, where there is one, 95 % interval, n = 3 to 8 per median" in lines


def test_the_legend_tells_two_starts_apart_alone(rates):
    """One start without failures needs none; the axis is logarithmic with one rate, too."""
    finished = rates[rates["learning_rate"] < 10]
    assert len(learning_rate_figure(finished).legends) == 1
    figure = learning_rate_figure(finished[finished["initialization"] == "pytorch"])
    assert figure.legends == []
    single = learning_rate_figure(rates[rates["learning_rate"] == 0.001].groupby("initialization").head(1))
    assert single.axes[0].get_xscale() == "log"
    assert "one network each (n = 1)" in texts(single)


def test_a_table_where_every_member_diverged_is_drawn(rates):
    """It is a figure of failures, not an error."""
    figure = learning_rate_figure(rates.assign(status="diverged", test_accuracy=np.nan))
    assert dots(figure)[1] == [8] * 6
    assert "n = 0 per median" in texts(figure)
