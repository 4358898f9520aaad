"""Downloads from real servers on loopback that do what servers do on a bad day."""

import gzip
import io
import socket
import ssl
import struct
import threading
import time
import zipfile
from base64 import b64encode
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from hashlib import sha256
from importlib.metadata import version
from ipaddress import ip_address
from itertools import count
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mlp_core.data.downloads import Limits, download
from mlp_core.data.images import decode_images
from mlp_core.errors import ResourceError

QUICK = Limits(attempts=3, connect_seconds=30, silence_seconds=30, total_seconds=120, backoff_seconds=0.01)
IMPATIENT = replace(QUICK, silence_seconds=0.3)
"""Where the server is silent on purpose: any other may be so for a moment, on a busy machine."""
WAY_OUT = "; without a network, use --images synthetic, or --images with a local zip or folder."


def some_zip():
    """Return a zip of 300 kB."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("noise", b"".join(sha256(str(number).encode()).digest() for number in range(10_000)))
    return buffer.getvalue()


ZIP = some_zip()
HALF = 160_000


def answer(status=200, body=ZIP, **headers):
    """Return an answer as bytes; a header's value of None leaves it out."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    lines = {"Content-Length": len(body), "Connection": "close", **fields}
    text = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value is not None)
    return f"HTTP/1.1 {status} Whatever\r\n{text}\r\n".encode() + body


class Web:
    """A server on loopback: each request is handed, with its number, to a function that sends what it likes."""

    def __init__(self, behave, context=None):
        self.behave, self.context = behave, context
        self.requests, self.closing = [], threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.url = f"http{'s' if context else ''}://127.0.0.1:{self.port}/faces.zip"
        self.threads = [threading.Thread(target=self.accept)]
        self.threads[0].start()

    def accept(self):
        with suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.threads.append(threading.Thread(target=self.serve, args=(connection,)))
                self.threads[-1].start()

    def serve(self, connection):
        with suppress(OSError, ValueError), connection:
            if self.context:
                connection = self.context.wrap_socket(connection, server_side=True)
            with connection, connection.makefile("rb") as lines:
                words = lines.readline().decode().split()
                headers = {}
                while line := lines.readline().strip().decode():
                    name, _, value = line.partition(": ")
                    headers[name] = value
                request = SimpleNamespace(connection=connection, path=words[1], headers=headers, web=self)
                self.requests.append(request)
                connection.sendall(self.behave(request, len(self.requests)) or b"")

    def close(self):
        self.closing.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self.threads:
            thread.join(10)
        assert not any(thread.is_alive() for thread in self.threads)


@pytest.fixture
def serve(monkeypatch):
    """Give a function that starts a server, past any proxy."""
    monkeypatch.setenv("NO_PROXY", "*")
    started = []

    def serve(behave, context=None):
        started.append(Web(behave, context))
        return started[-1]

    yield serve
    for web in started:
        web.close()


@pytest.fixture
def refused(tmp_path):
    """Give a function that downloads what must fail, and returns the reason that the sentence gives."""

    def refused(url, limits=QUICK):
        with pytest.raises(ResourceError) as caught:
            download(url, tmp_path / "faces.zip", limits)
        words = str(caught.value)
        beginning = f"images could not be downloaded from {url.partition('#')[0]}: "
        assert words.startswith(beginning), words
        assert words.endswith(WAY_OUT)
        assert caught.value.__suppress_context__
        return words.removeprefix(beginning).removesuffix(WAY_OUT)

    return refused


def moved(location):
    return lambda *_: answer(302, b"", Location=location)


def endless(request, _, **headers):
    """Send without end, and without saying how much."""
    request.connection.sendall(answer(**{"body": b"PK", "Content_Length": None, **headers}))
    while not request.web.closing.is_set():
        request.connection.sendall(bytes(1 << 16))


