"""
Trust store, proxy and total time limit of requests.

The trust store and the proxy come from the environment variables that requests documents, and from ``SSL_CERT_FILE``.
They are the same for requests on workers and for aiohttp in the triggerer.
"""

from __future__ import annotations

import os
import ssl
import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TYPE_CHECKING, NamedTuple, TypeVar
from urllib.parse import urlsplit

from requests.utils import DEFAULT_CA_BUNDLE_PATH, get_environ_proxies, select_proxy
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool

from klap_provider.errors import KlapConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from urllib3 import PoolManager
    from urllib3.connection import HTTPConnection, HTTPSConnection

T = TypeVar("T")

#: Environment variables with a file or a folder of certificates. The first one that is set counts.
TRUST_STORES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


class OverdueError(Exception):
    """A request exceeded its time limit."""


def within(seconds: float, send: Callable[[], T]) -> T:
    """
    Return the response of a request within a time limit. After that, the request continues in its thread.

    The timeout of requests restarts with each byte and does not cover DNS. A thread pool waits for its threads at the
    end of the process. So the request runs in a thread of its own.

    :raises OverdueError: the time limit has passed.
    """
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(send())
        except BaseException as failure:
            outcome.set_exception(failure)

    threading.Thread(target=run, name="klap-request", daemon=True).start()
    try:
        return outcome.result(max(0.0, seconds))
    except FutureTimeoutError:
        if outcome.done():
            raise
        raise OverdueError from None


def use_connections(manager: PoolManager, plain: type[HTTPConnection], tls: type[HTTPSConnection]) -> PoolManager:
    """Let a pool manager of urllib3 create connections of the given classes, and return it."""
    manager.pool_classes_by_scheme = {
        "http": type("Pool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
        "https": type("TLSPool", (HTTPSConnectionPool,), {"ConnectionCls": tls}),
    }
    return manager


class Route(NamedTuple):
    """File or folder of the certificates that are trusted, and the address of the proxy, for requests to an address."""

    trust_store: str
    proxy: str | None

    def ssl_context(self) -> ssl.SSLContext:
        """Return the context for TLS. Reads files."""
        return _context(self.trust_store)


def route_to(url: str) -> Route:
    """
    Return the trust store and the proxy of requests to an address. Reads files.

    :raises KlapConfigError: an environment variable has an unreadable trust store or an invalid proxy.
    """
    proxy = proxy_for(url)
    return Route(trust_store(url, proxy), proxy)


def proxy_for(url: str) -> str | None:
    """Return the proxy for requests to an address; None: no proxy. Errors do not repeat its address and password."""
    named = select_proxy(url, get_environ_proxies(url))
    if not named:
        return None
    proxy = named if "://" in named else f"http://{named}"
    try:
        parts = urlsplit(proxy)
        is_socks = parts.scheme.startswith("socks")
        is_valid = (is_socks or parts.scheme in ("http", "https")) and bool(parts.hostname) and parts.port != 0
    except ValueError:  # the port is not a number
        is_socks = is_valid = False
    if not is_valid:
        raise KlapConfigError(
            "The proxy in the environment (HTTPS_PROXY, HTTP_PROXY or ALL_PROXY) is not an address such as "
            "http://user:password@proxy.example.com:3128. Correct the variable. Escape special characters of the "
            "password, such as %23 for #."
        )
    if is_socks:
        raise KlapConfigError(
            f"The environment has a {parts.scheme} proxy, but only HTTP proxies are supported. Set HTTPS_PROXY to an "
            "HTTP proxy, or add Klap's host to NO_PROXY."
        )
    return proxy


def trust_store(url: str, proxy: str | None) -> str:
    """
    Return the file or folder of the trusted certificates. Default: the certificates of the package certifi.

    Certificates of the environment are read only if the request uses TLS, because that takes 20 ms of CPU.

    :param url: address of the request.
    :param proxy: address of its proxy; None: no proxy.
    :raises KlapConfigError: the file or folder in an environment variable cannot be read.
    """
    uses_tls = "https://" in f"{url} {proxy}".lower()
    for name in TRUST_STORES if uses_tls else ():
        if path := os.environ.get(name):
            try:
                _context(path)
            except OSError as failure:
                # requests would report some of these errors as if Klap might have received the request.
                raise KlapConfigError(
                    f"The certificates in {path} ({name}) cannot be read on this machine: {failure}. Correct the "
                    "environment variable, or put the file there."
                ) from failure
            return path
    return str(DEFAULT_CA_BUNDLE_PATH)


def _context(path: str) -> ssl.SSLContext:
    in_folder = os.path.isdir(path)
    return ssl.create_default_context(cafile=None if in_folder else path, capath=path if in_folder else None)
