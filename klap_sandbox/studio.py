"""Where videos are measured and clips are made. Two studios: one with ffmpeg, one that only pretends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from klap_sandbox.schemas import Watermark
from klap_sandbox.source import SAMPLE_SECONDS, SampleVideo

if TYPE_CHECKING:
    from pathlib import Path

    from klap_sandbox.ffmpeg import Ffmpeg
    from klap_sandbox.plan import Short
    from klap_sandbox.schemas import VideoToVideo

STAND_IN_SECONDS = 600.0
OWN_MARK = Watermark(src_url="https://klap.app", pos_y=0.9)
"""Stands for the mark of Klap's own; it is never fetched."""


@dataclass(frozen=True)
class Measure:
    """What there is to know of a source video."""

    seconds: float
    has_audio: bool


@dataclass(frozen=True)
class Rendered:
    """A finished clip; ``remark`` says what turned out other than asked."""

    file: Path
    remark: str | None = None


class Studio(Protocol):
    """Measures sources and makes clips."""

    async def measure(self, source_url: str) -> Measure:
        """Measure a source video.

        :raises SourceError: it cannot be fetched, or is not a video.
        """

    async def render(self, request: VideoToVideo, short: Short, watermark: Watermark | None, name: str) -> Rendered:
        """Make the file ``name`` of a short.

        :raises SourceError: the source is gone.
        :raises FfmpegError: the clip could not be made.
        """

    async def source(self, source_url: str) -> Path | None:
        """A source video that was measured before, as a file; None if there is none to be shown.

        :raises SourceError: the source is gone.
        """

    async def prepare(self) -> None:
        """Called once, before the first request."""

    def discard(self, name: str) -> None:
        """Throw the file ``name`` away, if it is there."""

    async def close(self) -> None:
        """Stop all work."""


class StandInStudio:
    """Makes no clips: every source is believed to be ten minutes long, every export is the same tiny MP4."""

    def __init__(self, folder: Path, ffmpeg: Ffmpeg, sample: SampleVideo) -> None:
        self._file = folder / "stand-in.mp4"
        self._ffmpeg = ffmpeg
        self._sample = sample

    async def measure(self, source_url: str) -> Measure:
        """The sample's own length, or ten minutes for any other URL."""
        return Measure(SAMPLE_SECONDS if self._sample.is_at(source_url) else STAND_IN_SECONDS, has_audio=True)

    async def render(self, request: VideoToVideo, short: Short, watermark: Watermark | None, name: str) -> Rendered:
        """The tiny MP4, whatever is asked for."""
        return Rendered(self._file)

    async def source(self, source_url: str) -> Path | None:
        """The sample; no other video is ever fetched."""
        return await self._sample.file() if self._sample.is_at(source_url) else None

    async def prepare(self) -> None:
        """Make the tiny MP4, so that the first export need not wait for it."""
        await self._ffmpeg.run(
            *("-f", "lavfi", "-i", "testsrc=s=108x192:r=10:d=1", "-f", "lavfi", "-i", "sine=duration=1"),
            *("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "32k"),
            *("-movflags", "+faststart", str(self._file)),
        )

    def discard(self, name: str) -> None:
        """The tiny MP4 is kept."""

    async def close(self) -> None:
        """There is nothing to stop."""
