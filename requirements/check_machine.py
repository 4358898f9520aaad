"""Refuse, before anything is downloaded, a machine on which the pinned versions do not install.

Whatever Python is at hand runs this: plain enough for 3.6.
"""

import platform
import re
import sys
from pathlib import Path


def refusal() -> str:
    """Return why this machine cannot be used, or nothing."""
    text = Path(__file__).parents[1].joinpath("pyproject.toml").read_text(encoding="utf-8")
    first, end = (int(minor) for minor in re.findall(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', text)[0])
    if not (3, first) <= sys.version_info[:2] < (3, end):
        return (
            f"PYTHON must be Python 3.{first} to 3.{end - 1}, got {platform.python_version()} at {sys.executable}; "
            f"name another one, such as `make PYTHON=python3.{end - 1}`."
        )
    if sys.platform == "darwin" and platform.machine() == "x86_64":
        return (
            "a Mac must have Apple Silicon and a Python made for it, got x86_64: PyTorch is no longer made for Intel "
            "Macs; use Linux, or on Apple Silicon an arm64 Python."
        )
    return ""


if __name__ == "__main__":
    sys.exit(refusal() or None)
