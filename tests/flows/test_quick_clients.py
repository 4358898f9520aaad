"""What the clients of a run do without, and what they keep."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from contextlib import closing

import pytest
from httpx import ConnectError

from flows.quick_clients import quick_clients, tls_context


@pytest.fixture
def certificate(tmp_path):
    """Give a folder with a certificate of 127.0.0.1 that only its own key has signed."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=s"
    files = ["-keyout", "key.pem", "-out", "certificate.pem", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command.split(), *files], cwd=tmp_path, check=True, capture_output=True)
    return tmp_path


@pytest.fixture
def encrypted(certificate):
    """Give the address of a server that speaks TLS with that certificate and says that it is healthy."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "certificate.pem", certificate / "key.pem")

    def answer(listener):
        while True:
            try:
                connection, _ = listener.accept()
                with connection, context.wrap_socket(connection, server_side=True) as secured:
                    secured.recv(1 << 16)
                    secured.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\ntrue")
            except ssl.SSLError:  # who asked does not trust it
                continue
            except OSError:
                return

    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        threading.Thread(target=answer, args=[listener], daemon=True).start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}/api"
        listener.shutdown(socket.SHUT_RDWR)


def contexts_of(clients):
    return [client._client._transport._pool._ssl_context for client in clients]


def test_certificates_are_read_once(api_url):
    """All clients of a run have one TLS context, which verifies; afterwards each has its own again."""
    from prefect.client.orchestration import get_client

    with quick_clients(is_local=True, is_started=False):
        first, second = contexts_of([get_client(sync_client=True) for _ in range(2)])
    assert first is second
    assert (first.verify_mode, first.check_hostname) == (ssl.CERT_REQUIRED, True)
    after = contexts_of([get_client(sync_client=True) for _ in range(2)])
    assert len({id(context) for context in (first, *after)}) == 3


@pytest.mark.thorough
def test_a_server_that_nobody_vouches_for_is_not_trusted(encrypted, certificate):
    """Its certificate is verified as ever: against the file that the setting names, and no other."""
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_SSL_CERT_FILE, PREFECT_API_URL, temporary_settings

    trusted = {PREFECT_API_URL: encrypted, PREFECT_API_SSL_CERT_FILE: str(certificate / "certificate.pem")}
    with quick_clients(is_local=True, is_started=False):
        with temporary_settings({PREFECT_API_URL: encrypted}):
            assert isinstance(get_client(sync_client=True).api_healthcheck(), ConnectError)
        with temporary_settings(trusted):
            assert get_client(sync_client=True).api_healthcheck() is None
        with temporary_settings({PREFECT_API_URL: encrypted}):
            assert isinstance(get_client(sync_client=True).api_healthcheck(), ConnectError)


def test_a_context_that_verifies_less_is_not_handed_on(certificate):
    """Whoever weakens the one that he got weakens nobody else's; contexts of another kind are never shared."""
    asked = {"cafile": str(certificate / "certificate.pem")}
    weakened = tls_context(**asked)
    weakened.check_hostname = False
    weakened.verify_mode = ssl.CERT_NONE
    other = tls_context(**asked)
    assert (other.verify_mode, other.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert tls_context() is not tls_context()


@pytest.mark.parametrize(
    ("started", "protected", "asks"),
    [(True, False, False), (True, True, True), (False, False, True)],
    ids=["own", "own, protected", "another's"],
)
def test_a_token_is_asked_for_where_there_may_be_one(api_url, started, protected, asks):
    """At a server that the program has not started, and at its own if the user's setting protects it."""
    from prefect.client.orchestration import get_client
    from prefect.settings import (
        PREFECT_CLIENT_CSRF_SUPPORT_ENABLED,
        PREFECT_SERVER_CSRF_PROTECTION_ENABLED,
        temporary_settings,
    )

    settings = {PREFECT_CLIENT_CSRF_SUPPORT_ENABLED: True, PREFECT_SERVER_CSRF_PROTECTION_ENABLED: protected}
    with temporary_settings(settings), quick_clients(is_local=True, is_started=started):
        assert get_client(sync_client=True)._client.enable_csrf_support is asks


def test_another_prefect_is_left_as_it_is(monkeypatch):
    """One whose clients are made in another way is only slower."""
    from prefect import flow_engine
    from prefect.client import orchestration

    monkeypatch.delattr(orchestration, "ssl")
    monkeypatch.delattr(flow_engine, "_send_heartbeats")
    with quick_clients(is_local=True, is_started=True):
        assert not hasattr(orchestration, "ssl")
        assert not hasattr(flow_engine, "_send_heartbeats")


@pytest.mark.thorough
@pytest.mark.parametrize("is_local", [True, False])
def test_a_run_does_not_wait_for_its_heartbeats(monkeypatch, api_url, is_local):
    """At a server of somebody else they are sent, by a thread that ends by itself; at a local one they are not."""
    from prefect import flow, flow_engine
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    beats, awaited = [], []
    monkeypatch.setattr(flow_engine.BaseFlowRunEngine, "_emit_flow_run_heartbeat", lambda *_: beats.append(1))
    join = threading.Thread.join

    def noted_join(thread, timeout=None):
        awaited.append(repr(getattr(thread, "_target", None)))
        join(thread, timeout)

    monkeypatch.setattr(threading.Thread, "join", noted_join)
    nothing = flow(lambda: None, name="nothing")
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: 30}):
        with quick_clients(is_local=is_local, is_started=False):
            nothing()
        assert len(beats) == (not is_local)
        assert not [target for target in awaited if "Context" in target]
        nothing()
        assert len(beats) == 1 + (not is_local)
        assert [target for target in awaited if "Context" in target]
