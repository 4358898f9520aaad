"""Addresses on the web: which are accepted, and how one is shown without what may be secret in it.

A module of its own, so that a download stays in the cache when the code that reads images changes.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

SYNTHETIC = "synthetic"
ANIMAL_FACES = "animal-faces"
ANIMAL_FACES_URL = "https://osf.io/kgfvj/download"

_SCHEME = re.compile("[A-Za-z][A-Za-z0-9+.-]+:")
_PIN = re.compile("sha256=([0-9A-Fa-f]{64})")


def is_web_address(text: str) -> bool:
    """Return whether a text is an http(s) address with a host; what follows a `#` must be a SHA-256.

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
    """Split `https://host/faces.zip#sha256=...` into the address proper and the digest, None if there is none.

    Example:
        >>> split_pin("https://host/faces.zip#sha256=" + 64 * "A") == ("https://host/faces.zip", 64 * "a")
        True
    """
    url, _, fragment = address.partition("#")
    pin = _PIN.fullmatch(fragment)
    return url, pin[1].lower() if pin else None


def shown_address(text: str) -> str:
    """Return an address for messages, logs and tables: user, password and query are left out; a path stays as it is.

    Rather too much is left out than too little: where it is not clear which part is the password, nearly all goes.

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
