"""The report's first table: numbers as words, links that lead somewhere, a rule before the verdicts."""

from __future__ import annotations

import math
import re
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure

from mlp_core.errors import InputError
from mlp_core.experiments.polynomial.section import SECTION
from mlp_core.report.claims import CLAIM_COLUMNS, describe_claims
from mlp_core.report.page import ReportContent, render_report
from mlp_core.report.png import figure_png
from mlp_core.statistics.claims import VERDICT_RULE

MINUS = "\N{MINUS SIGN}"


def claim(**changes: Any) -> dict[str, Any]:
    """Return a row of the claims table."""
    return {
        "claim": "gains_differ",
        "source": "ours",
        "section": "Bonus",
        "statement": "The difference is real.",
        "measure": "difference in test accuracy",
        "claimed": "below -0.01 or above 0.01",
        "n": 16,
        "estimate": -0.0328,
        "low": -0.0526,
        "high": -0.0142,
        "effect_size": -1.1432,
        "effect": "Cohen's d_z",
        "verdict": "supported",
        "figure": "polynomial_loss",
        "data": "drawn faces",
        "condition": "",
        **changes,
    }


def page(*claims: dict[str, Any]) -> str:
    """Return a report with claims and one section with one figure."""
    polynomial = pd.DataFrame(
        {"degree": 50, "features": 1325, "seed": [1, 2], "status": "ok", "learned": True, "epochs": 100}
    ).assign(train_accuracy=0.7, test_accuracy=[0.72, 0.73])
    tables = {"polynomial": polynomial, "claims": pd.DataFrame(list(claims), columns=list(CLAIM_COLUMNS))}
    figures = {"polynomial_loss": figure_png(Figure(figsize=(1, 1)))}
    return (
        render_report(ReportContent(tables, figures, {}, {}), [SECTION], usual_seeds=8)
        .replace("\u00a0", " ")
        .replace("&nbsp;", " ")
    )


def sentences(*claims: dict[str, Any]) -> str:
    described = describe_claims(pd.DataFrame(list(claims)), {}, usual_seeds=8)
    return " ".join([*described["counted"], *described["remarks"]])


def test_images_come_first_then_the_verdicts_then_how_they_are_made() -> None:
    """The poster, the forest plot with its legend, the rule and the measures, the sections."""
    text = page(claim())
    parts = ('<section id="poster"', "Each row has a scale", "The difference is real.", VERDICT_RULE, "<table")
    places = [text.index(part) for part in (*parts, '<section id="polynomial"')]
    assert places == sorted(places)
    assert text.index('<section id="poster"') == text.index("<section")


@pytest.mark.parametrize(
    ("claimed", "low", "high", "bands", "interval"),
    [
        ("at least 0.5", 0.6, 0.9, 1, True),
        ("below -0.01 or above 0.01", -0.3, 0.2, 2, True),
        ("0.5 to 2", math.nan, math.nan, 1, False),
        ("no value", 0.1, 0.2, 0, True),
    ],
)
def test_the_forest_plot_has_the_claimed_values_and_the_interval(
    claimed: str, low: float, high: float, bands: int, interval: bool
) -> None:
    """A band for each stretch that is claimed, a line if there is an interval, all within the row, and words."""
    text = page(claim(claimed=claimed, low=low, high=high, estimate=0.15)).split('<ol class="forest">')[1]
    text = text.split("</ol>")[0]
    assert text.count('class="claimed"') == bands
    assert ('class="interval"' in text) is interval
    assert text.count('class="estimate"') == 1
    places = [float(number) for number in re.findall(r"(?:left|width): (-?[\d.]+)%", text)]
    assert all(0 <= place <= 100 for place in places)
    assert f"claimed {claimed.replace('-', MINUS)}" in text


def test_an_interval_without_limits_has_arrows() -> None:
    """It goes from edge to edge, with a sign that it goes on."""
    text = page(claim(low=-math.inf, high=math.inf)).split('<ol class="forest">')[1].split("</ol>")[0]
    assert 'class="interval" style="left: 0.0%; width: 100.0%"' in text
    assert text.count('class="arrow"') == 2


def test_a_row_says_all_that_belongs_to_a_claim() -> None:
    """Statement, section, measure with the claimed range, n, estimate with interval, effect with its kind, verdict."""
    text = page(claim()).split('<section id="claims"')[1].split("</section>")[0]
    row = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", text.split("<tbody>")[1]))
    for expected in (
        "The difference is real. ours · Bonus · drawn faces",
        f"difference in test accuracy claimed: below {MINUS}0.01 or above 0.01",
        f"{MINUS}0.0328 [{MINUS}0.0526 to {MINUS}0.0142]",
        "16",
        f"{MINUS}1.14 Cohen",
        "\u2713 supported",
    ):
        assert expected in row


def test_each_link_leads_to_its_figure() -> None:
    """A figure that the report shows is linked by an anchor that is there, one that it lacks is not linked."""
    text = page(claim(), claim(figure="xavier"))
    anchors = re.findall(r'href="#(figure-[^"]*)"', text)
    assert set(anchors) == {"figure-polynomial_loss"}
    assert text.count('<figure id="figure-polynomial_loss"') == 1
    assert "figure-xavier" not in text


