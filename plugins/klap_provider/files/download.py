"""Fetching an exported video: streamed, checked, and never with the API key."""

from __future__ import annotations

import hashlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

import requests
from urllib3.exceptions import HTTPError

from klap_provider.api.redaction import shown, writable
from klap_provider.errors import KlapDownloadError
from klap_provider.files.mp4 import BoxWalk
from klap_provider.files.safe_http import RefusedAddressError, ask

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK = 1024 * 1024

#: Characters of a ``Content-Type`` that an error repeats.
LONGEST_TYPE = 100


@dataclass(frozen=True)
class Limits:
    """
    What a download may take.

    :param max_bytes: size of the file at most.
    :param max_seconds: time for the whole download.
    :param connect_timeout: seconds to wait for a connection.
    :param read_timeout: seconds to wait for the next bytes.
    :param local: whether the video may be on this machine or its network, as it is where Klap is.
    """

    max_bytes: int
    max_seconds: float
    connect_timeout: float
    read_timeout: float
    local: bool


@dataclass(frozen=True)
class Fetched:
    """What was written: size in bytes and SHA-256 in hex."""

    size: int
    sha256: str


def stored(source: IO[bytes]) -> tuple[str, str | None]:
    """
    Read a stored video once through, in constant memory.

    :return: its SHA-256 in hex, and what keeps it from being a whole MP4, if anything does.
    """
    boxes, digest = BoxWalk(), hashlib.sha256()
    while chunk := source.read(CHUNK):
        boxes.feed(chunk)
        digest.update(chunk)
    problem = boxes.problem or ("its last box does not say where it ends" if boxes.is_open else None)
    return digest.hexdigest(), problem


def download(url: str, sink: IO[bytes], limits: Limits) -> Fetched:
    """
    Stream a video to an open file in constant memory.

    Only https is followed, plain http on this machine alone, over at most three redirects, and by the rule of
    :mod:`klap_provider.files.safe_http`.

    :raises KlapDownloadError: it is not whole, not a video, too large, too slow, or at an address that is refused.
    """
    deadline = time.monotonic() + limits.max_seconds
    try:
        with _open(url, limits) as response, _hung_up_at(deadline, response):
            if response.status_code != 200:
                raise KlapDownloadError(
                    f"{shown(url)} answered {response.status_code}. The address is read from Klap afresh on each try.",
                    transient=True,
                )
            return _copy(response, sink, limits, deadline)
    except (requests.RequestException, HTTPError) as failure:
        if time.monotonic() >= deadline:
            raise _too_slow(shown(url), limits) from None
        raise KlapDownloadError(
            f"The download of {shown(url)} broke off ({type(failure).__name__}).", transient=True
        ) from None  # whose text has the whole address in it


def _open(url: str, limits: Limits) -> requests.Response:
    try:
        return ask(
            "GET",
            url,
            local=limits.local,
            timeout=(limits.connect_timeout, limits.read_timeout),
            headers={"Accept-Encoding": "identity"},
            encrypted=True,
            longest=limits.max_seconds,
        )
    except RefusedAddressError as refused:
        raise KlapDownloadError(str(refused), transient=False) from None


@contextmanager
def _hung_up_at(deadline: float, response: requests.Response) -> Iterator[None]:
    """Hang up at the deadline: a server that drips what is no content, such as trailers, keeps a single read busy."""

    def hang_up() -> None:
        with suppress(Exception):  # it may be over just now
            response.raw.shutdown()

    timer = threading.Timer(max(0.0, deadline - time.monotonic()), hang_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _copy(response: requests.Response, sink: IO[bytes], limits: Limits, deadline: float) -> Fetched:
    # What the server says of its length, None if nothing. That as much comes is seen to by urllib3.
    name, announced = shown(response.url), response.raw.length_remaining
    if announced is not None and announced > limits.max_bytes:
        raise _too_large(name, announced, limits)
    size, boxes, digest = 0, BoxWalk(), hashlib.sha256()
    with ThreadPoolExecutor(1, thread_name_prefix="klap-sha256") as beside:
        hashed = beside.submit(digest.update, b"")
        # What has arrived, rather than whole chunks: a server that only drips must meet the time limit too.
        while chunk := response.raw.read1(CHUNK):
            size += len(chunk)
            boxes.feed(chunk)
            if boxes.broken:
                raise KlapDownloadError(
                    f"{name} is not an MP4 video ({_content_type(response)}{_encoded(response)}): {boxes.broken}.",
                    transient=True,
                )
            if size > limits.max_bytes:
                raise _too_large(name, size, limits)
            if time.monotonic() >= deadline:
                raise _too_slow(name, limits, size)
            hashed.result()  # one chunk at a time, while it is written and the next one is on its way
            hashed = beside.submit(digest.update, chunk)
            sink.write(chunk)
    if time.monotonic() >= deadline:
        raise _too_slow(name, limits, size)
    problem = boxes.problem
    if boxes.is_open and announced is None and not response.raw.chunked:
        problem = "neither the server nor its last box says where it ends"
    if problem:
        raise KlapDownloadError(
            f"{name} is not a whole MP4 video ({size} bytes{_encoded(response)}): {problem}.", transient=True
        )
    return Fetched(size, digest.hexdigest())


def _too_slow(name: str, limits: Limits, size: int = 0) -> KlapDownloadError:
    return KlapDownloadError(
        f"{name} was not complete after {limits.max_seconds:g} s ({size} bytes so far). "
        "If it is just slow, raise download_timeout.",
        transient=True,
    )


def _too_large(name: str, size: int, limits: Limits) -> KlapDownloadError:
    return KlapDownloadError(
        f"{name} has {size} bytes or more, the limit is {limits.max_bytes}. To fetch it, raise max_bytes.",
        transient=False,
    )


def _content_type(response: requests.Response) -> str:
    return writable(response.headers.get("Content-Type", "")[:LONGEST_TYPE]) or "no content type"


def _encoded(response: requests.Response) -> str:
    """Return what to say of a body that is compressed although the request asked for it as it is."""
    encoding = response.headers.get("Content-Encoding", "").strip()
    if encoding.lower() in ("", "identity"):
        return ""
    return f", sent with Content-Encoding {writable(encoding[:LONGEST_TYPE])} although the request asked for identity"
