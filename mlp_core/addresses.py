"""Where images and tables come from: what paths and addresses are accepted, and how one is shown without secrets.

A module of its own, so that a download stays in the cache when the code that reads images changes.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from mlp_core.errors import InputError

SYNTHETIC = "synthetic"
ANIMAL_FACES = "animal-faces"
ANIMAL_FACES_URL = "https://osf.io/kgfvj/download"

_SCHEME = re.compile("[A-Za-z][A-Za-z0-9+.-]+:")
_PIN = re.compile("sha256=([0-9A-Fa-f]{64})")


def image_path(text: str) -> Path | None:
    """Check the text of `--images` and return the local path that it names; None if a run draws or downloads images.

    Args:
        text: `synthetic`, `animal-faces`, an http(s) URL, with `#sha256=...` at its end if one digest alone will do,
            or the path of a zip or a folder.

    Raises:
        InputError: If it is none of these, or nothing is there; a URL is not opened, nor is a file.

    Example:
        >>> image_path("synthetic")
        >>> image_path("ftp://host/faces.zip")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        mlp_core.errors.InputError: images must be synthetic, animal-faces, ... got 'ftp://host/faces.zip'.
    """
    if text in (SYNTHETIC, ANIMAL_FACES) or is_web_address(text):
        return None
    if path := _existing(text):
        return path
    address = repr(shown_address(text))
    message = (
        f"images must be {SYNTHETIC}, {ANIMAL_FACES}, an http(s) URL of a zip (after # nothing but "
        "sha256=DIGEST), or a zip or folder that exists, got "
        f"{address if len(address) <= 200 else f'{address[:197]}...'}."
    )
    raise InputError(message)


def check_table_address(text: str) -> None:
    """Check that a text is an http(s) address or the path of an existing file; neither is opened.

    Raises:
        InputError: If it is neither.
    """
    if not is_web_address(text):
        table_path(text)


def table_path(text: str, *, or_points: bool = True) -> Path:
    """Return the path of the table file that `--data` names, with `~` replaced by the home folder.

    The names of built-in data, such as `moons`, and web addresses are handled before this is called.

    Args:
        text: Path of a CSV, Parquet or Arrow file.
        or_points: Whether the message lists the points that a run draws.

    Raises:
        InputError: If there is no such file; it is not opened.

    Example:
        >>> table_path("ftp://host/wine.csv")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        mlp_core.errors.InputError: data must be spirals, moons, ... got 'ftp://host/wine.csv'.
    """
    path = _existing(text)
    if path is not None and path.is_file():
        return path
    address = repr(shown_address(text))
    message = (
        f"data must be {'spirals, moons, circles, gauss, xor, ' * or_points}digits, wine, iris, breast_cancer, an "
        "http(s) URL (after # nothing but sha256=DIGEST), or a CSV, Parquet or Arrow file that exists, got "
        f"{address if len(address) <= 200 else f'{address[:197]}...'}{', which is a folder' if path else ''}."
    )
    raise InputError(message)


def _existing(text: str) -> Path | None:
    path = Path(text)
    with suppress(RuntimeError, ValueError):  # the home of a user whom this machine does not know
        path = path.expanduser()
    with suppress(OSError, ValueError):  # a name that can be none
        if text and path.stat():
            return path
    return None


def is_web_address(text: str) -> bool:
    """Return whether a text is an http(s) address with a host, alone or followed by `#sha256=DIGEST`.

    Example:
        >>> is_web_address("https://host/faces.zip"), is_web_address("https://host/faces.zip#top")
        (True, False)
    """
    try:
        address = urlsplit(text)
        _ = address.port
    except ValueError:
        return False
    # urlsplit drops some control characters, and a terminal obeys others
    clean = text.isprintable() and not any(letter.isspace() for letter in text)
    pinned = "#" not in text or _PIN.fullmatch(address.fragment)
    return bool(clean and pinned and address.scheme in ("http", "https") and address.hostname)


def split_pin(address: str) -> tuple[str, str | None]:
    """Split an address into the part before `#` and the SHA-256 after it, in lower case; None if it has no digest.

    Example:
        >>> split_pin("https://host/faces.zip#sha256=" + 64 * "A") == ("https://host/faces.zip", 64 * "a")
        True
    """
    url, _, fragment = address.partition("#")
    pin = _PIN.fullmatch(fragment)
    return url, pin[1].lower() if pin else None


def shown_address(text: str) -> str:
    """Return a web address without its secrets, for messages, logs and tables; a local path is returned unchanged.

    User, password and query are replaced by `...`. Where it is not clear which part is the password, nearly all of the
    address is replaced.

    Example:
        >>> shown_address("https://me:word@host/faces.zip?signature=1234")
        'https://...@host/faces.zip?...'
    """
    scheme = _SCHEME.match(text)
    if not scheme or not set("@?") & set(text):
        return text
    if not is_web_address(text):
        return f"{scheme[0]}..."
    url, pin = split_pin(text)
    place, query_mark, query = url.removeprefix(scheme[0]).partition("?")
    if "@" in place:
        place = f"//...@{place.rpartition('@')[2]}"
    elif "@" in query:  # perhaps a question mark in a password
        place = "//..."
    return f"{scheme[0]}{place}{query_mark and '?...'}{f'#sha256={pin}' if pin else ''}"
