"""The gate before the API: logs each request, and carries out the fault that it meets."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from klap_sandbox import faults
from klap_sandbox.server import TRANSPORT

if TYPE_CHECKING:
    from collections import deque

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from klap_sandbox.faults import Fault, FaultBook

CONTROL = "/_sandbox"
WEB_PAGE = "<!doctype html><title>502 Bad Gateway</title><h1>502 Bad Gateway</h1><hr>nginx"


@dataclass
class LoggedRequest:
    """One request. ``status`` is None until the answer begins, and stays None without an answer."""

    method: str
    path: str
    query: str
    on_behalf_of: str | None
    at: float
    fault: str | None
    status: int | None = None
    seconds: float | None = None


class Gate:
    """ASGI middleware around everything but ``/_sandbox``."""

    def __init__(self, app: ASGIApp, *, book: FaultBook, log: deque[LoggedRequest]) -> None:
        self._app = app
        self._book = book
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or not."""
        if scope["type"] != "http" or scope["path"].startswith(CONTROL):
            await self._app(scope, receive, send)
            return
        method, path = scope["method"], scope["path"].removeprefix("/v2")
        fault = self._book.take(method, path)
        await self._serve(fault, scope, receive, _logging(send, self._enter(scope, path, fault)))

    def _enter(self, scope: Scope, path: str, fault: Fault | None) -> LoggedRequest:
        entry = LoggedRequest(
            method=scope["method"],
            path=path,
            query=scope["query_string"].decode("latin-1"),
            on_behalf_of=Headers(scope=scope).get("x-on-behalf-of"),
            at=time.time(),
            fault=fault.action if fault else None,
        )
        self._log.append(entry)
        return entry

    async def _serve(self, fault: Fault | None, scope: Scope, receive: Receive, send: Send) -> None:
        if isinstance(fault, faults.Drop):
            await _read_body(receive)
            await _disconnect(scope, receive)
        elif isinstance(fault, faults.AcceptThenDrop):
            await self._app(scope, receive, _into_the_void)
            await _disconnect(scope, receive)
        elif isinstance(fault, faults.Delay):
            await self._app(scope, receive, _held_back(send, fault.seconds))
        elif isinstance(fault, faults.Late):
            whole = await _read_body(receive)
            await asyncio.sleep(fault.seconds)
            await self._app(scope, _replaying(whole, receive), send)
        elif isinstance(fault, faults.Reshape):
            await self._app(scope, receive, _reshaped(send, fault.shape))
        elif isinstance(fault, faults.Truncate):
            await self._app(scope, receive, _cut_off(send, fault.bytes, scope))
        elif (answer := canned_answer(fault)) is not None:
            await _read_body(receive)
            await answer(scope, receive, send)
        else:
            scope.setdefault("state", {})["fault"] = fault
            await self._app(scope, receive, send)


def canned_answer(fault: Fault | None) -> Response | None:
    """The whole answer of a fault that keeps the request from being handled; None for any other fault."""
    if isinstance(fault, faults.Status):
        if isinstance(fault.body, str) or fault.body is None:
            return Response(fault.body, fault.code, fault.headers)
        return JSONResponse(fault.body, fault.code, fault.headers)
    if isinstance(fault, faults.Empty):
        return Response(status_code=fault.code)
    if isinstance(fault, faults.Html):
        return HTMLResponse(WEB_PAGE, fault.code)
    if isinstance(fault, faults.NotAVideo):
        return HTMLResponse(WEB_PAGE)
    if isinstance(fault, faults.Redirect):
        return RedirectResponse(fault.location, fault.code)
    return None


def _logging(send: Send, entry: LoggedRequest) -> Send:
    async def logged(message: Message) -> None:
        if message["type"] == "http.response.start":
            entry.status = message["status"]
            entry.seconds = time.time() - entry.at
        await send(message)

    return logged


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


async def _read_body(receive: Receive) -> bytes:
    message: Any = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    return body


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
        answer = json.loads(body)
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
