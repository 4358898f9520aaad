"""Downloads of zips: kept whole or not at all, with a failure said in plain words."""

from __future__ import annotations

import logging
import zipfile
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path

import pooch
import requests

from mlp_core.errors import InputError
from mlp_core.images import SYNTHETIC

_CONNECT_SECONDS, _READ_SECONDS = 10, 30
_CHUNK_BYTES = 1 << 16

_PASSING_STATUS = {408, 425, 429}
"""Refusals of the 4xx family that ask the client to come again."""


class TemporaryDownloadError(InputError):
    """A download that failed for a reason that may pass: worth another attempt, unlike its parent class.

    Example:
        >>> issubclass(TemporaryDownloadError, InputError)
        True
    """


class _NotAZipError(Exception):
    """The server's answer is no zip; the words say what it is instead."""


def zip_name(url: str) -> str:
    """Return the name of the file that a zip is downloaded to: a digest of its address."""
    return f"{sha256(url.encode()).hexdigest()[:16]}.zip"


def download(url: str, folder: Path) -> Path:
    """Fetch a zip into a folder, or find it there from an earlier run.

    The bytes go to a temporary file in the folder, which gets its name when it has proved to be a zip.

    Args:
        url: http or https.
        folder: Made if it is missing.

    Returns:
        Path of the zip; its name is `zip_name(url)`.

    Raises:
        TemporaryDownloadError: If another attempt may succeed: no connection, no answer in time, 5xx.
        InputError: If none will: not found, not allowed, not a zip.
    """
    # pooch logs at level INFO where the file went and what its hash is, which is no news to the user
    pooch.get_logger().setLevel(logging.WARNING)
    try:
        return Path(pooch.retrieve(url, known_hash=None, fname=zip_name(url), path=folder, downloader=_fetch_zip))
    except _NotAZipError as error:
        raise InputError(_sentence(url, str(error))) from error
    except requests.HTTPError as error:
        raise _status_error(url, error) from error
    except requests.exceptions.SSLError as error:
        raise InputError(_sentence(url, "its certificate could not be verified")) from error
    except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
        raise TemporaryDownloadError(_sentence(url, _connection_words(error))) from error
    except requests.RequestException as error:
        raise InputError(_sentence(url, f"the address leads nowhere ({type(error).__name__})")) from error


def _fetch_zip(url: str, output_file: str, caller: object) -> None:
    """Download to a file and look at it before pooch gives it its name."""
    with ExitStack() as responses:
        # pooch leaves its connections open; entering a response closes it at the end
        fetch = pooch.HTTPDownloader(
            chunk_size=_CHUNK_BYTES,
            timeout=(_CONNECT_SECONDS, _READ_SECONDS),
            hooks={"response": lambda response, **_: responses.enter_context(response)},
        )
        fetch(url, output_file, caller)
    if not zipfile.is_zipfile(output_file):
        path = Path(output_file)
        with path.open("rb") as file:
            is_page = file.read(1024).lstrip().lower().startswith((b"<!doctype html", b"<html"))
        what = "an HTML page" if is_page else f"{path.stat().st_size} bytes of something else"
        message = f"the server sent {what}, not a zip"
        raise _NotAZipError(message)


def _status_error(url: str, error: requests.HTTPError) -> InputError:
    assert error.response is not None, "raise_for_status attaches it"
    status = error.response.status_code
    kind = TemporaryDownloadError if status >= 500 or status in _PASSING_STATUS else InputError
    return kind(_sentence(url, f"the server answered {status} {error.response.reason}".rstrip()))


def _connection_words(error: requests.RequestException) -> str:
    if isinstance(error, requests.ConnectTimeout):
        return f"no connection within {_CONNECT_SECONDS} s"
    # requests wraps what happened in several layers and keeps it only in their texts
    details = repr(error)
    if isinstance(error, requests.Timeout) or "Read timed out" in details:
        return f"the server was silent for {_READ_SECONDS} s"
    for sign, words in (
        ("NameResolutionError", "the host's name could not be resolved"),
        ("Connection refused", "the connection was refused"),
        ("WinError 10061", "the connection was refused"),
        ("ProxyError", "the proxy could not be reached"),
        ("unreachable", "the network could not be reached"),
    ):
        if sign in details:
            return words
    return "the connection broke off"


def _sentence(url: str, reason: str) -> str:
    return (
        f"images could not be downloaded from {url}: {reason}; "
        f"without a network, use --images {SYNTHETIC}, or --images with a local zip or folder."
    )
