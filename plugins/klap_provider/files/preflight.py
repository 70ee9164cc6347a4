"""
Check that there is a video at an address, before a run is made for it or anything is paid.

Any doubt counts in favour of the video: Klap may reach what this worker does not. So does a host inside the network:
what it answers is not told to whoever can write a list. Pages of YouTube are not asked.
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
#: Seconds for the headers of an answer, redirects included.
LONGEST = 15.0
AT_ONCE = 16
ONE_BYTE = {"Range": "bytes=0-0", "Accept-Encoding": "identity"}

#: What no video is sent as. Anything else may be one: servers do not know every kind of video.
NO_VIDEOS = {
    "text/html": "a web page",
    "application/xhtml+xml": "a web page",
    "application/pdf": "a document",
    "application/json": "JSON",
}
#: Sites whose pages Klap has announced to read: whether it does by now, this check cannot tell.
ANNOUNCED = ("drive.google.com", "drive.usercontent.google.com", "twitch.tv", "www.twitch.tv", "m.twitch.tv")


class Finding(NamedTuple):
    """
    What is known of the video at an address.

    :param problem: why it certainly is none; None if it may be one.
    :param doubt: why that could not be checked; None if it could.
    """

    problem: str | None = None
    doubt: str | None = None


def require_video(url: str, *, local: bool, warn: Callable[..., None]) -> None:
    """
    Refuse the address of a source video that certainly leads to none; warn if that could not be checked.

    :param local: whether a host on this machine or its network may be asked.
    :param warn: logs a warning.
    :raises KlapInputError: there is no video.
    """
    found = check_video(url, local=local)
    if found.problem:
        raise KlapInputError(
            f"Nothing was sent to Klap. source_video_url: {shown(url)} is no video: {found.problem}. Give the address "
            "of the video file itself, or a YouTube link."
        )
    if found.doubt:
        warn("%s could not be checked from here: %s. Klap may reach it.", shown(url), found.doubt)


def problems(urls: Mapping[str, bool]) -> dict[str, str]:
    """
    Return those of the URLs that certainly lead to no video, each with the reason.

    :param urls: for each URL whether a host on this machine or its network may be asked.
    """
    with ThreadPoolExecutor(AT_ONCE) as pool:
        asked = {url: pool.submit(check_video, url, local=local) for url, local in urls.items()}
    return {url: problem for url, found in asked.items() if (problem := found.result().problem)}


def check_video(url: str, *, local: bool) -> Finding:
    """
    Return what is known of the video at an address.

    :param local: whether a host on this machine or its network may be asked.
    """
    if urlsplit(url).scheme not in WEB:
        return _in_storage(url)
    if youtube_id(url):
        return Finding()
    import requests

    from klap_provider.files.safe_http import RefusedAddressError, ask

    found = Finding()
    # To some servers only a GET is a question: it has the last word where a HEAD is not answered well.
    for method, headers in (("HEAD", {}), ("GET", ONE_BYTE)):
        try:
            answer = ask(method, url, local=local, timeout=CONNECT_AND_READ_SECONDS, headers=headers, longest=LONGEST)
            found = _judged(answer)
        except RefusedAddressError:
            return Finding(doubt="its host, or one that it redirects to, is not asked")
        except requests.RequestException as failure:
            found = Finding(doubt=type(failure).__name__)
        if found == Finding():
            break
    if found.problem and host_of(url) in ANNOUNCED:
        return Finding(doubt=found.problem)
    return found


def _judged(answer: requests.Response) -> Finding:
    with answer:
        status, sent_as = answer.status_code, answer.headers.get("Content-Type", "")
    if status in GONE:
        return Finding(problem=f"HTTP {status}")
    if not 200 <= status < 300:
        return Finding(doubt=f"HTTP {status}")
    return Finding(problem=_no_video(sent_as.partition(";")[0].strip().lower()))


def _no_video(kind: str | None) -> str | None:
    if kind and kind.startswith("image/"):
        return f"a picture ({kind})"
    return f"{NO_VIDEOS[kind]} ({kind})" if kind in NO_VIDEOS else None


def _in_storage(url: str) -> Finding:
    from klap_provider.files.storage import path_at

    if problem := _no_video(mimetypes.guess_type(urlsplit(url).path)[0]):
        return Finding(problem=f"its name is that of {problem}")
    try:
        there = path_at("source_video_url", url).exists()
    except Exception as failure:  # of whatever library talks to that storage
        return Finding(doubt=type(failure).__name__)
    return Finding(problem=None if there else "there is no such object")
