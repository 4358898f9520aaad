"""Downloads of zips and tables: within limits, taken up where they broke off, a failure said in plain words."""

from __future__ import annotations

import logging
import queue
import re
import threading
import time
import zipfile
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from hashlib import file_digest
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urljoin, urlsplit

import requests
from urllib3.exceptions import HTTPError

from mlp_core.addresses import SYNTHETIC, shown_address, split_pin
from mlp_core.errors import ResourceError

_CHUNK_BYTES = 1 << 16
_REDIRECTIONS = 10
_REDIRECTING = {301, 302, 303, 307, 308}
_PASSING_STATUS = {206, 408, 416, 425, 429}
"""Answers after which another attempt may succeed, apart from 5xx; 206 and 416 are about parts, asked for or not."""


@dataclass(frozen=True)
class Limits:
    """Limits on the time, size and number of attempts of a download.

    Attributes:
        attempts: Most requests for the file, redirections not counted.
        connect_seconds: Longest time to connect.
        silence_seconds: Longest time without new data.
        total_seconds: Longest time for all attempts and the waits between them.
        backoff_seconds: Wait before the second attempt; it doubles with each.
        longest_wait_seconds: If the server asks for a longer wait than this, the download fails.
        size_bytes: Largest size of the file.
    """

    attempts: int = 4
    connect_seconds: float = 10
    silence_seconds: float = 30
    total_seconds: float = 3600
    backoff_seconds: float = 1
    longest_wait_seconds: float = 120
    size_bytes: int = 2_000_000_000


@dataclass(frozen=True)
class Wanted:
    """The kind of file that a download must give, with words for error messages.

    Attributes:
        what: Name of the content, such as `images`.
        way_out: What a user can do if the download fails.
        is_zip: Whether the file must be a zip; if not, it must only be no HTML page.
    """

    what: str
    way_out: str
    is_zip: bool


IMAGES = Wanted(
    "images", f"without a network, use --images {SYNTHETIC}, or --images with a local zip or folder", is_zip=True
)
TABLE = Wanted("data", "without a network, use --data digits, or --data with a local file", is_zip=False)


class _PassingError(Exception):
    """A failure that another attempt may mend."""

    def __init__(self, words: str, wait_seconds: float | None = None) -> None:
        super().__init__(words)
        self.wait_seconds = wait_seconds


class _LastingError(Exception):
    """A failure that no other attempt would mend."""


class _Session(requests.Session):
    """Leaves redirections alone: requests would read the body of one into memory, however long it is."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return nothing."""
        return


def download(
    address: str,
    file: Path,
    limits: Limits = Limits(),
    checkpoint: Callable[[], None] = lambda: None,
    tell: Callable[[str], None] = lambda _: None,
    wanted: Wanted = IMAGES,
) -> int:
    """Download a zip or a table from the web into a file, with several attempts, and check what arrived.

    An attempt continues where the last one broke off, if the server allows it. The transfer runs in a daemon thread,
    which is abandoned after the time limit: so the limit holds whatever a server or a name lookup does.

    Args:
        address: http(s) address; with `#sha256=...` at its end the bytes must have that digest.
        file: File to write; after an error its content is undefined.
        limits: Limits on time, size and attempts.
        checkpoint: Called several times a second; an exception that it raises ends the download.
        tell: Called with a sentence after each failure that is followed by another attempt.
        wanted: Kind of file.

    Returns:
        Number of attempts that were needed.

    Raises:
        ResourceError: If the download fails, or what arrives is of another kind or has another digest.
    """
    url, sha256 = split_pin(address)
    stop = threading.Event()
    ended: queue.SimpleQueue[int | BaseException] = queue.SimpleQueue()

    def work() -> None:
        try:
            ended.put(_transfer(url, file, limits, stop, tell))
        except BaseException as error:
            ended.put(error)

    logging.getLogger("urllib3").setLevel(logging.ERROR)  # its warnings hold whole addresses, signatures too
    deadline = time.monotonic() + limits.total_seconds
    threading.Thread(target=copy_context().run, args=(work,), daemon=True).start()  # the log knows its run by context
    try:
        n_requests = _outcome(ended, deadline, limits, checkpoint, stop)
        _check_content(file, sha256, wanted)
    except (_PassingError, _LastingError) as error:
        message = f"{wanted.what} could not be downloaded from {shown_address(url)}: {error}; {wanted.way_out}."
        # without the cause: its text may hold the address with its secrets
        raise ResourceError(message) from None
    return n_requests


