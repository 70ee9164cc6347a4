"""The HTTP server: uvicorn, with access to the connection for faults that close it."""

from __future__ import annotations

import socket
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


class TransportProtocol(H11Protocol):
    """uvicorn's HTTP protocol, with the connection's transport in the ASGI scope.

    An ASGI application cannot close a connection without a response otherwise.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn gets a transport that writes
        """Add the transport to the scope of each request of this connection."""
        super().connection_made(transport)
        inner: Any = self.app

        async def with_transport(scope: Scope, receive: Receive, send: Send) -> None:
            scope[TRANSPORT] = transport
            await inner(scope, receive, send)

        self.app = with_transport


#: Seconds that an idle connection stays open: more than the poll interval of any client. With uvicorn's default of five
#: seconds, a client that polls every five seconds sometimes sends a request on a connection that is being closed.
KEEP_ALIVE = 75


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_start = on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_start()


def listen(host: str, port: int) -> socket.socket:
    """Bind a port; 0 = any free port.

    :param host: IPv4 address or name of an interface of this machine.
    :raises OSError: the port is in use, or the host is not an address of this machine.
    """
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    return listener


def serve(
    app: ASGIApp, listener: socket.socket, certificate: Path | None, *, verbose: bool, on_start: Callable[[], None]
) -> None:
    """Serve until a signal arrives.

    :param certificate: a PEM file with key and certificate, for https.
    :param on_start: called once, when the server is ready.
    """
    config = uvicorn.Config(
        app,
        http=TransportProtocol,
        ws="none",
        loop="asyncio",
        log_level="info" if verbose else "error",
        access_log=verbose,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=KEEP_ALIVE,
        ssl_certfile=certificate,
    )
    _Server(config, on_start).run(sockets=[listener])
