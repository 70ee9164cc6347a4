"""
The trust store and the proxy for requests that leave this machine: the same for requests on workers and for aiohttp in
the triggerer, by the environment variables that requests documents, and by ``SSL_CERT_FILE``, which Python's ssl reads.
"""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass

from requests.utils import DEFAULT_CA_BUNDLE_PATH, get_environ_proxies, select_proxy

from klap_provider.errors import KlapConfigError

#: Variables that name a file or a folder of certificates, the first one that is set counts.
TRUST_STORES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


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

    :raises KlapConfigError: a variable names a trust store that cannot be read, or a proxy that is none of HTTP.
    """
    proxy = select_proxy(url, get_environ_proxies(url))
    scheme, has_scheme, _ = (proxy or "").partition("://")
    if has_scheme and scheme.lower() not in ("http", "https"):
        # Now, and by name: requests would report it as a request that Klap may have received.
        raise KlapConfigError(
            f"The environment names a {scheme} proxy for Klap, and only HTTP proxies are supported. Name one of "
            "these in HTTPS_PROXY, or Klap's host in NO_PROXY."
        )
    return Route(trust_store(), proxy)


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
