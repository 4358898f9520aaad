"""PNG files of figures."""

import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from mlp_core.report.plot_style import DOTS_PER_INCH, legend_below, new_figure
from mlp_core.report.png import figure_png


def plain():
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([1, 3, 2])
    return figure


def laid_out():
    figure, axes = new_figure(3.0)
    (line,) = axes.plot([1, 3, 2], label="a long name in the legend below")
    axes.set_title("two\nlines", loc="left")
    legend_below(figure, [line])
    return figure


def an_image_beside_axes():
    figure = Figure(figsize=(4, 3), dpi=DOTS_PER_INCH, layout="constrained")
    first, second = figure.subplots(1, 2)
    figure.colorbar(first.imshow(np.eye(5)), ax=first)
    second.scatter([1, 2], [1e-3, 1e3])
    second.set_yscale("log")
    return figure


@pytest.mark.parametrize("draw", [plain, laid_out, pytest.param(an_image_beside_axes, marks=pytest.mark.thorough)])
def test_pixels_are_those_of_savefig(draw):
    """Drawn once; also of a figure with another resolution of its own."""
    by_savefig = io.BytesIO()
    draw().savefig(by_savefig, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    with Image.open(by_savefig) as expected, Image.open(io.BytesIO(figure_png(draw()))) as image:
        assert image.mode == "RGB"
        assert image.info == expected.info  # the resolution alone
        assert image.convert("RGBA") == expected.convert("RGBA")  # opaque everywhere
