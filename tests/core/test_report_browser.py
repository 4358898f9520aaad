"""The report in a real Chromium: contents that follow, figures that grow at a tap, nothing that a screen cuts off."""

import base64
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cases import combinations
from pages import WITHOUT_BROWSER, browser, resize
from PIL import Image

from mlp_core.experiments.depth_sweep.figures import depth_sweep_figure
from mlp_core.report.against import Against, ExperimentPair
from mlp_core.report.page import DrawnFigure, ReportContent, render_report
from mlp_core.report.png import figure_png
from mlp_core.report.section import ReportFigure, Section, SectionContent

pytestmark = pytest.mark.skipif(WITHOUT_BROWSER, reason="no Chromium with its driver to open the page with")
NAMES = ("first", "second", "third", "fourth")
PHONE, DESKTOP = 390, 1200
HIGHLIGHTED = """
    const still = getComputedStyle(document.getElementById("to-top")).backgroundColor;
    return [...document.querySelectorAll(".contents li")].filter(
        (entry) => getComputedStyle(entry).backgroundColor !== still,
    );
"""


def depth_table(n_depths: int, n_members: int) -> pd.DataFrame:
    depth, member = (grid.ravel() for grid in np.mgrid[1 : n_depths + 1, 0:n_members])
    accuracy = 0.5 + 0.3 * np.sin(depth + member)
    return pd.DataFrame({"depth": depth, "seed": member, "test_accuracy": accuracy}).assign(
        activation="relu", width=8, parameters=100, status="ok"
    )


def content_of(table: pd.DataFrame, settings: object) -> SectionContent:
    """Return a table of many columns and enough rows for a section of a page's height."""
    rows = [[str(number), *["90.0 % [80.0\u00a0to\u00a095.0]"] * 9] for number in range(5)]
    header = ["configuration", *(f"accuracy after epoch {number}" for number in range(9))]
    return SectionContent(["It learns."], ["In full."], header, 1, rows, "A note.")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Write a report of four sections with a figure and a wide table each."""
    table = depth_table(5, 8)
    sections = [
        Section(
            name,
            f"deep-mlp {name}",
            f"The {name} question",
            "Which?",
            ("seed",),
            (ReportFigure(f"figure_{name}", "A caption.", "Dots by depth."),),
            (),
            content_of,
            f"Which is {name}?",
        )
        for name in NAMES
    ]
    png = figure_png(depth_sweep_figure(table))
    content = ReportContent(
        dict.fromkeys(NAMES, table),
        {f"figure_{name}": png for name in NAMES},
        {name: {"seeds": 8} for name in NAMES},
        {},
    )
    drawn = DrawnFigure("figure_first", "A caption.", "Dots by depth.", png)
    figures = [(drawn, "This folder."), (drawn, "The other folder.")]
    rows = [["depth 1", "70.0 %", "60.0 %", "+10.0, n = 2", "undecided"]]
    pair = ExperimentPair("The first question", "Of other settings.", figures, rows, "")
    header = ("configuration", "this folder", "the other", "difference (points)", "this folder is")
    against = Against("../other", ["Of one configuration one is undecided."], [pair], header)
    path: Path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render_report(content, sections, 8, against), encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def chromium():
    """Give one browser for all tests; in the end no page may have had an error, such as one of its CSP."""
    with browser() as driver:
        yield driver
        assert [entry["message"] for entry in driver.get_log("browser")] == []


def opened(driver, address, width, **screen):
    resize(driver, width, **screen)
    driver.get("about:blank")
    driver.get(address)
    return driver


def drawn(driver, script, *arguments):
    """Run a script after the page was drawn twice: what follows scrolling is up to date then."""
    wait = "const done = arguments[arguments.length - 1]; requestAnimationFrame(() => requestAnimationFrame(done));"
    driver.execute_async_script(wait)
    return driver.execute_script(script, *arguments)


def read_at(driver, name):
    """Scroll a section's beginning to the middle of the upper half, and return the highlighted entries."""
    driver.execute_script(
        "window.scrollBy(0, document.getElementById(arguments[0]).getBoundingClientRect().top - 120)", name
    )
    return drawn(driver, HIGHLIGHTED)


@pytest.mark.parametrize(("width", "scheme"), combinations([PHONE, DESKTOP], ["light", "dark"]))
def test_the_contents_name_the_section_that_is_read(chromium, address, width, scheme):
    """One entry at a time, in sight of the reader also where the contents are wider than the screen."""
    driver = opened(chromium, address, width, scheme=scheme)
    assert drawn(driver, HIGHLIGHTED) == []
    for name in ("against", *NAMES, "provenance", "second"):
        (entry,) = read_at(driver, name)
        assert entry.get_attribute("id") == f"to-{name}"
        box = driver.execute_script("return arguments[0].getBoundingClientRect()", entry)
        assert box["left"] >= 0
        assert box["right"] <= width
        assert 0 <= box["top"] < box["bottom"] <= 900


@pytest.mark.thorough
def test_an_entry_leads_to_its_section_and_the_section_back(chromium, address):
    """By a click each."""
    driver = opened(chromium, address, DESKTOP)
    driver.execute_script("document.querySelector('#to-third a').click()")
    top = drawn(driver, "return document.getElementById('third').getBoundingClientRect().top")
    assert 0 <= top < 60
    (entry,) = drawn(driver, HIGHLIGHTED)
    assert entry.get_attribute("id") == "to-third"
    driver.execute_script("document.querySelector('#third .up a').click()")
    assert drawn(driver, "return window.scrollY") == 0


