"""Renderers: measure source videos and make clips, with ffmpeg or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from klap_sandbox.ffmpeg import FfmpegError
from klap_sandbox.request_bodies import Watermark
from klap_sandbox.sources import PLACEHOLDER, SAMPLE_SECONDS, SourceError, SourceLibrary, download

if TYPE_CHECKING:
    from pathlib import Path

    from klap_sandbox.ffmpeg import Ffmpeg
    from klap_sandbox.plan import Short
    from klap_sandbox.request_bodies import Dimensions, VideoToVideo
    from klap_sandbox.sources import SampleVideo, Source

PLACEHOLDER_SECONDS = 600.0
WATERMARK_MAX_BYTES = 10 * 1024**2
WATERMARK_FETCH_SECONDS = 6
MAX_FPS = 30
MAX_CLIP_BYTES = 4 * 1024**3
"""Maximum size of all finished clips. The oldest are deleted first."""
KLAP_WATERMARK = Watermark(src_url="https://klap.app", pos_y=0.9)
"""Klap's own watermark. Its image is drawn, not fetched."""


@dataclass(frozen=True)
class Measurement:
    """Length of a source video, and whether it has sound."""

    seconds: float
    has_audio: bool


@dataclass(frozen=True)
class Rendered:
    """A finished clip; ``remark`` says what differs from the request."""

    file: Path
    remark: str | None = None


class Renderer:
    """Measures source videos and makes clips.

    This one makes none: each source counts as ten minutes long, and each export is the same small MP4.
    """

    def __init__(self, sample: SampleVideo) -> None:
        self._sample = sample

    async def prepare(self) -> None:
        """Prepare for the first request."""

    async def measure(self, source_url: str) -> Measurement:
        """Measure a source video.

        :raises SourceError: it cannot be fetched, or is not a video.
        """
        return Measurement(SAMPLE_SECONDS if self._sample.is_at(source_url) else PLACEHOLDER_SECONDS, has_audio=True)

    async def render(self, request: VideoToVideo, short: Short, watermark: Watermark | None, name: str) -> Rendered:
        """Make the clip ``name`` of a short.

        :raises SourceError: the source cannot be fetched.
        :raises FfmpegError: ffmpeg failed.
        """
        return Rendered(PLACEHOLDER)

    async def source_file(self, source_url: str) -> Path | None:
        """Return the file of a source video; None if it is not fetched.

        :raises SourceError: the source cannot be fetched.
        """
        return await self._sample.file() if self._sample.is_at(source_url) else None

    def delete(self, name: str) -> None:
        """Delete the clip ``name``, if it exists."""

    async def close(self) -> None:
        """Stop all work."""


