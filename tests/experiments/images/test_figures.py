"""Figures of images and of first-layer weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drawn import texts
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.font_manager import fontManager

from mlp_core.experiments.images.figures import first_layer_figure, samples_figure
from mlp_core.report.png import figure_png


def test_samples_survive_a_class_name_with_a_dollar_sign() -> None:
    """A dollar sign in a folder's name is no mathematics."""
    images = np.zeros((3, 3, 32, 32), dtype=np.uint8)
    figure = samples_figure(images, [0, 1, 2], ["$x^$", "<script>", "a very long name"])
    assert figure_png(figure)[:4] == b"\x89PNG"
    assert {"$x^$", "<script>", "a very lo…"} <= set(texts(figure).split("\n"))


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
    monkeypatch.setattr(fontManager, "ttflist", [font for font in fontManager.ttflist if "DejaVu" in font.name])
    figure = samples_figure(np.zeros((3, 3, 32, 32), dtype=np.uint8), [1, 0, 1], ["\u732b", "\u72ac"])
    assert [axes.get_title() for axes in figure.axes] == ["class 1", "class 0", "class 1"]
    assert {r"class 0: \u732b", r"class 1: \u72ac"} <= set(texts(figure).split("\n"))
    assert figure_png(figure)


def test_classes_are_drawn_in_a_font_of_the_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """If one has their letters, next to the usual font for the others."""
    path = tmp_path / "letters.ttf"
    _letters_font(path, "\u732b\u72ac")
    monkeypatch.setattr(fontManager, "ttflist", list(fontManager.ttflist))
    fontManager.addfont(path)
    images = np.zeros((2, 3, 32, 32), dtype=np.uint8)
    figure = samples_figure(images, [0, 1], ["cat \u732b", "dog \u72ac"])
    assert [axes.get_title() for axes in figure.axes] == ["cat \u732b", "dog \u72ac"]
    assert "Letters of a Test" in figure.axes[0].title.get_fontfamily()
    assert figure_png(figure)  # without the warning that a glyph is missing, which would be an error


def test_class_names_that_would_look_alike_are_numbers() -> None:
    """Cut to what there is room for they would be one; the legend has them whole."""
    names = ["n02085620-Chihuahua", "n02085620-Japanese_spaniel"]
    figure = samples_figure(np.zeros((2, 3, 32, 32), dtype=np.uint8), [0, 1], names)
    assert [axes.get_title() for axes in figure.axes] == ["class 0", "class 1"]
    assert "class 0: n02085620-Chihuahua" in texts(figure)


def test_first_layer_is_scaled_by_its_largest_weight() -> None:
    """Zero is mid-grey, the largest weight full brightness, and the title names the scale."""
    weights = np.zeros((4, 3, 32, 32))
    weights[0, 0, 0, 0] = 0.25
    weights[3, 2, 31, 31] = -0.125
    figure = first_layer_figure(weights)
    drawn = figure.axes[0].images[0].get_array()
    assert drawn.shape == (66, 66, 3)
    assert (drawn[0, 0, 0], drawn[1, 1, 0], drawn[-1, -1, 2]) == (1.0, 0.5, 0.25)
    assert "0.25" in texts(figure)


def test_first_layer_of_zeros_is_grey() -> None:
    """A network that starts from zero is drawn, not divided by zero."""
    assert (first_layer_figure(np.zeros((1, 3, 32, 32))).axes[0].images[0].get_array() == 0.5).all()
