"""Loss curves show the medians of their table, and say what diverged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from drawn import count_bar_ends, texts

from mlp_core.report.loss_curves import loss_curves_figure


def _history(configurations: list[str], epochs: int, members: int = 3) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "experiment": "gain_sweep",
                "configuration": name,
                "member": member,
                "epoch": epoch,
                "train_loss": (1 + place + 0.1 * member) / epoch,
            }
            for place, name in enumerate(configurations)
            for member in range(members)
            for epoch in range(1, epochs + 1)
        ]
    )


def test_few_curves_get_names_and_many_a_colour_bar() -> None:
    """Up to eight configurations are in the legend, more are told by colour and number."""
    few = loss_curves_figure(_history(["depth=1 width=14", "depth=3 width=6"], 5), "gain_sweep")
    assert "depth=3 width=6" in texts(few)
    many = loss_curves_figure(_history([f"gain={gain:g}" for gain in range(10)], 5), "gain_sweep")
    assert len(many.axes) == 2
    assert many.axes[1].get_ylabel() == "gain"


@pytest.mark.parametrize(("epochs", "scale"), [(5, "linear"), (20, "log")])
def test_loss_axis_is_logarithmic_beyond_a_factor_of_ten(epochs: int, scale: str) -> None:
    """A loss that falls twentyfold gets a logarithmic axis, one that falls fivefold does not."""
    figure = loss_curves_figure(_history(["degree=50"], epochs), "gain_sweep")
    assert figure.axes[0].get_yscale() == scale


def test_loss_of_one_epoch_is_drawn_against_the_configuration() -> None:
    """After a single epoch there is no curve, but there is a loss for each gain."""
    figure = loss_curves_figure(_history(["gain=0.1", "gain=1.4", "gain=3"], 1), "gain_sweep")
    assert figure.axes[0].get_xlabel() == "gain"
    assert figure.axes[0].lines[0].get_xdata().tolist() == [0.1, 1.4, 3.0]


def _visible_ticks(axes: Any) -> list[float]:
    """Return the horizontal ticks within the axis."""
    low, high = axes.get_xlim()
    return [float(tick) for tick in axes.get_xticks() if low <= tick <= high]


def _drawn_points(axes: Any) -> list[tuple[float, float]]:
    """Return what can be seen of the lines: points with a marker, and those that a line joins."""
    seen = []
    for line in axes.lines:
        points = np.asarray(line.get_xydata(), dtype=float)
        finite = np.isfinite(points).all(1)
        joined = finite & (np.append(False, finite[:-1]) | np.append(finite[1:], False))
        if line.get_marker() in ("None", "o"):  # others are the ends of intervals
            seen += points[finite if line.get_marker() == "o" else joined].tolist()
    return [(x, y) for x, y in seen]


@pytest.mark.parametrize("members", [1, 3])
def test_loss_of_one_epoch_and_one_configuration_is_a_point(members: int) -> None:
    """A line of one point is nothing to see; the epoch is a whole number."""
    figure = loss_curves_figure(_history(["hidden=64"], 1, members), "gain_sweep")
    (axes,) = figure.axes
    assert pytest.approx((1, 1 + 0.1 * (members - 1) / 2)) in _drawn_points(axes)
    assert _visible_ticks(axes) == [1]


@pytest.mark.parametrize("n_configurations", [1, 10])
def test_a_loss_between_epochs_without_one_is_a_point(n_configurations: int) -> None:
    """What diverged after its first epoch has that one to show, and the axis all epochs."""
    history = _history([f"gain={gain}" for gain in range(n_configurations)], 5)
    history.loc[history["epoch"] > 1, "train_loss"] = np.nan
    axes = loss_curves_figure(history, "gain_sweep").axes[0]
    assert {x for x, _ in _drawn_points(axes)} == {1.0}
    assert len({y for _, y in _drawn_points(axes)}) == n_configurations
    assert axes.get_xlim()[1] > 5


@pytest.mark.parametrize("epochs", [1, 5])
def test_losses_that_all_diverged_are_words(epochs: int) -> None:
    """Not an empty frame."""
    history = _history(["gain=1", "gain=2"], epochs).assign(train_loss=np.nan)
    text = texts(loss_curves_figure(history, "gain_sweep"))
    assert "no finite loss: all members diverged" in text
    assert "\nn = 0 per median" in text


def test_a_configuration_that_diverged_is_named_beside_others() -> None:
    """In the legend, or at its place on the axis."""
    for epochs, words in ((5, "gain=2: diverged"), (1, "diverged")):
        history = _history(["gain=1", "gain=2"], epochs)
        history.loc[history["configuration"] == "gain=2", "train_loss"] = np.nan
        text = texts(loss_curves_figure(history, "gain_sweep"))
        assert words in text.split("\n")
        assert "no finite loss" not in text


@pytest.mark.parametrize("epochs", [2, 20])
def test_epochs_are_whole_numbers(epochs: int) -> None:
    """No tick at epoch 2.5."""
    figure = loss_curves_figure(_history(["gain=1"], epochs), "gain_sweep")
    assert all(tick.is_integer() for tick in _visible_ticks(figure.axes[0]))


def test_loss_of_an_unknown_experiment_is_an_error() -> None:
    """An empty figure would hide a misspelt name."""
    with pytest.raises(ValueError, match="no rows of experiment 'images'"):
        loss_curves_figure(_history(["gain=1"], 2), "images")


@pytest.mark.parametrize("configurations", [["gain=1"], ["gain=1", "gain=2"]])
@pytest.mark.parametrize(("members", "ends"), [(1, 0), (8, 2)])
def test_bars_are_of_intervals_alone(configurations: list[str], members: int, ends: int) -> None:
    """One network has none, eight have one with two ends."""
    figure = loss_curves_figure(_history(configurations, 1, members), "gain_sweep")
    assert count_bar_ends(figure) == ends * len(configurations)
