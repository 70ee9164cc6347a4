"""
Remove secrets from addresses and texts. Pure.

The query, the fragment and the user info of an address can be secrets: anybody with a signed address can download the
video. So every address in a manifest, event, error or log goes through :func:`shown`.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from klap_provider.api import addresses

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Minimum length of a secret, because shorter texts occur in normal words.
SHORTEST_SECRET = 8

#: Replacement for a secret in a text.
REDACTED = "***"

#: Maximum levels of nesting in a response. Deeper values are dropped.
DEEPEST = 40

#: An address in a text, also with slashes that are escaped as in JSON.
_IN_TEXT = re.compile(r"""\b[a-z][a-z0-9+.-]*:(?:\\?/){2}[^\s"'<>]+""", re.IGNORECASE)
#: Lone surrogates and NUL, which some databases cannot store.
_UNWRITABLE = re.compile("[\ud800-\udfff\x00]")
#: A query parameter with a secret, without its address.
_PARAMETER = re.compile(r"""((?:signature|sig|token|secret|password|credential)=)[^\s&"'<>]+""", re.IGNORECASE)


def shown(url: str) -> str:
    """Return an address without secrets. A hash replaces query and fragment, so that addresses stay different."""
    url = addresses.canonical(url)
    if addresses.youtube_id(url):
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        return "an invalid address"
    hidden = f"{parts.query}#{parts.fragment}" if parts.fragment else parts.query
    query = f"?…{hashlib.sha256(hidden.encode('utf-8', 'replace')).hexdigest()[:8]}" if hidden else ""
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")) + query


def public_address(url: str | None) -> str | None:
    """Return a web address if it has no secret in it; None for any other address, such as a signed one."""
    try:
        parts = urlsplit(url or "")
    except ValueError:
        return None
    is_public = parts.scheme in addresses.WEB and not (parts.query or parts.fragment or "@" in parts.netloc)
    return url if is_public else None


def without_secrets(text: str) -> str:
    """Return a text without the queries, passwords and signatures of the addresses in it."""
    return _PARAMETER.sub(r"\1…", _IN_TEXT.sub(lambda found: _public(found[0]), text))


def _public(address: str) -> str:
    if addresses.youtube_id(address):
        return addresses.canonical(address)
    head, mark, _ = address.partition("?")
    head, _, fragment = head.partition("#")
    scheme, slashes, rest = re.split(r"((?:\\?/){2})", head, maxsplit=1)
    authority, slash, path = rest.partition("/")
    user, _, host = authority.rpartition("@")
    # In an object storage URL, the user is the id of an Airflow connection, which is no secret.
    kept = f"{user}@" if user and ":" not in user and not scheme.lower().startswith("http") else ""
    return f"{scheme}{slashes}{kept}{host}{slash}{path}{'?…' if mark or fragment else ''}"


def writable(text: str) -> str:
    """Return a text with a replacement for each character that some databases cannot store."""
    return _UNWRITABLE.sub("\ufffd", text)


def secrets_in(url: str) -> list[str]:
    """Return the secret parts of an address, to mask them in logs and rendered fields."""
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


def redacted_text(text: str, secrets: Sequence[str]) -> str:
    """Return a text without the given secrets and without characters that some databases cannot store."""
    for secret in secrets:
        text = text.replace(secret, REDACTED)
    return writable(text)


def redacted(document: Any, secrets: Sequence[str], levels: int = DEEPEST) -> Any:
    """Return a decoded JSON document without the given secrets, like :func:`redacted_text`."""
    if isinstance(document, str):
        return redacted_text(document, secrets)
    if isinstance(document, list) and levels:
        return [redacted(each, secrets, levels - 1) for each in document]
    if isinstance(document, dict) and levels:
        return {redacted_text(name, secrets): redacted(each, secrets, levels - 1) for name, each in document.items()}
    return None if isinstance(document, list | dict) else document
