"""Download an exported video, and check that it is complete."""

from __future__ import annotations

import hashlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, NamedTuple

import requests
from urllib3.exceptions import HTTPError

from klap_provider.api.redaction import shown, writable
from klap_provider.errors import KlapDownloadError
from klap_provider.files.mp4 import BoxWalk
from klap_provider.files.safe_http import RefusedAddressError, safe_request

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK = 1024 * 1024

#: Maximum characters of a ``Content-Type`` in an error.
LONGEST_TYPE = 100


class Limits(NamedTuple):
    """
    Limits of a download.

    :param max_bytes: maximum size of the file in bytes.
    :param max_seconds: maximum seconds for the whole download.
    :param connect_timeout: seconds to wait for a connection.
    :param read_timeout: seconds to wait for the next bytes.
    :param local: whether the address may be on this machine or on a private network, because Klap's API is, too.
    """

    max_bytes: int
    max_seconds: float
    connect_timeout: float
    read_timeout: float
    local: bool


class Fetched(NamedTuple):
    """Size in bytes and SHA-256 in hex of a downloaded file."""

    size: int
    sha256: str


def stored(source: IO[bytes]) -> tuple[str, str | None]:
    """Return the SHA-256 of a stored video in hex, and why it is not a complete MP4 file; None if it is."""
    boxes, digest = BoxWalk(), hashlib.sha256()
    while chunk := source.read(CHUNK):
        boxes.feed(chunk)
        digest.update(chunk)
    problem = boxes.problem or ("its last box has no length" if boxes.is_open else None)
    return digest.hexdigest(), problem


def download(url: str, sink: IO[bytes], limits: Limits) -> Fetched:
    """
    Stream a video to an open file in constant memory.

    Only https is allowed, or http on this machine, with at most three redirects. The API key is never sent. See
    :mod:`klap_provider.files.safe_http`.

    :raises KlapDownloadError: the file is incomplete, not an MP4, too large or too slow, or its address is not allowed.
    """
    deadline = time.monotonic() + limits.max_seconds
    try:
        response = safe_request(
            "GET",
            url,
            local=limits.local,
            timeout=(limits.connect_timeout, limits.read_timeout),
            headers={"Accept-Encoding": "identity"},
            encrypted=True,
            longest=limits.max_seconds,
        )
        with response, _closed_at(deadline, response):
            if response.status_code != 200:
                raise KlapDownloadError(
                    f"{shown(url)} answered {response.status_code}. The next try gets a new address from Klap.",
                    transient=True,
                )
            return _copy(response, sink, limits, deadline)
    except RefusedAddressError as refused:
        raise KlapDownloadError(str(refused), transient=False) from None
    except (requests.RequestException, HTTPError) as failure:
        if time.monotonic() >= deadline:
            raise _too_slow(shown(url), limits) from None
        raise KlapDownloadError(
            f"The download of {shown(url)} was interrupted ({type(failure).__name__}).", transient=True
        ) from None  # the text of the original error contains the signed address


@contextmanager
def _closed_at(deadline: float, response: requests.Response) -> Iterator[None]:
    """Close the connection at the deadline, because a server can keep a single read busy without sending content."""

    def close() -> None:
        with suppress(Exception):  # the response may have ended
            response.raw.shutdown()

    timer = threading.Timer(max(0.0, deadline - time.monotonic()), close)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _copy(response: requests.Response, sink: IO[bytes], limits: Limits, deadline: float) -> Fetched:
    # The Content-Length, or None without that header. urllib3 checks that as many bytes arrive.
    name, announced = shown(response.url), response.raw.length_remaining
    if announced is not None and announced > limits.max_bytes:
        raise _too_large(name, announced, limits)
    size, boxes, digest = 0, BoxWalk(), hashlib.sha256()
    # In a thread, while the chunk is written and the next one arrives: otherwise a large file takes twice as long.
    with ThreadPoolExecutor(1) as hashing:
        hashed = hashing.submit(digest.update, b"")
        # read1 returns what has arrived, so that the time limit holds for a slow server, too.
        while chunk := response.raw.read1(CHUNK):
            size += len(chunk)
            boxes.feed(chunk)
            if boxes.broken:
                kind = writable(response.headers.get("Content-Type", "")[:LONGEST_TYPE]) or "no content type"
                raise KlapDownloadError(f"{name} is not an MP4 video ({kind}): {boxes.broken}.", transient=True)
            if size > limits.max_bytes:
                raise _too_large(name, size, limits)
            if time.monotonic() >= deadline:
                raise _too_slow(name, limits, size)
            hashed.result()
            hashed = hashing.submit(digest.update, chunk)
            sink.write(chunk)
    if time.monotonic() >= deadline:
        raise _too_slow(name, limits, size)
    problem = boxes.problem
    if boxes.is_open and announced is None and not response.raw.chunked:
        problem = "neither the server nor its last box has a length"
    if problem:
        raise KlapDownloadError(f"{name} is not a complete MP4 video ({size} bytes): {problem}.", transient=True)
    return Fetched(size, digest.hexdigest())


def _too_slow(name: str, limits: Limits, size: int = 0) -> KlapDownloadError:
    return KlapDownloadError(
        f"{name} was not complete after {limits.max_seconds:g} s ({size} bytes so far). "
        "If the connection is slow, raise download_timeout.",
        transient=True,
    )


def _too_large(name: str, size: int, limits: Limits) -> KlapDownloadError:
    return KlapDownloadError(
        f"{name} has at least {size} bytes, but the limit is {limits.max_bytes}. To download it, raise max_bytes.",
        transient=False,
    )
