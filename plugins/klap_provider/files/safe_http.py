"""
Send requests to untrusted addresses: from a user's form or list, from Klap's responses, and from redirects.

These requests carry no credentials: no API key, and nothing from ``~/.netrc``. They go only to public hosts, unless
Klap's API itself is local, such as the sandbox. This is checked for each redirect, and for the IP address rather than
the host name: each name is resolved once, and the connection uses the checked address.

Behind a proxy, the proxy resolves names and connects, so the proxy must keep requests out of its network. Hosts that
are local by their text are still refused.
"""

from __future__ import annotations

import socket
import time
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import requests
from airflow.sdk.log import mask_secret
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from klap_provider.api.addresses import is_local, is_loopback, is_public
from klap_provider.api.redaction import secrets_in, shown
from klap_provider.files.network import OverdueError, proxy_for, trust_store, use_connections, within

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_REDIRECTS = 3

#: Default of the maximum seconds until the body of a response begins, including redirects.
LONGEST = 60.0


class RefusedAddressError(Exception):
    """The address is not allowed. No request was sent to it."""


def safe_request(
    method: str,
    url: str,
    *,
    local: bool,
    timeout: tuple[float, float],
    headers: Mapping[str, str] | None = None,
    encrypted: bool = False,
    longest: float = LONGEST,
) -> requests.Response:
    """
    Send a request, follow at most three redirects, and return the response. Its body is not read yet.

    :param local: whether hosts on this machine or on a private network are allowed.
    :param timeout: seconds to wait for a connection, and for the next bytes.
    :param encrypted: whether https is required. http is still allowed on this machine.
    :param longest: maximum seconds until the body begins, including DNS, redirects and slow headers.
    :raises RefusedAddressError: the address, or the address of a redirect, is not allowed.
    :raises KlapConfigError: the proxy or the certificates in the environment are invalid.
    :raises requests.RequestException: there was no response. Its text may contain the address with secrets.
    """
    deadline = time.monotonic() + longest

    def send() -> requests.Response:
        with _session(local, trust_store(url, proxy)) as session:
            return session.request(method, url, headers=headers, stream=True, timeout=timeout)

    for _ in range(MAX_REDIRECTS + 1):
        _require_allowed(url, local=local, encrypted=encrypted)
        proxy = proxy_for(url)  # raises a clear error for an invalid proxy
        for secret in secrets_in(url):
            mask_secret(secret)  # urllib3 logs addresses at the level DEBUG
        try:
            response = within(deadline - time.monotonic(), send)
            if not response.is_redirect:
                return response
            response.close()
            url = urljoin(url, requests.Session().get_redirect_target(response) or "")
        except OverdueError:
            raise requests.Timeout(f"no response within {longest:g} s") from None
        except requests.RequestException:  # some of these are also ValueErrors
            raise
        except ValueError:
            raise RefusedAddressError(f"{shown(url)} redirects to an invalid address.") from None
    raise RefusedAddressError(f"More than {MAX_REDIRECTS} redirects, the last one to {shown(url)}.")


def _require_allowed(url: str, *, local: bool, encrypted: bool) -> None:
    scheme = url.partition("://")[0].lower()
    plain = scheme == "http" and (not encrypted or is_loopback(url))
    if scheme != "https" and not plain:
        raise RefusedAddressError(f"{shown(url)} is not an http{'s' if encrypted else ''} address.")
    if not local and is_local(url):
        raise RefusedAddressError(_refusal(shown(url)))


def _refusal(what: str) -> str:
    return f"{what} is on this machine or on a private network, which is not allowed."


def _session(local: bool, certificates: str) -> requests.Session:
    session = requests.Session()
    session.auth = lambda request: request  # otherwise requests would send credentials from ~/.netrc
    session.verify = certificates
    # Otherwise requests would read the whole body of a redirect.
    session.get_redirect_target = lambda resp: None  # type: ignore[method-assign]  # only in this session
    if not local:
        session.mount("https://", _Adapter())
        session.mount("http://", _Adapter())
    return session


def _connected(connection: HTTPConnection, connect: Callable[[], socket.socket]) -> socket.socket:
    """Resolve the connection's host, and return a socket to it if all its addresses are public."""
    host = connection._dns_host  # only used for DNS; connection.host is used for the Host header and TLS
    try:
        found = socket.getaddrinfo(host, connection.port, type=socket.SOCK_STREAM)
    except UnicodeError as unknown:  # otherwise this ValueError would count as an invalid redirect
        raise NewConnectionError(connection, str(unknown)) from unknown
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not all(is_public(ip_address(address)) for address in addresses):
        raise RefusedAddressError(_refusal(connection.host))
    failure: Exception = NewConnectionError(connection, "no address")
    try:
        for address in addresses:
            connection._dns_host = address
            try:
                return connect()
            except ConnectTimeoutError as failed:  # also the base class of a refused connection
                failure = failed
        raise failure
    finally:
        connection._dns_host = host


class _HTTPConnection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _connected(self, super()._new_conn)


class _HTTPSConnection(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _connected(self, super()._new_conn)


class _Adapter(HTTPAdapter):
    """Connects only to public hosts, or to a proxy of the environment."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        use_connections(self.poolmanager, _HTTPConnection, _HTTPSConnection)
