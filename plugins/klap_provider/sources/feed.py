"""RSS and Atom feeds as a source: podcasts, and channels and playlists of YouTube."""

from __future__ import annotations

import calendar
import io
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from airflow.sdk import Connection

from klap_provider.api.addresses import WEB, canonical, is_local, youtube_id
from klap_provider.api.redaction import shown
from klap_provider.errors import KlapConfigError, KlapSourceError
from klap_provider.sources.items import Item, video_item
from klap_provider.sources.prefix import VIDEOS

#: Maximum bytes of a feed.
LONGEST_FEED = 20_000_000

#: Seconds to wait for a connection and for the next bytes, and for the whole feed.
TIMEOUT, LONGEST = (10.0, 30.0), 120.0

#: Seconds after which a video of YouTube starts: it may still be processed, which its feed does not show.
YOUTUBE_DELAY = 3600.0

#: Maximum seconds of a short, at Klap and at YouTube.
LONGEST_SHORT = 180.0

#: Parts of an address that are secrets.
_SECRET = re.compile(r"//[^/?#]*@|(?:token|key|auth|sig|signature|secret|password|credential)=", re.IGNORECASE)

#: The end of a feed.
_END = re.compile(rb"</(?:[a-z0-9]+:)?(?:rss|feed|rdf)\s*>", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class FeedSource:
    """
    The videos of one or more RSS or Atom feeds. The triggerer polls the source. It needs the extra ``feeds``.

    A video is the enclosure of an entry, or a link to YouTube or to a video file. A video in two of the feeds is one
    item. If one of the feeds cannot be read, nothing is started.

    Shorts are refused: videos at ``/shorts/``, and videos for which the feed has a length of at most three minutes.
    Feeds of YouTube do not mark live streams and premieres; use :class:`~klap_provider.sources.YouTubeSource` for
    these.

    :param urls: addresses of the feeds, such as ``https://www.youtube.com/feeds/videos.xml?channel_id=UC…`` or
        ``…?playlist_id=PL…``. They may be in a private network, but a redirect must not lead there. Use no address with
        a token, because Airflow shows the arguments of a trigger.
    :param conn_ids: ids of Airflow connections, each with the address of a private feed as its Password.
    :param delay: seconds from the publication of a video to its start. Default: an hour for YouTube, otherwise 0.
    :param longest_short: maximum length of videos that are refused, in seconds. Default 180.
    """

    urls: tuple[str, ...] = ()
    conn_ids: tuple[str, ...] = ()
    delay: float | None = None
    longest_short: float = LONGEST_SHORT

    is_polled = True

    def __post_init__(self) -> None:
        if any(_SECRET.search(url) for url in self.urls):
            raise ValueError(
                "An address in urls has a token or a password. Make it the Password of an Airflow connection, and put "
                "the id of the connection into conn_ids."
            )

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of the source, see :class:`~klap_provider.rules.source_runs.Item`."""
        return *self.urls, *self.conn_ids

    def list(self) -> list[Item]:
        """Return an item for each video."""
        items = []
        feeds = [(url, url, shown(url)) for url in self.urls]
        for conn_id in self.conn_ids:
            feeds.append((conn_id, str(Connection.get(conn_id).password or ""), f"The feed of {conn_id!r}"))
        for part, url, name in feeds:
            feed = _read(url, name)
            for entry in feed.entries:
                with suppress(ValueError):  # an invalid address, which must not hold up the other entries
                    items.append(self._item(entry, url, feed, part))
        return items

    def _item(self, entry: Any, url: str, feed: Any, part: str) -> Item:
        address, link = _video(entry, url), str(entry.get("link", ""))
        if address is None:  # without its link, which can be that of many entries
            item_id = _id(entry, feed) or (link and urljoin(url, link))
            return Item(id=item_id, title=str(entry.get("title", "")), waits="it has no video", part=part)
        on_youtube = youtube_id(address) is not None
        published = _time(entry.get("published_parsed") or entry.get("updated_parsed"))
        delay = (YOUTUBE_DELAY if on_youtube else 0.0) if self.delay is None else self.delay
        return video_item(
            _id(entry, feed) or canonical(address),
            address,
            title=str(entry.get("title", "")),
            published=published,
            not_before=None if published is None else published + delay,
            waits=_reason_to_wait(entry),
            refused=self._reason_to_refuse(entry, link),
            part=part,
        )

    def _reason_to_refuse(self, entry: Any, link: str) -> str | None:
        if "/shorts/" in link:
            return "it is a short of YouTube"
        seconds = _seconds(entry.get("itunes_duration"))
        if seconds and seconds <= self.longest_short:
            return f"it is {seconds:g} s long, like a short"
        return None


def _read(url: str, name: str) -> Any:
    """
    Return a feed. An error of the server does not mean that the feed is gone.

    :param name: name of the feed in errors. The whole address of a private feed can be a secret.
    :raises KlapSourceError: the feed could not be fetched, or is not a feed.
    """
    try:
        import feedparser
    except ImportError as missing:
        raise KlapConfigError(
            "FeedSource needs the package feedparser on workers and triggerers: pip install "
            "'airflow-provider-klap[feeds]'."
        ) from missing
    headers, content = _fetch(url, name)
    # Not the bytes themselves: feedparser would open a file with that name. Without the feed's address, because
    # feedparser would complete ids with it, so that they changed when the feed moves.
    feed = feedparser.parse(io.BytesIO(content), response_headers=headers)
    is_cut = feed.bozo and not _END.search(content[-2000:])
    if not feed.get("version") or (feed.bozo and not feed.entries) or is_cut:
        raise KlapSourceError(f"{name} is not a feed, or it is incomplete. Open the address in a browser.")
    return feed


def _fetch(url: str, name: str) -> tuple[dict[str, str], bytes]:
    import requests  # here, because each parse of the Dag file imports this module

    from klap_provider.files.safe_http import RefusedAddressError, safe_request

    deadline = time.monotonic() + LONGEST
    content = b""
    try:
        with safe_request("GET", url, local=is_local(url), timeout=TIMEOUT) as response:
            if response.status_code != requests.codes.ok:
                raise KlapSourceError(
                    f"{name} answered HTTP {response.status_code}. It is polled again. If it has moved, correct "
                    "the address; what has had a run does not get another one."
                )
            for part in response.iter_content(65536):
                content += part
                if len(content) > LONGEST_FEED or time.monotonic() > deadline:
                    raise KlapSourceError(f"{name} has more than {LONGEST_FEED} bytes, or is too slow.")
            kind = response.headers.get("Content-Type", "application/xml")
    except RefusedAddressError:
        raise KlapSourceError(
            f"{name} was not read: it is not an http(s) address, redirects too often, or leads into a private network."
        ) from None
    except requests.RequestException as failure:
        raise KlapSourceError(f"{name} could not be read: {type(failure).__name__}.") from None
    return {"content-type": kind}, content


def _id(entry: Any, feed: Any) -> str | None:
    """Return what identifies an entry, which may be unique only in its feed, such as ``1``."""
    given = entry.get("id")
    if not given or ":" in given or len(given) >= 20:
        return given or None
    return f"{feed.feed.get('link') or feed.feed.get('title', '')} {given}"


def _video(entry: Any, base: str) -> str | None:
    """Return the address of the video of an entry; None if it has none."""
    if video := entry.get("yt_videoid"):
        return f"https://www.youtube.com/watch?v={video}"
    media = [*entry.get("enclosures", ()), *entry.get("media_content", ())]
    found = [(str(each.get("href") or each.get("url") or ""), str(each.get("type") or "")) for each in media]
    for url, kind in [*found, (str(entry.get("link", "")), "")]:
        suffix = PurePosixPath(unquote(urlsplit(url).path)).suffix.lower()
        url = urljoin(base, url)
        # Whoever writes the feed must not choose a file of the team's storage.
        if urlsplit(url).scheme in WEB and (kind.startswith("video/") or suffix in VIDEOS or youtube_id(url)):
            return url
    return None


def _reason_to_wait(entry: Any) -> str | None:
    if entry.get("yt_videoid") and str(entry.get("media_statistics", {}).get("views")) == "0":
        return "nobody has seen it, so it may be a live stream or a premiere that is still to come"
    return None


def _time(parsed: Any) -> float | None:
    """Return a date in seconds since the epoch; None for one that cannot be true, such as that of the year 1."""
    try:
        return max(0.0, float(calendar.timegm(parsed))) or None if parsed else None
    except ValueError:
        return None


def _seconds(duration: Any) -> float | None:
    """Return a duration such as ``1:02:03`` or ``3723`` in seconds."""
    try:
        parts = [float(part) for part in str(duration or "").split(":")]
    except ValueError:
        return None
    return sum(part * 60.0**place for place, part in enumerate(reversed(parts)))