@pytest.mark.parametrize(
    ("verdict", "symbol"),
    [("supported", "\u2713"), ("not supported", "\u2717"), ("neither", "\u2013"), ("undecided", "?")],
)
def test_a_verdict_needs_no_colour(verdict: str, symbol: str) -> None:
    """Each has its word and a sign of its own."""
    assert f'<span class="verdict">{symbol} {verdict}</span>' in page(claim(verdict=verdict))


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (-math.inf, math.inf, "[no limits]"),
        (-math.inf, 0.25, "[no limit to 0.250]"),
        (2.0, math.inf, "[2 to no limit]"),
        (math.nan, math.nan, "no interval"),
        (3.0, 3.0, "3 alone"),
    ],
)
def test_what_is_no_number_is_a_word(low: float, high: float, words: str) -> None:
    """Neither nan nor inf is printed."""
    text = page(claim(low=low, high=high, estimate=math.nan, effect_size=math.nan, verdict="undecided"))
    assert f"none {words}" in text
    assert not re.search(r"\b(nan|inf)\b", text)


def test_texts_of_the_table_are_escaped() -> None:
    """A statement, a measure or a figure called like a tag stays text."""
    names = ("source", "section", "statement", "measure", "claimed", "effect", "verdict", "figure", "data", "condition")
    text = page(claim(**dict.fromkeys(names, "<script>alert(1)</script>")))
    assert "<script" not in text
    assert text.count("&lt;script&gt;") >= 9


def test_on_a_phone_every_cell_carries_its_columns_name() -> None:
    """Below 600 pixels the head goes and rows become blocks; what names a cell then are the head's own names."""
    text = page(claim())
    narrow = text.split("@media (max-width: 700px)")[1].split("@media")[0]
    assert ".narrow thead { display: none; }" in narrow
    assert "content: attr(data-name)" in narrow
    table = text.split('<table class="claims narrow">')[1].split("</table>")[0]
    assert re.findall(r'data-name="([^"]*)"', table) == re.findall(r'<th scope="col">([^<]*)</th>', table)[1:]


def test_few_seeds_are_told_what_they_lack() -> None:
    """Below eight seeds one sentence has the number and the command; with eight it is gone."""
    few = sentences(claim(n=1, verdict="undecided"), claim(n=0, verdict="undecided"))
    assert "too few seeds for a verdict on networks: it needs 8 at least, as deep-mlp tutorial --seeds 8 has" in few
    assert "too few" not in sentences(claim(n=8), claim(n=0, verdict="undecided"))


def test_verdicts_are_counted_by_who_claims_and_more_seeds_offered() -> None:
    """What the tutorial says is counted apart from what this project adds; what is conditional is counted as such."""
    theirs = {"source": "tutorial", "data": "spirals"}
    order = "in one order of batches, which all members share"
    text = sentences(
        claim(**theirs),
        claim(**theirs, condition=order),
        claim(**theirs, verdict="not supported"),
        claim(verdict="neither"),
        claim(verdict="undecided"),
        claim(data="spirals"),
    )
    assert text.startswith(
        "Of the tutorial's 3 claims 2 hold (one of them in one order of batches) and 1 does not hold. "
        "Of our own 3 claims 1 holds, 1 is right on neither side and 1 is undecided. "
        "2 of these 6 claims rest on drawn faces, which are not real images"
    )
    assert "the interval knows nothing of other orders" in text
    assert "deep-mlp tutorial runs 8 seeds unless told otherwise" in text
    assert "deep-mlp tutorial --seeds 64 takes longer" in text


@pytest.mark.parametrize(
    ("conditions", "words"),
    [
        ("y", "1 holds (in one order of batches)"),
        ("yn", "2 hold (one of them in one order of batches)"),
        ("yy", "2 hold (all in one order of batches)"),
        ("yyn", "3 hold (2 of them in one order of batches)"),
        ("n", "1 holds"),
    ],
)
def test_claims_under_a_condition_are_told_apart(conditions: str, words: str) -> None:
    """With none, one, several or all of those that hold."""
    order = "in one order of batches, which all members share"
    conditioned = [claim(condition=order if letter == "y" else "") for letter in conditions]
    assert f"claims {words} and 1 does not hold." in sentences(*conditioned, claim(verdict="not supported"))


@pytest.mark.parametrize(
    ("n", "verdict", "sentence"),
    [
        (1, "undecided", "The tutorial's one claim is undecided."),
        (2, "undecided", "Both of the tutorial's claims are undecided."),
        (3, "supported", "All 3 of the tutorial's claims hold."),
    ],
)
def test_claims_that_are_all_alike_are_not_counted_twice(n: int, verdict: str, sentence: str) -> None:
    """One, both or all of them."""
    text = sentences(*[claim(source="tutorial", verdict=verdict, data="spirals")] * n)
    assert text.startswith(sentence)


def test_without_drawn_faces_or_shared_orders_nothing_is_said_of_them() -> None:
    """The warnings are there where they apply alone; ours alone are not called the tutorial's."""
    text = sentences(claim(data="images"))
    assert text.startswith("Our own one claim holds. To keep")
    assert not any(word in text for word in ("drawn", "order", "the tutorial's"))


def test_what_a_verdict_holds_for_stands_with_it() -> None:
    """The condition is in the verdict's own cell."""
    text = page(claim(condition="in one order of batches"))
    cell = text.split('<td data-name="verdict">')[1].split("</td>")[0]
    assert "supported" in cell
    assert "in one order of batches" in cell


def test_without_claims_there_is_no_section() -> None:
    """A run that could claim nothing has no empty table."""
    assert 'id="claims"' not in page()


def test_a_missing_column_is_named() -> None:
    """A table of another shape is refused in one sentence."""
    table = pd.DataFrame([claim()]).drop(columns="effect")
    with pytest.raises(InputError, match="got effect missing; run `deep-mlp tutorial` again"):
        describe_claims(table, {}, usual_seeds=8)
