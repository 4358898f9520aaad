"""A Prefect server as this project starts it: Prefect's own, whose pages ask nobody but this server.

A program of its own that imports nothing of the project, run as a file. It is what `prefect server start` runs, by
Prefect's own uvicorn and without the imports of its command line.
"""

from __future__ import annotations

import gc
import os
import re
import sqlite3
import sys
import threading
from contextlib import closing, contextmanager, suppress
from http import HTTPStatus
from importlib.util import find_spec
from pathlib import Path
from socket import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

TABLES = Path(__file__).with_name("prefect_tables.sql")
"""What Prefect's migrations make of an empty database."""
_UNCOLLECTED_SECONDS = 10
_END_SECONDS = 3
_RECORD_SECONDS = 0.25
ROUTES_OF_A_RUN = {
    "/admin",
    "/artifacts",
    "/csrf-token",
    "/events",
    "/flow_runs",
    "/flows",
    "/logs",
    "/task_runs",
    "/v2/concurrency_limits",
}
"""Prefixes of the routes that a run of a flow asks for."""
_HOST = re.compile(r"[\w.:\[\]-]+")
_COLLECTION = re.compile(r".*/api/collections/views/([a-z-]+)")


def main() -> None:
    """Serve Prefect's API and UI until SIGTERM, by the listening socket whose file descriptor is the one argument."""
    gc.disable()  # Python's search for garbage would slow down the imports
    later = threading.Timer(_UNCOLLECTED_SECONDS, _collect)
    later.daemon = True
    later.start()
    app = prefect_app()
    import uvicorn
    from prefect.settings import get_current_settings

    server = get_current_settings().server
    begin_with_tables()
    _begin_as_writer()
    _record_soon()
    config = uvicorn.Config(
        by_itself(app),
        log_level=server.logging_level.lower(),
        timeout_graceful_shutdown=_END_SECONDS,  # an open page holds its connection as long as it can
        timeout_keep_alive=server.api.keepalive_timeout,
        ws_ping_interval=server.api.websocket_ping_interval,
        ws_ping_timeout=server.api.websocket_ping_timeout,
    )
    uvicorn.Server(config).run(sockets=[socket(fileno=int(sys.argv[1]))])


def _collect() -> None:
    """Search for garbage from now on, but not among what is there: the imports stay, and the search took 0.3 s."""
    gc.freeze()
    gc.enable()


def prefect_app() -> ASGIApp:
    """Return Prefect's own application, made once in this process and sooner than Prefect itself makes it."""
    for unused in ("rfc3987_syntax", "httpx._main", "trio"):  # as in `tasks.process.configure`; anyio runs on asyncio
        sys.modules.setdefault(unused, None)  # type: ignore[arg-type]
    os.environ.setdefault("PY_KEY_VALUE_DISABLE_BEARTYPE", "true")  # types checked as that library's developers do
    with _routes_prepared_when_included():
        from prefect.server.api import server as prefect_server
    from prefect.settings import Settings

    # Prefect writes out all settings, twice, to know whether it has made the app before: 0.13 s
    Settings.hash_key = lambda self: str(id(self))  # type: ignore[method-assign]

    # FastAPI builds the routes that it passes as it looks for one: those of a run first, those of the UI when asked for
    routers = sorted(prefect_server.API_ROUTERS, key=lambda router: router.prefix not in ROUTES_OF_A_RUN)
    prefect_server.API_ROUTERS = tuple(routers)
    # Not `final`, as `prefect server start` has it: that would search for garbage, which with this FastAPI is not there
    app = prefect_server.create_app()
    # Prefect's own clients inside the server ask for the app again, which writes out all settings each time
    prefect_server.create_app = lambda *_, **__: app
    return app


@contextmanager
def _routes_prepared_when_included() -> Iterator[None]:
    """Let FastAPI declare routes without what answers requests, for those that are included in an application.

    It prepares those again, with what the application adds; the first is never used, and took a tenth of the start.
    """
    try:
        from fastapi import routing
        from fastapi.dependencies.models import Dependant
    except ImportError:  # another FastAPI
        yield
        return

    def declared(*, path: str, call: Any, **_: Any) -> tuple[Dependant, list[Any], bool]:
        return Dependant(path=path, call=call), [], False

    unprepared = {"_build_dependant_with_parameterless_dependencies": declared, "create_model_field": lambda **_: None}
    prepared = {name: vars(routing)[name] for name in unprepared if name in vars(routing)}
    vars(routing).update({name: unprepared[name] for name in prepared})
    try:
        yield
    finally:
        vars(routing).update(prepared)


