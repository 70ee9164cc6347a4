"""
Carrying out the calls of :mod:`klap_provider.api` on a worker. :mod:`klap_provider.async_hook` has the async twin.

Both send nothing of the connection's Extra, wait no longer than its timeouts, follow no redirect, and repeat a call
only where :mod:`klap_provider.retry` allows it.
"""

from __future__ import annotations

import ssl
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import requests
from airflow.providers.http.hooks.http import HttpHook
from airflow.sdk.exceptions import AirflowNotFoundException
from urllib3.exceptions import NewConnectionError, ProxyError, SSLError

from klap_provider import __version__, api, metrics
from klap_provider.addresses import DEFAULT_API_URL, OTHER_API_URL
from klap_provider.connection import CONN_TYPE, DEFAULT_CONN_ID, KlapConnection, missing_connection
from klap_provider.errors import (
    KlapAuthError,
    KlapConnectionError,
    KlapError,
    KlapNoAnswerError,
    KlapNotFoundError,
    KlapTransportError,
)
from klap_provider.retry import Backoff, next_attempt_in

if TYPE_CHECKING:
    from klap_provider.api import Call

T = TypeVar("T")

USER_AGENT = f"airflow-provider-klap/{__version__}"

#: In metrics, in place of the HTTP status.
NO_ANSWER = "none"

#: An id of the right form that no task has: asking for it tells whether the key is good, and starts nothing.
NO_TASK = "connectiontest00"


class KlapHook(HttpHook):
    """
    Talk to the Klap API.

    :param klap_conn_id: the Airflow connection, of type ``klap``.
    :param backoff: how often a call is repeated, where it may be. Default: 4 attempts within about 10 s.

    Every call of the API is in :mod:`klap_provider.api`; :meth:`call` carries one out:

    .. code-block:: python

        KlapHook().call(api.list_projects(folder_id))

    API: https://docs.klap.app/
    """

    conn_name_attr = "klap_conn_id"
    default_conn_name = DEFAULT_CONN_ID
    conn_type = CONN_TYPE
    hook_name = "Klap"

    def __init__(self, klap_conn_id: str = DEFAULT_CONN_ID, *, backoff: Backoff | None = None) -> None:
        super().__init__(http_conn_id=klap_conn_id)
        self.klap_conn_id = klap_conn_id
        self.backoff = backoff or Backoff()

    @cached_property
    def connection(self) -> KlapConnection:
        """
        The connection, looked up once and checked.

        :raises KlapConfigError: it is missing, has no key, or a setting of it is wrong.
        """
        try:
            conn = self.get_connection(self.klap_conn_id)
        except AirflowNotFoundException as missing:
            raise missing_connection(self.klap_conn_id, missing) from None
        return KlapConnection.read(self.klap_conn_id, conn, conn.extra_dejson)

    @cached_property
    def _session(self) -> requests.Session:
        session = requests.Session()
        session.headers.update({**self.connection.headers, "User-Agent": USER_AGENT})
        session.auth = _keep_authorization
        self.base_url, self._base_url_initialized = self.connection.api_url, True
        return self._configure_session_from_mount_adapters(session)

    def get_conn(
        self, headers: dict[Any, Any] | None = None, extra_options: dict[str, Any] | None = None
    ) -> requests.Session:
        """
        Return the one session of this hook, with the key and without anything of the connection's Extra.

        :param headers: further headers for this session.
        :param extra_options: as for ``HttpHook``: ``timeout`` and ``check_response``.
        """
        self._session.headers.update(headers or {})
        self.merged_extra = {"timeout": self._timeout, "allow_redirects": False, **(extra_options or {})}
        return self._session

    @property
    def _timeout(self) -> tuple[float, float]:
        return self.connection.connect_timeout, self.connection.read_timeout

    def check_response(self, response: requests.Response) -> None:
        """
        Raise for everything but a 2xx, without logging the body.

        :raises KlapResponseError: the subclass says what went wrong.
        """
        any_answer: Call[Any] = api.Call(response.request.method or "", response.request.path_url, lambda _: None)
        self._read(any_answer, response)

    def call(self, call: Call[T], *, backoff: Backoff | None = None) -> T:
        """
        Carry out an API call and return its parsed answer.

        :param backoff: instead of the hook's own.
        :raises KlapConfigError: the connection cannot be used.
        :raises KlapTransportError: there was no answer.
        :raises KlapResponseError: there was one, but not the one that was asked for.
        """
        backoff = backoff or self.backoff
        for attempt in range(1, backoff.attempts + 1):
            try:
                return self._send(call)
            except KlapError as failure:
                delay = next_attempt_in(failure, repeatable=call.repeatable, attempt=attempt, backoff=backoff)
                if delay is None:
                    raise
                metrics.count(metrics.API_RETRIES, endpoint=call.name)
                self.log.warning("Attempt %d of %d: %s Next in %.1f s.", attempt, backoff.attempts, failure, delay)
            time.sleep(delay)
        raise ValueError(f"Backoff.attempts is {backoff.attempts}; it takes at least 1")

    def _send(self, call: Call[T]) -> T:
        try:
            response = self.get_conn().request(
                call.method,
                self.connection.api_url + call.path,
                params=call.query,
                json=call.body,
                timeout=self._timeout,
                allow_redirects=False,
            )
        except requests.RequestException as failure:
            metrics.count(metrics.API_CALLS, endpoint=call.name, status=NO_ANSWER)
            raise transport_error(call, self.connection, failure, sent=not _never_connected(failure)) from failure
        metrics.count(metrics.API_CALLS, endpoint=call.name, status=str(response.status_code))
        return self._read(call, response)

    def _read(self, call: Call[T], response: requests.Response) -> T:
        return api.read_answer(
            call,
            status=response.status_code,
            headers=response.headers,
            body=self.connection.scrub(response.content),
            now=time.time(),
        )

    def test_connection(self) -> tuple[bool, str]:
        """
        Tell a good key, a bad key and an unreachable host apart, by asking for a task that does not exist.

        :return: whether the connection works, and a sentence for the person who asked.
        """
        try:
            self.call(api.get_task(NO_TASK), backoff=Backoff(attempts=1))
        except KlapNotFoundError as unknown:
            if not unknown.spoke_json:
                return False, f"{self.connection.api_url} is some web site, not Klap's API: check the connection's Host"
            return True, f"{self.connection.api_url} accepts the API key"
        except KlapAuthError:
            return False, f"{self.connection.api_url} does not accept the API key (the connection's Password)"
        except KlapError as failure:
            return False, str(failure)
        return True, f"{self.connection.api_url} accepts the API key"


def _keep_authorization(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keep requests from replacing the API key by what a ~/.netrc has for the host."""
    return request


def _never_connected(failure: requests.RequestException) -> bool:
    """Whether requests failed before anything can have been sent; in doubt, no."""
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
    """
    Return the error for a call that got no answer.

    :param sent: whether the request may have reached Klap.
    """
    cause = type(failure).__name__
    if sent:
        return KlapNoAnswerError(
            f"{call}: no answer from {connection.api_url} within its time ({cause}; "
            f"read_timeout of the connection {connection.conn_id!r} is {connection.read_timeout:g} s)."
        )
    return KlapConnectionError(
        f"{call}: {connection.api_url} cannot be reached ({cause}). Check the network and the Host of the "
        f"connection {connection.conn_id!r}: Klap's API is at {DEFAULT_API_URL}, or at {OTHER_API_URL}."
    )
