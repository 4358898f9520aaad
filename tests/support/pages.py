"""Pages in a real Chromium: as wide as a screen, dark or light, calm or not."""

from benchmarks.browser import CHROMIUM, DRIVER, browser

__all__ = ["WITHOUT_BROWSER", "browser", "resize"]
WITHOUT_BROWSER = CHROMIUM is None or DRIVER is None


def resize(driver, width, height=900, scheme="light", motion="no-preference"):
    """Show a page as on a screen of so many pixels, dark or light, calm or not."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = {"prefers-color-scheme": scheme, "prefers-reduced-motion": motion}
    named = [{"name": name, "value": value} for name, value in features.items()]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": named})