def _outcome(
    ended: queue.SimpleQueue[int | BaseException],
    deadline: float,
    limits: Limits,
    checkpoint: Callable[[], None],
    stop: threading.Event,
) -> int:
    """Wait for the transfer to end; then, or when it took too long, it is told to stop."""
    try:
        while True:
            checkpoint()
            try:
                outcome = ended.get(timeout=0.1)
                break
            except queue.Empty:
                if time.monotonic() > deadline:
                    outcome = _LastingError(f"it took longer than {limits.total_seconds:g} s")
                    break
    finally:
        stop.set()
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def _transfer(url: str, file: Path, limits: Limits, stop: threading.Event, tell: Callable[[str], None]) -> int:
    """Write the file, with as many attempts as it takes, and return their number."""
    validator = None
    with file.open("wb") as out, _Session() as session:
        for attempt in range(1, limits.attempts + 1):
            try:
                with _answer(session, url, out.tell(), validator, limits) as response:
                    validator = _prepared(response, out, validator)
                    _receive(response, out, limits, stop)
            except _PassingError as error:
                if (error.wait_seconds or 0) > limits.longest_wait_seconds:
                    message = f"{error} and asks to come again in {error.wait_seconds:.0f} s"
                    raise _LastingError(message) from None
                wait_seconds = error.wait_seconds or limits.backoff_seconds * 2 ** (attempt - 1)
                if attempt == limits.attempts or stop.is_set():
                    raise
                if validator is None:
                    _start_over(out)
                tell(f"{shown_address(url)}: {error}; again in {wait_seconds:.0f} s")
                if stop.wait(wait_seconds):
                    raise
            else:
                return attempt
    message = f"at least one attempt must be allowed, got {limits.attempts}"
    raise ValueError(message)


def _answer(
    session: requests.Session, url: str, n_bytes: int, validator: str | None, limits: Limits
) -> requests.Response:
    """Ask for the file, or for what is missing of it, through redirections."""
    # identity: an answer that is packed once more could grow without bound as it is unpacked; a name of our own: some
    # servers refuse that of requests, which scrapers have
    headers = {"Accept-Encoding": "identity", "User-Agent": f"deep-mlp/{version('deep-mlp')}"}
    if n_bytes and validator:
        headers |= {"Range": f"bytes={n_bytes}-", "If-Range": validator}
    timeout = (limits.connect_seconds, limits.silence_seconds)
    for _ in range(_REDIRECTIONS + 1):
        try:
            response = session.get(url, headers=headers, timeout=timeout, stream=True, allow_redirects=False)
        except requests.exceptions.SSLError as error:
            what = "its certificate could not be verified" if "CERTIFICATE" in repr(error) else "it does not speak TLS"
            raise _LastingError(what) from None
        except (requests.ConnectionError, requests.Timeout) as error:
            raise _PassingError(_connection_words(error, limits)) from None
        except (requests.RequestException, HTTPError, ValueError) as error:
            message = f"the address leads nowhere ({type(error).__name__})"
            raise _LastingError(message) from None
        if "Location" not in response.headers or response.status_code not in _REDIRECTING:
            return response
        with response:
            url = _next_address(url, response.headers["Location"])
    message = f"it redirects more than {_REDIRECTIONS} times"
    raise _LastingError(message)


def _next_address(url: str, location: str) -> str:
    """Return where a redirection leads; never from the web to a file, nor from https to http."""
    try:
        target = urljoin(url, location)
        scheme = urlsplit(target).scheme
    except ValueError:
        scheme = ""
    allowed = ("https",) if url.lower().startswith("https:") else ("http", "https")
    if scheme not in allowed:
        message = f"it redirects to an address that is not {' or '.join(allowed)}"
        raise _LastingError(message)
    return target


