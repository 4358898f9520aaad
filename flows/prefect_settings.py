"""What Prefect's settings say of the server, known before Prefect is imported."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from mlp_core.errors import InputError

_ASK_PREFECT = """
import json, sys
try:
    from prefect.settings import get_current_settings
    settings = get_current_settings()
except Exception as error:
    one = error.errors()[0] if hasattr(error, "errors") else {}
    name = ".".join(map(str, one.get("loc", ())))
    sys.exit(f"{name} {one['input']!r}: {one['msg']}" if one else f"{error}")
print(json.dumps([str(settings.home), settings.api.url, settings.server.api.port]))
"""


@dataclass(frozen=True)
class PrefectSettings:
    """The settings of Prefect that decide which server a run uses.

    Attributes:
        home: Prefect's home folder with its database, absolute.
        api_url: Address of the API that the user has set; None if there is none.
        port: Port for a server on this machine.
    """

    home: Path
    api_url: str | None
    port: int


def read_prefect_settings() -> PrefectSettings:
    """Read the settings of Prefect that decide which server a run uses, if possible without importing Prefect.

    Prefect reads the environment, then `.env`, `prefect.toml` and `pyproject.toml` of the current folder, then its
    active profile. If one of these files sets anything of Prefect's, Prefect is asked in a separate process, which
    takes a second. Otherwise the environment alone decides.

    Raises:
        InputError: If a value is invalid.
    """
    port, home = _port(os.environ.get("PREFECT_SERVER_API_PORT") or "4200"), _home()
    if not _in_files(home):
        return PrefectSettings(home, os.environ.get("PREFECT_API_URL") or None, port)
    asked = subprocess.run([sys.executable, "-P", "-c", _ASK_PREFECT], capture_output=True, text=True)
    if asked.returncode:
        reason = (asked.stderr.strip().splitlines() or ["no answer"])[-1].rstrip(".")
        message = (
            "Prefect's settings must be valid in this folder's .env, prefect.toml and pyproject.toml and in the active "
            f"profile, got {reason}; mend or remove that one."
        )
        raise InputError(message)
    location, api_url, set_port = json.loads(asked.stdout)
    return PrefectSettings(Path(location).absolute(), api_url, _port(str(set_port)))


def _in_files(home: Path) -> bool:
    """Return whether there is a file that may set something of Prefect's."""
    profiles = Path(os.environ.get("PREFECT_PROFILES_PATH") or home / "profiles.toml")
    if any(path.exists() for path in (Path(".env"), Path("prefect.toml"), profiles)):
        return True
    try:
        return "prefect" in tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8")).get("tool", {})
    except (OSError, ValueError):
        return False


def _port(text: str) -> int:
    if not re.fullmatch(r"\d{1,5}", text) or not 0 < int(text) < 1 << 16:
        message = f"PREFECT_SERVER_API_PORT must be a number from 1 to 65535, got {text!r}; unset it for 4200."
        raise InputError(message)
    return int(text)


def _home() -> Path:
    location = os.environ.get("PREFECT_HOME") or "~/.prefect"
    try:
        return Path(location).expanduser().absolute()
    except RuntimeError as error:
        reason = str(error).rstrip(".")
        message = f"PREFECT_HOME must be the name of a folder, got {location!r}: {reason}; set it to another folder."
        raise InputError(message) from error