class FfmpegRenderer(Renderer):
    """
    Fetches sources, and makes clips when they are exported.

    :param folder: for sources; temporary.
    :param clips: for finished clips, also of earlier processes; None = ``folder``.
    """

    def __init__(self, folder: Path, ffmpeg: Ffmpeg, sample: SampleVideo, *, clips: Path | None = None) -> None:
        super().__init__(sample)
        self._clips = clips or folder
        self._ffmpeg = ffmpeg
        self._library = SourceLibrary(folder, ffmpeg, sample)
        files = sorted(clips.glob("*.mp4"), key=lambda file: file.stat().st_mtime) if clips else []
        self._sizes = {file.stem: file.stat().st_size for file in files}

    async def prepare(self) -> None:
        """Start to make the sample video, so that the first task need not wait for it."""
        self._library.start_fetch(self._sample.url)

    async def measure(self, source_url: str) -> Measurement:
        """Fetch and measure a source video."""
        source = await self._library.get(source_url)
        return Measurement(source.seconds, source.has_audio)

    async def source_file(self, source_url: str) -> Path:
        """Return the fetched file."""
        return (await self._library.get(source_url)).file

    async def render(self, request: VideoToVideo, short: Short, watermark: Watermark | None, name: str) -> Rendered:
        """Make the clip ``name`` of a short."""
        source = await self._library.get(request.source_video_url)
        file = self._clips / f"{name}.mp4"
        image, remark = None, None
        if watermark:
            image = self._clips / f"{name}.png"
            remark = await self._make_watermark(watermark, image)
        video_filter = make_filter(request.dimensions, request.editing_options.reframe, watermark)
        try:
            await self._ffmpeg.run(*_arguments(source, short, image, video_filter), str(file))
        except BaseException:
            self.delete(name)
            raise
        finally:
            if image:
                image.unlink(missing_ok=True)
        self._sizes[name] = file.stat().st_size
        while sum(self._sizes.values()) > MAX_CLIP_BYTES and len(self._sizes) > 1:
            self.delete(next(iter(self._sizes)))
        return Rendered(file, remark)

    def delete(self, name: str) -> None:
        """Delete the clip ``name``."""
        (self._clips / f"{name}.mp4").unlink(missing_ok=True)
        self._sizes.pop(name, None)

    async def close(self) -> None:
        """Stop fetching."""
        await self._library.close()

    async def _make_watermark(self, watermark: Watermark, image: Path) -> str | None:
        """Write the watermark as a PNG file. Draw a plain one if its image cannot be used, and return a remark."""
        if watermark is not KLAP_WATERMARK and await self._fetch_watermark(watermark.src_url, image):
            return None
        await self._ffmpeg.run(
            *("-f", "lavfi", "-i", "color=c=white:s=240x72,drawbox=color=black:t=6,format=rgba"),
            *("-frames:v", "1", str(image)),
        )
        if watermark is KLAP_WATERMARK:
            return None
        return f"[The watermark image {watermark.src_url} could not be used. The sandbox drew a plain one instead.]"

    async def _fetch_watermark(self, url: str, image: Path) -> bool:
        raw = image.with_suffix(".raw")
        try:
            await download(url, raw, max_bytes=WATERMARK_MAX_BYTES, seconds=WATERMARK_FETCH_SECONDS)
            await self._ffmpeg.run(
                *("-protocol_whitelist", "file", "-i", str(raw), "-frames:v", "1", "-pix_fmt", "rgba"),
                str(image),
            )
        except (SourceError, FfmpegError):
            return False
        finally:
            raw.unlink(missing_ok=True)
        return True


def make_filter(dimensions: Dimensions, reframe: bool, watermark: Watermark | None) -> str:
    """Return the ffmpeg filter from source ``[0:v]`` and watermark ``[1:v]`` to ``[picture]``.

    :param reframe: fill the frame and crop the rest, instead of adding bars.
    """
    size = f"{dimensions.width}:{dimensions.height}"
    if reframe:
        fit = f"scale={size}:force_original_aspect_ratio=increase,crop={size}"
    else:
        fit = f"scale={size}:force_original_aspect_ratio=decrease:force_divisible_by=2,pad={size}:-1:-1"
    clip = f"[0:v:0]{fit},setsar=1,format=yuv420p"
    if watermark is None:
        return f"{clip}[picture]"
    scaled = (
        f"scale='clip(iw*{watermark.scale},1,{dimensions.width})':'clip(ih*{watermark.scale},1,{dimensions.height})'"
        ":force_original_aspect_ratio=decrease"
    )
    overlay = f"overlay=x='W*{watermark.pos_x}-w/2':y='H*{watermark.pos_y}-h/2'"
    return f"{clip}[clip];[1:v]{scaled}[mark];[clip][mark]{overlay},format=yuv420p[picture]"


def _arguments(source: Source, short: Short, image: Path | None, video_filter: str) -> list[str]:
    return [
        *("-protocol_whitelist", "file", "-ss", str(short.start), "-t", str(short.seconds)),
        *("-i", str(source.file)),
        *(("-i", str(image)) if image else ()),
        *("-filter_complex", video_filter, "-map", "[picture]"),
        *(("-map", "0:a:0", "-c:a", "aac", "-b:a", "96k", "-ac", "2") if source.has_audio else ()),
        *("-c:v", "libx264", "-preset", "ultrafast", "-crf", "26", "-fpsmax", str(MAX_FPS)),
        *("-movflags", "+faststart"),
    ]
