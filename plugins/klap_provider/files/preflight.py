"""
Check that there is a video at an address, before anything is paid.

An address is refused only if it certainly has no video, because Klap may reach addresses that this worker cannot reach.
Hosts on a private network are not requested, so that a list of videos cannot probe the network. YouTube pages are not
requested.
"""

from __future__ import annotations

import mimetypes
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from klap_provider.api.addresses import WEB, host_of, youtube_id
from klap_provider.api.redaction import shown
from klap_provider.errors import KlapInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import requests

GONE = (404, 410)
CONNECT_AND_READ_SECONDS = (3, 5)
#: Maximum seconds until the headers of a response, including redirects.
LONGEST = 15.0
AT_ONCE = 16
ONE_BYTE = {"Range": "bytes=0-0", "Accept-Encoding": "identity"}

#: Content types that are not videos. Any other type may be a video, because servers do not know all video formats.
NO_VIDEOS = {
    "text/html": "a web page",
    "application/xhtml+xml": "a web page",
    "application/pdf": "a document",
    "application/json": "JSON",
}
#: Sites that Klap plans to support. Klap may support them already.
ANNOUNCED = ("drive.google.com", "drive.usercontent.google.com", "twitch.tv", "www.twitch.tv", "m.twitch.tv")


class Finding(NamedTuple):
    """Result of a check: why there is certainly no video, or why the address could not be checked."""

    problem: str | None = None
    doubt: str | None = None


def require_video(url: str, *, local: bool, warn: Callable[..., None]) -> None:
    """
    Refuse an address that certainly has no video. Log a warning if it could not be checked.

    :param local: whether a host on this machine or on a private network may be requested.
    :raises KlapInputError: there is no video.
    """
    found = check_video(url, local=local)
    if found.problem:
        raise KlapInputError(
            f"Nothing was sent to Klap. source_video_url: {shown(url)} is not a video: {found.problem}. Give the "
            "address of a video file, or a YouTube link."
        )
    if found.doubt:
        warn("%s could not be checked from this worker: %s. Klap may still reach it.", shown(url), found.doubt)


def problems(urls: Mapping[str, bool]) -> dict[str, str]:
    """Return the URLs that certainly have no video, and why. ``urls``: whether each may be on a private network."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        checks = {url: pool.submit(check_video, url, local=local) for url, local in urls.items()}
    return {url: problem for url, found in checks.items() if (problem := found.result().problem)}


def check_video(url: str, *, local: bool) -> Finding:
    """Check whether there is a video at an address. ``local``: whether a private network may be requested."""
    if urlsplit(url).scheme not in WEB:
        return _in_storage(url)
    if youtube_id(url):
        return Finding()
    import requests

    from klap_provider.files.safe_http import RefusedAddressError, safe_request

    try:
        # Not HEAD, which some servers answer wrongly. The body is not read.
        found = _finding(
            safe_request("GET", url, local=local, timeout=CONNECT_AND_READ_SECONDS, headers=ONE_BYTE, longest=LONGEST)
        )
    except RefusedAddressError:
        return Finding(doubt="its host, or the host of a redirect, is on a private network")
    except requests.RequestException as failure:
        return Finding(doubt=type(failure).__name__)
    if found.problem and host_of(url) in ANNOUNCED:
        return Finding(doubt=found.problem)
    return found


def _finding(response: requests.Response) -> Finding:
    with response:
        status, content_type = response.status_code, response.headers.get("Content-Type", "")
    if status in GONE:
        return Finding(problem=f"HTTP {status}")
    if not 200 <= status < 300:
        return Finding(doubt=f"HTTP {status}")
    return Finding(problem=_no_video(content_type.partition(";")[0].strip().lower()))


def _no_video(kind: str | None) -> str | None:
    if kind and kind.startswith("image/"):
        return f"a picture ({kind})"
    return f"{NO_VIDEOS[kind]} ({kind})" if kind in NO_VIDEOS else None


def _in_storage(url: str) -> Finding:
    from klap_provider.files.storage import path_at

    if problem := _no_video(mimetypes.guess_type(urlsplit(url).path)[0]):
        return Finding(problem=f"its extension is that of {problem}")
    try:
        exists = path_at("source_video_url", url).exists()
    except Exception as failure:  # any error of the storage's library
        return Finding(doubt=type(failure).__name__)
    return Finding(problem=None if exists else "there is no such object")
