"""What a run's clients do without at a server on this machine: heartbeats, tokens, certificates read anew."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import SimpleNamespace
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
def quick_clients(*, started: bool) -> Iterator[None]:
    """Spare the clients of a run what a server on this machine does not ask for, while the context lasts.

    Nobody asks a server for the heartbeats of its only run, and the last one is waited for: up to a second. Prefect
    makes a dozen clients in a run. Each reads all certificates, 22 ms, though it speaks http, and each asks for a token
    against forged requests (CSRF), which a server has only if the setting says so.

    Args:
        started: Whether this program has started the server, with its own settings.
    """
    from prefect.client import orchestration
    from prefect.settings import (
        PREFECT_CLIENT_CSRF_SUPPORT_ENABLED,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        get_current_settings,
        temporary_settings,
    )

    settings: dict[Any, Any] = {PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}
    if started and not get_current_settings().server.api.csrf_protection_enabled:
        settings[PREFECT_CLIENT_CSRF_SUPPORT_ENABLED] = False
    of_prefect = vars(orchestration).get("ssl")
    if of_prefect is ssl:  # else this Prefect makes its clients in another way
        vars(orchestration)["ssl"] = SimpleNamespace(**{**vars(ssl), "create_default_context": tls_context})
    try:
        with temporary_settings(settings):
            yield
    finally:
        if of_prefect is ssl:
            vars(orchestration)["ssl"] = ssl
