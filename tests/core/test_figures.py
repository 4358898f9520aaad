"""Figures show what their tables say, and the intervals they draw are right."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.collections import PathCollection
from matplotlib.font_manager import fontManager
from matplotlib.text import Text
from PIL import Image

from mlp_core.report import figures
from mlp_core.report.trend import trend_figure


def _texts(figure: Any) -> str:
    """Return every text of a figure, joined."""
    figure.draw_without_rendering()
    return "\n".join(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))


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


def test_figures_need_neither_torch_nor_pyplot() -> None:
    """A cached run that only draws and reports must start quickly and without a display."""
    program = (
        "import sys, mlp_core.report.figures, mlp_core.report.page; "
        "sys.exit('torch' in sys.modules or 'matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_png_is_900_pixels_wide_and_repeats(depth_table: pd.DataFrame) -> None:
    """The same table gives the same bytes, as wide as the report's column."""
    first, second = (figures.figure_png(figures.depth_sweep_figure(depth_table)) for _ in range(2))
    assert first == second
    assert Image.open(io.BytesIO(first)).width == 900


def test_depth_figure_names_width_parameters_and_failures(depth_table: pd.DataFrame) -> None:
    """The axis says what each depth costs, the annotation how many members diverged."""
    texts = _texts(figures.depth_sweep_figure(depth_table))
    for expected in (
        "3\n6 wide\n130 par.",
        "1 of 4\ndiverged",
        "median without interval, n = 3 to 4 per median",
        "chance\n25 %",
    ):
        assert expected in texts


def test_depth_figure_draws_every_member(depth_table: pd.DataFrame) -> None:
    """Each member is a dot at its own accuracy."""
    axes = figures.depth_sweep_figure(depth_table).axes[0]
    scatters = [part for part in axes.collections if isinstance(part, PathCollection)]
    dots = np.concatenate([part.get_offsets().compressed().reshape(-1, 2) for part in scatters])
    assert sorted(dots[:, 1]) == pytest.approx(sorted(100 * depth_table["test_accuracy"].dropna()))


def test_few_members_have_no_interval_and_the_title_says_so(depth_table: pd.DataFrame) -> None:
    """Fewer than six seeds get no error bar, and the reader is told."""
    single = depth_table.groupby("depth").head(1)
    assert "median without interval, n = 1 per median" in _texts(figures.depth_sweep_figure(single))


def test_the_title_of_medians_with_and_without_interval_fits(gain_table: pd.DataFrame) -> None:
    """A gain at which no two members differ has no bar, and the title that says so is not cut off."""
    eight = pd.concat([gain_table.assign(status="ok", test_accuracy=gain_table["test_accuracy"].fillna(0.3))] * 2)
    figure = figures.gain_sweep_figure(eight)
    assert "median and, where there is one, 95 % interval, n = 8 per median" in _texts(figure)
    titles = [text for text in figure.findobj(Text) if "median and" in text.get_text()]
    assert [text.get_window_extent().x1 <= 900 for text in titles] == [True]


def test_tables_where_every_member_diverged_are_drawn(depth_table: pd.DataFrame, gain_table: pd.DataFrame) -> None:
    """An experiment that failed altogether is a figure of failures, not an error."""
    failed = {"status": "diverged", "train_accuracy": None, "test_accuracy": None}
    assert "4 of 4\ndiverged" in _texts(figures.depth_sweep_figure(depth_table.assign(**failed)))
    texts = _texts(figures.gain_sweep_figure(gain_table.assign(**failed)))
    assert "theory 1.407" in texts
    assert "best" not in texts


def test_decision_map_has_x1_horizontal_and_x2_upwards() -> None:
    """The class to the right of the origin is drawn to the right, the one above above."""
    axis = np.linspace(-2, 2, 41)
    x1, x2 = np.meshgrid(axis, axis)
    classes = np.where(x2 > 1, 2, (x1 > 0).astype(int))
    shown = figures.DecisionMap("model", classes, 2.0, np.array([[1.0, 0.0], [0.0, 1.5]]), np.array([1, 2]), 1.5)
    axes = figures.decision_maps_figure([shown, shown]).axes[0]
    image = axes.images[0]
    assert image.origin == "lower"
    assert tuple(image.get_extent()) == (-2, 2, -2, 2)
    drawn = image.get_array()
    assert (drawn[5, 35], drawn[5, 5], drawn[38, 5]) == (1, 0, 2)
    assert axes.get_xlabel() == "x1"
    assert axes.collections[0].get_offsets().tolist() == [[1.0, 0.0], [0.0, 1.5]]


