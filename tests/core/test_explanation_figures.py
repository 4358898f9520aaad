"""Figures that look for reasons show what their tables say, also where members failed."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection

from mlp_core.report import explanation_figures as figures
from mlp_core.report.figures import figure_png

STARTS = ("pytorch", "xavier", "xavier at the theoretical gain")


def texts(figure: Any) -> str:
    """Return every text of a figure, joined."""
    figure.draw_without_rendering()
    return "\n".join(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))


def intervention(activation: str, start: str, epochs: int = 100, members: int = 4) -> pd.DataFrame:
    """Return rows of three depths; with relu member 0 of the deepest never learned."""
    rows = []
    for depth in (1, 3, 5):
        for member in range(members):
            failed = activation == "relu" and depth == 5 and member == 0
            accuracy = 0.25 if failed else 0.7 + 0.02 * member
            rows.append(
                {
                    "activation": activation,
                    "initialization": start,
                    "depth": depth,
                    "member": member,
                    "seed": member,
                    "epochs": epochs,
                    "train_accuracy": accuracy,
                    "test_accuracy": accuracy,
                    "status": "ok",
                    "dead_share": 0.1 * depth if activation == "relu" else np.nan,
                    "dead_layers": float(failed) if activation == "relu" else np.nan,
                    "first_gradient_mean_square": 0.0 if failed else 10.0**-depth,
                    "learned": not failed,
                }
            )
    return pd.DataFrame(rows)


@pytest.fixture
def explain_table() -> pd.DataFrame:
    """Two activations from three starts, and relu for 200 epochs."""
    parts = [intervention(activation, start) for activation in ("relu", "tanh") for start in STARTS]
    return pd.concat([*parts, intervention("relu", "pytorch", epochs=200)], ignore_index=True)


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


def unit_rows(kind: str, ratio: float, **columns: Any) -> pd.DataFrame:
    """Return four units around an extent."""
    spread = 0.01 * np.arange(4)
    measures = {"extent": ratio + spread, "class_cosine": spread, "spatial_frequency": 5 + spread}
    return pd.DataFrame({"kind": kind, "unit": range(4), **measures, **columns})


@pytest.fixture
def features_table() -> pd.DataFrame:
    """Units of two depths before and after training, edge filters and whole photographs."""
    parts = [
        unit_rows(kind, ratio, depth=depth, member=0, seed=0)
        for depth in (1, 3)
        for kind, ratio in (("trained", 0.3), ("random", 0.8))
    ]
    return pd.concat([*parts, unit_rows("gabor", 0.04), unit_rows("photograph", 0.4)], ignore_index=True)


def test_figures_need_neither_torch_nor_pyplot() -> None:
    """A cached run that only draws and reports must start quickly and without a display."""
    program = (
        "import sys, mlp_core.report.explanation_figures, mlp_core.report.explanation_report; "
        "sys.exit('torch' in sys.modules or 'matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_explain_figure_names_activations_starts_and_longer_training(explain_table: pd.DataFrame) -> None:
    """A panel for each activation, a legend entry for each start, and one for the longer training."""
    figure = figures.explain_figure(explain_table)
    shown = texts(figure)
    for expected in ("relu", "tanh", "PyTorch's start, 200 epochs", "Xavier, theoretical gain", "n = 4 per median"):
        assert expected in shown
    assert len(figure.axes) == 2


def test_explain_figure_draws_every_member(explain_table: pd.DataFrame) -> None:
    """Each member is a dot at its own accuracy, in its activation's panel."""
    for axes, activation in zip(figures.explain_figure(explain_table).axes, ("relu", "tanh"), strict=True):
        dots = [part.get_offsets()[:, 1] for part in axes.collections if isinstance(part, PathCollection)]
        rows = explain_table[explain_table["activation"] == activation]
        assert sorted(np.concatenate(dots)) == pytest.approx(sorted(100 * rows["test_accuracy"]))


def test_causes_figure_shows_medians_and_who_cannot_die(explain_table: pd.DataFrame) -> None:
    """The gradient is the median on a logarithmic axis; for tanh the panel of dead units says that there are none."""
    figure = figures.explain_causes_figure(explain_table)
    grid = np.array(figure.axes).reshape(3, 2)
    assert grid[0, 0].get_yscale() == "log"
    assert grid[0, 0].lines[0].get_ydata() == pytest.approx([1e-1, 1e-3, 1e-5])
    assert [text.get_text() for text in grid[1, 1].texts] == ["cannot\ndie"]
    assert grid[1, 0].lines[0].get_ydata() == pytest.approx([10, 30, 50])
    assert grid[2, 0].lines[0].get_ydata() == pytest.approx([0, 0, 25])
    assert grid[2, 1].lines[0].get_ydata() == pytest.approx([0, 0, 0])


def test_causes_figure_without_any_gradient_is_drawn(explain_table: pd.DataFrame) -> None:
    """Where all layers are dead a logarithmic axis has nothing to show, and the figure comes all the same."""
    figure = figures.explain_causes_figure(explain_table.assign(first_gradient_mean_square=0.0))
    assert figure_png(figure)[:4] == b"\x89PNG"


def test_explain_figures_survive_divergence(explain_table: pd.DataFrame) -> None:
    """A table in which nobody finished is a figure, not an error."""
    failed = {"status": "diverged", "train_accuracy": None, "test_accuracy": None, "learned": False}
    for draw in (figures.explain_figure, figures.explain_causes_figure):
        assert figure_png(draw(explain_table.assign(**failed)))[:4] == b"\x89PNG"


