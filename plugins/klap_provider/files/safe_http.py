"""
Requests to addresses that came from outside: from a user's form or list, from Klap's answers, from redirects of these.

One rule for all of them. They carry nothing of this machine: no API key, nothing out of a ``~/.netrc``. They go to
the internet alone, unless Klap itself is local, as the sandbox is. That holds at each hop, and for the IP address that
is connected to rather than for the name: each name is looked up once, and what it was looked up as is connected to.

Behind a proxy of the environment it is the proxy that looks names up and connects. Then it, and not this module,
keeps requests out of its network; hosts that are local by their text are refused all the same.
"""

from __future__ import annotations

import socket
import string
import time
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin

import requests
from airflow.sdk.log import mask_secret
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from klap_provider.api.addresses import is_local, is_loopback, is_public
from klap_provider.api.redaction import secrets_in, shown
from klap_provider.files.network import OverdueError, proxy_for, trust_store, within

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_REDIRECTS = 3

#: Seconds in which an answer has to begin, redirects included.
LONGEST = 60.0


class RefusedAddressError(Exception):
    """An address that is not asked; nothing was sent there."""


def ask(
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
    Ask an address, over at most three redirects, and return the answer with its body still to be read.

    :param local: whether a host on this machine or its network is fine.
    :param timeout: seconds to wait for a connection, and for the next bytes.
    :param encrypted: whether it must be https; plain http is fine on this machine.
    :param longest: seconds until the body begins, whatever comes in meanwhile: DNS may hang, and headers may drip.
    :raises RefusedAddressError: the address, or one that it redirects to, is not asked.
    :raises KlapConfigError: the environment names a proxy or certificates that make no sense.
    :raises requests.RequestException: there was no answer. Its text may have the address in it, secrets and all.
    """
    deadline = time.monotonic() + longest

    def send() -> requests.Response:
        with _session(local) as session:
            return session.request(method, url, headers=headers, stream=True, timeout=timeout)

    for _ in range(MAX_REDIRECTS + 1):
        _require_fit(url, local=local, encrypted=encrypted)
        proxy_for(url)  # which names a wrong one, and requests does not
        for secret in secrets_in(url):
            mask_secret(secret)  # at its lowest level, a log says which addresses are asked
        try:
            response = within(deadline - time.monotonic(), send)
            if not response.is_redirect:
                return response
            response.close()
            url = urljoin(url, _location(response))
        except OverdueError:
            raise requests.Timeout(f"no answer within {longest:g} s") from None
        except requests.RequestException:  # some are ValueErrors
            raise
        except ValueError:
            raise RefusedAddressError(f"{shown(url)} redirects to what is no address.") from None
    raise RefusedAddressError(f"More than {MAX_REDIRECTS} redirects, the last to {shown(url)}.")


def _location(response: requests.Response) -> str:
    """
    Return where a response redirects to.

    Headers are read as Latin-1. An address that a server sends in UTF-8, as most do, is UTF-8 again; the other bytes of
    one in another encoding are escaped, so that the same bytes are asked for.
    """
    octets = response.headers["location"].encode("latin-1", "replace")
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        return quote(octets, safe=string.punctuation)


def _require_fit(url: str, *, local: bool, encrypted: bool) -> None:
    scheme = url.partition("://")[0].lower()
    plain = scheme == "http" and (not encrypted or is_loopback(url))
    if scheme != "https" and not plain:
        raise RefusedAddressError(f"{shown(url)} is not http{'s' if encrypted else ''}, so it is not asked.")
    if not local and is_local(url):
        raise RefusedAddressError(_refusal(shown(url)))


def _refusal(what: str) -> str:
    return f"{what} is on this machine or a private network, where only a Klap that is there itself may lead."


def _session(local: bool) -> requests.Session:
    session = requests.Session()
    session.auth = lambda request: request  # or requests would send what a ~/.netrc has for the host
    session.verify = trust_store()
    # Or it would follow a redirect itself, and first read its body, however long that is.
    session.get_redirect_target = lambda resp: None  # type: ignore[method-assign]  # of this session alone
    if not local:
        session.mount("https://", _Adapter())
        session.mount("http://", _Adapter())
    return session


def _connected(connection: HTTPConnection, connect: Callable[[], socket.socket]) -> socket.socket:
    """Return a socket to what the connection's host is looked up as, if that is on the internet."""
    host = connection._dns_host  # what DNS is asked for; the host itself is also for the Host header and TLS
    try:
        found = socket.getaddrinfo(host, connection.port, type=socket.SOCK_STREAM)
    except UnicodeError as unknown:  # a ValueError, which would count as a redirect to what is no address
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
            except ConnectTimeoutError as failed:  # of which a refused one is a kind
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


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


class _Adapter(HTTPAdapter):
    """Connects to the internet alone, or to a proxy of the environment."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
