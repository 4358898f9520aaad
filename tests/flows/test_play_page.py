"""The playground's page in a real Chromium: answered, pinned, shared, run as a flow; by keyboard, on a phone."""

import os
import re
from urllib.parse import urlsplit

import pyarrow.parquet as pq
import pytest
from pages import WITHOUT_BROWSER, browser, resize

from mlp_core.statistics.intervals import median_interval

pytestmark = pytest.mark.skipif(WITHOUT_BROWSER, reason="no Chromium with its driver to open the page with")
QUICK = "points=60&epochs=3&seeds=8&batch_size=32"
DONE = "return document.getElementById('status').textContent.includes('networks trained')"
DOTS = "[...document.querySelectorAll('#dots [role=option]')]"


@pytest.fixture(scope="module")
def chromium():
    """Give one browser for all tests, and look that no page had an error."""
    with browser() as driver:
        yield driver


class Page:
    """An open page, and what a person does with it."""

    def __init__(self, driver, url):
        self.driver, self.url = driver, url

    def open(self, question=QUICK, width=1200, *, wait=True, **screen):
        resize(self.driver, width, **screen)
        self.driver.get("about:blank")
        self.driver.get(f"{self.url}/#{question}")
        if wait:
            self.wait(DONE)

    def pixels(self, name):
        return self.driver.execute_script("return document.getElementById(arguments[0]).toDataURL()", name)

    def wait(self, script, *arguments, seconds=60):
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.driver, seconds, 0.05).until(lambda driver: driver.execute_script(script, *arguments))

    def text(self, name):
        return self.driver.execute_script("return document.getElementById(arguments[0]).textContent", name)

    def click(self, name):
        self.driver.execute_script("document.getElementById(arguments[0]).click()", name)

    def change(self, name, value):
        """Type a value, as a person does."""
        script = """
            const field = document.getElementById(arguments[0]);
            field.value = arguments[1];
            field.dispatchEvent(new Event("input", { bubbles: true }));
        """
        self.driver.execute_script(script, name, value)

    def press(self, *keys):
        from selenium.webdriver import ActionChains

        for key in keys:
            ActionChains(self.driver).send_keys(key).perform()

    def focused(self):
        return self.driver.execute_script("return document.activeElement.id || document.activeElement.textContent")

    def value(self, name):
        return self.driver.execute_script("return document.getElementById(arguments[0]).value", name)


@pytest.fixture
def page(chromium, playground):
    """Give a page; in the end nothing may have gone wrong in it."""
    yield Page(chromium, playground.url)
    errors = [entry for entry in chromium.get_log("browser") if entry["level"] == "SEVERE"]
    assert [entry["message"] for entry in errors if "WebSocket" not in entry["message"]] == []


def test_a_question_is_asked_and_answered(page):
    """A median with its interval, a dot and a curve for every network, a map, theory and the command."""
    page.open()
    assert page.text("median").endswith(" %")
    assert page.text("interval").startswith("[")
    assert "Median of 8 networks with its 95 % interval." in page.text("summary")
    assert page.driver.execute_script(f"return {DOTS}.length") == 8
    assert page.text("map-caption").startswith("Mean of 8 networks")
    assert page.text("theory-words").startswith("Order:")
    assert page.text("command").startswith("deep-mlp depth-sweep --depths 3 --parameter-budget 130")
    before = page.text("median")
    page.change("learning_rate", "0.05")
    page.wait("return document.getElementById('median').textContent !== arguments[0]", before)
    colours = page.driver.execute_script(
        "const map = document.getElementById('map'), { width, height } = map;"
        "const pixels = new Uint32Array(map.getContext('2d').getImageData(0, 0, width, height).data.buffer);"
        "return new Set(pixels).size"
    )
    assert colours > 100


