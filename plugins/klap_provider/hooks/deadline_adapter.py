"""
A transport for requests that sends nothing after a deadline.

A process can stop at any time, for example on a suspended machine. When it continues, another process may have taken
over, and must be the only one to send the paid request. So the clock is read before each write to the socket. The
connection serves only this request. If the deadline passes before the body is sent, the request is incomplete, and Klap
does not process it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

from klap_provider.files.network import use_connections

if TYPE_CHECKING:
    from urllib3 import PoolManager


class TooLateError(Exception):
    """The request was not sent, because its deadline passed some seconds ago."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class DeadlineConnection(HTTPConnection):
    """A connection that sends nothing after ``until``, in seconds since the epoch."""

    until: float

    def send(self, data: Any) -> None:
        """Send bytes, unless the deadline has passed."""
        if self.sock is None:
            self.connect()  # which takes time
        late = time.time() - self.until
        if late > 0:
            raise TooLateError(late)
        super().send(data)


class DeadlineTLSConnection(DeadlineConnection, HTTPSConnection):
    """The same over TLS."""


class DeadlineAdapter(HTTPAdapter):
    """Send requests on connections that send nothing after a deadline, in seconds since the epoch."""

    def __init__(self, until: float) -> None:
        self._until = until
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Create the connection pools."""
        super().init_poolmanager(*args, **kwargs)
        self._with_deadline(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> PoolManager:
        """Return the connection pools for a proxy."""
        return self._with_deadline(super().proxy_manager_for(*args, **kwargs))

    def _with_deadline(self, manager: PoolManager) -> PoolManager:
        deadline = {"until": self._until}
        plain, tls = type("Plain", (DeadlineConnection,), deadline), type("TLS", (DeadlineTLSConnection,), deadline)
        return use_connections(manager, plain, tls)
