"""Recognize YouTube addresses of videos, playlists, channels and other pages. Pure."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, unquote, urljoin, urlsplit

_ID = re.compile(r"[A-Za-z0-9_-]{11}(?![A-Za-z0-9_-])")
#: Hosts with pages of videos. Other hosts below youtube.com, such as studio.youtube.com, have none.
_SITES = ("youtube.com", "www.youtube.com", "m.youtube.com", "music.youtube.com", "gaming.youtube.com")
_EMBEDS = ("youtube-nocookie.com", "www.youtube-nocookie.com")
_SHORT_LINKS = ("youtu.be", "www.youtu.be")
#: Path segments that a video id follows.
_BEFORE_ID = ("shorts", "live", "embed", "v", "e", "vi")
#: Words of eleven characters that are not ids: ``/embed/videoseries?list=…`` is a playlist, ``/embed/live_stream`` a
#: channel.
_NO_IDS = {"videoseries": "a playlist", "live_stream": "a channel"}
_KINDS = {
    "playlist": "a playlist",
    "channel": "a channel",
    "c": "a channel",
    "user": "a channel",
    "clip": "a clip of another video",
    "post": "a post",
    "results": "a search",
    "hashtag": "a search",
    "feed": "a list of videos",
    "redirect": "a link to another site",
}


def is_youtube(host: str) -> bool:
    """
    Return whether a host belongs to YouTube.

    :param host: host in lower case, without a dot at the end.
    """
    return host in (*_SHORT_LINKS, *_EMBEDS, "youtube.com") or host.endswith(".youtube.com")


def video_in(host: str, path: str, query: str) -> str | None:
    """
    Return the id of the video at a YouTube address; None if it is not the address of one video.

    :param host: a host of YouTube.
    :param path: path of the address.
    :param query: query of the address.
    """
    parts = [unquote(part) for part in path.split("/") if part]
    first = parts[0].lower() if parts else ""
    named = _named(query)
    if host in _SHORT_LINKS:
        return named if first == "watch" else _id(parts[0] if parts else "")
    if host not in (*_SITES, *_EMBEDS):
        return None
    if first == "watch":
        return _id(parts[1]) if len(parts) > 1 else named
    if first == "attribution_link":
        return _attributed((parse_qs(query).get("u") or [""])[0])
    return _id(parts[1]) if first in _BEFORE_ID and len(parts) > 1 else None


def kind_of(host: str, path: str) -> str:
    """Return a description of the page at a YouTube address that is not a video."""
    parts = [unquote(part).lower() for part in path.split("/") if part]
    first = parts[0] if parts else ""
    if first.startswith("@"):
        return "a channel"
    if host not in (*_SITES, *_EMBEDS, *_SHORT_LINKS):
        return "a site without videos"
    if first in ("watch", *_BEFORE_ID, "attribution_link") or (first and host in _SHORT_LINKS):
        return _NO_IDS.get(parts[-1], "a video without a complete id, which has 11 characters")
    return _KINDS.get(first, "a page without a video")


def _named(query: str) -> str | None:
    """Return the video id in a query; None if there is not exactly one."""
    ids = set(parse_qs(query).get("v", ()))
    return _id(ids.pop()) if len(ids) == 1 else None


def _attributed(link: str) -> str | None:
    try:
        inner = urlsplit(urljoin("https://www.youtube.com/", link))
    except ValueError:
        return None
    return _named(inner.query) if inner.path == "/watch" and inner.hostname in _SITES else None


def _id(text: str) -> str | None:
    found = _ID.match(text)
    return found[0] if found and found[0] not in _NO_IDS else None
