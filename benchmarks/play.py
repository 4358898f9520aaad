"""The playground through a real browser: how soon it answers, and what a thousand changes leave in its memory.

Times are the page's own, from a change of a setting to the end of the frame that shows its answer.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.browser import CHROMIUM, DRIVER, browser
from benchmarks.measure import Bench, Run
from benchmarks.whole import PROGRAM
from mlp_core.errors import InputError

FIRST_MAP, ANSWER = "first map after a change", "64 networks of 2-6-6-6-4, 100 epochs"
DROPPED, TABS = "a question dropped by a change", "ten tabs at once, 64 networks each"
BEFORE, AFTER = "memory before 1,000 changes", "memory after 1,000 changes"
MOST_SECONDS = {FIRST_MAP: 0.2, ANSWER: 1.5, DROPPED: 0.1}
_CHANGES, _TABS, _MEMORY_CHANGES = 7, 10, 1000
_CHANGE = """
    const field = document.getElementById(arguments[0]);
    field.value = arguments[1];
    field.dispatchEvent(new Event("input", { bubbles: true }));
"""
_ANSWERED = """
    const [name, value, done] = arguments;
    const status = document.getElementById("status");
    const last = (kind) => performance.getEntriesByType("mark").filter(({ name }) => name.startsWith(kind)).at(-1);
    const answer = () => {
        const [drawn, ended] = [last("map-"), last("done-")].map((mark) => mark?.name.split("-")[1]);
        // The end of the question before may come after the change
        if (!status.textContent.includes("networks trained") || !ended || drawn !== ended)
            return requestAnimationFrame(answer);
        done(["map-", "done-"].map((kind) => (last(kind).startTime - changed) / 1000));
    };
    const changed = performance.now();
    if (name) {
        status.textContent = "";
        performance.clearMarks();
        const field = document.getElementById(name);
        field.value = value;
        field.dispatchEvent(new Event("input", { bubbles: true }));
    }
    answer();
"""
"""Change a setting, if one is named, and wait in the page, a look each frame, until the last network is shown."""


def measure_play(bench: Bench, repetition: int) -> None:
    """Measure `deep-mlp play` as somebody uses it: changes, a change while it trains, many tabs, a thousand changes.

    Args:
        bench: Keeps the runs.
        repetition: Number of the repetition.

    Raises:
        InputError: If there is no Chromium with its driver.
    """
    if CHROMIUM is None or DRIVER is None:
        message = "rows must leave out play without a Chromium and its chromedriver; install them, or name other rows."
        raise InputError(message)

    def keep(work: str, seconds: float, place: int = 0, **measured: Any) -> None:
        bench.keep(work, Run("play", work, PROGRAM, repetition * _CHANGES + place, seconds, **measured))

    with _program() as (url, pid), browser() as driver:
        driver.set_script_timeout(300)
        driver.get(url)
        _changed(driver)
        for place in range(_CHANGES):
            first, last = _changed(driver, "seed", str(place))
            keep(FIRST_MAP, first, place)
            keep(ANSWER, last, place, models=64, members=64, epochs=100)
        for place in range(_CHANGES):
            keep(DROPPED, _dropped(driver, pid), place)
        keep(TABS, _tabs(driver, url))
        driver.get("about:blank")
        driver.get(f"{url}/#seeds=8&epochs=5&points=100&batch_size=32")
        _changed(driver)
        # Before the thousand a tenth of them: what is loaded and kept once, is there then
        for work, n_changes in ((BEFORE, _MEMORY_CHANGES // 10), (AFTER, _MEMORY_CHANGES)):
            seconds = _change_often(driver, n_changes)
            keep(work, seconds, peak_mb=_resident_mb(pid))


def _changed(driver: Any, name: str = "", value: str = "") -> tuple[float, float]:
    """Change a setting, if one is named; return the seconds to the first map and to the last network."""
    first, last = driver.execute_async_script(_ANSWERED, name, value)
    return first, last


def _dropped(driver: Any, pid: int) -> float:
    """Return the seconds from a change, before a bet, to the end of the threads that trained for what was asked."""
    tasks = Path(f"/proc/{pid}/task")
    n_idle = len(list(tasks.iterdir()))

    def wait_for_threads(*, training: bool) -> None:
        started = time.perf_counter()
        while (len(list(tasks.iterdir())) > n_idle) != training:
            if time.perf_counter() > started + 60:
                message = f"threads did not {'begin' if training else 'end'} to train"
                raise TimeoutError(message)
            time.sleep(0.001)

    driver.execute_script(_CHANGE, "epochs", "10000")
    wait_for_threads(training=True)
    time.sleep(0.5)
    started = time.perf_counter()
    driver.execute_script("document.getElementById('bet-first').click()")
    wait_for_threads(training=False)
    seconds = time.perf_counter() - started
    driver.execute_script("document.getElementById('bet-first').click()")
    _changed(driver, "epochs", "100")
    return seconds


def _tabs(driver: Any, url: str) -> float:
    """Open tabs at once, each with another question; return the seconds until the last has its answer."""
    first, started = driver.current_window_handle, time.perf_counter()
    for number in range(_TABS):
        driver.switch_to.new_window("tab")
        driver.get(f"{url}/#seed={number}")
    for handle in driver.window_handles:
        if handle != first:
            driver.switch_to.window(handle)
            driver.execute_cdp_cmd("Page.bringToFront", {})  # one that is hidden draws nothing
            _changed(driver)
            driver.close()
    driver.switch_to.window(first)
    driver.execute_cdp_cmd("Page.bringToFront", {})
    return time.perf_counter() - started


def _change_often(driver: Any, n_changes: int) -> float:
    """Change a setting faster than it can be answered, but for each fourth time; return the seconds that it took."""
    started = time.perf_counter()
    for number in range(n_changes):
        if number % 4 == 3:
            _changed(driver, "seed", str(number))
        else:
            driver.execute_script(_CHANGE, "seed", str(number))
            time.sleep(0.05)
    return time.perf_counter() - started


def _resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextmanager
def _program() -> Iterator[tuple[str, int]]:
    command = [sys.executable, "-m", "flows.command_line", "play", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield process.stdout.readline().split()[-1], process.pid  # where it listens, once it does
        finally:
            process.send_signal(signal.SIGINT)
