"""
A request that leaves in time, or not at all.

A process can stand still between any two instructions: the machine is overloaded, suspended, moved. When it goes on,
another one may have taken over, and a paid request must not go out any more. So the clock is looked at as late as can
be: each time when bytes are about to go to the socket, on a connection that was made for this one request. A request
whose head is out and whose body is too late stays half, and is none.
"""

from __future__ import annotations

import time
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection


class TooLateError(Exception):
    """
    It was not sent.

    :param seconds: how much too late it was.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class OnTimeConnection(HTTPConnection):
    """A connection on which nothing goes out after ``until``, in seconds since the epoch."""

    until: float

    def send(self, data: Any) -> None:
        """Send bytes, if it is not too late for them."""
        if self.sock is None:
            self.connect()  # which takes time
        late = time.time() - self.until
        if late > 0:
            raise TooLateError(late)
        super().send(data)


class OnTimeTLSConnection(OnTimeConnection, HTTPSConnection):
    """The same over TLS."""


class OnTimeAdapter(HTTPAdapter):
    """
    Carries requests out on connections on which nothing goes out too late.

    :param until: seconds since the epoch.
    """

    def __init__(self, until: float) -> None:
        self._until = until
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make what keeps the connections."""
        super().init_poolmanager(*args, **kwargs)
        self._on_time(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> PoolManager:
        """Return what keeps the connections over a proxy."""
        return self._on_time(super().proxy_manager_for(*args, **kwargs))

    def _on_time(self, manager: PoolManager) -> PoolManager:
        told = {"until": self._until}
        plain, tls = type("Plain", (OnTimeConnection,), told), type("TLS", (OnTimeTLSConnection,), told)
        manager.pool_classes_by_scheme = {
            "http": type("PlainPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
            "https": type("TLSPool", (HTTPSConnectionPool,), {"ConnectionCls": tls}),
        }
        return manager