@pytest.mark.thorough
def test_a_pinned_run_is_compared_and_shared_by_its_link(page):
    """Whoever opens the link sees the same questions, numbers and verdict."""
    page.open()
    page.click("pin")
    page.change("learning_rate", "0.05")
    begun = "Learning rate 0.05 instead of 0.001"
    page.wait("return document.getElementById('comparison-words').textContent.startsWith(arguments[0])", begun)
    page.wait("return document.getElementById('pinned-caption').textContent.includes('%')")
    page.wait(DONE)  # and the comparison is of all pairs: it was sent before
    assert re.search(r" 8 pairs|\[", page.text("comparison-words"))
    seen = [page.text(name) for name in ("median", "interval", "comparison-words", "pinned-caption", "command")]
    page.wait("return location.hash.includes('learning_rate=0.05')")  # it is written a few times a second
    link = page.driver.current_url
    page.open(urlsplit(link).fragment)
    page.wait("return document.getElementById('comparison-words').textContent === arguments[0]", seen[2])
    page.wait("return document.getElementById('pinned-caption').textContent === arguments[0]", seen[3])
    assert [page.text(name) for name in ("median", "interval", "comparison-words", "pinned-caption", "command")] == seen
    page.click("pin")
    page.wait("return document.getElementById('comparison').hidden")
    page.wait("return !location.hash.includes('pin')")


@pytest.mark.thorough
def test_a_pinned_run_has_the_seeds_of_the_question(page):
    """Who is told to try more networks asks for more, and gets more pairs; another root seed makes pairs, too."""
    page.open()
    page.click("pin")
    page.change("activation", "tanh")
    page.wait("return /8 pairs|\\[/.test(document.getElementById('comparison-words').textContent)")
    page.change("seeds", "12")
    page.wait("return document.getElementById('summary').textContent.includes('Median of 12 networks')")
    page.wait("return document.getElementById('pinned-caption').textContent.endsWith('%')")
    page.wait("return document.querySelectorAll('#dots circle:not([role=option])').length === 14")
    assert "8 pairs" not in page.text("comparison-words")
    page.change("seed", "7")
    page.wait("return location.hash.includes('pin.seed=7')")
    page.wait("return document.getElementById('command').textContent.includes('--seed 7')")  # it is asked, too
    page.wait(DONE)
    page.wait("return /12 pairs|\\[/.test(document.getElementById('comparison-words').textContent)")
    page.click("pin")


@pytest.mark.thorough
def test_networks_that_have_all_diverged_have_no_map(page):
    """Neither their own of before, nor that of the last question."""
    page.open()
    page.wait("return document.getElementById('map-caption').textContent.startsWith('Mean of 8')")
    corner = "return document.getElementById('map').getContext('2d').getImageData(3, 3, 1, 1).data[3]"
    assert page.driver.execute_script(corner) == 255
    page.change("layers", "6")
    page.change("width", "64")
    page.change("optimizer", "sgd")
    page.change("start", "xavier_normal")
    page.change("gain", "1000")
    page.change("learning_rate", "1")
    page.wait("return document.getElementById('command').textContent.includes('--learning-rate 1.0 ')")
    page.wait(DONE)
    page.wait("return document.getElementById('map-caption').textContent.startsWith('All have diverged')")
    assert page.driver.execute_script(corner) == 0
    page.change("seeds", "1")
    page.wait("return document.getElementById('map-caption').textContent.startsWith('It has diverged')")
    assert page.driver.execute_script(corner) == 0


@pytest.mark.thorough
def test_members_are_seen_while_they_train(page):
    """All their curves and dots, and the map; how far they are is told, and nothing of what only the end can say."""
    page.open(wait=False, question=f"{QUICK}&epochs=5000&points=500&width=32")
    page.wait(
        "return /with its 95 % interval after \\d+ of 5000 epochs/.test(document.getElementById('summary').textContent)"
    )
    page.wait(f"return {DOTS}.length === 8")  # the last one may have been heard of a moment later
    assert "never learned" not in page.text("summary")
    page.wait(
        "return /^Mean of 8 networks after \\d+ of 5000/.test(document.getElementById('map-caption').textContent)"
    )
    page.click("pin")
    page.change("epochs", "3")
    page.wait("return document.getElementById('pinned-caption').textContent.startsWith('Pinned: training')")
    page.click("pin")


