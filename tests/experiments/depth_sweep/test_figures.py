"""The figure of the depth sweep shows what its table says."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pandas as pd
import pytest
from drawn import texts
from matplotlib.collections import PathCollection
from PIL import Image

from mlp_core.experiments.depth_sweep.figures import depth_sweep_figure
from mlp_core.report.png import figure_png


def _accuracies(rows: int, diverged: tuple[int, ...] = ()) -> dict[str, Any]:
    test = [None if row in diverged else 0.5 + 0.03 * (row % 7) for row in range(rows)]
    return {
        "train_accuracy": test,
        "test_accuracy": test,
        "status": ["diverged" if row in diverged else "ok" for row in range(rows)],
    }


@pytest.fixture
def depth_table() -> pd.DataFrame:
    """Two depths of four members, one of which diverged."""
    return pd.DataFrame(
        {
            "activation": "relu",
            "depth": np.repeat([1, 3], 4),
            "width": np.repeat([14, 6], 4),
            "parameters": np.repeat([102, 130], 4),
            **_accuracies(8, diverged=(5,)),
        }
    )


@pytest.mark.thorough
def test_png_has_twice_the_columns_pixels_and_repeats(depth_table: pd.DataFrame) -> None:
    """The same table gives the same bytes, as wide as the report's column."""
    first, second = (figure_png(depth_sweep_figure(depth_table)) for _ in range(2))
    assert first == second
    assert Image.open(io.BytesIO(first)).width == 1800


def test_depth_figure_names_width_parameters_and_failures(depth_table: pd.DataFrame) -> None:
    """The axis says what each depth costs, the annotation how many members diverged."""
    text = texts(depth_sweep_figure(depth_table))
    for expected in (
        "3\n6 wide\n130 par.",
        "1 of 4\ndiverged",
        "median without interval, n = 3 to 4 per median",
        "chance\n25 %",
    ):
        assert expected in text


def test_depth_figure_draws_every_member(depth_table: pd.DataFrame) -> None:
    """Each member is a dot at its own accuracy."""
    axes = depth_sweep_figure(depth_table).axes[0]
    scatters = [part for part in axes.collections if isinstance(part, PathCollection)]
    dots = np.concatenate([part.get_offsets().compressed().reshape(-1, 2) for part in scatters])
    assert sorted(dots[:, 1]) == pytest.approx(sorted(100 * depth_table["test_accuracy"].dropna()))


def test_few_members_have_no_interval_and_the_title_says_so(depth_table: pd.DataFrame) -> None:
    """Fewer than six seeds get no error bar, and the reader is told."""
    single = depth_table.groupby("depth").head(1)
    assert "one network each (n = 1)" in texts(depth_sweep_figure(single))


def test_a_table_where_every_member_diverged_is_drawn(depth_table: pd.DataFrame) -> None:
    """An experiment that failed altogether is a figure of failures, not an error."""
    failed = {"status": "diverged", "train_accuracy": None, "test_accuracy": None}
    assert "4 of 4\ndiverged" in texts(depth_sweep_figure(depth_table.assign(**failed)))
