"""A TCP proxy that can be cut and restored, and a server with endless responses."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from typing_extensions import Self


class TcpProxy:
    """
    A TCP proxy to a server. While it is cut, its port refuses connections.

    :param url: address of the server, which stays reachable.
    :param host: loopback address on which the proxy listens.
    :param port: its port; 0: any.
    :ivar url: address of the server through the proxy.
    """

    def __init__(self, url: str, *, host: str = "127.0.0.1", port: int = 0) -> None:
        parts = urlsplit(url)
        self._server = (str(parts.hostname), int(parts.port or 80))
        self._open: set[socket.socket] = set()
        self._host = host
        self._listener = self._listen(port)
        self.port = int(self._listener.getsockname()[1])
        self.url = parts._replace(netloc=f"{host}:{self.port}").geturl()

    def cut(self) -> None:
        """Refuse new connections, and close existing ones."""
        for each in [self._listener, *self._open]:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits on it
            each.close()
        self._open.clear()

    def restore(self) -> None:
        """Accept connections again."""
        self._listener = self._listen(self.port)

    def _listen(self, port: int) -> socket.socket:
        listener = socket.create_server((self._host, port))
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):  # of the cut
            while True:
                client, _ = listener.accept()
                try:
                    server = socket.create_connection(self._server)
                except OSError:  # the server is being restarted
                    client.close()
                    continue
                self._open |= {client, server}
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):  # of the cut, or of one side having gone
            while data := source.recv(65536):
                sink.sendall(data)
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
            self._open.discard(each)


class Endless:
    """
    A server with endless responses. Use as a context manager.

    :param start: start of each response.
    :param piece: repeated after the start.
    :param pause: seconds between two pieces.
    """

    def __init__(self, start: bytes, piece: bytes, pause: float = 0.02) -> None:
        self._answer = start, piece, pause
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # of the end
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._drip, args=(client,), daemon=True).start()

    def _drip(self, client: socket.socket) -> None:
        start, piece, pause = self._answer
        with contextlib.suppress(OSError), client:
            client.recv(65536)
            client.sendall(start)
            while not self._over.is_set():
                client.sendall(piece)
                time.sleep(pause)
