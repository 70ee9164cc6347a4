"""Recognize YouTube addresses of videos. Pure."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, unquote

_ID = re.compile(r"[A-Za-z0-9_-]{11}(?![A-Za-z0-9_-])")
#: Hosts with pages of videos. Other hosts below youtube.com, such as studio.youtube.com, have none.
_SITES = (
    *("youtube.com", "www.youtube.com", "m.youtube.com", "music.youtube.com", "gaming.youtube.com"),
    *("youtube-nocookie.com", "www.youtube-nocookie.com"),
)
_SHORT_LINKS = ("youtu.be", "www.youtu.be")
#: Path segments that a video id follows.
_BEFORE_ID = ("watch", "shorts", "live", "embed", "v", "e", "vi")
#: Words of eleven characters that are not ids: ``/embed/videoseries?list=…`` and ``/embed/live_stream?channel=…``.
_NO_IDS = ("videoseries", "live_stream")


def is_youtube(host: str) -> bool:
    """Return whether a host, in lower case and without a dot at the end, belongs to YouTube."""
    return host in (*_SHORT_LINKS, *_SITES) or host.endswith(".youtube.com")


def video_in(host: str, path: str, query: str) -> str | None:
    """Return the id of the video at an address on a host of YouTube; None if it is not the address of one video."""
    parts = [unquote(part) for part in path.split("/") if part]
    first = parts[0].lower() if parts else ""
    if first == "watch" and len(parts) == 1 and host in (*_SHORT_LINKS, *_SITES):
        ids = set(parse_qs(query).get("v", ()))
        return _id(ids.pop()) if len(ids) == 1 else None
    if host in _SHORT_LINKS and parts:
        return _id(parts[0])
    return _id(parts[1]) if host in _SITES and first in _BEFORE_ID and len(parts) > 1 else None


def _id(text: str) -> str | None:
    found = _ID.match(text)
    return found[0] if found and found[0] not in _NO_IDS else None