def figure_sizes(driver):
    return drawn(
        driver,
        """
        const image = document.querySelector("#figure-figure_second img"), frame = image.parentElement;
        return [image.getBoundingClientRect().width, frame.clientWidth, frame.scrollWidth,
                document.documentElement.scrollWidth];
        """,
    )


def tap(driver, selector):
    """Touch the middle of an element with a finger, and wait for the click that the browser makes of it."""
    driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    box = drawn(
        driver,
        """
        const element = document.querySelector(arguments[0]);
        element.scrollIntoView({ block: "center" });
        return element.getBoundingClientRect();
        """,
        selector,
    )
    point = {"x": box["left"] + min(box["width"], PHONE) / 2, "y": box["top"] + box["height"] / 2}
    clicked = "window.clicked = new Promise((done) => document.addEventListener('click', done, { once: true }))"
    driver.execute_script(clicked)
    for kind, points in (("touchStart", [point]), ("touchEnd", [])):
        driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    driver.execute_async_script("window.clicked.then(arguments[0])")


@pytest.mark.thorough
def test_a_tap_enlarges_a_figure_on_a_phone_and_another_one_shrinks_it(chromium, address):
    """Until its smallest letters, 9 points of 6 inches, have 11 pixels at least; only the figure scrolls sideways."""
    driver = opened(chromium, address, PHONE)
    width, frame, scrolls, page = figure_sizes(driver)
    assert width <= frame == scrolls <= PHONE == page
    tap(driver, "#figure-figure_second img")
    larger, frame, scrolls, page = figure_sizes(driver)
    assert larger * 9 / (6 * 72) >= 11
    assert scrolls >= larger > frame
    assert page == PHONE
    tap(driver, "#figure-figure_second .tap")
    assert figure_sizes(driver)[0] == width


@pytest.mark.thorough
def test_on_a_wide_screen_large_figures_have_no_hidden_switch(chromium, address):
    """There is nothing to tap, and nothing for the tabulator key to stop at; two side by side take turns instead."""
    driver = opened(chromium, address, DESKTOP)
    count_switches = (
        "return [...document.querySelectorAll('.zoom input')].filter((part) => part.checkVisibility()).length"
    )
    assert driver.execute_script(count_switches) == 2
    assert figure_sizes(driver)[0] * 9 / (6 * 72) >= 11
    width = "return document.querySelector('.pair img').getBoundingClientRect().width"
    assert driver.execute_script(width) * 9 / (6 * 72) < 11
    driver.execute_script("document.querySelector('.pair img').click()")
    assert drawn(driver, width) * 9 / (6 * 72) >= 11


@pytest.mark.parametrize("width", [PHONE, 700, 1001, DESKTOP])
def test_nothing_is_wider_than_the_screen(chromium, address, width):
    """Wide tables scroll in a frame of their own."""
    driver = opened(chromium, address, width)
    assert drawn(driver, "return document.documentElement.scrollWidth") == width


def test_no_table_is_wider_than_paper(chromium, address):
    """Of A4, on which nothing scrolls."""
    driver = opened(chromium, address, 718)
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    driver.execute_script("for (const part of document.querySelectorAll('details')) part.open = true")
    frames = "return [...document.querySelectorAll('.scroll')].map((frame) => frame.scrollWidth - frame.clientWidth)"
    beyond = drawn(driver, frames)
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert len(beyond) >= len(NAMES)
    assert max(beyond) <= 0


def test_the_first_figure_is_on_the_first_screen(chromium, address):
    """Of a laptop: the poster's figures stand whole within it."""
    driver = opened(chromium, address, DESKTOP)
    assert drawn(driver, "return document.querySelector('.thumbnail').getBoundingClientRect().bottom") < 900


@pytest.mark.thorough
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("selector", [".thumbnail", "#figure-figure_second img"])
def test_the_paper_of_a_figure_does_not_glare_in_the_dark(chromium, address, scheme, selector):
    """It is white in the light, and in the dark three quarters of that or less, with ink as black as before."""
    driver = opened(chromium, address, DESKTOP, scheme=scheme)
    box = drawn(
        driver,
        """
        const image = document.querySelector(arguments[0]);
        image.scrollIntoView({ block: "center" });
        const { left, top, width, height } = image.getBoundingClientRect();
        return { x: left + scrollX, y: top + scrollY, width, height };
        """,
        selector,
    )
    clip = {"captureBeyondViewport": True, "clip": {**box, "scale": 1}}
    shot = base64.b64decode(driver.execute_cdp_cmd("Page.captureScreenshot", clip)["data"])
    colours = Image.open(io.BytesIO(shot)).convert("L").getcolors()
    most_often = max(colours)[1]
    darkest = min(colour for _, colour in colours)
    assert most_often > 250 if scheme == "light" else 180 <= most_often <= 215
    assert darkest < 60


def test_no_text_is_small(chromium, address):
    """At least 11 pixels, on every screen."""
    script = """
        const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), sizes = [];
        while (texts.nextNode())
            if (texts.currentNode.data.trim())
                sizes.push(parseFloat(getComputedStyle(texts.currentNode.parentElement).fontSize));
        return Math.min(...sizes);
    """
    for width in (PHONE, DESKTOP):
        assert opened(chromium, address, width).execute_script(script) >= 11