LASTING = {
    "404": (lambda *_: answer(404), "the server answered 404 Not Found"),
    "403": (lambda *_: answer(403), "the server answered 403 Forbidden"),
    "a status that does not exist": (lambda *_: answer(299), "the server answered 299"),
    "an HTML page": (lambda *_: answer(body=b"\n<!DOCTYPE html><p>log in"), "the server sent an HTML page, not a zip"),
    "other bytes": (lambda *_: answer(body=b"x" * 12), "the server sent 12 bytes of something else, not a zip"),
    "nothing": (lambda *_: answer(body=b""), "the server sent 0 bytes of something else, not a zip"),
    "a zip inside gzip": (
        lambda *_: answer(body=gzip.compress(ZIP, mtime=0), Content_Encoding="gzip"),
        "the server packed it once more, which it was asked not to",
    ),
    "more bytes than announced": (
        lambda *_: answer(Content_Length=1000),
        "the server sent 1,000 bytes of a zip that is damaged or not whole",
    ),
    "10 GB announced": (lambda *_: answer(Content_Length=10**10), "it is larger than 2,000,000,000 bytes"),
    "a redirection to a file": (moved("file:///etc/hosts"), "it redirects to an address that is not http or https"),
    "a redirection to ftp": (moved("ftp://127.0.0.1/x"), "it redirects to an address that is not http or https"),
    "a redirection to nonsense": (moved("http://["), "it redirects to an address that is not http or https"),
    "a redirection that talks without end": (
        lambda request, number: endless(request, number, status=302, Location="ftp://127.0.0.1/x"),
        "it redirects to an address that is not http or https",
    ),
    "a redirection in circles": (moved("/faces.zip"), "it redirects more than 10 times"),
    "429, come again in an hour": (
        lambda *_: answer(429, Retry_After="3600"),
        "the server answered 429 Too Many Requests and asks to come again in 3600 s",
    ),
}


@pytest.mark.parametrize("case", LASTING)
def test_a_final_answer(serve, refused, case):
    """One request, redirections apart, and one sentence."""
    behave, words = LASTING[case]
    web = serve(behave)
    assert refused(web.url) == words
    assert len(web.requests) == (11 if "circles" in case else 1)


def test_a_file_without_end_is_cut_off(serve, refused, tmp_path):
    """What does not say how large it is gets no more room than what does."""
    web = serve(endless)
    assert refused(web.url, Limits(size_bytes=1_000_000)) == "it is larger than 1,000,000 bytes"
    assert (tmp_path / "faces.zip").stat().st_size < 1_200_000


@pytest.mark.parametrize("right", [True, False], ids=["right", "wrong"])
def test_a_pinned_digest(serve, refused, tmp_path, right):
    """With `#sha256=...` after the address other bytes are refused, however good a zip they are."""
    digest = sha256(ZIP).hexdigest()
    wanted = digest if right else digest[::-1]
    web = serve(lambda *_: answer())
    url = f"{web.url}#sha256={wanted.upper()}"
    if right:
        download(url, tmp_path / "faces.zip", QUICK)
        assert (tmp_path / "faces.zip").read_bytes() == ZIP
        assert web.requests[0].path == "/faces.zip"
    else:
        assert refused(url) == f"its SHA-256 must be {wanted}, got {digest}"


def stall(request, _):
    """Send half, then nothing, until the test is over."""
    request.connection.sendall(answer()[: HALF - len(ZIP)])
    request.web.closing.wait(20)


def reset(request, number):
    """Send half, then break the connection off as a machine does that goes down."""
    request.connection.sendall(answer()[: HALF - len(ZIP)])
    if number == 3:  # the one that is told: what has not been read by then is lost
        time.sleep(1)
    request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


PASSING = {
    "500": (lambda *_: answer(500), "the server answered 500 Internal Server Error"),
    "503": (lambda *_: answer(503), "the server answered 503 Service Unavailable"),
    "429": (lambda *_: answer(429), "the server answered 429 Too Many Requests"),
    "a part that nobody asked for": (lambda *_: answer(206), "the server answered 206 Partial Content"),
    "no answer": (lambda *_: b"", "the connection broke off"),
    "no HTTP": (lambda *_: b"220 mail\r\n\r\n", "the connection broke off"),
    "silence before the answer": (
        lambda request, _: request.web.closing.wait(20) and b"",
        "the server was silent for 0.3 s",
    ),
    "silence in the middle": (stall, f"the server was silent for 0.3 s after {HALF:,} of {len(ZIP):,} bytes"),
    "reset in the middle": (reset, "the connection broke off after "),
    "fewer bytes than announced": (
        lambda *_: answer(Content_Length=len(ZIP) + 9),
        f"the connection broke off after {len(ZIP):,} of {len(ZIP) + 9:,} bytes",
    ),
    "a piece too few": (
        lambda *_: answer(body=b"a\r\n0123456789\r\n5\r\n12", Content_Length=None, Transfer_Encoding="chunked"),
        "the connection broke off after 12 bytes",
    ),
}


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=pytest.mark.thorough if case.startswith("silence") else ()) for case in PASSING],
)
def test_a_passing_failure(serve, refused, case):
    """Three attempts here, then one sentence on the last of them."""
    behave, words = PASSING[case]
    web = serve(behave)
    assert refused(web.url, IMPATIENT if "silence" in case else QUICK).startswith(words)
    deadline = time.monotonic() + 20
    while len(web.requests) < 3 and time.monotonic() < deadline:  # read after the client gave up
        time.sleep(0.01)
    assert len(web.requests) == 3


