"""The gate before the API: logs each request, and carries out the fault that it meets."""

from __future__ import annotations

import asyncio
import json
import re
import time
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from klap_sandbox import faults
from klap_sandbox.intake import whole_body
from klap_sandbox.server import TRANSPORT

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from klap_sandbox.desk import Desk
    from klap_sandbox.faults import Fault

CONTROL = "/_sandbox"
API = "/v2"
LONGEST = 500
"""So many characters of an address or a header are logged, and of the names of a body's fields."""
WEB_PAGE = "<!doctype html><title>502 Bad Gateway</title><h1>502 Bad Gateway</h1><hr>nginx"


@dataclass
class LoggedRequest:
    """One request. ``status`` is None until the answer begins, and stays None without an answer.

    ``ignored`` names the fields of its body that nothing was made of.
    """

    method: str
    path: str
    query: str
    on_behalf_of: str | None
    at: float
    fault: str | None
    status: int | None = None
    seconds: float | None = None
    ignored: list[str] = field(default_factory=list)

    def note(self, ignored: list[str]) -> None:
        """Note the fields that nothing was made of."""
        lengths = accumulate(len(name) + 1 for name in ignored)
        self.ignored = [name for name, length in zip(ignored, lengths, strict=True) if length <= LONGEST]
        self.ignored += ["…"] if len(self.ignored) < len(ignored) else []


