"""`python -m benchmarks.play`: the playground through a real browser, its seconds and its memory.

Each time is the page's own: from a change of a setting to the first image drawn, and to the last network shown.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flows.play.question import asked
from flows.play.session import extent_of
from flows.play.training import Job

_DONE = "return document.getElementById('status').textContent.includes('networks trained')"
_CHANGE = """
    const field = document.getElementById(arguments[0]);
    document.getElementById("status").textContent = "";
    field.value = arguments[1];
    field.dispatchEvent(new Event("input", { bubbles: true }));
    window.changedAt = performance.now();
"""
_TIMES = """
    const [image] = performance.getEntriesByType("mark").filter((mark) => mark.name.startsWith("image-")).slice(-1);
    const [done] = performance.getEntriesByType("mark").filter((mark) => mark.name.startsWith("done-")).slice(-1);
    return [image.startTime - window.changedAt, done.startTime - window.changedAt];
"""


def main() -> None:
    """Measure times and memory of the playground in a browser, and print them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.play", description="Measure the playground.")
    parser.add_argument("--repetitions", type=int, default=7, metavar="N", help="changes  [default: 7]")
    parser.add_argument("--changes", type=int, default=1000, metavar="N", help="of the memory's row  [default: 1000]")
    parser.add_argument("--pages", type=int, default=10, metavar="N", help="open at once  [default: 10]")
    options = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    with _program() as (url, process), _browser() as driver:
        driver.get(url)
        _wait(driver, _DONE)
        before = _processor_seconds(process.pid)
        times = [_changed(driver, "seed", str(number)) for number in range(options.repetitions)]
        spent = (_processor_seconds(process.pid) - before) / options.repetitions
        print(f"processor time of the program for each such question: {spent:.2f} s")
        _say("first image after a change, ms", [first for first, _ in times])
        _say("64 networks of depth 3, 100 epochs, ms", [last for _, last in times])
        if options.pages:
            _measure_pages(driver, url, options.pages)
        driver.get("about:blank")
        _measure_memory(driver, url, process.pid, options.changes)
    _say(
        "a question that is no longer asked is dropped after, ms",
        [_dropped() for _ in range(options.repetitions + 2)][2:],
    )  # the first ones load


def _say(what: str, values: list[float]) -> None:
    print(f"{what}: median {statistics.median(values):.0f}, {min(values):.0f} to {max(values):.0f}, n = {len(values)}")


def _changed(driver: Any, name: str, value: str) -> tuple[float, float]:
    driver.execute_script(_CHANGE, name, value)
    _wait(driver, _DONE)
    first, last = driver.execute_script(_TIMES)
    return first, last


def _measure_pages(driver: Any, url: str, n_pages: int) -> None:
    """Open pages at once, each with another question, and wait for the last."""
    first = driver.current_window_handle
    begun = time.monotonic()
    for number in range(n_pages):
        driver.switch_to.new_window("tab")
        driver.get(f"{url}/#seed={number}")
    medians = []
    for handle in driver.window_handles:
        if handle != first:
            driver.switch_to.window(handle)
            _wait(driver, _DONE)
            medians.append(driver.execute_script("return document.getElementById('median').textContent"))
            driver.close()
    driver.switch_to.window(first)
    print(f"{n_pages} pages at once: {time.monotonic() - begun:.1f} s until the last; medians {', '.join(medians)}")


def _measure_memory(driver: Any, url: str, pid: int, n_changes: int) -> None:
    """Change a setting often, faster than it can be answered, and look at the program's memory."""
    driver.get(f"{url}/#seeds=8&epochs=5&points=100&batch_size=32")
    _wait(driver, _DONE)
    sizes = []
    for number in range(n_changes):
        driver.execute_script(_CHANGE, "seed", str(number))
        if number % 4 == 0:
            _wait(driver, _DONE)
        else:
            time.sleep(0.05)
        if (number + 1) % (n_changes // 5) == 0:
            sizes.append(_resident(pid))
    print(
        f"memory of the program after each fifth of {n_changes} changes, MB: "
        f"{', '.join(f'{size:.0f}' for size in sizes)}"
    )


def _dropped() -> float:
    """Return milliseconds until all threads of a training that would take minutes have ended."""
    asks = asked({"epochs": 1000, "seeds": 64, "width": 64})
    job = Job(asks.config, asks.data, 64, extent_of(asks.data), lambda: None)
    job.start()
    time.sleep(0.5)
    begun = time.monotonic()
    job.stop()
    job.wait()
    return 1000 * (time.monotonic() - begun)


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextmanager
def _program() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "flows.command_line", "play", "--no-browser", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        while True:
            try:
                opener.open(url, timeout=5).close()
                break
            except urllib.error.URLError:
                time.sleep(0.1)
        time.sleep(3)  # what trains is loaded meanwhile
        yield url, process
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


@contextmanager
def _browser() -> Iterator[Any]:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
        quiet = ("gpu", "quic", "background-networking", "component-update", "sync", "extensions")
        for argument in ("--headless=new", "--no-sandbox", "--no-first-run", "--no-proxy-server"):
            options.add_argument(argument)
        for feature in quiet:
            options.add_argument(f"--disable-{feature}")
        options.add_argument(f"--user-data-dir={profile}")
        driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        try:
            yield driver
        finally:
            driver.quit()


def _wait(driver: Any, script: str) -> None:
    deadline = time.monotonic() + 300
    while not driver.execute_script(script):
        if time.monotonic() > deadline:
            raise TimeoutError(script)
        time.sleep(0.01)


if __name__ == "__main__":
    main()