@pytest.mark.thorough
def test_a_click_on_a_dot_shows_that_network(page):
    """Its map, its curve before the others, and again all by a second click."""
    page.open()
    mean = page.pixels("map")
    page.driver.execute_script(f"{DOTS}[3].dispatchEvent(new MouseEvent('click', {{ bubbles: true }}))")
    page.wait("return document.getElementById('map-caption').textContent.startsWith('Network ')")
    page.wait("return document.querySelectorAll('#dots [aria-selected=true]').length === 1")
    chosen = page.driver.execute_script("return document.querySelector('#dots [aria-selected=true]').dataset.member")
    assert page.text("map-caption").startswith(f"Network {chosen}: ")
    page.wait("return document.getElementById('map').toDataURL() !== arguments[0]", mean)
    page.driver.execute_script(
        "document.querySelector('#dots [aria-selected=true]').dispatchEvent(new MouseEvent('click', { bubbles: true }))"
    )
    page.wait("return document.getElementById('map').toDataURL() === arguments[0]", mean)


@pytest.mark.thorough
def test_the_polynomial_stands_next_to_it_on_request(page):
    """With its accuracy and a map of its own; a second press takes it away."""
    page.open()
    assert not page.driver.execute_script("return document.getElementById('polynomial-figure').checkVisibility()")
    page.click("polynomial")
    page.wait("return / %$/.test(document.getElementById('polynomial-caption').textContent)")
    page.wait(
        "return document.getElementById('polynomial-caption').textContent.startsWith('Polynomial of degree 50: ')"
    )
    empty = "document.createElement('canvas')"
    page.wait(f"return document.getElementById('polynomial-map').toDataURL() !== {empty}.toDataURL()")
    page.wait("return location.hash.includes('polynomial=50')")
    page.click("polynomial")
    page.wait("return !document.getElementById('polynomial-figure').checkVisibility()")


@pytest.mark.thorough
def test_a_table_of_ones_own_is_asked_about(page, tmp_path):
    """Chosen as a file; another file of it is refused next to the setting."""
    from selenium.webdriver.common.by import By

    page.open()
    (tmp_path / "mine.csv").write_text(
        "\n".join(["a,b,kind", *(f"{i % 7},{i % 5},{'up' if i % 2 else 'down'}" for i in range(80))])
    )
    (tmp_path / "bad.csv").write_text("\n".join(["a,kind", *(f"{i % 7},{i % 2}" for i in range(80))]))
    page.change("data", "table")
    page.wait("return document.getElementById('data-refusal').textContent.includes('choose a file first')")
    page.driver.find_element(By.ID, "file").send_keys(str(tmp_path / "mine.csv"))
    page.wait("return document.getElementById('network-words').textContent.startsWith('2-6-6-6-2')")
    page.wait(DONE)
    assert page.text("command").startswith("deep-mlp depth-sweep --depths 3 ")
    page.driver.find_element(By.ID, "file").send_keys(str(tmp_path / "bad.csv"))
    page.wait("return document.getElementById('data-refusal').textContent.includes('two columns of numbers')")


@pytest.mark.thorough
def test_theory_changes_with_the_start(page):
    """Ordered, chaotic, and where the edge lies, before anything is trained."""
    page.open(question=f"{QUICK}&start=xavier_normal&gain=2")
    assert page.text("theory-words").startswith("Chaos:")
    gauge = "return document.getElementById('gauge').getAttribute('aria-label')"
    assert page.driver.execute_script(gauge).endswith(": chaotic")
    page.change("gain", "1.41")
    page.wait("return document.getElementById('theory-words').textContent.startsWith('Edge of chaos')")


