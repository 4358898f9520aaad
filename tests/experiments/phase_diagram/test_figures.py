"""The phase diagram shows what its table says."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from drawn import texts
from matplotlib.collections import QuadMesh
from matplotlib.patches import Rectangle

from mlp_core.experiments.phase_diagram.diagram import SCALES, predicted_scales
from mlp_core.experiments.phase_diagram.figures import phase_diagram_figure
from mlp_core.report.png import figure_png

GAINS, DEPTHS = [0.5, 1.0, 2.0], [2, 8, 32]


def phase_diagram_table(**changed):
    """Return two members per cell: all learn at gain 1, only the shallow ones elsewhere."""
    rows = [
        {
            "activation": "tanh",
            "depth": depth,
            "width": 64,
            "gain": gain,
            "train_accuracy": 0.98 if gain == 1 or depth == 2 else 0.34 + 0.02 * member,
            "test_accuracy": 0.6 if gain == 1 or depth == 2 else 0.33,
            "status": "ok",
        }
        for depth in DEPTHS
        for gain in GAINS
        for member in range(2)
    ]
    return pd.DataFrame(rows).assign(**changed)


@cache
def usual_figure():
    """Return the figure of the table as it is; nobody changes it."""
    return phase_diagram_figure(phase_diagram_table(), 3)


def cells(axes):
    """Return the colour values of a heat map, masked where a cell has none."""
    (mesh,) = [part for part in axes.collections if isinstance(part, QuadMesh)]
    return mesh.get_array()


def hatched(axes):
    return [patch for patch in axes.patches if isinstance(patch, Rectangle) and patch.get_hatch()]


@pytest.mark.thorough
def test_phase_cells_are_striped_by_their_members():
    """Train accuracies above, test accuracies below, depth upwards and gain to the right, on a scale from chance on."""
    train, test = usual_figure().axes[:2]
    np.testing.assert_allclose(cells(train), [[98] * 6, [34, 36, 98, 98, 34, 36], [34, 36, 98, 98, 34, 36]])
    np.testing.assert_allclose(cells(test), [[60] * 6, [33, 33, 60, 60, 33, 33], [33, 33, 60, 60, 33, 33]])
    assert (train.get_xscale(), train.get_yscale()) == ("log", "log")
    assert train.get_ylim()[0] < 2 < 4 < train.get_ylim()[1] / 8
    mesh = train.collections[0]
    assert (mesh.norm.vmin, mesh.norm.vmax) == (pytest.approx(100 / 3), 100)


def test_one_member_a_cell_has_no_stripes():
    """Nor words about them."""
    figure = phase_diagram_figure(phase_diagram_table().iloc[::2], 3)
    assert cells(figure.axes[0]).shape == (3, 3)
    assert "stripes" not in texts(figure)
    assert "n = 1 per cell" in texts(figure)


def test_phase_marks_the_deepest_trainable_networks():
    """A dot at each gain, at the largest depth that reaches half-way from chance to the best."""
    axes = usual_figure().axes[0]
    (dots,) = [line for line in axes.lines if line.get_marker() == "o"]
    assert list(zip(dots.get_xdata().tolist(), dots.get_ydata().tolist(), strict=True)) == [(0.5, 2), (1, 32), (2, 2)]


def test_phase_lines_are_predicted():
    """The curves are six scales of correlation and of gradient, and end on the axis where they are infinite."""
    figure = usual_figure()
    axes = figure.axes[0]
    solid, dashed = axes.lines[:2]
    gains = np.asarray(solid.get_xdata())
    scales = predicted_scales("tanh", 64, gains)
    top = 4 * axes.get_ylim()[1]
    np.testing.assert_allclose(solid.get_ydata(), np.minimum(SCALES * scales.correlation, top))
    np.testing.assert_allclose(dashed.get_ydata(), np.minimum(SCALES * scales.gradient, top))
    assert axes.lines[2].get_xdata()[0] == pytest.approx(1.156, abs=1e-3)
    text = texts(figure)
    for expected in ("critical gain 1.16", "6 correlation scales", "6 gradient scales", "n = 2 per cell"):
        assert expected in text


def test_a_cell_where_nobody_finished_has_no_colour():
    """Diverged members are hatched: over the colour of the others, or over nothing; a NaN is never a colour."""
    table = phase_diagram_table()
    gone = (table["gain"] == 2) & (table["depth"] == 32)
    half = (table["gain"] == 2) & (table["depth"] == 8) & (np.arange(len(table)) % 2 == 0)
    table.loc[gone | half, ["train_accuracy", "test_accuracy", "status"]] = [np.nan, np.nan, "diverged"]
    figure = phase_diagram_figure(table, 3)
    for axes, left in zip(figure.axes[:2], (36, 33), strict=True):
        colours = cells(axes)
        assert np.flatnonzero(np.ma.getmaskarray(colours)).tolist() == [11, 16, 17]
        assert colours[1, 4] == pytest.approx(left)
        assert len(hatched(axes)) == 2
    assert "3 of 18 diverged" in texts(figure)
    assert "members diverged" in texts(figure)
    assert not hatched(usual_figure().axes[0])


@pytest.mark.thorough
def test_a_grid_where_everything_diverged_is_drawn():
    """All cells hatched and none coloured, no dot, and no error."""
    figure = phase_diagram_figure(
        phase_diagram_table(train_accuracy=np.nan, test_accuracy=np.nan, status="diverged"), 3
    )
    axes = figure.axes[0]
    assert np.ma.getmaskarray(cells(axes)).all()
    assert len(hatched(axes)) == 9
    assert figure_png(figure)[:4] == b"\x89PNG"


@pytest.mark.thorough
def test_a_grid_of_one_cell_is_drawn():
    """One gain at one depth is the smallest phase diagram."""
    table = phase_diagram_table()
    figure = phase_diagram_figure(table[(table["gain"] == 1) & (table["depth"] == 8)], 3)
    assert cells(figure.axes[0]).shape == (1, 2)
    figure.draw_without_rendering()


def test_the_tutorials_sweep_is_four_layers():
    """Below the maps lie its layers at gain 1.407: sigma_w 1.95, 1.62, 1.62 and 1.90 on the axis of the maps."""
    figure = usual_figure()
    strip = figure.axes[2]
    marks = [float(line.get_xdata()[0]) for line in strip.lines if line.get_marker() == "D"]
    np.testing.assert_allclose(marks, [1.950, 1.625, 1.625, 1.903], atol=1e-3)
    assert strip.get_xlim() == figure.axes[0].get_xlim()
    assert "3072 to 128: 1.95" in texts(figure)


def test_a_phase_diagram_of_one_cell_still_has_the_tutorial_s_layers():
    """Their gains are within the axis, whatever the cells'."""
    table = phase_diagram_table()
    figure = phase_diagram_figure(table[(table["depth"] == 2) & (table["gain"] == 1)], 3)
    low, high = figure.axes[2].get_xlim()
    places = [line.get_xdata()[0] for line in figure.axes[2].lines if line.get_marker() == "D"]
    assert len(places) == 4
    assert all(low < place < high for place in places)


def test_a_phase_diagram_that_diverged_promises_no_deepest_network():
    """No legend entry for what has no number."""
    failed = {"status": "diverged", "train_accuracy": None, "test_accuracy": None}
    assert "nan" not in texts(phase_diagram_figure(phase_diagram_table(**failed), 3))
