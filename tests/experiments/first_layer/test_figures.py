"""Figures of the features show what their tables say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from drawn import texts

from mlp_core.experiments.first_layer.figures import unit_measures_figure, units_figure
from mlp_core.experiments.first_layer.unit_row import UnitRow


def unit_rows(kind: str, ratio: float, **columns: Any) -> pd.DataFrame:
    """Return four units around an extent."""
    spread = 0.01 * np.arange(4)
    measures = {"extent": ratio + spread, "class_cosine": spread, "spatial_frequency": 5 + spread}
    return pd.DataFrame({"kind": kind, "unit": range(4), **measures, **columns})


@pytest.fixture
def unit_table() -> pd.DataFrame:
    """Units of two depths before and after training, edge filters and whole images."""
    parts = [
        unit_rows(kind, ratio, depth=depth, member=0, seed=0)
        for depth in (1, 3)
        for kind, ratio in (("trained", 0.3), ("random", 0.8))
    ]
    return pd.concat([*parts, unit_rows("gabor", 0.04), unit_rows("image", 0.4)], ignore_index=True)


def test_features_figure_draws_cumulated_shares(unit_table: pd.DataFrame) -> None:
    """Each kind of unit rises to 100 % at its least local unit."""
    figure = unit_measures_figure(unit_table)
    locality = figure.axes[0].lines
    assert [line.get_xdata()[-1] for line in locality] == pytest.approx([0.33, 0.33, 0.83, 0.07, 0.43])
    assert all(line.get_ydata().tolist() == [0, 25, 50, 75, 100] for line in locality)
    assert "edge filters, n = 4" in texts(figure)


def test_units_are_drawn_on_their_own_scale_under_their_extent() -> None:
    """Zero is mid-grey and the largest weight of each unit full; rows may be of different lengths."""
    weights = np.zeros((2, 3, 4, 4))
    weights[0, 0, 0, 0], weights[1, 0, 0, 0] = 0.25, -8.0
    rows = [
        UnitRow("trained", weights, np.array([0.01, 0.02])),
        UnitRow("edge filters", weights[:1] * 0, np.array([0.5])),
    ]
    figure = units_figure(rows)
    first, second, third, fourth = figure.axes
    assert first.images[0].get_array()[0, 0, 0] == 1.0
    assert second.images[0].get_array()[0, 0, 0] == 0.0
    assert (third.images[0].get_array() == 0.5).all()
    assert not fourth.images
    assert (first.get_title(), second.get_title()) == ("0.010", "0.020")
    assert "edge filters" in texts(figure)


def test_one_unit_is_a_step_from_none_to_all() -> None:
    """A line of one point is nothing to see; units without a weight are counted."""
    fixed = unit_rows("gabor", 0.05), unit_rows("image", 0.4)
    kinds = (unit_rows("trained", 0.5, depth=1), unit_rows("random", 0.4, depth=1), *fixed)
    figure = unit_measures_figure(pd.concat([rows.head(1) for rows in kinds]))
    for line in figure.axes[0].get_lines():
        assert line.get_ydata().tolist() == [0, 100]
    table = pd.concat(kinds)
    measured = ["extent", "class_cosine", "spatial_frequency"]
    table.loc[table["kind"] == "trained", measured] = np.nan
    assert "depth 1, n = 0 of 4 (others without a weight)" in texts(unit_measures_figure(table))