@pytest.mark.thorough
def test_a_link_of_anything_is_a_question_or_a_sentence(page):
    """What somebody else has sent: a bad value is refused next to its setting, another name is left out."""
    page.open(question=f"{QUICK}&seeds=%3Cb%3E1&colour=red&pinned=1&pin.layers=0", wait=False)
    page.wait("return document.getElementById('seeds')?.getAttribute('aria-invalid') === 'true'")
    assert page.driver.execute_script("return document.querySelectorAll('b').length") == 0
    disabled = "return [...document.querySelectorAll('.actions :disabled')].map((button) => button.id).join()"
    page.wait(f"{disabled} === 'copy-command,flow'")  # nothing has been asked that they could be of
    assert page.text("pin") == "Unpin"
    page.click("pin")
    page.wait(f"{disabled} === 'pin,copy-command,flow'")
    page.change("seeds", "8")
    page.wait(f"{disabled} === ''")


@pytest.mark.thorough
def test_one_network_is_told_as_one(page):
    """No median of it, no others that disagree, no interval for a bet; one unit, and one epoch on the axis."""
    page.open("points=60&epochs=1&seeds=1&width=1&batch_size=32", wait=False)
    page.wait("return document.getElementById('status').textContent.startsWith('1 network trained: ')")
    assert page.text("summary").startswith("What one network gets right. 0 diverged, never learned: ")
    assert page.text("map-caption").startswith("What one network answers; the colour fades where it is unsure.")
    assert page.text("theory-words").endswith("these have 1 unit a layer.")
    page.click("bet-first")
    page.driver.execute_script("document.getElementById('bet').value = 30")
    page.click("train")
    page.wait("return document.getElementById('bet-words').textContent")
    assert page.text("bet-words") == f"You bet 30 %. The median is {page.text('median')}."
    page.click("bet-first")


@pytest.mark.thorough
def test_what_is_changed_and_asked_at_once_is_asked_once(page):
    """Asked again a moment later, it would empty the answer that is being read; and a link of it is up to date."""
    page.open()
    asks, copied = page.driver.execute_async_script("""
        const [done] = arguments, asks = [], { send } = WebSocket.prototype;
        const press = (name) => document.getElementById(name).click();
        WebSocket.prototype.send = function (text) { asks.push(JSON.parse(text).polynomial); send.call(this, text); };
        press("bet-first");
        press("train");
        press("polynomial");
        press("train");
        let copied;
        Object.defineProperty(navigator, "clipboard", { value: { writeText: async (text) => { copied = text; } } });
        press("copy-link");
        setTimeout(() => { WebSocket.prototype.send = send; done([asks, copied]); }, 500);
    """)
    assert asks == [0, 50]
    assert "polynomial=50" in copied


def called(page, module, function, *arguments):
    """Return what a function of the page's own scripts gives."""
    script = "const [from, name, given, done] = arguments; import(from).then((module) => done(module[name](...given)));"
    return page.driver.execute_async_script(script, f"{page.url}/{module}", function, arguments)


@pytest.mark.thorough
def test_sentences_count_none_one_and_two(page):
    """And a bet without an interval is neither right nor wrong."""
    page.open()
    assert [called(page, "words.js", "networksInWords", n) for n in (0, 1, 2)] == [
        "0 networks",
        "1 network",
        "2 networks",
    ]
    known = {"median": 0.9, "low": 0.85, "high": 0.95}
    bets = [called(page, "words.js", "betInWords", bet, known) for bet in (80, 90, 99)]
    assert [bet.split("[85.0 to 95.0]")[1] for bet in bets] == [
        ", above your bet.",
        ": you were right.",
        ", below your bet.",
    ]
    unknown = {"median": 0.9, "low": None, "high": None}
    assert called(page, "words.js", "betInWords", 80, unknown) == "You bet 80 %. The median is 90.0 %."


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.09, 1.5, [0.1, 0.3, 1]),
        (1.2616, 1.5471, [1.3, 1.35, 1.4, 1.45, 1.5]),
        (0.03, 1.5, [0.1, 0.3, 1]),
        (1.2, 1.5, [1.3, 1.4]),
        (1e-5, 2, [1e-4, 0.001, 0.01, 0.1, 1]),
        (1e-8, 0.5, [1e-6, 1e-4, 0.01]),
        (3e-30, 2, [1e-24, 1e-18, 1e-12, 1e-6, 1]),
    ],
)
def test_the_axis_of_losses_has_round_numbers_whatever_its_range(page, low, high, ticks):
    """After one epoch all losses are alike: steps of 1, 2 and 5 would have none between them."""
    page.open(wait=False)
    assert called(page, "numbers.js", "lossTicks", low, high) == ticks