def test_a_refused_connection(serve, refused):
    """A port at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        serve(lambda *_: b"")
        assert refused(f"http://127.0.0.1:{taken.getsockname()[1]}/x.zip") == "the connection was refused"


@pytest.mark.parametrize(
    ("host", "words"),
    [
        pytest.param("faces.invalid", "the host's name could not be resolved", id="unknown"),
        pytest.param(f"{64 * 'a'}.invalid", "the address leads nowhere (LocationParseError)", id="too long"),
    ],
)
def test_a_host_that_does_not_exist(refused, monkeypatch, host, words):
    """A name that does not resolve, or cannot."""
    monkeypatch.setenv("NO_PROXY", "*")
    assert refused(f"http://{host}/x.zip") == words


def drip_body(request, _):
    """Send a byte every twentieth of a second: never silent for long."""
    request.connection.sendall(answer()[: -len(ZIP)])
    for byte in ZIP:
        if request.web.closing.wait(0.05):
            break
        request.connection.sendall(bytes([byte]))


def drip_headers(request, _):
    """The same before the answer has begun."""
    request.connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    while not request.web.closing.wait(0.05):
        request.connection.sendall(b"x")


@pytest.mark.parametrize("behave", [drip_body, drip_headers], ids=["of the file", "of the headers"])
def test_a_slow_drip_ends_at_the_limit_of_time(serve, refused, behave):
    """A server that sends a byte now and then cannot hold a run for ever."""
    web = serve(behave)
    started = time.monotonic()
    assert refused(web.url, Limits(total_seconds=0.5)) == "it took longer than 0.5 s"
    assert time.monotonic() < started + 20  # of hours
    web.closing.set()


def test_ctrl_c_while_a_server_is_silent(serve, tmp_path):
    """What stops a run ends its download at once, whatever the server does."""
    web = serve(stall)
    started = time.monotonic()

    def checkpoint():
        if time.monotonic() > started + 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(web.url, tmp_path / "faces.zip", Limits(), checkpoint)
    assert time.monotonic() < started + 15  # of 30, after which silence would end it


def test_500_twice_then_the_file(serve, tmp_path):
    """The third answer counts, and it is said what the first two were."""
    lines = []
    web = serve(lambda _, number: answer(500) if number < 3 else answer())
    assert download(web.url, tmp_path / "faces.zip", QUICK, tell=lines.append) == 3
    assert (tmp_path / "faces.zip").read_bytes() == ZIP
    assert lines == [f"{web.url}: the server answered 500 Internal Server Error; again in 0 s"] * 2


@pytest.mark.parametrize("form", ["seconds", pytest.param("date", marks=pytest.mark.thorough)])
def test_retry_after_is_waited_for(serve, tmp_path, form):
    """429 with a time to come again, in either form: not sooner."""
    times = []

    def behave(_, number):
        times.append(time.time())
        if number > 1:
            return answer()
        then = datetime.fromtimestamp(int(time.time()) + 2, UTC)
        return answer(429, Retry_After="1" if form == "seconds" else format_datetime(then, usegmt=True))

    web = serve(behave)
    assert download(web.url, tmp_path / "faces.zip", QUICK) == 2
    waited = times[1] - times[0]
    assert 0.9 <= waited < 20


def ranges(etags=('"one"',), obey=True):
    """Serve by Range; break off after each 100,000 bytes; take the next tag for each request, the last for good."""
    tags = count()

    def behave(request, number):
        etag = etags[min(next(tags), len(etags) - 1)]
        wanted = request.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-")
        start = int(wanted) if obey and request.headers.get("If-Range") in (None, etag) else 0
        rest = ZIP[start:]
        headers = {"ETag": etag, "Content_Length": len(rest)}
        if start:
            headers["Content_Range"] = f"bytes {start}-{len(ZIP) - 1}/{len(ZIP)}"
        return answer(206 if start else 200, rest[:100_000] if number < 4 else rest, **headers)

    return behave


@pytest.mark.parametrize(
    ("behave", "asked"),
    [
        pytest.param(ranges(), [None, 100_000, 200_000, 300_000], id="taken up where it broke off"),
        pytest.param(ranges(('W/"one"',)), [None] * 4, id="a weak tag promises nothing"),
        pytest.param(ranges(('"one"', '"two"')), [None, 100_000, 100_000, 200_000], id="another file meanwhile"),
        pytest.param(ranges(obey=False), [None, 100_000, 100_000, 100_000], id="a server that knows no parts"),
    ],
)
def test_a_download_that_breaks_off_three_times(serve, tmp_path, behave, asked):
    """The file is whole in the end; only what is missing is asked for, if it is sure to be of the same file."""
    web = serve(behave)
    assert download(web.url, tmp_path / "faces.zip", Limits(attempts=4, backoff_seconds=0.01)) == 4
    assert (tmp_path / "faces.zip").read_bytes() == ZIP
    ranges_asked = [request.headers.get("Range") for request in web.requests]
    assert ranges_asked == [start and f"bytes={start}-" for start in asked]


@pytest.mark.parametrize("form", ["416", "bytes of another place", "bytes of another file"])
def test_a_part_that_is_not_the_one_asked_for(serve, tmp_path, form):
    """The download begins again."""

    def behave(_, number):
        if number == 1:
            return answer(ETag='"one"')[:100_000]
        if number > 2:
            return answer(ETag='"one"')
        if form == "416":
            return answer(416, b"")
        start, etag = (5, '"one"') if form.endswith("place") else (99_900, '"two"')
        return answer(206, ZIP[start:], ETag=etag, Content_Range=f"bytes {start}-{len(ZIP) - 1}/{len(ZIP)}")

    web = serve(behave)
    assert download(web.url, tmp_path / "faces.zip", QUICK) == 3
    assert (tmp_path / "faces.zip").read_bytes() == ZIP
    assert [("Range" in request.headers) for request in web.requests] == [False, True, False]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Give a certificate for 127.0.0.1 that only its own key has signed, and a server's context with it."""
    folder = tmp_path_factory.mktemp("certificate")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "certificate.pem").write_bytes(signed.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return SimpleNamespace(path=folder / "certificate.pem", context=context)


def test_a_certificate_that_nobody_vouches_for(serve, refused, certificate):
    """Said at once; no option makes the program look away."""
    web = serve(lambda *_: answer(), certificate.context)
    assert refused(web.url) == "its certificate could not be verified"
    assert web.requests == []


def test_a_certificate_of_the_users_own(serve, tmp_path, certificate, monkeypatch):
    """REQUESTS_CA_BUNDLE names the certificates to trust."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate.path))
    web = serve(lambda *_: answer(), certificate.context)
    assert download(web.url, tmp_path / "faces.zip", QUICK) == 1


def test_https_at_a_server_that_speaks_http(serve, refused):
    """A wrong scheme is told from a wrong certificate."""
    web = serve(lambda *_: answer())
    assert refused(web.url.replace("http:", "https:")) == "it does not speak TLS"


def test_a_redirection_from_https_to_http(serve, refused, certificate, monkeypatch):
    """The protection that the user asked for is not given up on the way."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate.path))
    plain = serve(lambda *_: answer())
    web = serve(moved(plain.url), certificate.context)
    assert refused(web.url) == "it redirects to an address that is not https"
    assert plain.requests == []


def test_a_password_goes_to_its_own_server_alone(serve, tmp_path):
    """After a redirection to another server the user's name and password are not sent along."""
    other = serve(lambda *_: answer())
    web = serve(moved(other.url))
    assert download(web.url.replace("//", "//me:secret@"), tmp_path / "faces.zip", QUICK) == 1
    assert [("Authorization" in request.headers) for request in (*web.requests, *other.requests)] == [True, False]


def test_a_server_that_refuses_requests_name_gets_ours(serve, tmp_path):
    """Some answer scrapers with 403, by the name of the library."""

    def refuse_scrapers(request, _):
        return answer(403) if request.headers["User-Agent"].startswith("python-requests") else answer()

    web = serve(refuse_scrapers)
    download(web.url, tmp_path / "faces.zip", QUICK)
    assert web.requests[0].headers["User-Agent"] == f"deep-mlp/{version('deep-mlp')}"


def test_a_password_from_netrc_is_sent(serve, tmp_path, monkeypatch):
    """The one of the server's host."""
    web = serve(lambda *_: answer())
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NETRC", raising=False)
    assert download(web.url, tmp_path / "faces.zip", QUICK) == 1
    assert web.requests[0].headers["Authorization"] == f"Basic {b64encode(b'me:secret').decode()}"


@pytest.fixture
def behind_proxy(monkeypatch):
    """Give a function that sets the proxies of the environment."""
    for name in ("NO_PROXY", "no_proxy", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)

    def behind_proxy(port):
        for name in ("HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}")

    return behind_proxy


def test_a_proxy_of_the_environment_is_used(serve, tmp_path, behind_proxy):
    """HTTP_PROXY; the proxy is asked for the whole address, whose host this machine cannot find."""
    proxy = serve(lambda *_: answer())
    behind_proxy(proxy.port)
    assert download("http://faces.invalid/faces.zip", tmp_path / "faces.zip", QUICK) == 1
    assert [request.path for request in proxy.requests] == ["http://faces.invalid/faces.zip"]


def test_a_proxy_that_refuses_https(serve, refused, behind_proxy):
    """HTTPS_PROXY; it is asked for a tunnel to the server's host, and nothing else."""
    proxy = serve(lambda *_: answer(403))
    behind_proxy(proxy.port)
    assert refused("https://faces.invalid/faces.zip") == "the proxy could not be reached or refused"
    assert {request.path for request in proxy.requests} == {"faces.invalid:443"}


def test_a_proxy_that_is_down(refused, behind_proxy):
    """The sentence names the proxy, not the server behind it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        behind_proxy(taken.getsockname()[1])
        assert refused("http://faces.invalid/faces.zip") == "the proxy could not be reached or refused"


def test_a_zip_from_the_web_is_fetched_once(serve, run, image_zip, tmp_path):
    """It gives what the local one gives, behind a redirection too, and again only if it is gone or damaged."""
    content = image_zip.read_bytes()
    web = serve(lambda request, _: answer(302, b"", Location="/f") if request.path != "/f" else answer(body=content))
    assert run("images", tmp_path, images=web.url).state.is_completed()
    (table,), local = tmp_path.glob("tables/images-*.parquet"), decode_images(image_zip)
    assert pq.read_table(table).replace_schema_metadata() == local.replace_schema_metadata()
    assert len(web.requests) == 2

    again = run("images", tmp_path, images=web.url)
    assert again.tasks["Cached"][0].startswith("download images")
    assert len(web.requests) == 2

    (archive,) = tmp_path.glob("images/*.zip")
    archive.write_bytes(content[:-9])
    mended = run("images", tmp_path, images=web.url)
    assert mended.tasks["Completed"][0].startswith("download images")
    assert archive.read_bytes() == content
    assert "train hidden=8" in mended.tasks["Cached"]


def test_a_failed_download_leaves_nothing_behind(serve, run, tmp_path):
    """One sentence from the whole run, and no folder."""
    web = serve(lambda *_: answer(404))
    ran = run("images", tmp_path / "artifacts", images=web.url)
    with pytest.raises(ResourceError, match=rf"from {web.url}: the server answered 404 Not Found; without a network"):
        ran.state.result()
    assert len(web.requests) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_program_says_each_attempt_and_one_sentence(program, tmp_path):
    """Four attempts in less than half a minute, a line for each that will be made again, exit status 1."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/faces.zip"
        started = time.monotonic()
        ran = program(f"{program.images} --images {url}")
    assert time.monotonic() < started + 30
    assert (ran.status, ran.out) == (1, "")
    *progress, last_line = ran.err.splitlines()
    again = [f"{url}: the connection was refused; again in {seconds} s" for seconds in (1, 2, 4)]
    assert [line.split("  ")[1] for line in progress] == [f"downloading {url}", *again]
    assert last_line == f"deep-mlp: images could not be downloaded from {url}: the connection was refused{WAY_OUT}"
    assert list(tmp_path.iterdir()) == []
