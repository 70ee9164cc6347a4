"""
The public form of an address: what may be written down of it. Pure.

The query of an address, its fragment and what stands before an ``@`` can be secrets: whoever has a signed address can
fetch the video. So wherever an address leaves a task, in a manifest, an event, an error, a log, it is :func:`shown`.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from klap_provider.api import addresses

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Characters of a secret at least: in a shorter one every other word would be found.
SHORTEST_SECRET = 8

#: What stands for a secret in a text.
REDACTED = "***"

#: An address in a text; some programs write its slashes as JSON allows it.
_IN_TEXT = re.compile(r"""\b[a-z][a-z0-9+.-]*:(?:\\?/){2}[^\s"'<>]+""", re.IGNORECASE)
#: Half of a character, and the character that ends a text in C: neither can be stored everywhere.
_UNWRITABLE = re.compile("[\ud800-\udfff\x00]")
#: A part of a query without its address.
_PARAMETER = re.compile(r"""((?:signature|sig|token|secret|password|credential)=)[^\s&"'<>]+""", re.IGNORECASE)


def shown(url: str) -> str:
    """
    Return an address to be written down.

    A short hash stands for its query, and for the fragment of an object in storage: they can be secrets, and they tell
    addresses apart.
    """
    url = addresses.canonical(url)
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
        return addresses.canonical(address)
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


def redacted_text(text: str, secrets: Iterable[str]) -> str:
    """Return a text without the secrets in it, and of characters that can be written down alone."""
    for secret in secrets:
        text = text.replace(secret, REDACTED)
    return writable(text)
