"""The HTTP server: uvicorn, with a protocol that can close a connection without an answer."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from pathlib import Path

    from starlette.types import ASGIApp, Receive, Scope, Send

HOST = "127.0.0.1"
TRANSPORT = "klap_sandbox.transport"
"""Key of the connection's transport in the ASGI scope."""


@dataclass(frozen=True)
class Tls:
    """The files of a certificate and its key."""

    certificate: Path
    key: Path


class OpenHandedProtocol(H11Protocol):
    """HTTP as uvicorn speaks it, with the connection's transport in the ASGI scope.

    An ASGI application cannot close a connection by itself: whatever it does, the server answers something.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn is given a transport that writes
        """Note the transport for all requests of this connection."""
        super().connection_made(transport)
        inner: Any = self.app

        async def with_transport(scope: Scope, receive: Receive, send: Send) -> None:
            scope[TRANSPORT] = transport
            await inner(scope, receive, send)

        self.app = with_transport


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_start = on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_start()


def listen(port: int) -> socket.socket:
    """Take a port of the loopback interface; 0 = a free one.

    :raises OSError: the port is taken.
    """
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((HOST, port))
    return listener


def serve(
    app: ASGIApp, listener: socket.socket, tls: Tls | None, *, verbose: bool, on_start: Callable[[], None]
) -> None:
    """Serve until a signal comes.

    :param on_start: called once, when requests are being answered.
    """
    config = uvicorn.Config(
        app,
        http=OpenHandedProtocol,
        ws="none",
        loop="asyncio",
        log_level="info" if verbose else "error",
        access_log=verbose,
        timeout_graceful_shutdown=1,
        ssl_certfile=tls.certificate if tls else None,
        ssl_keyfile=tls.key if tls else None,
    )
    _Server(config, on_start).run(sockets=[listener])
