"""Check and normalize addresses: of the API, of source videos, and of downloads. No DNS, no I/O."""

from __future__ import annotations

import re
import unicodedata
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from socket import inet_aton
from urllib.parse import unquote_to_bytes, urlsplit, urlunsplit

from klap_provider.api import youtube
from klap_provider.errors import KlapConfigError, KlapInputError

DEFAULT_API_URL = "https://api.klap.app/v2"
#: From an example in Klap's documentation. It was unreachable in 2026.
OTHER_API_URL = "https://api.klap.video/v2"
DEFAULT_PLAYER_URL = "https://klap.app/player"
DEFAULT_EMBED_URL = "https://klap.app/embed"
DEFAULT_APP_URL = "https://klap.app/spaces"
API_PATH = "/v2"

WEB = ("http", "https")

#: Ends of host names in private networks.
LOCAL_NAMES = (".localhost", ".local", ".localdomain", ".internal", ".intranet", ".corp", ".lan", ".home.arpa")

#: Networks whose last 32 bits are an IPv4 address: NAT64, and the deprecated IPv4-compatible addresses.
_IPV4_NETWORKS = (IPv6Network("64:ff9b::/96"), IPv6Network("::/96"))
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")

#: An ampersand that is escaped as in HTML, once or several times.
_ESCAPED_AMPERSAND = re.compile(r"&(?:(?:amp|#0*38|#x0*26);)+", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*(?=://)", re.IGNORECASE)

#: Query parameters that do not identify a video: signatures of S3 and Google Cloud Storage, and tracking.
_IGNORED_PARAMETERS = re.compile(r"x-(amz|goog)-|utm_|(fbclid|gclid)(=|$)", re.IGNORECASE)
_PORTS = {"http": 80, "https": 443}
_ESCAPED = re.compile(r"(?:%[0-9a-f]{2})+", re.IGNORECASE)
#: Characters that mean the same in a URL whether they are escaped or not.
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")


def repaired(typed: str) -> str:
    """
    Return a typed or pasted address with common mistakes corrected.

    Removes spaces and invisible characters at both ends, writes the scheme in lower case, replaces ``&amp;`` by ``&``,
    and adds ``https://`` to the address of a YouTube video without a scheme.
    """
    blanks = "".join({char for char in typed if char.isspace() or not char.isprintable()})
    url = typed.strip(blanks) if blanks else typed
    if scheme := _SCHEME.match(url):
        url = scheme[0].lower() + url[scheme.end() :]
        return _ESCAPED_AMPERSAND.sub("&", url) if scheme[0].lower() in WEB else url
    complete = _ESCAPED_AMPERSAND.sub("&", f"https://{url.removeprefix('//')}")
    return complete if youtube_id(complete) else url


def canonical(url: str) -> str:
    """
    Return a normalized address, which is the same for addresses of the same video. It is only compared, never sent.

    All links to a YouTube video have the same form. For other sites, these differences are removed: the corrections of
    :func:`repaired`, the case of the host, a dot at its end, the default port, the fragment, unnecessary escapes,
    tracking parameters (``utm_…``, ``fbclid``, ``gclid``), and the signature of a signed S3 or Google Cloud Storage
    URL. The rest of the query stays, because it may identify the video. For object storage, only the case of the bucket
    is removed.
    """
    url = repaired(url)
    if video := youtube_id(url):
        return f"https://www.youtube.com/watch?v={video}"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return url
    if parts.scheme not in WEB:
        return _in_storage(url)
    user, at, _ = parts.netloc.rpartition("@")
    host = host_of(url)
    host = f"[{host}]" if ":" in host else host
    if port not in (None, _PORTS[parts.scheme]):
        host = f"{host}:{port}"
    query = "&".join(pair for pair in parts.query.split("&") if pair and not _IGNORED_PARAMETERS.match(pair))
    return urlunsplit((parts.scheme, f"{user}{at}{host}", _plain(parts.path) or "/", _plain(query), ""))


def _in_storage(url: str) -> str:
    scheme, mark, rest = url.partition("://")
    authority, slash, key = rest.partition("/")  # a key may contain any character, also # and ?
    connection, at, bucket = authority.rpartition("@")
    return f"{scheme}{mark}{connection}{at}{bucket.lower()}{slash}{key}"


def _plain(escaped: str) -> str:
    """Return a part of a URL without unnecessary escapes."""
    return _ESCAPED.sub(lambda found: _unescaped(unquote_to_bytes(found[0])), escaped)


def _unescaped(octets: bytes) -> str:
    return "".join(
        char
        if _UNRESERVED.match(char) or (char > "\x7f" and char.isprintable())
        else "".join(f"%{octet:02X}" for octet in char.encode("utf-8", "surrogateescape"))
        for char in octets.decode("utf-8", "surrogateescape")
    )


def youtube_id(url: str) -> str | None:
    """Return the id of the YouTube video at a complete URL; None for any other URL."""
    parts = _youtube_parts(url)
    return parts and youtube.video_in(*parts)


def is_other_youtube_page(url: str) -> bool:
    """Return whether a URL is on YouTube, but not the address of one video."""
    parts = _youtube_parts(url)
    return parts is not None and youtube.video_in(*parts) is None


def _youtube_parts(url: str) -> tuple[str, str, str] | None:
    """Return host, path and query of a YouTube URL; None for any other URL."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    host = host_of(url)
    if parts.scheme not in WEB or not youtube.is_youtube(host) or "@" in parts.netloc:
        return None
    return host, parts.path, parts.query


def api_url(host: str | None, *, schema: str | None = None, port: int | None = None) -> str:
    """
    Return the API's base URL, without a slash at the end, from the fields of an Airflow connection.

    :param host: URL or host name. Empty: :data:`DEFAULT_API_URL`. Without a path, ``/v2`` is added.
    :param schema: ``http`` or ``https``, for a host without a scheme. Any other value counts as ``https``: Airflow puts
        the path of a connection URI, such as ``v2``, into this field.
    :param port: port for a host without one.
    :raises KlapConfigError: the fields are not an http(s) URL.
    """
    host = (host or "").strip()
    if not host:
        return DEFAULT_API_URL
    if "://" not in host:
        host = f"{'http' if schema == 'http' else 'https'}://{host}"
    try:
        parts = urlsplit(host)
        if port and parts.port is None:
            parts = parts._replace(netloc=f"{parts.netloc}:{port}")
        is_valid = (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and not parts.query
            and not re.search(r"\s", host)
            and (parts.port is None or parts.port > 0)  # .port raises ValueError if it is not a port number
        )
    except ValueError:
        is_valid = False
    if not is_valid or "@" in parts.netloc:
        raise KlapConfigError(
            f"The Host of the Klap connection is not a base URL such as {DEFAULT_API_URL}. Correct it, or leave it "
            "empty for the default. The API key belongs in Password."
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/') or API_PATH}"


def is_local(url: str) -> bool:
    """Whether the URL's host is on this machine or on a private network, judging by its text."""
    host = host_of(url)
    if addresses := _possible_addresses(host):
        return not all(map(is_public, addresses))
    return "." not in host or host.endswith(LOCAL_NAMES)


def is_loopback(url: str) -> bool:
    """Whether the URL's host is this machine."""
    host = host_of(url)
    if addresses := _possible_addresses(host):
        return all(address.is_loopback for address in addresses)
    return host == "localhost" or host.endswith(".localhost")


def host_of(url: str) -> str:
    """Return the URL's host as it is looked up in DNS; an empty text if it has no host."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return ""
    # DNS lookups treat full-width digits and dots as ASCII.
    return unicodedata.normalize("NFKC", host).replace("\u3002", ".").rstrip(".").lower()


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an IP address, or the IPv4 address that it contains, is public."""
    if isinstance(address, IPv6Address):
        if address.is_site_local or address in _LOCAL_NAT64:
            return False
        embedded = _embedded(address)
        if embedded is not None:
            return is_public(embedded)
    return address.is_global and not address.is_multicast


def _embedded(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that an IPv6 address contains, if any."""
    if address.ipv4_mapped or address.sixtofour:
        return address.ipv4_mapped or address.sixtofour
    if any(address in network for network in _IPV4_NETWORKS):
        return IPv4Address(address.packed[-4:])
    return None


def _possible_addresses(host: str) -> list[IPv4Address | IPv6Address]:
    """Return every IP address as which a program may read the host, such as ``127.1`` or ``0x7f000001``."""
    found: list[IPv4Address | IPv6Address] = []
    with suppress(OSError, ValueError):
        found.append(ip_address(inet_aton(host)))
    with suppress(ValueError):
        found.append(ip_address(re.sub(r"\b0+(?=\d)", "", host)))  # some programs ignore leading zeros
    return found


def require_reachable(field: str, url: str, *, api_url: str) -> None:
    """Refuse a URL that Klap's servers cannot reach. If the API itself is local, local addresses are allowed."""
    if is_local(url) and not is_local(api_url):
        raise KlapInputError(
            f"Nothing was sent to Klap. {field}: {host_of(url)} is on a private network or on this machine, so Klap "
            "cannot reach it. Give a public address, or a file in object storage such as "
            "s3://conn_id@bucket/talk.mp4."
        )
