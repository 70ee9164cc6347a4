"""
The public form of an address: what may be written down of it. Pure.

The query of an address, its fragment and what stands before an ``@`` can be secrets: whoever has a signed address can
fetch the video. So wherever an address leaves a task, in a manifest, an event, an error, a log, it is :func:`shown`.
"""

from __future__ import annotations

import hashlib
import re
from urllib.parse import unquote_to_bytes, urlsplit, urlunsplit

from klap_provider.api import addresses

#: Characters of a secret at least: in a shorter one every other word would be found.
SHORTEST_SECRET = 8

#: Parameters that never tell videos apart: a signature of S3 or Google Cloud Storage, and what counts visitors.
_PASSING = re.compile(r"x-(amz|goog)-|utm_|(fbclid|gclid)(=|$)", re.IGNORECASE)
_PORTS = {"http": 80, "https": 443}
_ESCAPED = re.compile(r"(?:%[0-9a-f]{2})+", re.IGNORECASE)
#: Characters that mean the same in a URL whether they are escaped or not.
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")
#: An address in a text; some programs write its slashes as JSON allows it.
_IN_TEXT = re.compile(r"""\b[a-z][a-z0-9+.-]*:(?:\\?/){2}[^\s"'<>]+""", re.IGNORECASE)
#: Half of a character, and the character that ends a text in C: neither can be stored everywhere.
_UNWRITABLE = re.compile("[\ud800-\udfff\x00]")
#: A part of a query without its address.
_PARAMETER = re.compile(r"""((?:signature|sig|token|secret|password|credential)=)[^\s&"'<>]+""", re.IGNORECASE)


def canonical(url: str) -> str:
    """
    Return the same text for all addresses that certainly lead to the same video. It is compared, and not sent.

    All links to one YouTube video are one. At other sites these make no difference: what
    :func:`~klap_provider.api.addresses.repaired` repairs, the case of the host, a dot behind it, the default port, the
    fragment, characters that are needlessly escaped, parameters that count visitors (``utm_…``, ``fbclid``,
    ``gclid``), and the signature of a signed S3 or Google Cloud Storage URL. The rest of the query stays, because it
    may name the video. In object storage only the case of the bucket makes no difference.
    """
    url = addresses.repaired(url)
    if video := addresses.youtube_id(url):
        return f"https://www.youtube.com/watch?v={video}"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return url
    if parts.scheme not in addresses.WEB:
        return _in_storage(url)
    user, at, _ = parts.netloc.rpartition("@")
    host = addresses.host_of(url)
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


def shown(url: str) -> str:
    """
    Return an address to be written down.

    A short hash stands for its query, and for the fragment of an object in storage: they can be secrets, and they tell
    addresses apart.
    """
    url = canonical(url)
    if addresses.youtube_id(url):
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        return "an address that cannot be read"
    hidden = f"{parts.query}#{parts.fragment}" if parts.fragment else parts.query
    query = f"?…{hashlib.sha256(hidden.encode('utf-8', 'replace')).hexdigest()[:8]}" if hidden else ""
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")) + query


def public_address(url: str | None) -> str | None:
    """Return an address of the web that has nothing secret in it; None for any other one, such as a signed one."""
    try:
        parts = urlsplit(url or "")
    except ValueError:
        return None
    is_public = parts.scheme in addresses.WEB and not (parts.query or parts.fragment or "@" in parts.netloc)
    return url if is_public else None


def without_secrets(words: str) -> str:
    """Return a text with what is secret of the addresses in it left out: queries, passwords, signatures."""
    return _PARAMETER.sub(r"\1…", _IN_TEXT.sub(lambda found: _public(found[0]), words))


def _public(address: str) -> str:
    if addresses.youtube_id(address):
        return canonical(address)
    head, mark, _ = address.partition("?")
    head, _, fragment = head.partition("#")
    scheme, slashes, rest = re.split(r"((?:\\?/){2})", head, maxsplit=1)
    place, slash, path = rest.partition("/")
    user, _, host = place.rpartition("@")
    # Of a storage this is the id of an Airflow connection, which tells nothing, unless somebody put a password there.
    kept = f"{user}@" if user and ":" not in user and not scheme.lower().startswith("http") else ""
    return f"{scheme}{slashes}{kept}{host}{slash}{path}{'?…' if mark or fragment else ''}"


def writable(text: str) -> str:
    """Return a text with a mark in place of each character that cannot be stored everywhere."""
    return _UNWRITABLE.sub("\ufffd", text)


def secrets_in(url: str) -> list[str]:
    """Return the parts of an address that are not shown, for whoever masks them in logs and rendered fields."""
    if addresses.youtube_id(url):
        return []
    try:
        parts = urlsplit(url)
    except ValueError:
        return []
    user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    if parts.scheme.startswith("http"):
        password = password or user
    return [part for part in (parts.query, password) if len(part) >= SHORTEST_SECRET]