def test_few_curves_get_names_and_many_a_colour_bar() -> None:
    """Up to eight configurations are in the legend, more are told by colour and number."""
    few = figures.loss_curves_figure(_history(["depth=1 width=14", "depth=3 width=6"], 5), "gain_sweep")
    assert "depth=3 width=6" in _texts(few)
    many = figures.loss_curves_figure(_history([f"gain={gain:g}" for gain in range(10)], 5), "gain_sweep")
    assert len(many.axes) == 2
    assert many.axes[1].get_ylabel() == "gain"


@pytest.mark.parametrize(("epochs", "scale"), [(5, "linear"), (20, "log")])
def test_loss_axis_is_logarithmic_beyond_a_factor_of_ten(epochs: int, scale: str) -> None:
    """A loss that falls twentyfold gets a logarithmic axis, one that falls fivefold does not."""
    figure = figures.loss_curves_figure(_history(["degree=50"], epochs), "gain_sweep")
    assert figure.axes[0].get_yscale() == scale


def test_loss_of_one_epoch_is_drawn_against_the_configuration() -> None:
    """After a single epoch there is no curve, but there is a loss for each gain."""
    figure = figures.loss_curves_figure(_history(["gain=0.1", "gain=1.4", "gain=3"], 1), "gain_sweep")
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
    figure = figures.loss_curves_figure(_history(["hidden=64"], 1, members), "gain_sweep")
    (axes,) = figure.axes
    assert pytest.approx((1, 1 + 0.1 * (members - 1) / 2)) in _drawn_points(axes)
    assert _visible_ticks(axes) == [1]


@pytest.mark.parametrize("n_configurations", [1, 10])
def test_a_loss_between_epochs_without_one_is_a_point(n_configurations: int) -> None:
    """What diverged after its first epoch has that one to show, and the axis all epochs."""
    history = _history([f"gain={gain}" for gain in range(n_configurations)], 5)
    history.loc[history["epoch"] > 1, "train_loss"] = np.nan
    axes = figures.loss_curves_figure(history, "gain_sweep").axes[0]
    assert {x for x, _ in _drawn_points(axes)} == {1.0}
    assert len({y for _, y in _drawn_points(axes)}) == n_configurations
    assert axes.get_xlim()[1] > 5


@pytest.mark.parametrize("epochs", [1, 5])
def test_losses_that_all_diverged_are_words(epochs: int) -> None:
    """Not an empty frame."""
    history = _history(["gain=1", "gain=2"], epochs).assign(train_loss=np.nan)
    texts = _texts(figures.loss_curves_figure(history, "gain_sweep"))
    assert "no finite loss: all members diverged" in texts
    assert "\nn = 0 per median" in texts


def test_a_configuration_that_diverged_is_named_beside_others() -> None:
    """In the legend, or at its place on the axis."""
    for epochs, words in ((5, "gain=2: diverged"), (1, "diverged")):
        history = _history(["gain=1", "gain=2"], epochs)
        history.loc[history["configuration"] == "gain=2", "train_loss"] = np.nan
        texts = _texts(figures.loss_curves_figure(history, "gain_sweep"))
        assert words in texts.split("\n")
        assert "no finite loss" not in texts


@pytest.mark.parametrize("epochs", [2, 20])
def test_epochs_are_whole_numbers(epochs: int) -> None:
    """No tick at epoch 2.5."""
    figure = figures.loss_curves_figure(_history(["gain=1"], epochs), "gain_sweep")
    assert all(tick.is_integer() for tick in _visible_ticks(figure.axes[0]))


def test_the_trend_of_one_run_is_a_dot_at_its_day() -> None:
    """One comparison is a dot to see; where all diverged stand words."""
    run = pd.Timestamp("2026-11-28T03:00Z")
    columns = {
        "experiment": "images",
        "configuration": "c",
        "measure": "test_accuracy",
        "status": "not moved",
        "versions": "v",
    }
    rows = pd.DataFrame([{"run": run, "after": 0.5, **columns}])
    (axes,) = trend_figure(rows).axes
    assert axes.lines[0].get_markersize() > 5
    assert np.diff(axes.get_xlim())[0] == pytest.approx(1)
    assert "all members diverged" in _texts(trend_figure(rows.assign(after=np.nan)))


def test_loss_of_an_unknown_experiment_is_an_error() -> None:
    """An empty figure would hide a misspelt name."""
    with pytest.raises(ValueError, match="no rows of experiment 'images'"):
        figures.loss_curves_figure(_history(["gain=1"], 2), "images")


