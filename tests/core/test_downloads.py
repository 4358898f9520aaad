"""Downloads from a real server on the loopback interface: what is kept, and what a failure says."""

import io
import socket
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mlp_core import downloads
from mlp_core.downloads import TemporaryDownloadError, download
from mlp_core.errors import InputError


def small_zip():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("hello.txt", "hello")
    return buffer.getvalue()


class Handler(BaseHTTPRequestHandler):
    """Answer by path: a number is a status, the rest is spelled out."""

    def do_GET(self):
        self.server.paths.append(self.path)
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/faces.zip")
            self.end_headers()
        elif self.path == "/elsewhere":
            self.send_response(302)
            self.send_header("Location", "file:///etc/hosts")
            self.end_headers()
        elif self.path == "/silent":
            self.server.released.wait(20)
        elif self.path == "/cut":
            self.answer(200, small_zip()[:-40], len(small_zip()))
        elif self.path == "/page":
            self.answer(200, b"\n<!DOCTYPE html><html>log in</html>")
        elif self.path == "/other":
            self.answer(200, b"x" * 12)
        elif self.path == "/faces.zip":
            self.answer(200, small_zip())
        else:
            self.answer(int(self.path[1:]), b"no")

    def answer(self, status, content, announced=None):
        self.send_response(status)
        self.send_header("Content-Length", str(announced or len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def server(monkeypatch):
    """Serve on a free port of 127.0.0.1, past any proxy."""
    monkeypatch.setenv("NO_PROXY", "*")
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.paths, httpd.released = [], threading.Event()
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
    thread.start()
    yield httpd
    httpd.released.set()
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def address(server, path):
    return f"http://127.0.0.1:{server.server_port}{path}"


@pytest.mark.parametrize("path", ["/faces.zip", "/moved"])
def test_a_zip_is_kept_and_found_again(server, tmp_path, path):
    """The zip arrives whole, alone in its folder, and a second call asks no server."""
    file = download(address(server, path), tmp_path / "new" / "folder")
    assert file.read_bytes() == small_zip()
    assert list(file.parent.iterdir()) == [file]
    n_requests = len(server.paths)
    assert download(address(server, path), tmp_path / "new" / "folder") == file
    assert len(server.paths) == n_requests


def test_each_address_has_its_own_file(server, tmp_path):
    """Two addresses never share a file."""
    assert download(address(server, "/faces.zip"), tmp_path) != download(address(server, "/moved"), tmp_path)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/404", "the server answered 404 Not Found"),
        ("/403", "the server answered 403 Forbidden"),
        ("/page", "the server sent an HTML page, not a zip"),
        ("/other", "the server sent 12 bytes of something else, not a zip"),
        ("/elsewhere", "the address leads nowhere"),
    ],
)
def test_lasting_failures_are_not_worth_a_retry(server, tmp_path, path, words):
    """What another attempt cannot mend says why and what to use instead, and leaves nothing behind."""
    url = address(server, path)
    with pytest.raises(
        InputError, match=rf"from {url}: {words}.*; without a network, use --images synthetic"
    ) as caught:
        download(url, tmp_path)
    assert not isinstance(caught.value, TemporaryDownloadError)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/500", "the server answered 500"),
        ("/503", "the server answered 503"),
        ("/429", "the server answered 429"),
        ("/cut", "the connection broke off"),
        ("/silent", "the server was silent for"),
    ],
)
def test_passing_failures_are_worth_a_retry(server, tmp_path, monkeypatch, path, words):
    """A server in trouble, a cut connection and silence may pass, and leave nothing behind either."""
    monkeypatch.setattr(downloads, "_READ_SECONDS", 0.2)
    with pytest.raises(TemporaryDownloadError, match=words):
        download(address(server, path), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_refused_connection_is_worth_a_retry(tmp_path, monkeypatch):
    """A port at which nobody listens is told in plain words."""
    monkeypatch.setenv("NO_PROXY", "*")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(TemporaryDownloadError, match="the connection was refused"):
            download(f"http://127.0.0.1:{taken.getsockname()[1]}/x.zip", tmp_path)


def test_an_unknown_host_is_worth_a_retry(tmp_path, monkeypatch):
    """A name that does not resolve is told in plain words."""
    monkeypatch.setenv("NO_PROXY", "*")
    with pytest.raises(TemporaryDownloadError, match="name could not be resolved"):
        download("http://faces.invalid/x.zip", tmp_path)