class Gate:
    """ASGI middleware around everything but ``/_sandbox``."""

    def __init__(self, app: ASGIApp, *, desk: Desk) -> None:
        self._app = app
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or not."""
        if scope["type"] != "http" or scope["path"].startswith(CONTROL):
            await self._app(scope, receive, send)
            return
        scope.setdefault("state", {})
        asked = scope
        if asked["path"].startswith(API):
            scope = _as_the_api_takes_it(asked, forgiving=not self._desk.settings.strict)
        fault = self._desk.book.take(asked["method"], scope["path"].removeprefix(API))
        entry = scope["state"]["logged"] = self._enter(asked, fault)
        await self._serve(fault, scope, receive, _logging(send, entry))

    def _enter(self, scope: Scope, fault: Fault | None) -> LoggedRequest:
        user = Headers(scope=scope).get("x-on-behalf-of")
        entry = LoggedRequest(
            method=scope["method"],
            path=scope["path"].removeprefix(API)[:LONGEST],
            query=scope["query_string"].decode("latin-1")[:LONGEST],
            on_behalf_of=user[:LONGEST] if user else None,
            at=time.time(),
            fault=fault.action if fault else None,
        )
        self._desk.log.append(entry)
        return entry

    async def _serve(self, fault: Fault | None, scope: Scope, receive: Receive, send: Send) -> None:
        if isinstance(fault, faults.Drop):
            await whole_body(receive)
            await _disconnect(scope, receive)
        elif isinstance(fault, faults.AcceptThenDrop):
            await self._app(scope, receive, _into_the_void)
            await _disconnect(scope, receive)
        elif isinstance(fault, faults.Delay):
            await self._app(scope, receive, _held_back(send, fault.seconds))
        elif isinstance(fault, faults.Drip):
            await self._app(scope, receive, _dripping(send, fault.seconds))
        elif isinstance(fault, faults.Late):
            whole = await whole_body(receive)
            await asyncio.sleep(fault.seconds)
            if whole is not None:
                await self._app(scope, _replaying(whole, receive), send)
        elif isinstance(fault, faults.Reshape):
            await self._app(scope, receive, _reshaped(send, fault.shape))
        elif isinstance(fault, faults.Truncate):
            await self._app(scope, receive, _cut_off(send, fault.bytes, scope))
        elif (answer := canned_answer(fault)) is not None:
            await whole_body(receive)
            await answer(scope, receive, send)
        else:
            scope["state"]["fault"] = fault
            await self._app(scope, receive, send)


def canned_answer(fault: Fault | None) -> Response | None:
    """The whole answer of a fault that keeps the request from being handled; None for any other fault."""
    if isinstance(fault, faults.Status):
        body = None if fault.code in (204, 304) else fault.body
        kind = Response if body is None or isinstance(body, str) else JSONResponse
        return kind(body, fault.code, fault.headers)
    if isinstance(fault, faults.Empty):
        return Response(status_code=fault.code)
    if isinstance(fault, faults.Html):
        return HTMLResponse(WEB_PAGE, fault.code)
    if isinstance(fault, faults.NotAVideo):
        return HTMLResponse(WEB_PAGE)
    if isinstance(fault, faults.Redirect):
        return RedirectResponse(fault.location, fault.code)
    return None


def _as_the_api_takes_it(scope: Scope, *, forgiving: bool) -> Scope:
    """A HEAD is handled like the GET (the server keeps the body back), and a slash too many does no harm."""
    path = re.sub("/+", "/", scope["path"]).rstrip("/") if forgiving else scope["path"]
    return {**scope, "path": path, "method": "GET" if scope["method"] == "HEAD" else scope["method"]}


def _logging(send: Send, entry: LoggedRequest) -> Send:
    async def logged(message: Message) -> None:
        if message["type"] == "http.response.start":
            entry.status = message["status"]
            entry.seconds = time.time() - entry.at
        await send(message)

    return logged


#: How long a dripping answer lasts, in drops: for ever, as far as a client is concerned.
DROPS = 600


def _dripping(send: Send, seconds: float) -> Send:
    async def dripping(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [pair for pair in message["headers"] if pair[0].lower() != b"content-length"]
            await send({**message, "headers": headers})
            return
        for _ in range(DROPS):
            await send({"type": "http.response.body", "body": b" ", "more_body": True})
            await asyncio.sleep(seconds)
        await send(message)

    return dripping


def _held_back(send: Send, seconds: float) -> Send:
    async def held_back(message: Message) -> None:
        if message["type"] == "http.response.start":
            await asyncio.sleep(seconds)
        await send(message)

    return held_back


def _cut_off(send: Send, limit: int, scope: Scope) -> Send:
    left = limit
    over = False

    async def cut_off(message: Message) -> None:
        nonlocal left, over
        if over:
            return
        if message["type"] == "http.response.body":
            body = message.get("body", b"")
            over = len(body) > left
            if over:
                await send({**message, "body": body[:left], "more_body": True})
                scope[TRANSPORT].close()
                return
            left -= len(body)
        await send(message)

    return cut_off


async def _into_the_void(message: Message) -> None:
    """Send nothing."""


def _replaying(body: bytes, receive: Receive) -> Receive:
    """Give a body that was read already once more; then wait as the real thing does."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replaying() -> Message:
        return left.pop() if left else await receive()

    return replaying


def _reshaped(send: Send, shape: str) -> Send:
    start: Message | None = None
    body = b""

    async def reshaped(message: Message) -> None:
        nonlocal start, body
        if message["type"] == "http.response.start":
            start = message
            return
        body += message.get("body", b"")
        if message.get("more_body") or start is None:
            return
        answer: Any = json.loads(body or b"null")
        if not isinstance(answer, dict) or "id" not in answer:
            await send(start)
            await send({"type": "http.response.body", "body": body})
            return
        wrapper = "export" if "src_url" in answer else "task"
        whole = json.dumps({"id": answer["id"]} if shape == "id_only" else {wrapper: answer}).encode()
        headers = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
        await send({**start, "headers": [*headers, (b"content-length", str(len(whole)).encode())]})
        await send({"type": "http.response.body", "body": whole})

    return reshaped


async def _disconnect(scope: Scope, receive: Receive) -> None:
    """Close the connection, and wait until the server has noticed: then it does not answer by itself."""
    scope[TRANSPORT].abort()
    while (await receive())["type"] != "http.disconnect":
        pass
