"""The figure of the gain sweep shows what its table says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from drawn import assert_grid_cuts_no_line, count_bar_ends, texts
from matplotlib.text import Text

from mlp_core.experiments.gain_sweep.figures import gain_sweep_figure


def _accuracies(rows: int, diverged: tuple[int, ...] = ()) -> dict[str, Any]:
    test = [None if row in diverged else 0.5 + 0.03 * (row % 7) for row in range(rows)]
    return {
        "train_accuracy": test,
        "test_accuracy": test,
        "status": ["diverged" if row in diverged else "ok" for row in range(rows)],
    }


@pytest.fixture
def gain_table() -> pd.DataFrame:
    """Three gains of four members, best at 1.4."""
    table = pd.DataFrame(
        {
            "activation": "leaky_relu(0.1)",
            "distribution": "normal",
            "gain": np.repeat([0.1, 1.4, 3.0], 4),
            "theoretical_gain": 1.407,
            **_accuracies(12, diverged=(9, 10)),
        }
    )
    table.loc[table["gain"] == 1.4, "test_accuracy"] = 0.9
    return table


def test_the_title_of_medians_with_and_without_interval_fits(gain_table: pd.DataFrame) -> None:
    """A gain at which no two members differ has no bar, and the title that says so is not cut off."""
    eight = pd.concat([gain_table.assign(status="ok", test_accuracy=gain_table["test_accuracy"].fillna(0.3))] * 2)
    figure = gain_sweep_figure(eight)
    assert "median and, where there is one, 95 % interval, n = 8 per median" in texts(figure)
    titles = [text for text in figure.findobj(Text) if "median and" in text.get_text()]
    assert [text.get_window_extent().x1 <= 1800 for text in titles] == [True]


def test_a_table_where_every_member_diverged_is_drawn(gain_table: pd.DataFrame) -> None:
    """An experiment that failed altogether is a figure of failures, not an error."""
    failed = {"status": "diverged", "train_accuracy": None, "test_accuracy": None}
    text = texts(gain_sweep_figure(gain_table.assign(**failed)))
    assert "theory 1.407" in text
    assert "best" not in text


def test_gain_figure_marks_best_and_theory(gain_table: pd.DataFrame) -> None:
    """Both vertical lines are labelled and failures are counted at their gain."""
    text = texts(gain_sweep_figure(gain_table))
    for expected in ("best median 1.4", "theory 1.407", "2 of 4\ndiverged", "chance\n33 %"):
        assert expected in text


def test_bars_are_of_intervals_alone(gain_table: pd.DataFrame) -> None:
    """One network has none, eight have a bar with two ends for each accuracy, unless they do not differ."""
    assert count_bar_ends(gain_sweep_figure(gain_table.groupby("gain").head(1))) == 0
    eight = pd.concat([gain_table.assign(status="ok", test_accuracy=gain_table["train_accuracy"].fillna(0.3))] * 2)
    eight["train_accuracy"] = 0.5
    assert count_bar_ends(gain_sweep_figure(eight)) == 2 * 3


def test_the_lines_at_the_gains_are_whole(gain_table: pd.DataFrame) -> None:
    """The grid lies behind them."""
    assert_grid_cuts_no_line(gain_sweep_figure(gain_table))
