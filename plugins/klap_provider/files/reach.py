"""
Whether a source video is certainly not there, before a run is made for it. Any doubt counts in its favour.

So does a host inside the network: what it answers is not told to whoever can write a list.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from klap_provider.api.public_form import youtube_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    import requests

GONE = (404, 410)
NO_HEAD = (405, 501)
CONNECT_AND_READ_SECONDS = (3, 5)
AT_ONCE = 16


def gone(urls: Mapping[str, bool]) -> dict[str, str]:
    """
    Return those of the URLs that certainly lead to no video, each with the reason.

    What the worker cannot tell, Klap may: a 403, a 5xx, a timeout, a name that does not resolve are no reasons. YouTube
    is not asked.

    :param urls: for each URL whether a host on this machine or its network may be asked.
    """
    with ThreadPoolExecutor(AT_ONCE) as pool:
        asked = {url: pool.submit(_why_gone, url, local) for url, local in urls.items()}
    return {url: reason for url, answer in asked.items() if (reason := answer.result())}


def _why_gone(url: str, local: bool) -> str | None:
    if urlsplit(url).scheme not in ("http", "https"):
        return _why_not_stored(url)
    if youtube_id(url):
        return None
    import requests

    from klap_provider.files.outside import RefusedAddressError, ask

    try:
        code = _code(ask("HEAD", url, local=local, timeout=CONNECT_AND_READ_SECONDS))
        if code in (*GONE, *NO_HEAD):  # some servers answer a HEAD with 404 although there is something to get
            one_byte = {"Range": "bytes=0-0"}
            code = _code(ask("GET", url, local=local, timeout=CONNECT_AND_READ_SECONDS, headers=one_byte))
    except (requests.RequestException, RefusedAddressError):
        return None
    return f"HTTP {code}" if code in GONE else None


def _code(answer: requests.Response) -> int:
    with answer:
        return answer.status_code


def _why_not_stored(url: str) -> str | None:
    from airflow.sdk import ObjectStoragePath

    try:
        there = ObjectStoragePath(url).exists()
    except Exception:  # of whatever library talks to that storage
        return None
    return None if there else "there is no such object"
