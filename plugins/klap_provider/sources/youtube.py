"""A channel or playlist of YouTube as a source, by YouTube's Data API."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow.sdk import Connection

from klap_provider.errors import KlapConfigError, KlapInputError, KlapSourceError
from klap_provider.sources.feed import LONGEST_SHORT, TIMEOUT
from klap_provider.sources.items import seconds_of, video_item

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from klap_provider.rules.source_runs import Item

API = "https://www.googleapis.com/youtube/v3"

#: Videos that a request returns at most.
PAGE = 50

_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")


@dataclass(frozen=True, kw_only=True)
class YouTubeSource:
    """
    The videos of a YouTube channel or playlist, from YouTube's Data API. The triggerer polls the source.

    Live streams, premieres, private videos and videos that are still being processed wait. Videos that are at most
    three minutes long are refused, because they are probably shorts. For each page, a poll costs two units of the daily
    quota of 10,000.

    :param conn_id: id of an Airflow connection whose Password is an API key of Google with the YouTube Data API v3. If
        it has a Host, requests are sent there.
    :param channel_id: id of a channel, ``UC…``.
    :param playlist_id: id of a playlist, instead of a channel.
    :param pages: number of pages to list, from the start of the list. A page has 50 videos. Default 1.
    :param longest_short: maximum length of videos that are refused, in seconds. Default 180.
    """

    conn_id: str
    channel_id: str | None = None
    playlist_id: str | None = None
    pages: int = 1
    longest_short: float = LONGEST_SHORT

    is_polled = True

    def __post_init__(self) -> None:
        if bool(self.channel_id) == bool(self.playlist_id):
            raise ValueError("Set either channel_id or playlist_id.")
        if self.channel_id and not self.channel_id.startswith("UC"):
            raise ValueError(f"channel_id is {self.channel_id!r}; it begins with UC.")

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of the source, see :class:`~klap_provider.rules.source_runs.Item`."""
        return (str(self.channel_id or self.playlist_id),)

    def list(self) -> list[Item]:
        """Return an item for each video."""
        connection = Connection.get(self.conn_id)
        if not connection.password:
            raise KlapConfigError(f"The connection {self.conn_id!r} needs an API key of Google as its Password.")
        base, key = (connection.host or API).rstrip("/"), str(connection.password)
        return [item for ids in self._ids(base, key) if ids for item in self._items(base, key, ids)]

    def _ids(self, base: str, key: str) -> Iterator[Sequence[str]]:
        """Yield the ids of the videos of each page."""
        # The uploads of a channel are a playlist.
        playlist = self.playlist_id or f"UU{str(self.channel_id)[2:]}"
        query = {"part": "contentDetails", "playlistId": playlist, "maxResults": str(PAGE)}
        for _ in range(self.pages):
            page = _get(base, "playlistItems", key, query)
            yield [str(each["contentDetails"]["videoId"]) for each in page.get("items", ())]
            if not (token := page.get("nextPageToken")):
                return
            query = {**query, "pageToken": token}

    def _items(self, base: str, key: str, ids: Sequence[str]) -> Sequence[Item]:
        query = {"part": "snippet,contentDetails,status", "id": ",".join(ids), "maxResults": str(PAGE)}
        return [self._item(video) for video in _get(base, "videos", key, query).get("items", ())]

    def _item(self, video: dict[str, Any]) -> Item:
        snippet = video.get("snippet", {})
        waits = _reason_to_wait(video)
        seconds = _seconds(video.get("contentDetails", {}).get("duration"))
        is_short = not waits and seconds is not None and seconds <= self.longest_short
        return video_item(
            f"yt:video:{video['id']}",  # the same as in the feeds of YouTube
            f"https://www.youtube.com/watch?v={video['id']}",
            title=snippet.get("title", ""),
            published=seconds_of(snippet.get("publishedAt")),
            waits=waits,
            part=self.parts[0],
            refused=f"it is {seconds:g} s long, like a short" if is_short else None,
        )


def _reason_to_wait(video: dict[str, Any]) -> str | None:
    live, status = video.get("snippet", {}).get("liveBroadcastContent"), video.get("status", {})
    if live == "live":
        return "it is live"
    if live == "upcoming":
        return "it is a live stream or a premiere that is still to come"
    if status.get("uploadStatus", "processed") != "processed":
        return f"YouTube has not processed it: {status['uploadStatus']}"
    if status.get("privacyStatus") == "private":
        return "it is private"
    return None if _seconds(video.get("contentDetails", {}).get("duration")) else "YouTube does not know its length yet"


def _get(base: str, what: str, key: str, query: dict[str, str]) -> dict[str, Any]:
    """Return an answer of the API. The key is in a header, and is sent to no other host."""
    import requests  # here, because each parse of the Dag file imports this module

    from klap_provider.files.network import proxy_for, trust_store

    url = f"{base}/{what}"
    if not url.startswith("https://") and not url.startswith("http://127.0.0.1"):
        raise KlapInputError("The Host of the connection to YouTube must be an https address.")
    try:
        response = requests.get(
            url,
            params=query,
            headers={"X-Goog-Api-Key": key},
            timeout=TIMEOUT,
            allow_redirects=False,
            verify=trust_store(url, proxy_for(url)),
        )
        answer = response.json()
    except requests.RequestException as failure:  # also a body that is not JSON
        raise KlapSourceError(f"YouTube could not be read: {type(failure).__name__}.") from None
    if response.status_code != requests.codes.ok or not isinstance(answer, dict):
        reason = answer.get("error", {}).get("message", "") if isinstance(answer, dict) else ""
        raise KlapSourceError(f"YouTube answered HTTP {response.status_code} to {what}: {reason[:300].rstrip('.')}.")
    return answer


def _seconds(duration: str | None) -> float | None:
    """Return a duration such as ``PT1H2M3S`` in seconds; None if it is not known."""
    found = _DURATION.fullmatch(duration or "")
    if not found or not any(found.groups()):
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