def _prepared(response: requests.Response, out: BinaryIO, validator: str | None) -> str | None:
    """Check an answer, let the file end where it begins, and return by what a part of it may be asked for."""
    status = response.status_code
    continued = (
        status == 206
        and response.headers.get("Content-Range", "").startswith(f"bytes {out.tell()}-")
        and response.headers.get("ETag") == validator
    )
    if not continued:
        _start_over(out)
    if status != 200 and not continued:
        # not the server's own words, which may be anything
        phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else ""
        words = f"the server answered {status} {phrase}".rstrip()
        if status in _PASSING_STATUS or status >= 500:
            raise _PassingError(words, _retry_after_seconds(response.headers.get("Retry-After", "")))
        raise _LastingError(words)
    if response.headers.get("Content-Encoding", "identity") != "identity":
        message = "the server packed it once more, which it was asked not to"
        raise _LastingError(message)
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else None  # a weak one does not promise the same bytes


def _start_over(out: BinaryIO) -> None:
    out.seek(0)
    out.truncate()


def _receive(response: requests.Response, out: BinaryIO, limits: Limits, stop: threading.Event) -> None:
    """Append an answer's bytes to the file."""
    too_large = f"it is larger than {limits.size_bytes:,} bytes"
    n_announced = getattr(response.raw, "length_remaining", None)
    n_expected = None if n_announced is None else out.tell() + n_announced
    if n_expected is not None and n_expected > limits.size_bytes:
        raise _LastingError(too_large)
    try:
        while piece := response.raw.read1(_CHUNK_BYTES, decode_content=False):
            out.write(piece)
            if out.tell() > limits.size_bytes:
                raise _LastingError(too_large)
            if stop.is_set():
                break
    except HTTPError as error:
        how_far = f"{out.tell():,}" + ("" if n_expected is None else f" of {n_expected:,}")
        message = f"{_connection_words(error, limits)} after {how_far} bytes"
        raise _PassingError(message) from None


def _retry_after_seconds(text: str) -> float | None:
    """Return the seconds that a server asks to wait, as a number or until a date; None if it does not say."""
    if re.fullmatch(r"\d{1,9}", text):
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds()) or None


def _connection_words(error: Exception, limits: Limits) -> str:
    if isinstance(error, requests.ConnectTimeout):
        return f"no connection within {limits.connect_seconds:g} s"
    # requests wraps what happened in several layers and keeps it only in their texts
    details = repr(error)
    if isinstance(error, requests.Timeout) or "timed out" in details:
        return f"the server was silent for {limits.silence_seconds:g} s"
    for sign, words in (
        ("ProxyError", "the proxy could not be reached or refused"),
        ("NameResolutionError", "the host's name could not be resolved"),
        ("Connection refused", "the connection was refused"),
        ("WinError 10061", "the connection was refused"),
        ("unreachable", "the network could not be reached"),
    ):
        if sign in details:
            return words
    return "the connection broke off"


def _check_content(file: Path, sha256: str | None, wanted: Wanted) -> None:
    with file.open("rb") as content:
        beginning = content.read(1024).lstrip()
        content.seek(0)
        digest = file_digest(content, "sha256").hexdigest()
    n_bytes = file.stat().st_size
    is_page = beginning.lower().startswith((b"<!doctype html", b"<html"))
    if not zipfile.is_zipfile(file) if wanted.is_zip else is_page:
        if is_page:
            what = f"an HTML page, not a {'zip' if wanted.is_zip else 'table'}"
        elif beginning.startswith(b"PK"):
            what = f"{n_bytes:,} bytes of a zip that is damaged or not whole"
        else:
            what = f"{n_bytes:,} bytes of something else, not a zip"
        message = f"the server sent {what}"
        raise _LastingError(message)
    if sha256 not in (None, digest):
        message = f"its SHA-256 must be {sha256}, got {digest}"
        raise _LastingError(message)
