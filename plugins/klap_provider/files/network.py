"""
The trust store and the proxy for requests that leave this machine: the same for requests on workers and for aiohttp in
the triggerer, by the environment variables that requests documents, and by ``SSL_CERT_FILE``, which Python's ssl reads.
And the time limit of a whole request, which requests does not have.
"""

from __future__ import annotations

import os
import ssl
import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from requests.utils import DEFAULT_CA_BUNDLE_PATH, get_environ_proxies, select_proxy

from klap_provider.errors import KlapConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

#: Variables that name a file or a folder of certificates, the first one that is set counts.
TRUST_STORES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


class OverdueError(Exception):
    """A request was given up, because it took longer than it may."""


def within(seconds: float, send: Callable[[], T]) -> T:
    """
    Return what a request returns, if that comes in time.

    Neither a timeout of requests nor a pool of threads bounds the time of a request. The timeout starts again with each
    byte, and does not cover name resolution. The threads of a pool are joined at the end of the process.

    :param send: sends the request. It continues in its thread if it is given up.
    :raises OverdueError: the time is up.
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


@dataclass(frozen=True)
class Route:
    """
    How requests to an address leave this machine.

    :param trust_store: file or folder of the certificates that are trusted.
    :param proxy: address of the proxy; None: no proxy.
    """

    trust_store: str
    proxy: str | None

    def ssl_context(self) -> ssl.SSLContext:
        """Return the context for TLS. Reads files."""
        return _context(self.trust_store)


def route_to(url: str) -> Route:
    """
    Return how requests to an address leave this machine. Reads files.

    :raises KlapConfigError: a variable names a trust store that cannot be read, or a proxy that makes no sense.
    """
    return Route(trust_store(), proxy_for(url))


def proxy_for(url: str) -> str | None:
    """
    Return the address of the proxy for requests to an address; None: no proxy.

    :raises KlapConfigError: the environment names a proxy that makes no sense. The address is not repeated: it may have
        a password in it.
    """
    named = select_proxy(url, get_environ_proxies(url))
    if not named:
        return None
    proxy = named if "://" in named else f"http://{named}"
    try:
        parts = urlsplit(proxy)
        is_socks = parts.scheme.startswith("socks")
        is_sound = (is_socks or parts.scheme in ("http", "https")) and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of a port that is no number
        is_socks = is_sound = False
    if not is_sound:
        raise KlapConfigError(
            "The proxy that the environment names (HTTPS_PROXY, HTTP_PROXY or ALL_PROXY) is not an address such as "
            "http://user:password@proxy.example.com:3128. Correct the variable; write special characters of the "
            "password as %23 and the like."
        )
    if is_socks:
        raise KlapConfigError(
            f"The environment names a {parts.scheme} proxy, and only HTTP proxies are supported. Name one of these in "
            "HTTPS_PROXY, or Klap's host in NO_PROXY."
        )
    return proxy


def trust_store() -> str:
    """
    Return the file or folder of the certificates that are trusted. Default: those of the package certifi.

    :raises KlapConfigError: a variable names one that cannot be read.
    """
    for name in TRUST_STORES:
        if path := os.environ.get(name):
            try:
                _context(path)
            except OSError as failure:
                # Now, and by name: requests would report some of these as a request that Klap may have received.
                raise KlapConfigError(
                    f"The certificates in {path} ({name}) cannot be read on this machine: {failure}. Correct the "
                    "environment variable, or put the file there."
                ) from failure
            return path
    return str(DEFAULT_CA_BUNDLE_PATH)


def _context(path: str) -> ssl.SSLContext:
    in_folder = os.path.isdir(path)
    return ssl.create_default_context(cafile=None if in_folder else path, capath=path if in_folder else None)
