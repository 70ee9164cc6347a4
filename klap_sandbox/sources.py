"""Source videos: public files, each fetched once, and the sandbox's own sample."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx

if TYPE_CHECKING:
    from klap_sandbox.ffmpeg import Ffmpeg, Probe

PLACEHOLDER = Path(__file__).with_name("placeholder.mp4")
"""A video of one second, in place of videos that need ffmpeg."""
SAMPLE_PATH = "/sample.mp4"
SAMPLE_SECONDS = 80.0
_FPS = 10
MAX_BYTES = 2 * 1024**3
FETCH_SECONDS = 600
MAX_SOURCES = 20


class SourceError(Exception):
    """A source video cannot be used.

    :param code: Klap's error code.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Source:
    """A video on disk."""

    file: Path
    seconds: float
    has_audio: bool


async def download(url: str, file: Path, *, max_bytes: int, seconds: float) -> None:
    """Stream a public file to disk.

    :param seconds: time limit; 3 s of it for the connection.
    :raises SourceError: the file cannot be fetched, is a web page, or is too large.
    """
    try:
        await asyncio.wait_for(_stream(url, file, max_bytes), seconds)
    except asyncio.TimeoutError as problem:
        raise SourceError("invalid_url", f"{url} took longer than {seconds:.0f} s.") from problem
    except SourceError:
        raise
    except Exception as problem:  # invalid addresses fail in many ways
        reason = str(problem) or type(problem).__name__
        raise SourceError("invalid_url", f"{url} could not be fetched: {reason}") from problem


async def _stream(url: str, file: Path, max_bytes: int) -> None:
    timeout = httpx.Timeout(15, connect=3)
    async with (
        httpx.AsyncClient(timeout=timeout, follow_redirects=True, max_redirects=5) as client,
        client.stream("GET", url) as answer,
    ):
        if not answer.is_success:
            raise SourceError("invalid_url", f"{url} answered with HTTP {answer.status_code}.")
        if answer.headers.get("content-type", "").startswith("text/html"):
            raise SourceError(
                "unsupported_platform",
                f"{url} is a web page, not a video file. The sandbox accepts only direct links to files; "
                "YouTube pages need the real Klap.",
            )
        size = 0
        with file.open("wb") as target:
            async for chunk in answer.aiter_bytes(256 * 1024):
                size += len(chunk)
                if size > max_bytes:
                    raise SourceError("invalid_url", f"{url} is larger than {max_bytes} bytes.")
                target.write(chunk)


def length_of(url: str, probe: Probe) -> float:
    """Return the length of a probed video, in seconds.

    :raises SourceError: not a video.
    """
    if probe.width is None or probe.seconds is None:
        raise SourceError("invalid_url", f"{url} is not a readable video.")
    return probe.seconds


class SampleVideo:
    """The sandbox's own video: moving colors, a counter of seconds, and a beep each second.

    :param ffmpeg: None = the sample is the placeholder.
    """

    def __init__(self, folder: Path, ffmpeg: Ffmpeg | None, port: int) -> None:
        self._file = folder / "sample.mp4"
        self._ffmpeg = ffmpeg
        self._port = port
        self._lock = asyncio.Lock()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._port}{SAMPLE_PATH}"

    def is_at(self, url: str) -> bool:
        """Return whether a URL is the sample's, under any name of this machine."""
        parts = urlsplit(url)
        here = parts.hostname in ("127.0.0.1", "localhost", "::1") and parts.port == self._port
        return here and parts.path == SAMPLE_PATH

    async def file(self) -> Path:
        """Return the file. The first call makes it."""
        if self._ffmpeg is None:
            return PLACEHOLDER
        async with self._lock:
            if not self._file.exists():
                draft = self._file.with_suffix(".draft.mp4")
                await self._ffmpeg.run(*_sample_arguments(), str(draft))
                draft.rename(self._file)
        return self._file


def _sample_arguments() -> list[str]:
    """Draw a moving gradient, and the counter of ffmpeg's test picture, which needs no font."""
    gradient = f"gradients=s=320x180:r={_FPS}:d={SAMPLE_SECONDS}:speed=0.02:n=4:seed=11:x0=0:y0=0:x1=320:y1=180"
    colours = ":c0=0x1d2b64:c1=0xf8cdda:c2=0x0f9b8e:c3=0xff9966"
    counter = (
        "crop=64:52:224:64,drawbox=w=32:color=black:t=fill:enable='lt(t,10)',"
        "pad=72:60:4:4,scale=216:180:flags=neighbor,format=yuv420p"
    )
    ground = "format=yuv420p,scale=1280:720:flags=fast_bilinear"
    picture = f"[0:v]{ground}[ground];[1:v]{counter}[counter];[ground][counter]overlay=(W-w)/2:(H-h)/2[picture]"
    return [
        *("-f", "lavfi", "-i", gradient + colours),
        *("-f", "lavfi", "-i", f"testsrc=s=320x180:r={_FPS}:d={SAMPLE_SECONDS}"),
        *("-f", "lavfi", "-i", f"sine=frequency=220:beep_factor=4:duration={SAMPLE_SECONDS}"),
        *("-filter_complex", picture, "-map", "[picture]", "-map", "2:a"),
        *("-c:v", "libx264", "-preset", "ultrafast", "-crf", "28", "-g", "40"),
        *("-c:a", "aac", "-b:a", "64k", "-movflags", "+faststart"),
    ]


class SourceLibrary:
    """Fetched sources by URL: the latest ``MAX_SOURCES``, each fetched once."""

    def __init__(self, folder: Path, ffmpeg: Ffmpeg, sample: SampleVideo) -> None:
        self._folder = folder
        self._ffmpeg = ffmpeg
        self._sample = sample
        self._numbers = itertools.count(1)
        self._sources: dict[str, asyncio.Task[Source]] = {}

    async def get(self, url: str) -> Source:
        """Return the video at this URL.

        :raises SourceError: it cannot be fetched, or is not a video.
        """
        return await asyncio.shield(self.start_fetch(url))

    def start_fetch(self, url: str) -> asyncio.Task[Source]:
        """Start to fetch a video, unless it is fetched already. A failed fetch is tried again."""
        fetch = self._sources.get(url)
        if fetch is None or (fetch.done() and fetch.exception()):
            self._delete_oldest()
            fetch = self._sources[url] = asyncio.create_task(self._fetch(url))
        return fetch

    async def close(self) -> None:
        """Cancel all fetches."""
        for fetch in self._sources.values():
            fetch.cancel()
        await asyncio.gather(*self._sources.values(), return_exceptions=True)

    async def _fetch(self, url: str) -> Source:
        if self._sample.is_at(url):
            file = await self._sample.file()
            return await self._measure(url, file)
        file = self._folder / f"source-{next(self._numbers)}"
        try:
            await download(url, file, max_bytes=MAX_BYTES, seconds=FETCH_SECONDS)
            return await self._measure(url, file)
        except BaseException:
            file.unlink(missing_ok=True)
            raise

    async def _measure(self, url: str, file: Path) -> Source:
        probe = await self._ffmpeg.probe(file)
        return Source(file=file, seconds=length_of(url, probe), has_audio=probe.has_audio)

    def _delete_oldest(self) -> None:
        """Delete sources until one more fits. Unfinished fetches stay."""
        for url in [url for url, fetch in self._sources.items() if fetch.done()]:
            if len(self._sources) < MAX_SOURCES:
                return
            fetch = self._sources.pop(url)
            if not fetch.cancelled() and not fetch.exception() and not self._sample.is_at(url):
                fetch.result().file.unlink(missing_ok=True)
