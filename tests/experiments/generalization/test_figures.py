"""The figure of generalization shows what its table says, also where members failed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from drawn import assert_grid_cuts_no_line, texts

from mlp_core.experiments.generalization.figures import generalization_figure
from mlp_core.report.png import figure_png


def ring_rows(model: str, members: int = 3, **columns: Any) -> pd.DataFrame:
    """Return rows of a model that is right inside radius 1 and nowhere else."""
    rings = np.where(np.arange(20) < 10, 1.0, 0.0)
    rows = pd.DataFrame({"model": model, "member": range(members), "status": "ok", "training_radius": 1.37, **columns})
    rows["ring_accuracy"] = [rings * (0.9 + 0.02 * member) for member in range(members)]
    return rows


@pytest.fixture
def generalization_table() -> pd.DataFrame:
    """Two degrees, two depths at two budgets, and the nearest neighbour."""
    wide = [ring_rows("polynomial", degree=degree, parameters=degree) for degree in (1, 50)]
    deep = [
        ring_rows("mlp", depth=depth, parameter_budget=budget, parameters=budget + depth)
        for budget in (100, 5304)
        for depth in (1, 3)
    ]
    return pd.concat([*wide, *deep, ring_rows("nearest neighbour", members=1)], ignore_index=True)


def test_generalization_figure_draws_medians_in_the_middle_of_their_rings(generalization_table: pd.DataFrame) -> None:
    """A model right inside radius 1 alone falls to 0 there; the nearest neighbour is in both panels."""
    figure = generalization_figure(generalization_table)
    wide, deep = figure.axes
    line = wide.lines[0]
    assert line.get_xdata() == pytest.approx(np.arange(0.05, 2, 0.1))
    assert line.get_ydata() == pytest.approx([92] * 10 + [0] * 10)
    text = texts(figure)
    for expected in ("degree 50", "depth 3, 5307 par.", "last training point", "n = 3 per median"):
        assert expected in text
    assert [sum(line.get_label() == "nearest neighbour" for line in axes.lines) for axes in (wide, deep)] == [1, 1]


@pytest.mark.thorough
def test_generalization_figure_survives_divergence(generalization_table: pd.DataFrame) -> None:
    """A model of which no member finished has no line, and is no error."""
    diverged = generalization_table["degree"] == 50
    table = generalization_table.assign(status=np.where(diverged, "diverged", "ok"))
    table["ring_accuracy"] = table["ring_accuracy"].where(~diverged, None)
    assert "degree 1" in texts(generalization_figure(table))
    only_wide = table[table["model"] != "mlp"]
    assert figure_png(generalization_figure(only_wide))[:4] == b"\x89PNG"


def test_generalization_figure_ends_at_radius_2(generalization_table: pd.DataFrame) -> None:
    """A training point far outside is no reason to draw emptiness; its line is left out."""
    figure = generalization_figure(generalization_table.assign(training_radius=22.0))
    assert "last training point" not in texts(figure)
    assert figure.axes[0].get_xlim()[1] < 2.1


def test_a_line_of_which_nobody_finished_says_so(generalization_table: pd.DataFrame) -> None:
    """In the legend."""
    failed = generalization_table.assign(status=np.where(generalization_table["model"] == "mlp", "diverged", "ok"))
    assert "depth 1, 101 par.: diverged" in texts(generalization_figure(failed))


def test_the_lines_at_the_radii_are_whole(generalization_table: pd.DataFrame) -> None:
    """The grid lies behind them."""
    assert_grid_cuts_no_line(generalization_figure(generalization_table))
