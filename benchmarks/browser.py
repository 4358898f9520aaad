"""A real Chromium, by Debian's driver or any other on the path: for the playground's times and the tests of pages."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
_QUIET = (
    *("--headless=new", "--no-sandbox", "--no-first-run", "--no-proxy-server", "--hide-scrollbars"),
    "--disable-dev-shm-usage",  # a page dies where /dev/shm is as small as containers have it
    *(
        f"--disable-{feature}"
        for feature in ("gpu", "quic", "background-networking", "component-update", "sync", "extensions")
    ),
)


@contextmanager
def browser() -> Iterator[Any]:
    """Give a Chromium with a profile of its own, and selenium's driver of it; both end with the block."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM or ""
        for argument in (*_QUIET, f"--user-data-dir={profile}"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = webdriver.Chrome(options=options, service=Service(DRIVER))
        try:
            yield driver
        finally:
            driver.quit()
