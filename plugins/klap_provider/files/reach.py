"""Whether a source video is certainly not there, before a run is made for it. Any doubt counts in its favour."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from klap_provider.rules.video_list import youtube_id

if TYPE_CHECKING:
    from collections.abc import Collection

GONE = (404, 410)
NO_HEAD = (405, 501)
CONNECT_AND_READ_SECONDS = (3, 5)
AT_ONCE = 16


def gone(urls: Collection[str]) -> dict[str, str]:
    """
    Return those of the URLs that certainly lead to no video, each with the reason.

    What the worker cannot tell, Klap may: a 403, a 5xx, a timeout, a name that does not resolve are no reasons. YouTube
    is not asked.
    """
    with ThreadPoolExecutor(AT_ONCE) as pool:
        reasons = dict(zip(urls, pool.map(_why_gone, urls), strict=True))
    return {url: reason for url, reason in reasons.items() if reason}


def _why_gone(url: str) -> str | None:
    if urlsplit(url).scheme not in ("http", "https"):
        return _why_not_stored(url)
    if youtube_id(url):
        return None
    import requests

    try:
        code = requests.head(url, allow_redirects=True, timeout=CONNECT_AND_READ_SECONDS).status_code
        if code in (*GONE, *NO_HEAD):  # some servers answer a HEAD with 404 although there is something to get
            one_byte = {"Range": "bytes=0-0"}
            with requests.get(url, headers=one_byte, stream=True, timeout=CONNECT_AND_READ_SECONDS) as answer:
                code = answer.status_code
    except (requests.RequestException, ValueError):
        return None
    return f"HTTP {code}" if code in GONE else None


def _why_not_stored(url: str) -> str | None:
    from airflow.sdk import ObjectStoragePath

    try:
        there = ObjectStoragePath(url).exists()
    except Exception:  # of whatever library talks to that storage
        return None
    return None if there else "there is no such object"