def test_generalization_figure_draws_medians_in_the_middle_of_their_rings(generalization_table: pd.DataFrame) -> None:
    """A model right inside radius 1 alone falls to 0 there; the nearest neighbour is in both panels."""
    figure = figures.generalization_figure(generalization_table)
    wide, deep = figure.axes
    line = wide.lines[0]
    assert line.get_xdata() == pytest.approx(np.arange(0.05, 2, 0.1))
    assert line.get_ydata() == pytest.approx([92] * 10 + [0] * 10)
    shown = texts(figure)
    for expected in ("degree 50", "depth 3, 5307 par.", "last training point", "n = 3 per median"):
        assert expected in shown
    assert [sum(line.get_label() == "nearest neighbour" for line in axes.lines) for axes in (wide, deep)] == [1, 1]


def test_generalization_figure_survives_divergence(generalization_table: pd.DataFrame) -> None:
    """A model of which no member finished has no line, and is no error."""
    diverged = generalization_table["degree"] == 50
    table = generalization_table.assign(status=np.where(diverged, "diverged", "ok"))
    table["ring_accuracy"] = table["ring_accuracy"].where(~diverged, None)
    assert "degree 1" in texts(figures.generalization_figure(table))
    only_wide = table[table["model"] != "mlp"]
    assert figure_png(figures.generalization_figure(only_wide))[:4] == b"\x89PNG"


def test_features_figure_draws_cumulated_shares(features_table: pd.DataFrame) -> None:
    """Each kind of unit rises to 100 % at its least local unit."""
    figure = figures.features_figure(features_table)
    locality = figure.axes[0].lines
    assert [line.get_xdata()[-1] for line in locality] == pytest.approx([0.33, 0.33, 0.83, 0.07, 0.43])
    assert all(line.get_ydata().tolist() == [0, 25, 50, 75, 100] for line in locality)
    assert "edge filters, n = 4" in texts(figure)


def test_units_are_drawn_on_their_own_scale_under_their_extent() -> None:
    """Zero is mid-grey and the largest weight of each unit full; rows may be of different lengths."""
    weights = np.zeros((2, 3, 4, 4))
    weights[0, 0, 0, 0], weights[1, 0, 0, 0] = 0.25, -8.0
    rows = [
        figures.UnitRow("trained", weights, np.array([0.01, 0.02])),
        figures.UnitRow("edge filters", weights[:1] * 0, np.array([0.5])),
    ]
    figure = figures.units_figure(rows)
    first, second, third, fourth = figure.axes
    assert first.images[0].get_array()[0, 0, 0] == 1.0
    assert second.images[0].get_array()[0, 0, 0] == 0.0
    assert (third.images[0].get_array() == 0.5).all()
    assert not fourth.images
    assert (first.get_title(), second.get_title()) == ("0.010", "0.020")
    assert "edge filters" in texts(figure)


@pytest.mark.parametrize(
    "name", ["explain_figure", "explain_causes_figure", "generalization_figure", "features_figure"]
)
def test_pictures_are_900_pixels_wide_and_repeat(name: str, request: pytest.FixtureRequest) -> None:
    """The same table gives the same bytes, as wide as the report's column."""
    table = request.getfixturevalue(f"{name.split('_')[0]}_table")
    first, second = (figure_png(getattr(figures, name)(table)) for _ in range(2))
    assert first == second
    assert int.from_bytes(first[16:20], "big") == 900


def test_generalization_figure_ends_at_radius_2(generalization_table: pd.DataFrame) -> None:
    """A training point far outside is no reason to draw emptiness; its line is left out."""
    figure = figures.generalization_figure(generalization_table.assign(training_radius=22.0))
    assert "last training point" not in texts(figure)
    assert figure.axes[0].get_xlim()[1] < 2.1


def test_one_depth_has_its_tick_and_no_other(explain_table: pd.DataFrame) -> None:
    """There is no depth of 0.8 layers."""
    figure = figures.explain_figure(explain_table[explain_table["depth"] == 3])
    low, high = figure.axes[0].get_xlim()
    assert [tick for tick in figure.axes[0].get_xticks() if low < tick < high] == [3]


def test_what_diverged_altogether_is_said(explain_table: pd.DataFrame, generalization_table: pd.DataFrame) -> None:
    """A panel, or a line, without a member that finished says so; a table with n = 0 keeps its small n."""
    diverged = {"status": "diverged", "test_accuracy": None}
    shown = texts(figures.explain_figure(explain_table.assign(**diverged)))
    assert shown.count("all members diverged") == 2
    assert "\nn = 0 per median" in shown
    failed = generalization_table.assign(status=np.where(generalization_table["model"] == "mlp", "diverged", "ok"))
    assert "depth 1, 101 par.: diverged" in texts(figures.generalization_figure(failed))


def test_gradients_that_are_all_zero_are_words(explain_table: pd.DataFrame) -> None:
    """A logarithmic axis cannot show them."""
    shown = texts(figures.explain_causes_figure(explain_table.assign(first_gradient_mean_square=0.0)))
    assert shown.count("all are 0") == 2


def test_one_unit_is_a_step_from_none_to_all() -> None:
    """A line of one point is nothing to see; units without a weight are counted."""
    fixed = unit_rows("gabor", 0.05), unit_rows("photograph", 0.4)
    kinds = (unit_rows("trained", 0.5, depth=1), unit_rows("random", 0.4, depth=1), *fixed)
    figure = figures.features_figure(pd.concat([rows.head(1) for rows in kinds]))
    for line in figure.axes[0].get_lines():
        assert line.get_ydata().tolist() == [0, 100]
    table = pd.concat(kinds)
    measured = ["extent", "class_cosine", "spatial_frequency"]
    table.loc[table["kind"] == "trained", measured] = np.nan
    assert "depth 1, n = 0 of 4 (others without a weight)" in texts(figures.features_figure(table))