@pytest.mark.thorough
def test_a_refused_setting_is_told_next_to_it(page):
    """What was answered before stays, and a good value clears it."""
    page.open()
    before = page.text("median")
    page.change("seeds", "300")
    page.wait("return document.getElementById('seeds').getAttribute('aria-invalid') === 'true'")
    assert page.text("seeds-refusal") == "seeds must be less than or equal to 256, got '300'; the default is 64."
    assert page.text("median") == before
    page.change("seeds", "6")
    page.wait("return document.getElementById('seeds').getAttribute('aria-invalid') === null")
    page.wait("return document.getElementById('summary').textContent.includes('Median of 6 networks')")


def test_the_keyboard_alone_does(page):
    """Fields by Tab and arrows, networks by arrows, all again by Escape; buttons by Enter."""
    from selenium.webdriver.common.keys import Keys

    page.open()
    page.driver.execute_script("document.getElementById('layers').focus()")
    page.press(Keys.ARROW_UP)
    page.wait("return document.getElementById('network-words').textContent.startsWith('2-6-6-6-6-4')")
    page.press(Keys.TAB)
    assert page.focused() == "width"  # a slider is no stop of its own
    page.wait(DONE)
    page.wait(f"return {DOTS}.length === 8")
    page.driver.execute_script("document.getElementById('dots').focus()")
    page.press(Keys.HOME)
    chosen = page.driver.execute_script("return document.getElementById('dots').getAttribute('aria-activedescendant')")
    page.wait("return document.getElementById('map-caption').textContent.startsWith('Network ')")
    label = page.driver.execute_script(
        "return document.getElementById(arguments[0]).getAttribute('aria-label')", chosen
    )
    labels = page.driver.execute_script(f"return {DOTS}.map((dot) => dot.getAttribute('aria-label'))")
    lowest = min(float(label.split(": ")[1].removesuffix(" %")) for label in labels)
    assert label.endswith(f": {lowest:.1f} %")
    page.press(Keys.ESCAPE)
    page.wait("return document.getElementById('map-caption').textContent.startsWith('Mean of ')")
    page.driver.execute_script("document.getElementById('pin').focus()")
    page.press(Keys.ENTER)
    page.wait("return document.getElementById('pin').getAttribute('aria-pressed') === 'true'")


@pytest.mark.thorough
def test_every_control_has_a_name(page):
    """For a screen reader: each field, button and drawing."""
    page.open()
    nameless = page.driver.execute_script("""
        const named = (one) => one.getAttribute("aria-label") || one.getAttribute("aria-labelledby") ||
            one.labels?.length || (one.tagName === "BUTTON" && one.textContent.trim());
        return [...document.querySelectorAll("input, select, button, canvas, svg, progress")]
            .filter((one) => !one.closest("[aria-hidden]") && !named(one)).map((one) => one.outerHTML.slice(0, 80));
    """)
    assert nameless == []


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (390, "light"),
        pytest.param(2560, "dark", marks=pytest.mark.thorough),
        pytest.param(390, "dark", marks=pytest.mark.thorough),
        pytest.param(800, "light", marks=pytest.mark.thorough),
    ],
)
def test_it_fits_every_screen(page, width, scheme):
    """Nothing sticks out, and on a phone a finger meets each button."""
    page.open(width=width, scheme=scheme)
    assert page.driver.execute_script("return document.documentElement.scrollWidth") <= width
    heights = page.driver.execute_script(
        "return [...document.querySelectorAll('.actions button')].map((one) => one.getBoundingClientRect().height)"
    )
    assert min(heights) >= (40 if width < 500 else 24)