def begin_with_tables() -> None:
    """Make the tables of a new database at once, as Prefect's migrations would, which take six seconds.

    All is left to the migrations if the user has set another database, if the tables are not the installed Prefect's,
    or if they cannot be written. It is one transaction: a killed server leaves all tables or none.
    """
    from prefect import __version__
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    database = settings.home / "prefect.db"
    url = settings.server.database.connection_url
    if url is None or url.get_secret_value() != f"sqlite+aiosqlite:///{database}":
        return
    with suppress(OSError, sqlite3.Error):
        tables = TABLES.read_text(encoding="utf-8")
        if tables.startswith(f"-- Prefect {__version__}\n") and not (database.exists() and database.stat().st_size):
            with closing(sqlite3.connect(database)) as connection:  # without a commit nothing stays
                connection.executescript(tables)


def _begin_as_writer() -> None:
    """Let each transaction on SQLite wait for its turn as it begins.

    Prefect begins most of them as readers. SQLite refuses such a one its first write, at once, if another has written
    meanwhile; Prefect then answers 503, and its client waits two seconds or more before it asks again.
    """
    from prefect.server.database.configurations import AioSqliteConfiguration

    begin = AioSqliteConfiguration.begin_transaction
    AioSqliteConfiguration.begin_transaction = lambda self, session, **_: begin(self, session, with_for_update=True)


def _record_soon() -> None:
    """Store states of tasks a quarter of a second after they came, not up to a second: a run waits for the last ones.

    Prefect's setting, which has whole seconds only, stands if it is not the one of `tasks.process.ENVIRONMENT`.
    """
    with suppress(ImportError, AttributeError):  # another Prefect's server stores them when it does
        from prefect.server.services import task_run_recorder

        consumer = task_run_recorder.consumer

        def consumer_soon(*args: Any, **kwargs: Any) -> Any:
            if kwargs.get("flush_every") == 1:
                kwargs["flush_every"] = _RECORD_SECONDS
            return consumer(*args, **kwargs)

        task_run_recorder.consumer = consumer_soon


def by_itself(app: ASGIApp) -> ASGIApp:
    """Wrap Prefect's server so that its pages work at any address and contact no other server.

    Prefect's pages ask the address that the server is configured with, which is wrong behind a tunnel or a container's
    port; here it is the address that the browser asked for. A content security policy keeps the browser from every
    other address, such as that of an analytics company. Prefect's lists of collections come from the installed package
    (404 if it has none) instead of GitHub.
    """
    from prefect.settings import PREFECT_UI_API_URL, get_current_settings, temporary_settings
    from starlette.datastructures import URL, Headers, MutableHeaders
    from starlette.responses import FileResponse, Response

    collections = _collections()
    ui = get_current_settings().server.ui
    set_by_user = ui.api_url if "api_url" in ui.model_fields_set else None

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        host = Headers(scope=scope).get("host", "")
        url = set_by_user
        if not url and _HOST.fullmatch(host):
            url = str(URL(scope=scope).replace(path="/api", query=""))
        policy = _policy(url)

        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Content-Security-Policy"] = policy
            await send(message)

        view = _COLLECTION.fullmatch(scope["path"])
        if view:
            kept = collections.get(view[1])
            await (FileResponse(kept) if kept else Response(status_code=HTTPStatus.NOT_FOUND))(scope, receive, send)
        elif url and scope["path"].endswith("/ui-settings"):
            with temporary_settings({PREFECT_UI_API_URL: url}):
                await app(scope, receive, send_with_policy)
        else:
            await app(scope, receive, send_with_policy)

    return answer


def _policy(api_url: str | None) -> str:
    """Return what the browser may ask: this server, the API if it is elsewhere, and their events over WebSockets."""
    address = re.match(r"http(s?://[^/;,\s]+)", api_url or "")
    api = f" http{address[1]} ws{address[1]}" if address else ""
    return f"default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'{api}"


def _collections() -> dict[str, Path]:
    """Return the lists of collections that this Prefect came with, by name."""
    spec = find_spec("prefect.server.api")
    folders = spec.submodule_search_locations if spec else None
    return {path.stem: path for folder in folders or () for path in Path(folder).glob("collections_data/views/*.json")}


if __name__ == "__main__":
    main()