def test_gain_figure_marks_best_and_theory(gain_table: pd.DataFrame) -> None:
    """Both vertical lines are labelled and failures are counted at their gain."""
    texts = _texts(figures.gain_sweep_figure(gain_table))
    for expected in ("best mean 1.4", "theory 1.407", "2 of 4\ndiverged", "chance\n33 %"):
        assert expected in texts


def test_samples_survive_a_class_name_with_a_dollar_sign() -> None:
    """A dollar sign in a folder's name is no mathematics."""
    images = np.zeros((3, 3, 32, 32), dtype=np.uint8)
    figure = figures.samples_figure(images, [0, 1, 2], ["$x^$", "<script>", "a very long name"])
    assert figures.figure_png(figure)[:4] == b"\x89PNG"
    assert {"$x^$", "<script>", "a very lo…"} <= set(_texts(figure).split("\n"))


def _letters_font(path: Path, letters: str) -> None:
    """Write a font that has a square for each of some letters, as a system's Chinese font would."""
    pen = TTGlyphPen(None)
    for number, corner in enumerate([(0, 0), (0, 700), (700, 700), (700, 0)]):
        (pen.lineTo if number else pen.moveTo)(corner)
    pen.closePath()
    square = pen.glyph()
    names = [".notdef", *(f"letter{ord(letter)}" for letter in letters)]
    font = FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder(names)
    font.setupCharacterMap(dict(zip(map(ord, letters), names[1:], strict=True)))
    font.setupGlyf(dict.fromkeys(names, square))
    font.setupHorizontalMetrics(dict.fromkeys(names, (1000, 0)))
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": "Letters of a Test", "styleName": "Regular"})
    font.setupOS2()
    font.setupPost()
    font.save(path)


def test_classes_whose_letters_no_font_has_are_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Told apart, with a legend, and without a warning; not the same box for both."""
    monkeypatch.setattr(fontManager, "ttflist", [one for one in fontManager.ttflist if "DejaVu" in one.name])
    figure = figures.samples_figure(np.zeros((3, 3, 32, 32), dtype=np.uint8), [1, 0, 1], ["\u732b", "\u72ac"])
    assert [axes.get_title() for axes in figure.axes] == ["class 1", "class 0", "class 1"]
    assert {r"class 0: \u732b", r"class 1: \u72ac"} <= set(_texts(figure).split("\n"))
    assert figures.figure_png(figure)


def test_classes_are_drawn_in_a_font_of_the_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """If one has their letters, beside the usual font for the others."""
    path = tmp_path / "letters.ttf"
    _letters_font(path, "\u732b\u72ac")
    monkeypatch.setattr(fontManager, "ttflist", list(fontManager.ttflist))
    fontManager.addfont(path)
    images = np.zeros((2, 3, 32, 32), dtype=np.uint8)
    figure = figures.samples_figure(images, [0, 1], ["cat \u732b", "dog \u72ac"])
    assert [axes.get_title() for axes in figure.axes] == ["cat \u732b", "dog \u72ac"]
    assert "Letters of a Test" in figure.axes[0].title.get_fontfamily()
    assert figures.figure_png(figure)  # without the warning that a glyph is missing, which would be an error


def test_class_names_that_would_look_alike_are_numbers() -> None:
    """Cut to what there is room for they would be one; the legend has them whole."""
    names = ["n02085620-Chihuahua", "n02085620-Japanese_spaniel"]
    figure = figures.samples_figure(np.zeros((2, 3, 32, 32), dtype=np.uint8), [0, 1], names)
    assert [axes.get_title() for axes in figure.axes] == ["class 0", "class 1"]
    assert "class 0: n02085620-Chihuahua" in _texts(figure)


def test_first_layer_is_scaled_by_its_largest_weight() -> None:
    """Zero is mid-grey, the largest weight full brightness, and the title names the scale."""
    weights = np.zeros((4, 3, 32, 32))
    weights[0, 0, 0, 0] = 0.25
    weights[3, 2, 31, 31] = -0.125
    figure = figures.first_layer_figure(weights)
    drawn = figure.axes[0].images[0].get_array()
    assert drawn.shape == (66, 66, 3)
    assert (drawn[0, 0, 0], drawn[1, 1, 0], drawn[-1, -1, 2]) == (1.0, 0.5, 0.25)
    assert "0.25" in _texts(figure)


def test_first_layer_of_zeros_is_grey() -> None:
    """A network that starts from zero is drawn, not divided by zero."""
    assert (figures.first_layer_figure(np.zeros((1, 3, 32, 32))).axes[0].images[0].get_array() == 0.5).all()
