"""What a run's clients do without: heartbeats that nobody waits for, needless tokens, certificates read anew."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from types import ModuleType, SimpleNamespace
from typing import Any

_read_certificates = cache(ssl.create_default_context)


def tls_context(*args: Any, **kwargs: Any) -> ssl.SSLContext:
    """Return what `ssl.create_default_context` does; of one file of certificates always the same one, read once.

    One that somebody has set to verify less is not handed on.
    """
    if args or kwargs.keys() != {"cafile"} or not isinstance(kwargs["cafile"], str):
        return ssl.create_default_context(*args, **kwargs)
    context = _read_certificates(**kwargs)
    verifies = context.verify_mode is ssl.CERT_REQUIRED and context.check_hostname
    return context if verifies else ssl.create_default_context(**kwargs)


@contextmanager
def quick_clients(*, is_local: bool, is_started: bool) -> Iterator[None]:
    """Spare the clients of a run what its server does not ask for, while the context lasts.

    Prefect makes a dozen clients in a run. Each reads all certificates, 22 ms, though it may speak http, and each asks
    for a token against forged requests (CSRF), which a server has only if the setting says so. At its end a run waits
    for the thread of its heartbeats, which sleeps a second at a time: here it ends by itself. Nobody asks a local
    server for the heartbeats of its run.

    Args:
        is_local: Whether the server is one that runs of this user share on this machine and that ends with them.
        is_started: Whether this program has started the server, with its own settings.
    """
    from prefect import flow_engine
    from prefect.client import orchestration
    from prefect.settings import (
        PREFECT_CLIENT_CSRF_SUPPORT_ENABLED,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        get_current_settings,
        temporary_settings,
    )

    settings: dict[Any, Any] = {PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None} if is_local else {}
    if is_started and not get_current_settings().server.api.csrf_protection_enabled:
        settings[PREFECT_CLIENT_CSRF_SUPPORT_ENABLED] = False
    with ExitStack() as until_end:
        if vars(orchestration).get("ssl") is ssl:  # else this Prefect makes its clients in another way
            shared = SimpleNamespace(**{**vars(ssl), "create_default_context": tls_context})
            until_end.enter_context(_replaced(orchestration, "ssl", shared))
        send = vars(flow_engine).get("_send_heartbeats")
        if send is not None:
            until_end.enter_context(_replaced(flow_engine, "_send_heartbeats", partial(send, join_on_exit=False)))
        until_end.enter_context(temporary_settings(settings))
        yield


@contextmanager
def _replaced(module: ModuleType, name: str, value: object) -> Iterator[None]:
    before = vars(module)[name]
    vars(module)[name] = value
    try:
        yield
    finally:
        vars(module)[name] = before
