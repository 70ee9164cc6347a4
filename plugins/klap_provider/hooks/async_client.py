"""
Poll Klap from the event loop of the triggerer.

In one event loop, all clients of one Airflow connection share the connection's settings, one HTTP session and one set
of limits, from when the first client is entered until the last one is left.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

import aiohttp

from klap_provider.api import response_parser
from klap_provider.errors import KlapError, KlapRateLimitError, KlapServerError
from klap_provider.files.network import route_to
from klap_provider.hooks import DEFAULT_CONN_ID
from klap_provider.hooks.batched_polls import FolderPolls
from klap_provider.hooks.client import CHUNK, NO_ANSWER, USER_AGENT, transport_error
from klap_provider.hooks.lookup import aget_connection
from klap_provider.rules.job_targets import ExportTarget
from klap_provider.rules.retry import Backoff
from klap_provider.telemetry import metrics

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from klap_provider.api.calls import Call
    from klap_provider.files.network import Route
    from klap_provider.hooks.connection import KlapConnection
    from klap_provider.rules.polling import Target

T = TypeVar("T")

#: Maximum number of simultaneous requests, and so of TCP connections, for one Airflow connection.
MAX_CONCURRENT_REQUESTS = 50

#: Maximum number of seconds for which a 429 holds all other waits, because a single ``Retry-After`` of a day must not
#: end all of them. The wait that got the 429 waits as long as Klap asked.
MAX_HOLD = 300.0

#: Seconds for which an idle TCP connection stays open. Longer than a poll interval.
KEEP_ALIVE = 60.0


class KlapAsyncClient:
    """
    Send GETs to Klap. An async context manager.

    :param klap_conn_id: the Airflow connection, of type ``klap``. Default ``klap_default``.
    :param on_behalf_of: id of the managed user to act for. Default: that of the connection. Clients for different users
        share the limits, because Klap's limits apply to the account.
    :param target: the job that :meth:`poll` polls. While this client is entered, it counts as a wait for the job's
        folder.
    """

    def __init__(
        self,
        klap_conn_id: str = DEFAULT_CONN_ID,
        *,
        on_behalf_of: str | None = None,
        target: Target[Any] | None = None,
    ) -> None:
        self.klap_conn_id = klap_conn_id
        self.on_behalf_of = on_behalf_of
        self.target = target
        #: The export, if one list request can answer the waits for all exports of its folder.
        self._batched = target if isinstance(target, ExportTarget) and target.folder_id is not None else None

    async def __aenter__(self) -> Self:
        clients = _clients.setdefault(asyncio.get_running_loop(), {})
        if self.klap_conn_id not in clients:
            clients[self.klap_conn_id] = _Client(self.klap_conn_id)
        self._client = clients[self.klap_conn_id]
        self._client.users += 1
        if self._batched is not None:
            self._client.count_wait(self._batched, self.on_behalf_of, 1)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._batched is not None:
            self._client.count_wait(self._batched, self.on_behalf_of, -1)
        self._client.users -= 1
        if not self._client.users:
            del _clients[asyncio.get_running_loop()][self.klap_conn_id]
            if self._client.session is not None:
                await self._client.session.close()

    async def call(self, call: Call[T]) -> T:
        """
        Send a GET once and return its parsed response. The caller's poll loop repeats it.

        The call first waits in the queue of all polls with this connection. A POST is refused, because a restart of the
        triggerer would send it again.

        :raises KlapRateLimitError: Klap answered with 429, now or to another client, and the pause is not over.
        :raises KlapError: see :meth:`KlapClient.call`.
        """
        if not call.repeatable:
            raise ValueError(f"{call} must be sent by a worker: a restarted triggerer would send it again")
        return await self._client.call(call, self.on_behalf_of)

    async def poll(self, interval: float) -> tuple[Any, float]:
        """
        Poll the target once: with its own GET, or with one list for all exports of its folder.

        :param interval: poll interval in seconds.
        :return: the response, and its age in seconds. A list can be as old as the interval.
        :raises KlapError: see :meth:`call`.
        """
        if self.target is None:
            raise ValueError("this client has no target")
        if self._batched is not None:
            found = await self._client.folder(self._batched, self.on_behalf_of).poll(self._batched, interval)
            if found is not None:
                return found
        return await self.call(self.target.call()), 0.0


@dataclass(frozen=True)
class _Account:
    """A connection, the network route to Klap, and the options of every request."""

    connection: KlapConnection
    route: Route
    options: dict[str, Any] = field(compare=False)

    @classmethod
    async def read(cls, klap_conn_id: str) -> Self:
        connection = await aget_connection(klap_conn_id)
        # In threads, because reading the certificates would block the event loop for too long.
        route = await asyncio.to_thread(route_to, connection.api_url)
        timeout = aiohttp.ClientTimeout(
            total=connection.connect_timeout + connection.read_timeout,
            sock_connect=connection.connect_timeout,
            sock_read=connection.read_timeout,
        )
        # Not trust_env of aiohttp: it would also send the credentials for the host in ~/.netrc.
        options: dict[str, Any] = {"timeout": timeout, "proxy": route.proxy, "allow_redirects": False}
        if "https://" in f"{connection.api_url} {route.proxy}":
            options["ssl"] = await asyncio.to_thread(route.ssl_context)
        return cls(connection, route, options)


class _Client:
    """The state that all clients of one connection share in one event loop."""

    def __init__(self, klap_conn_id: str) -> None:
        self.users = 0
        self._klap_conn_id = klap_conn_id
        self._account: _Account | None = None
        self._read_at = 0.0
        self._reading = asyncio.Lock()
        self.session: aiohttp.ClientSession | None = None
        self._in_flight = asyncio.Semaphore(MAX_CONCURRENT_REQUESTS)
        self._next_slot = 0.0
        self._held_until = 0.0
        self._refusals = 0
        self._folders: dict[tuple[str | None, str | None], FolderPolls] = {}

    def folder(self, target: ExportTarget, user: str | None) -> FolderPolls:
        """Return the batched polls for the folder of an export and for a managed user."""
        key = user, target.folder_id
        if key not in self._folders:
            self._folders[key] = FolderPolls(str(target.folder_id), lambda call: self.call(call, user))
        return self._folders[key]

    def count_wait(self, target: ExportTarget, user: str | None, change: int) -> None:
        """Add a wait to those of its folder, or remove one."""
        waits = self.folder(target, user).waits
        waits[target.export_id] += change
        if not +waits:
            del self._folders[user, target.folder_id]

    async def call(self, call: Call[T], user: str | None) -> T:
        began = _now()
        account = self._account or await self._read(since=0)  # also if another poll is reading it at this moment
        try:
            return await self._queued(call, account, user)
        except (KlapRateLimitError, KlapServerError):
            raise  # Klap answered, so the connection is right
        except KlapError:
            # The key or the host may have changed. A rotated key must not end thousands of waits.
            try:
                fresh = await self._read(since=began)
            except Exception:  # then the error of the call is raised
                fresh = account
            if fresh == account:
                raise
        return await self._queued(call, fresh, user)

    async def _read(self, *, since: float) -> _Account:
        """Return the account, and read it from Airflow if it was read before ``since``, a time of the event loop."""
        async with self._reading:
            if self._account is None or self._read_at < since:
                read_at = _now()
                self._account = await _Account.read(self._klap_conn_id)
                self._read_at = read_at
            return self._account

    async def _queued(self, call: Call[T], account: _Account, user: str | None) -> T:
        async with self._in_flight:
            now = _now()
            self._next_slot = max(now, self._next_slot + 1 / account.connection.requests_per_second)
            if self._next_slot > now:
                await asyncio.sleep(self._next_slot - now)
            held = self._held_until - _now()
            if held > 0:
                raise KlapRateLimitError(
                    f"{call} was not sent, because Klap answered an earlier request with 429. Next poll in "
                    f"{held:.1f} s.",
                    status=429,
                    retry_after=held,
                )
            try:
                answer = await self._send(call, account, user)
            except KlapRateLimitError as limited:
                self._hold(limited)
                raise
            self._refusals = 0
            return answer

    def _hold(self, limited: KlapRateLimitError) -> None:
        """Hold all requests for as long as Klap asked, or else for longer each time."""
        now = _now()
        if now >= self._held_until:  # count simultaneous requests once
            self._refusals += 1
        delay = Backoff().delay(self._refusals, retry_after=limited.retry_after)
        self._held_until = max(self._held_until, now + min(delay, MAX_HOLD))

    async def _send(self, call: Call[T], account: _Account, user: str | None) -> T:
        if self.session is None:
            self.session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=MAX_CONCURRENT_REQUESTS, keepalive_timeout=KEEP_ALIVE),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": USER_AGENT},
            )
        connection = account.connection.acting_for(user)
        url = connection.api_url + call.path
        try:
            async with self.session.get(
                url, params=call.query, headers=connection.headers, **account.options
            ) as response:
                body = bytearray()
                async for chunk in response.content.iter_chunked(CHUNK):
                    body += chunk
                    response_parser.require_size(call, response.status, len(body))
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as failure:
            metrics.count(metrics.API_CALLS, endpoint=call.name, status=NO_ANSWER)
            sent = not isinstance(failure, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
            raise transport_error(call, connection, failure, sent=sent) from failure
        metrics.count(metrics.API_CALLS, endpoint=call.name, status=str(response.status))
        return response_parser.parse_response(
            call,
            status=response.status,
            headers=response.headers,
            body=bytes(body),
            secrets=connection.secrets,
            now=time.time(),
        )


def _now() -> float:
    return asyncio.get_running_loop().time()


#: By event loop, because an HTTP session belongs to one, and by connection id.
_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Client]] = WeakKeyDictionary()
