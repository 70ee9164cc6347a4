"""ASGI middleware that logs requests and applies faults to them."""

from __future__ import annotations

import asyncio
import json
import re
import time
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from klap_sandbox import faults
from klap_sandbox.request_log import MAX_TEXT, LoggedRequest, bearer_key, hash_key
from klap_sandbox.server import TRANSPORT

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from klap_sandbox.faults import Fault
    from klap_sandbox.state import SandboxState

CONTROL = "/_sandbox"
API = "/v2"
ERROR_PAGE = "<!doctype html><title>502 Bad Gateway</title><h1>502 Bad Gateway</h1><hr>nginx"
MAX_DRIPS = 600


class FaultMiddleware:
    """Log requests and apply faults, except below ``/_sandbox``."""

    def __init__(self, app: ASGIApp, *, state: SandboxState) -> None:
        self._app = app
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http" or scope["path"].startswith(CONTROL):
            await self._app(scope, receive, send)
            return
        received = scope
        if received["path"].startswith(API):
            scope = _api_scope(received, strict=self._state.settings.strict)
        path = scope["path"].removeprefix(API)
        key = bearer_key(Headers(scope=received).get("authorization"))
        fault, self._state.faults = faults.match_fault(self._state.faults, received["method"], path, key)
        entry = _log_entry(received, fault, key)
        self._state.request_log.append(entry)
        scope.setdefault("state", {})["log_entry"] = entry
        await self._apply(fault, scope, receive, _log_response(send, entry))

    async def _apply(self, fault: Fault | None, scope: Scope, receive: Receive, send: Send) -> None:
        if isinstance(fault, faults.Drop):
            await _read_body(scope, receive)
            await _disconnect(scope, receive)
        elif isinstance(fault, faults.AcceptThenDrop):
            await self._app(scope, receive, _discard)
            await _disconnect(scope, receive)
        elif isinstance(fault, faults.Delay):
            await self._app(scope, receive, _delay(send, fault.seconds))
        elif isinstance(fault, faults.Drip):
            await self._app(scope, receive, _drip(send, fault.seconds))
        elif isinstance(fault, faults.Late):
            body = await _read_body(scope, receive)
            await asyncio.sleep(fault.seconds)
            if body is not None:
                await self._app(scope, _replay(body, receive), send)
        elif isinstance(fault, faults.Reshape):
            await self._app(scope, receive, _reshape(send, fault.shape))
        elif isinstance(fault, faults.Truncate):
            await self._app(scope, receive, _truncate(send, fault.bytes, scope))
        elif (response := canned_response(fault)) is not None:
            await _read_body(scope, receive)
            await response(scope, receive, send)
        else:
            scope["state"]["fault"] = fault
            await self._app(scope, receive, send)


def canned_response(fault: Fault | None) -> Response | None:
    """Return the response of a fault that keeps the request from being handled; None for any other fault."""
    if isinstance(fault, faults.Status):
        body = None if fault.code in (204, 304) else fault.body
        response_class = Response if body is None or isinstance(body, str) else JSONResponse
        return response_class(body, fault.code, fault.headers)
    if isinstance(fault, faults.Empty):
        return Response(status_code=fault.code)
    if isinstance(fault, faults.Html):
        return HTMLResponse(ERROR_PAGE, fault.code)
    if isinstance(fault, faults.NotAVideo):
        return HTMLResponse(ERROR_PAGE)
    if isinstance(fault, faults.Redirect):
        return RedirectResponse(fault.location, fault.code)
    return None


def _api_scope(scope: Scope, *, strict: bool) -> Scope:
    """Handle HEAD like GET (the server drops the body). Unless strict, accept extra slashes and any content type."""
    scope = {**scope, "method": "GET" if scope["method"] == "HEAD" else scope["method"]}
    if not strict:
        scope["path"] = re.sub("/+", "/", scope["path"]).rstrip("/")
        MutableHeaders(scope=scope)["content-type"] = "application/json"
    return scope


def _log_entry(scope: Scope, fault: Fault | None, key: str | None) -> LoggedRequest:
    user = Headers(scope=scope).get("x-on-behalf-of")
    return LoggedRequest(
        method=scope["method"],
        path=scope["path"].removeprefix(API)[:MAX_TEXT],
        query=scope["query_string"].decode("latin-1")[:MAX_TEXT],
        on_behalf_of=user[:MAX_TEXT] if user else None,
        at=time.time(),
        key_hash=hash_key(key),
        fault=fault.action if fault else None,
    )


def _log_response(send: Send, entry: LoggedRequest) -> Send:
    async def log_response(message: Message) -> None:
        if message["type"] == "http.response.start":
            entry.status = message["status"]
            entry.seconds = time.time() - entry.at
        await send(message)

    return log_response


async def _read_body(scope: Scope, receive: Receive) -> bytes | None:
    """Return the request's body; None if the client disconnects before its end."""
    try:
        return await Request(scope, receive).body()
    except ClientDisconnect:
        return None


def _replay(body: bytes, receive: Receive) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay


async def _discard(message: Message) -> None:
    """Send nothing."""


def _delay(send: Send, seconds: float) -> Send:
    async def delay(message: Message) -> None:
        if message["type"] == "http.response.start":
            await asyncio.sleep(seconds)
        await send(message)

    return delay


def _drip(send: Send, seconds: float) -> Send:
    async def drip(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send({**message, "headers": _without_length(message)})
            return
        for _ in range(MAX_DRIPS):
            await send({"type": "http.response.body", "body": b" ", "more_body": True})
            await asyncio.sleep(seconds)
        await send(message)

    return drip


def _truncate(send: Send, limit: int, scope: Scope) -> Send:
    left = limit
    closed = False

    async def truncate(message: Message) -> None:
        nonlocal left, closed
        if closed:
            return
        if message["type"] == "http.response.body":
            body = message.get("body", b"")
            closed = len(body) > left
            if closed:
                await send({**message, "body": body[:left], "more_body": True})
                scope[TRANSPORT].close()
                return
            left -= len(body)
        await send(message)

    return truncate


def _reshape(send: Send, shape: str) -> Send:
    start: Message = {}
    body = b""

    async def reshape(message: Message) -> None:
        nonlocal start, body
        if message["type"] == "http.response.start":
            start = message
            return
        body += message.get("body", b"")
        if message.get("more_body"):
            return
        response: Any = json.loads(body or b"null")
        if isinstance(response, dict) and "id" in response:
            wrapper = "export" if "src_url" in response else "task"
            body = json.dumps({"id": response["id"]} if shape == "id_only" else {wrapper: response}).encode()
        length = (b"content-length", str(len(body)).encode())
        await send({**start, "headers": [*_without_length(start), length]})
        await send({"type": "http.response.body", "body": body})

    return reshape


def _without_length(start: Message) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]


async def _disconnect(scope: Scope, receive: Receive) -> None:
    """Close the connection. Wait until the server has noticed, as it sends a response of its own otherwise."""
    scope[TRANSPORT].abort()
    while (await receive())["type"] != "http.disconnect":
        pass