@pytest.mark.thorough
@pytest.mark.parametrize("width", [390, 1200, 2560])
def test_no_letter_of_a_drawing_is_cut_off(page, width):
    """Letters grow with the screen, drawings do not: small losses have long numbers, and the gauge has two lines."""
    page.open(question="data=gauss&points=500&epochs=40&seeds=2&learning_rate=0.03&batch_size=32&width=16", width=width)
    edge = page.driver.execute_script("""
        const canvas = document.getElementById("losses");
        const { data } = canvas.getContext("2d").getImageData(0, 40, 1, canvas.height - 40);
        return data.some((part) => part > 0);
    """)
    assert edge is False
    above = page.driver.execute_script("""
        const gauge = document.getElementById("gauge"), { top } = gauge.getBoundingClientRect();
        const tops = [...gauge.querySelectorAll("text")].map((text) => text.getBoundingClientRect().top);
        return getComputedStyle(gauge).overflow === "visible" ? 0 : top - Math.min(...tops);
    """)
    assert above <= 0


@pytest.mark.thorough
def test_nothing_moves_where_the_system_says_so(page):
    """No transition, and numbers once a second at most."""
    page.open(motion="reduce")
    every = "[...document.querySelectorAll('*')].map((one) => parseFloat(getComputedStyle(one).transitionDuration))"
    moving = page.driver.execute_script(f"return {every}.filter((seconds) => seconds > 0).length")
    assert moving == 0


@pytest.mark.thorough
def test_one_bets_before_the_training(page):
    """Theory stands there; the numbers come when the bet is made."""
    page.open()
    page.click("bet-first")
    page.change("layers", "4")
    page.wait("return document.getElementById('summary').textContent === 'Make your bet, then train.'")
    page.wait("return document.getElementById('median').textContent === '\u2013'")
    page.driver.execute_script("document.getElementById('bet').focus()")
    page.press("1", "2", "\ue007")  # Enter
    page.wait("return document.getElementById('bet-words').textContent.startsWith('You bet 12 %. The median is ')")
    page.click("bet-first")
    page.click("bet-first")
    page.change("bet", "1")
    page.click("train")
    page.wait("return document.getElementById('bet-words').textContent.startsWith('You bet 1 %. The median is ')")


@pytest.mark.thorough
def test_a_lost_server_is_told_and_found_again(chromium, playground_at, tmp_path, new_port):
    """The question stays, and is asked again."""
    port = new_port()
    with playground_at(tmp_path, port) as server:
        page = Page(chromium, server.url)
        page.open()
        before = page.text("median")
    page.wait("return !document.getElementById('banner').hidden")
    assert "Start deep-mlp play again" in page.text("banner")
    with playground_at(tmp_path, port):
        page.wait("return document.getElementById('banner').hidden")
        page.wait(DONE)
        assert page.text("median") == before
    chromium.get("about:blank")
    chromium.get_log("browser")


@pytest.mark.slow
def test_a_question_is_run_as_a_flow(page, playground, api_url):
    """With the same numbers, a link to its run, and its report."""
    page.open()
    page.click("flow")
    page.wait("return document.getElementById('said').textContent.includes('has completed')", seconds=180)
    link = page.driver.execute_script("return document.querySelector('#said a').href")
    assert link.startswith(f"{os.environ['PREFECT_API_URL'].removesuffix('/api')}/runs/flow-run/")
    table = pq.read_table(playground.artifacts / "results/depth_sweep.parquet")
    median = median_interval(table["test_accuracy"].to_numpy())
    assert page.text("median") == f"{100 * median.estimate:.1f} %"
    assert page.text("interval") == f"[{100 * median.low:.1f} to {100 * median.high:.1f}]"
    assert (playground.artifacts / "report.html").exists()
