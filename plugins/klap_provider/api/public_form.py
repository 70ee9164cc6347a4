"""
The public form of an address: what may be written down of it. Pure.

The query of an address, its fragment and what stands before an ``@`` can be secrets: whoever has a signed address can
fetch the video. So wherever an address leaves a task, in a manifest, an event, an error, a log, it is :func:`shown`.
"""

from __future__ import annotations

import hashlib
import re
from urllib.parse import urlsplit, urlunsplit

#: Characters of a secret at least: in a shorter one every other word would be found.
SHORTEST_SECRET = 8

_YOUTUBE = re.compile(
    r"https?://(?:(?:www|m|music)\.)?"
    r"(?:youtu\.be/|youtube(?:-nocookie)?\.com/(?:(?:shorts|live|embed|v)/|watch/?\?(?:[^#]*&)?v=))"
    r"([A-Za-z0-9_-]{11})(?![A-Za-z0-9_-])",
    re.IGNORECASE,
)
#: What a storage adds to a URL when it signs it, anew each time.
_SIGNATURE = re.compile(r"x-(amz|goog)-", re.IGNORECASE)
#: An address in a text; some programs write its slashes as JSON allows it.
_IN_TEXT = re.compile(r"""\b[a-z][a-z0-9+.-]*:(?:\\?/){2}[^\s"'<>]+""", re.IGNORECASE)
#: A part of a query without its address.
_PARAMETER = re.compile(r"""((?:signature|sig|token|secret|password|credential)=)[^\s&"'<>]+""", re.IGNORECASE)


def youtube_id(url: str) -> str | None:
    """Return the id of the YouTube video that a URL leads to, or None if it leads elsewhere."""
    found = _YOUTUBE.match(url.strip())
    return found[1] if found else None


def canonical(url: str) -> str:
    """
    Return the same text for URLs that are certainly the same video.

    All the ways to link to a YouTube video are one. Elsewhere only what never tells videos apart goes: space around
    it, the case of the host, the fragment, and the signature of a signed S3 or Google Cloud Storage URL. The rest of a
    query stays, because it may be what names the video.
    """
    url = url.strip()
    if video := youtube_id(url):
        return f"https://www.youtube.com/watch?v={video}"
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    query = "&".join(pair for pair in parts.query.split("&") if not _SIGNATURE.match(pair))
    return urlunsplit((parts.scheme, f"{user}{at}{host.lower()}", parts.path, query, ""))


def shown(url: str) -> str:
    """Return an address to be written down: its query, which may be a secret, is told apart but not told."""
    if youtube_id(url):
        return canonical(url)
    try:
        parts = urlsplit(canonical(url))
    except ValueError:
        return "an address that cannot be read"
    query = f"?…{hashlib.sha256(parts.query.encode('utf-8', 'replace')).hexdigest()[:8]}" if parts.query else ""
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")) + query


def without_secrets(words: str) -> str:
    """Return a text with what is secret of the addresses in it left out: queries, passwords, signatures."""
    return _PARAMETER.sub(r"\1…", _IN_TEXT.sub(lambda found: _public(found[0]), words))


def _public(address: str) -> str:
    if youtube_id(address):
        return canonical(address)
    head, mark, _ = address.partition("?")
    head, _, fragment = head.partition("#")
    scheme, slashes, rest = re.split(r"((?:\\?/){2})", head, maxsplit=1)
    place, slash, path = rest.partition("/")
    user, _, host = place.rpartition("@")
    # Of a storage this is the id of an Airflow connection, which tells nothing, unless somebody put a password there.
    kept = f"{user}@" if user and ":" not in user and not scheme.lower().startswith("http") else ""
    return f"{scheme}{slashes}{kept}{host}{slash}{path}{'?…' if mark or fragment else ''}"


def secrets_in(url: str) -> list[str]:
    """Return the parts of an address that are not shown, for whoever masks them in logs and rendered fields."""
    if youtube_id(url):
        return []
    try:
        parts = urlsplit(url)
    except ValueError:
        return []
    user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    if parts.scheme.startswith("http"):
        password = password or user
    return [part for part in (parts.query, password) if len(part) >= SHORTEST_SECRET]
