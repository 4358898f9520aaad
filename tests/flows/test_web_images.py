"""Photographs from a web server on loopback: fetched once, tried again where that may help, or one sentence."""

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mlp_core.errors import InputError


class Handler(BaseHTTPRequestHandler):
    """Serve the zip, a redirection to it, a page that is not there, and a server that is in trouble twice."""

    def do_GET(self):
        self.server.paths.append(self.path)
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/faces.zip")
            self.end_headers()
        elif self.path == "/missing.zip":
            self.answer(404, b"no")
        elif self.path == "/busy.zip" and self.server.paths.count(self.path) <= 2:
            self.answer(500, b"later")
        else:
            self.answer(200, self.server.content)

    def answer(self, status, content):
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def web(photographs):
    """Serve the photographs."""
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.paths, httpd.content = [], photographs.read_bytes()
    httpd.url = f"http://127.0.0.1:{httpd.server_port}"
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
    thread.start()
    yield httpd
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def test_a_zip_from_the_web_gives_what_the_local_one_gives(run, finished, web, tmp_path):
    """Behind a redirection, too; it is fetched once, and again only if it is gone."""
    assert run("images", tmp_path, images=f"{web.url}/moved").state.is_completed()
    name = "tables/images-*.parquet"
    (table,), (local,) = tmp_path.glob(name), finished("images").glob(name)
    assert table.read_bytes() == local.read_bytes()
    assert web.paths == ["/moved", "/faces.zip"]

    again = run("images", tmp_path, images=f"{web.url}/moved")
    assert again.tasks["Cached"][0].startswith("download images")
    assert len(web.paths) == 2

    (archive,) = tmp_path.glob("images/*.zip")
    content = archive.read_bytes()
    archive.write_bytes(content[:-9])
    mended = run("images", tmp_path, images=f"{web.url}/moved")
    assert mended.tasks["Completed"][0].startswith("download images")
    assert archive.read_bytes() == content
    assert "train hidden=8" in mended.tasks["Cached"]


@pytest.mark.slow
def test_a_server_in_trouble_is_asked_again(run, web, tmp_path):
    """After two failures of the server's the third answer counts."""
    assert run("images", tmp_path, images=f"{web.url}/busy.zip").state.is_completed()
    assert web.paths == ["/busy.zip"] * 3


def test_a_page_that_is_not_there_is_said_at_once(run, web, tmp_path):
    """One request, one sentence, nothing left behind."""
    ran = run("images", tmp_path / "artifacts", images=f"{web.url}/missing.zip")
    with pytest.raises(InputError, match=rf"from {web.url}/missing.zip: the server answered 404 .* use --images synth"):
        ran.state.result()
    assert web.paths == ["/missing.zip"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_refused_connection_is_tried_a_few_times(program, tmp_path):
    """Four attempts in less than half a minute, then one sentence, and nothing left behind."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/faces.zip"
        started = time.monotonic()
        ran = program(f"{program.images} --images {url}")
    assert time.monotonic() < started + 30
    assert (ran.status, ran.out) == (2, "")
    *progress, said = ran.err.splitlines()
    assert [line.split("  ")[1] for line in progress] == [f"downloading {url}"] * 4
    assert said == (
        f"deep-mlp: images could not be downloaded from {url}: the connection was refused; "
        "without a network, use --images synthetic, or --images with a local zip or folder."
    )
    assert list(tmp_path.iterdir()) == []
