"""Figures of the ablation show what their table says, also where members failed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from drawn import count_bar_ends, texts
from matplotlib.collections import PathCollection

from mlp_core.experiments.ablation.figures import ablation_causes_figure, ablation_figure
from mlp_core.report.png import figure_png

STARTS = ("pytorch", "xavier", "xavier at the theoretical gain")


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
def ablation_table() -> pd.DataFrame:
    """Two activations from three starts, and relu for 200 epochs."""
    parts = [intervention(activation, start) for activation in ("relu", "tanh") for start in STARTS]
    return pd.concat([*parts, intervention("relu", "pytorch", epochs=200)], ignore_index=True)


def test_explain_figure_names_activations_starts_and_longer_training(ablation_table: pd.DataFrame) -> None:
    """A panel for each activation, a legend entry for each start, and one for the longer training."""
    figure = ablation_figure(ablation_table)
    text = texts(figure)
    for expected in ("relu", "tanh", "PyTorch's start, 200 epochs", "Xavier, theoretical gain", "n = 4 per median"):
        assert expected in text
    assert len(figure.axes) == 2


def test_explain_figure_draws_every_member(ablation_table: pd.DataFrame) -> None:
    """Each member is a dot at its own accuracy, in its activation's panel."""
    for axes, activation in zip(ablation_figure(ablation_table).axes, ("relu", "tanh"), strict=True):
        dots = [part.get_offsets()[:, 1] for part in axes.collections if isinstance(part, PathCollection)]
        rows = ablation_table[ablation_table["activation"] == activation]
        assert sorted(np.concatenate(dots)) == pytest.approx(sorted(100 * rows["test_accuracy"]))


def test_causes_figure_shows_medians_and_who_cannot_die(ablation_table: pd.DataFrame) -> None:
    """The gradient is the median on a logarithmic axis; for tanh the panel of dead units says that there are none."""
    figure = ablation_causes_figure(ablation_table)
    grid = np.array(figure.axes).reshape(3, 2)
    assert grid[0, 0].get_yscale() == "log"
    assert grid[0, 0].lines[0].get_ydata() == pytest.approx([1e-1, 1e-3, 1e-5])
    assert [text.get_text() for text in grid[1, 1].texts] == ["cannot\ndie"]
    assert grid[1, 0].lines[0].get_ydata() == pytest.approx([10, 30, 50])
    assert grid[2, 0].lines[0].get_ydata() == pytest.approx([0, 0, 25])
    assert grid[2, 1].lines[0].get_ydata() == pytest.approx([0, 0, 0])


@pytest.mark.thorough
def test_causes_figure_without_any_gradient_is_drawn(ablation_table: pd.DataFrame) -> None:
    """Where all layers are dead a logarithmic axis has nothing to show, and the figure comes all the same."""
    figure = ablation_causes_figure(ablation_table.assign(first_gradient_mean_square=0.0))
    assert figure_png(figure)[:4] == b"\x89PNG"


def test_one_depth_has_its_tick_and_no_other(ablation_table: pd.DataFrame) -> None:
    """There is no depth of 0.8 layers."""
    figure = ablation_figure(ablation_table[ablation_table["depth"] == 3])
    low, high = figure.axes[0].get_xlim()
    assert [tick for tick in figure.axes[0].get_xticks() if low < tick < high] == [3]


def test_what_diverged_altogether_is_said(ablation_table: pd.DataFrame) -> None:
    """A panel without a member that finished says so; a table with n = 0 keeps its small n."""
    diverged = {"status": "diverged", "test_accuracy": None}
    text = texts(ablation_figure(ablation_table.assign(**diverged)))
    assert text.count("all members diverged") == 2
    assert "\nn = 0 per median" in text


def test_gradients_that_are_all_zero_are_words(ablation_table: pd.DataFrame) -> None:
    """A logarithmic axis cannot show them."""
    text = texts(ablation_causes_figure(ablation_table.assign(first_gradient_mean_square=0.0)))
    assert text.count("all are 0") == 2


def test_bars_are_of_intervals_alone(ablation_table: pd.DataFrame) -> None:
    """One network in each place has none."""
    assert count_bar_ends(ablation_figure(ablation_table[ablation_table["member"] == 1])) == 0
