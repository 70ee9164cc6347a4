"""Which addresses make sense: the API's own, a source video's, a download's. No DNS, no I/O."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from socket import inet_aton
from urllib.parse import urlsplit

from klap_provider.errors import KlapConfigError, KlapInputError

DEFAULT_API_URL = "https://api.klap.app/v2"
#: Named by Klap's own example; one client found it unreachable in 2026.
OTHER_API_URL = "https://api.klap.video/v2"
DEFAULT_PLAYER_URL = "https://klap.app/player"
DEFAULT_EMBED_URL = "https://klap.app/embed"
DEFAULT_APP_URL = "https://klap.app/spaces"
API_PATH = "/v2"


def api_url(host: str | None, *, schema: str | None = None, port: int | None = None) -> str:
    """
    Return the API's base URL, without a slash at the end, from the fields of an Airflow connection.

    :param host: a URL or a bare host name. Empty: :data:`DEFAULT_API_URL`. Without a path, ``/v2`` is added.
    :param schema: ``http`` or ``https`` for a host that does not say. Anything else, such as the ``v2`` that Airflow
        makes of the path of a connection URI, counts as ``https``.
    :param port: port for a host that names none.
    :raises KlapConfigError: if these make no http(s) URL.
    """
    host = (host or "").strip()
    if not host:
        return DEFAULT_API_URL
    if "://" not in host:
        host = f"{schema if schema in ('http', 'https') else 'https'}://{host}"
    try:
        parts = urlsplit(host)
        if port and parts.port is None:
            parts = parts._replace(netloc=f"{parts.netloc}:{port}")
        sound = (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and not parts.query
            and not re.search(r"\s", host)
            and (parts.port is None or parts.port > 0)  # raises where it is no port number
        )
    except ValueError:
        sound = False
    if not sound or "@" in parts.netloc:
        raise KlapConfigError(
            f"The Klap connection's Host is not a base URL such as {DEFAULT_API_URL}. "
            "Leave it empty for the default; the API key belongs into Password."
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/') or API_PATH}"


def is_local(url: str) -> bool:
    """Whether only this machine or its own network can resolve or reach the URL's host, as far as its name tells."""
    host = _host(url)
    address = _address(host)
    if address is not None:
        return not address.is_global
    return "." not in host or host.endswith((".localhost", ".local", ".internal", ".lan", ".home.arpa"))


def is_loopback(url: str) -> bool:
    """Whether the URL's host is this very machine."""
    host = _host(url)
    address = _address(host)
    if address is not None:
        return address.is_loopback
    return host == "localhost" or host.endswith(".localhost")


def _host(url: str) -> str:
    return (urlsplit(url).hostname or "").rstrip(".").lower()


def _address(host: str) -> IPv4Address | IPv6Address | None:
    """Return the IP address that the host is, also in forms such as 127.1 or 0x7f000001, or None for a name."""
    try:
        return ip_address(host)
    except ValueError:
        pass
    try:
        return ip_address(inet_aton(host))
    except (OSError, ValueError):
        return None


def require_reachable(field: str, url: str, *, api_url: str) -> None:
    """
    Refuse a URL that Klap's servers cannot fetch from.

    A local address is fine where the API itself is local, as the sandbox is.

    :raises KlapInputError: names the field and the host.
    """
    if is_local(url) and not is_local(api_url):
        raise KlapInputError(
            f"Nothing was sent to Klap. {field}: {urlsplit(url).hostname} is on a private network or on this "
            "machine, where Klap cannot fetch it. Give a public address, such as a signed storage URL."
        )
