"""
Send the calls of :mod:`klap_provider.api.calls` from tasks, with requests.

Like :mod:`klap_provider.hooks.async_client`, it sends nothing from the connection's Extra, follows no redirects, and
repeats a call only if :mod:`klap_provider.rules.retry` allows it.

Tasks do not use :class:`~klap_provider.hooks.KlapHook`, because the HTTP provider imports aiohttp, which adds 0.1 to
0.3 s to each start of a task.
"""

from __future__ import annotations

import logging
import ssl
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import requests
from urllib3.exceptions import NewConnectionError, ProxyError, SSLError

from klap_provider import __version__
from klap_provider.api import response_parser
from klap_provider.api.addresses import DEFAULT_API_URL, OTHER_API_URL
from klap_provider.errors import KlapConnectionError, KlapError, KlapNoResponseError, KlapTransportError
from klap_provider.files.network import OverdueError, route_to, within
from klap_provider.hooks import DEFAULT_CONN_ID
from klap_provider.hooks.deadline_adapter import DeadlineAdapter, TooLateError
from klap_provider.hooks.lookup import get_connection
from klap_provider.rules.retry import Backoff, next_attempt_in
from klap_provider.telemetry import metrics

if TYPE_CHECKING:
    from klap_provider.api.calls import Call
    from klap_provider.files.network import Route
    from klap_provider.hooks.connection import KlapConnection

T = TypeVar("T")

log = logging.getLogger(__name__)

USER_AGENT = f"airflow-provider-klap/{__version__}"

#: Bytes of a response that are read at a time.
CHUNK = 64 * 1024

#: HTTP status in the metrics if there was no response.
NO_ANSWER = "none"


