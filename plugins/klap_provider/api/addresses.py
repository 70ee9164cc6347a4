"""Which addresses make sense: the API's own, a source video's, a download's. No DNS, no I/O."""

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
#: Named by Klap's own example; one client found it unreachable in 2026.
OTHER_API_URL = "https://api.klap.video/v2"
DEFAULT_PLAYER_URL = "https://klap.app/player"
DEFAULT_EMBED_URL = "https://klap.app/embed"
DEFAULT_APP_URL = "https://klap.app/spaces"
API_PATH = "/v2"

WEB = ("http", "https")

#: Ends of names that are of a network of its own.
LOCAL_NAMES = (".localhost", ".local", ".localdomain", ".internal", ".intranet", ".corp", ".lan", ".home.arpa")

#: Whose last 32 bits are an IPv4 address: NAT64, and one of old.
_CARRIERS = (IPv6Network("64:ff9b::/96"), IPv6Network("::/96"))
_NAT64_AT_HOME = IPv6Network("64:ff9b:1::/48")


#: An ampersand as web pages write it, however often it was escaped.
_ESCAPED_AMPERSAND = re.compile(r"&(?:(?:amp|#0*38|#x0*26);)+", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*(?=://)", re.IGNORECASE)

#: Parameters that never tell videos apart: a signature of S3 or Google Cloud Storage, and what counts visitors.
_PASSING = re.compile(r"x-(amz|goog)-|utm_|(fbclid|gclid)(=|$)", re.IGNORECASE)
_PORTS = {"http": 80, "https": 443}
_ESCAPED = re.compile(r"(?:%[0-9a-f]{2})+", re.IGNORECASE)
#: Characters that mean the same in a URL whether they are escaped or not.
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")


def repaired(typed: str) -> str:
    """
    Return an address without what copying it can add to it. Nothing else of it changes.

    Removes spaces and invisible characters at both ends, writes the scheme in lower case, turns the ``&amp;`` of a web
    page into ``&``, and adds ``https://`` to the address of a YouTube video that has no scheme.
    """
    start, end = 0, len(typed)
    while start < end and _is_blank(typed[start]):
        start += 1
    while end > start and _is_blank(typed[end - 1]):
        end -= 1
    url = typed[start:end]
    if scheme := _SCHEME.match(url):
        url = scheme[0].lower() + url[scheme.end() :]
        return _ESCAPED_AMPERSAND.sub("&", url) if scheme[0].lower() in WEB else url
    complete = _ESCAPED_AMPERSAND.sub("&", f"https://{url.removeprefix('//')}")
    return complete if youtube_id(complete) else url


def _is_blank(char: str) -> bool:
    return char.isspace() or not char.isprintable()


def canonical(url: str) -> str:
    """
    Return the same text for all addresses that certainly lead to the same video. It is compared, and not sent.

    All links to one YouTube video are one. At other sites these make no difference: what
    :func:`~klap_provider.api.repaired` repairs, the case of the host, a dot behind it, the default port, the
    fragment, characters that are needlessly escaped, parameters that count visitors (``utm_…``, ``fbclid``,
    ``gclid``), and the signature of a signed S3 or Google Cloud Storage URL. The rest of the query stays, because it
    may name the video. In object storage only the case of the bucket makes no difference.
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
    query = "&".join(pair for pair in parts.query.split("&") if pair and not _PASSING.match(pair))
    return urlunsplit((parts.scheme, f"{user}{at}{host}", _plain(parts.path) or "/", _plain(query), ""))


def _in_storage(url: str) -> str:
    scheme, mark, rest = url.partition("://")
    place, slash, key = rest.partition("/")  # a key may have any character in it, also # and ?
    connection, at, bucket = place.rpartition("@")
    return f"{scheme}{mark}{connection}{at}{bucket.lower()}{slash}{key}"


def _plain(escaped: str) -> str:
    """Return a part of a URL with no more of it escaped than has to be."""
    return _ESCAPED.sub(lambda found: _unescaped(unquote_to_bytes(found[0])), escaped)


def _unescaped(octets: bytes) -> str:
    return "".join(
        char
        if _UNRESERVED.match(char) or (char > "\x7f" and char.isprintable())
        else "".join(f"%{octet:02X}" for octet in char.encode("utf-8", "surrogateescape"))
        for char in octets.decode("utf-8", "surrogateescape")
    )


def youtube_id(url: str) -> str | None:
    """Return the id of the YouTube video that a complete URL leads to, or None if it leads elsewhere."""
    place = _on_youtube(url)
    return place and youtube.video_in(*place)


def not_a_video(url: str) -> str | None:
    """Return what a URL of YouTube leads to, in words, if that is no video; None for a video and for other sites."""
    place = _on_youtube(url)
    return None if place is None or youtube.video_in(*place) else youtube.kind_of(*place[:2])


def _on_youtube(url: str) -> tuple[str, str, str] | None:
    """Return host, path and query of a web address of YouTube; None for any other address."""
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
        host = f"{'http' if schema == 'http' else 'https'}://{host}"
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
    """Whether only this machine or its own network can resolve or reach the URL's host, as far as its text tells."""
    host = host_of(url)
    if readings := _readings(host):
        return not all(map(is_public, readings))
    return "." not in host or host.endswith(LOCAL_NAMES)


def is_loopback(url: str) -> bool:
    """Whether the URL's host is this very machine."""
    host = host_of(url)
    if readings := _readings(host):
        return all(address.is_loopback for address in readings)
    return host == "localhost" or host.endswith(".localhost")


def host_of(url: str) -> str:
    """Return the URL's host as DNS would be asked for it, or nothing where there is none."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return ""
    # Full-width digits and dots are looked up as what they look like.
    return unicodedata.normalize("NFKC", host).replace("\u3002", ".").rstrip(".").lower()


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an IP address, and the IPv4 address that it may carry, is one of the internet's."""
    if isinstance(address, IPv6Address):
        if address.is_site_local or address in _NAT64_AT_HOME:
            return False
        carried = _carried(address)
        if carried is not None:
            return is_public(carried)
    return address.is_global and not address.is_multicast


def _carried(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that packets to this one end up at, if it is one that carries one."""
    if address.ipv4_mapped or address.sixtofour:
        return address.ipv4_mapped or address.sixtofour
    if any(address in carrier for carrier in _CARRIERS):
        return IPv4Address(address.packed[-4:])
    return None


def _readings(host: str) -> list[IPv4Address | IPv6Address]:
    """
    Return every IP address that some program takes the host for; none for a name.

    ``127.1`` and ``0x7f000001`` are addresses, and ``010.0.0.1`` is 8.0.0.1 to one and 10.0.0.1 to another.
    """
    found: list[IPv4Address | IPv6Address] = []
    with suppress(OSError, ValueError):
        found.append(ip_address(inet_aton(host)))
    with suppress(ValueError):
        found.append(ip_address(re.sub(r"\b0+(?=\d)", "", host)))  # to some, leading zeros are nothing
    return found


def require_reachable(field: str, url: str, *, api_url: str) -> None:
    """
    Refuse a URL that Klap's servers cannot fetch from.

    A local address is fine where the API itself is local, as the sandbox is.

    :raises KlapInputError: names the field and the host.
    """
    if is_local(url) and not is_local(api_url):
        raise KlapInputError(
            f"Nothing was sent to Klap. {field}: {host_of(url)} is on a private network or on this machine, where "
            "Klap cannot fetch it. Give a public address, or a file in object storage such as "
            "s3://conn_id@bucket/talk.mp4, which is signed for Klap."
        )
