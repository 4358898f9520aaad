"""The page's server: a few files that it holds in memory, and one WebSocket for each open page.

It listens on loopback alone. A page from elsewhere cannot ask it: neither under a name of its own that leads here (its
Host is not loopback's), nor from its own address (its Origin is not this server's).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, WebSocket
from starlette.datastructures import Headers
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.websockets import WebSocketDisconnect

from flows.play.question import Asked, Question
from flows.play.session import Session
from mlp_core.errors import InputError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_PAGES = 32
"""Open at the same time."""
_NAMES = ("127.0.0.1", "localhost", "[::1]")
_KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
"""Of every answer: nothing is loaded from elsewhere, nothing inline is run, nobody frames the page."""


def page_app(run_flow: Callable[[Asked, Callable[..., None]], None]) -> ASGIApp:
    """Return the ASGI application of the page: its files, the schema of its form, and one WebSocket per open page.

    More than `MOST_PAGES` pages at once are refused, and so are requests from other sites; see `guarded`.

    Args:
        run_flow: Function that runs a question as a flow, see `Session`.
    """
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    pages: set[Session] = set()

    @app.websocket("/live")
    async def live(channel: WebSocket) -> None:
        await channel.accept()
        if len(pages) >= MOST_PAGES:
            await channel.close(1013, f"{MOST_PAGES} pages are open: close one")
            return
        session = Session(channel, run_flow)
        pages.add(session)
        telling = asyncio.create_task(session.tell())
        try:
            await _listen(channel, session)
        finally:
            pages.discard(session)
            telling.cancel()
            session.close()

    @app.get("/form")
    async def form() -> Response:
        return JSONResponse(Question.model_json_schema())

    for name, (body, kind) in _files().items():
        app.add_api_route(f"/{name}", _file(body, kind), methods=["GET"])
    return guarded(app)


async def _listen(channel: WebSocket, session: Session) -> None:
    with suppress(WebSocketDisconnect):
        while True:
            message = await channel.receive()
            if message["type"] == "websocket.disconnect":
                return
            try:
                await session.hear(message.get("text") or "")
            except InputError as error:
                await session.refuse(str(error))


def _files() -> dict[str, tuple[bytes, str]]:
    """Return the page's files by their path: what a request names is looked up here, never on the disk."""
    by_path = {
        item.name: (item.read_bytes(), _KINDS[item.name.rpartition(".")[2]])
        for item in files("flows.play").joinpath("static").iterdir()
        if item.name.rpartition(".")[2] in _KINDS
    }
    by_path[""] = by_path.pop("index.html")
    return by_path


def _file(body: bytes, kind: str) -> Callable[[], Any]:
    async def answer() -> Response:
        return Response(body, media_type=kind)

    return answer


def guarded(app: ASGIApp) -> ASGIApp:
    """Wrap an ASGI application so that only pages of this server on this machine reach it; other requests get 403.

    The request's Host must be a loopback address, and its Origin this server's own (a plain HTTP request may have
    none). Each answer gets the security headers `HEADERS`.
    """

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                named = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message.get("headers", []), *named]
            await send(message)

        if not _is_own(scope):
            sentence = "deep-mlp play answers its own page on this machine alone.\n"
            if scope["type"] == "http":
                await PlainTextResponse(sentence, HTTPStatus.FORBIDDEN)(scope, receive, send_with_headers)
            else:
                await WebSocket(scope, receive, send).close(1008, sentence.strip())
            return
        await app(scope, receive, send_with_headers)

    return answer


def _is_own(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    host = headers.get("host", "")
    if host.rpartition(":")[0] not in _NAMES or len(headers.getlist("host")) != 1:
        return False
    origins = headers.getlist("origin")
    if scope["type"] == "http" and not origins:
        return True
    return origins == [f"http://{host}"]