class KlapClient:
    """
    Send calls to the Klap API.

    :param klap_conn_id: the Airflow connection, of type ``klap``. Default ``klap_default``.
    :param on_behalf_of: id of the managed user to act for. Default: that of the connection.
    :param backoff: how often a call is repeated after a transient error. Default: 4 attempts within about 10 s.
    """

    def __init__(
        self,
        klap_conn_id: str = DEFAULT_CONN_ID,
        *,
        on_behalf_of: str | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        self.klap_conn_id = klap_conn_id
        self.on_behalf_of = on_behalf_of
        self.backoff = backoff or Backoff()

    @cached_property
    def connection(self) -> KlapConnection:
        """The checked connection, with the managed user of this client. It is read once."""
        return get_connection(self.klap_conn_id).acting_for(self.on_behalf_of)

    @cached_property
    def session(self) -> requests.Session:
        """The HTTP session, with the API key."""
        return self._new_session()

    def _new_session(self) -> requests.Session:
        session = requests.Session()
        session.headers.update({**self.connection.headers, "User-Agent": USER_AGENT})
        session.auth = _keep_authorization
        session.trust_env = False  # route_to has read the environment
        session.verify = self._route.trust_store
        if proxy := self._route.proxy:
            session.proxies = {"http": proxy, "https": proxy}
        return session

    @cached_property
    def _route(self) -> Route:
        return route_to(self.connection.api_url)

    @property
    def timeout(self) -> tuple[float, float]:
        """Seconds to wait for a connection, and for a response."""
        return self.connection.connect_timeout, self.connection.read_timeout

    def call(
        self,
        call: Call[T],
        *,
        backoff: Backoff | None = None,
        until: float | None = None,
        within: float | None = None,
    ) -> T:
        """
        Send an API call and return its parsed response.

        :param call: the call, from :mod:`klap_provider.api.calls`.
        :param backoff: how often the call is repeated. Default: the value of this client.
        :param until: deadline for sending, in seconds since the epoch. The call is then sent on a connection of its
            own. Default: no deadline.
        :param within: maximum number of seconds of one attempt. Default, and maximum for a GET: the sum of the
            connection's timeouts.
        :raises KlapConfigError: the connection cannot be used.
        :raises KlapTransportError: there was no response.
        :raises KlapResponseError: the response is an error, or not valid.
        """
        backoff = backoff or self.backoff
        default = sum(self.timeout)
        seconds = default if within is None else min(within, default) if call.repeatable else within
        for attempt in range(1, backoff.attempts + 1):
            try:
                return self._attempt(call, until, seconds)
            except TooLateError as late:
                raise KlapConnectionError(
                    f"{call} was not sent, because its deadline passed {late.seconds:.0f} s ago. The machine was too "
                    "slow, or earlier attempts took too long."
                ) from None
            except KlapError as failure:
                delay = next_attempt_in(failure, repeatable=call.repeatable, attempt=attempt, backoff=backoff)
                if delay is None:
                    raise
                metrics.count(metrics.API_RETRIES, endpoint=call.name)
                log.warning("Attempt %d of %d failed: %s Next in %.1f s.", attempt, backoff.attempts, failure, delay)
            time.sleep(delay)
        raise ValueError(f"Backoff.attempts is {backoff.attempts}; it takes at least 1")

    def _attempt(self, call: Call[T], until: float | None, seconds: float) -> T:
        connection = self.connection  # must be read from Airflow in this thread
        try:
            if until is None:
                return within(seconds, lambda: self._send(call, self.session))
            with self._new_session() as session:
                for scheme in ("http://", "https://"):
                    session.mount(scheme, DeadlineAdapter(until))
                return within(seconds, lambda: self._send(call, session))
        except OverdueError:
            self.__dict__.pop("session", None)  # the thread that hangs may still use it
            raise KlapNoResponseError(
                f"{call}: no response from {connection.api_url} within {seconds:.0f} s (connect_timeout and "
                f"read_timeout of the connection {connection.conn_id!r}, or the time until a deadline)."
            ) from None

    def _send(self, call: Call[T], session: requests.Session) -> T:
        try:
            with session.request(
                call.method,
                self.connection.api_url + call.path,
                params=call.query,
                json=call.body,
                timeout=self.timeout,
                allow_redirects=False,
                stream=True,
            ) as response:
                body = bytearray()
                for chunk in response.iter_content(CHUNK):
                    body += chunk
                    response_parser.require_size(call, response.status_code, len(body))
        except (requests.RequestException, UnicodeError) as failure:  # UnicodeError: the header Location is not text
            metrics.count(metrics.API_CALLS, endpoint=call.name, status=NO_ANSWER)
            raise transport_error(call, self.connection, failure, sent=not _failed_to_connect(failure)) from failure
        metrics.count(metrics.API_CALLS, endpoint=call.name, status=str(response.status_code))
        return self.read(call, response, bytes(body))

    def read(self, call: Call[T], response: requests.Response, body: bytes | None = None) -> T:
        """
        Return the parsed response.

        :param body: body of the response, if it was read before. Default: read it.
        :raises KlapResponseError: the response is an error, or not valid.
        """
        return response_parser.parse_response(
            call,
            status=response.status_code,
            headers=response.headers,
            body=response.content if body is None else body,
            secrets=self.connection.secrets,
            now=time.time(),
        )


def _keep_authorization(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keep requests from replacing the API key with the credentials for the host in ~/.netrc."""
    return request


def _failed_to_connect(failure: Exception) -> bool:
    """Return whether the request certainly failed before anything was sent."""
    if isinstance(failure, requests.ConnectTimeout | requests.exceptions.InvalidURL):
        return True
    reason = getattr(failure.args[0] if failure.args else None, "reason", None)
    if isinstance(reason, ProxyError):
        reason = reason.original_error
    if isinstance(reason, SSLError):
        return bool(reason.args) and isinstance(reason.args[0], ssl.SSLCertVerificationError)
    return isinstance(reason, NewConnectionError)


def transport_error(
    call: Call[Any], connection: KlapConnection, failure: BaseException, *, sent: bool
) -> KlapTransportError:
    """Return the error for a call without a response. ``sent``: whether the request may have reached Klap."""
    cause = type(failure).__name__
    if sent:
        return KlapNoResponseError(
            f"{call}: no response from {connection.api_url} ({cause}). The read_timeout of the connection "
            f"{connection.conn_id!r} is {connection.read_timeout:g} s."
        )
    return KlapConnectionError(
        f"{call}: {connection.api_url} cannot be reached ({cause}). Check the network and the Host of the "
        f"connection {connection.conn_id!r}: Klap's API is at {DEFAULT_API_URL}, or at {OTHER_API_URL}."
    )
