"""Pages in a real Chromium, by Debian's driver or any other on the path."""

import shutil
import tempfile
from contextlib import contextmanager

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
WITHOUT_BROWSER = CHROMIUM is None or DRIVER is None
_QUIET = (
    *("--headless=new", "--no-sandbox", "--no-first-run", "--no-proxy-server", "--hide-scrollbars"),
    *(
        f"--disable-{feature}"
        for feature in ("gpu", "quic", "background-networking", "component-update", "sync", "extensions")
    ),
)


@contextmanager
def browser():
    """Give a Chromium with a profile of its own; it ends with the block."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for argument in (*_QUIET, f"--user-data-dir={profile}"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = webdriver.Chrome(options=options, service=Service(DRIVER))
        try:
            yield driver
        finally:
            driver.quit()


def resize(driver, width, height=900, scheme="light", motion="no-preference"):
    """Show a page as on a screen of so many pixels, dark or light, calm or not."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = {"prefers-color-scheme": scheme, "prefers-reduced-motion": motion}
    named = [{"name": name, "value": value} for name, value in features.items()]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": named})
