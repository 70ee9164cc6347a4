"""Real clips: cut, reframed and marked by ffmpeg."""

from __future__ import annotations

from typing import TYPE_CHECKING

from klap_sandbox.ffmpeg import FfmpegError
from klap_sandbox.source import SourceError, SourceLibrary, download
from klap_sandbox.studio import OWN_MARK, Measure, Rendered

if TYPE_CHECKING:
    from pathlib import Path

    from klap_sandbox.ffmpeg import Ffmpeg
    from klap_sandbox.plan import Short
    from klap_sandbox.schemas import Dimensions, VideoToVideo, Watermark
    from klap_sandbox.source import SampleVideo, Source

MARK_MAX_BYTES = 10 * 1024**2
MARK_FETCH_SECONDS = 6
MAX_FPS = 30
MOST_BYTES = 4 * 1024**3
"""So much room finished clips may take; the oldest go first."""


class FfmpegStudio:
    """
    Fetches sources, and makes clips when they are exported.

    :param folder: for sources, which it forgets when it ends.
    :param clips: for finished clips; those that are there count as its own. Default: ``folder``.
    """

    def __init__(self, folder: Path, ffmpeg: Ffmpeg, sample: SampleVideo, *, clips: Path | None = None) -> None:
        self._clips = clips or folder
        self._ffmpeg = ffmpeg
        self._sample = sample
        self._library = SourceLibrary(folder, ffmpeg, sample)
        there = sorted(clips.glob("*.mp4"), key=lambda file: file.stat().st_mtime) if clips else []
        self._sizes = {file.stem: file.stat().st_size for file in there}

    async def prepare(self) -> None:
        """Begin with the sample video, so that the first task need not wait for it."""
        self._library.begin(self._sample.url)

    async def measure(self, source_url: str) -> Measure:
        """Fetch and measure a source video."""
        source = await self._library.get(source_url)
        return Measure(source.seconds, source.has_audio)

    async def source(self, source_url: str) -> Path:
        """The fetched file."""
        return (await self._library.get(source_url)).file

    async def render(self, request: VideoToVideo, short: Short, watermark: Watermark | None, name: str) -> Rendered:
        """Make the file ``name`` of a short."""
        source = await self._library.get(request.source_video_url)
        file = self._clips / f"{name}.mp4"
        mark, remark = None, None
        if watermark:
            mark = self._clips / f"{name}.png"
            remark = await self._make_mark(watermark, mark)
        picture = picture_filter(request.dimensions, request.editing_options.reframe, watermark)
        try:
            await self._ffmpeg.run(*_arguments(source, short, mark, picture), str(file))
        except BaseException:
            self.discard(name)
            raise
        finally:
            if mark:
                mark.unlink(missing_ok=True)
        self._sizes[name] = file.stat().st_size
        while sum(self._sizes.values()) > MOST_BYTES and len(self._sizes) > 1:
            self.discard(next(iter(self._sizes)))
        return Rendered(file, remark)

    def discard(self, name: str) -> None:
        """Throw the file ``name`` away."""
        (self._clips / f"{name}.mp4").unlink(missing_ok=True)
        self._sizes.pop(name, None)

    async def close(self) -> None:
        """Stop fetching."""
        await self._library.close()

    async def _make_mark(self, watermark: Watermark, mark: Path) -> str | None:
        """Write the watermark's image as PNG; a plain mark if it cannot be had, and then say so."""
        if watermark is not OWN_MARK and await self._fetch_mark(watermark.src_url, mark):
            return None
        await self._ffmpeg.run(
            *("-f", "lavfi", "-i", "color=c=white:s=240x72,drawbox=color=black:t=6,format=rgba"),
            *("-frames:v", "1", str(mark)),
        )
        if watermark is OWN_MARK:
            return None
        return f"[The watermark image {watermark.src_url} could not be used: a plain mark stands in for it.]"

    async def _fetch_mark(self, url: str, mark: Path) -> bool:
        raw = mark.with_suffix(".raw")
        try:
            await download(url, raw, max_bytes=MARK_MAX_BYTES, seconds=MARK_FETCH_SECONDS)
            await self._ffmpeg.run(
                *("-protocol_whitelist", "file", "-i", str(raw), "-frames:v", "1", "-pix_fmt", "rgba"),
                str(mark),
            )
        except (SourceError, FfmpegError):
            return False
        finally:
            raw.unlink(missing_ok=True)
        return True


def picture_filter(frame: Dimensions, reframe: bool, watermark: Watermark | None) -> str:
    """The ffmpeg filter from source ``[0:v]``, and the mark ``[1:v]`` if there is one, to ``[picture]``.

    :param reframe: fill the frame and crop what stands over, instead of showing all between bars.
    """
    size = f"{frame.width}:{frame.height}"
    if reframe:
        fit = f"scale={size}:force_original_aspect_ratio=increase,crop={size}"
    else:
        fit = f"scale={size}:force_original_aspect_ratio=decrease:force_divisible_by=2,pad={size}:-1:-1"
    clip = f"[0:v:0]{fit},setsar=1,format=yuv420p"
    if watermark is None:
        return f"{clip}[picture]"
    scaled = (
        f"scale='clip(iw*{watermark.scale},1,{frame.width})':'clip(ih*{watermark.scale},1,{frame.height})'"
        ":force_original_aspect_ratio=decrease"
    )
    place = f"overlay=x='W*{watermark.pos_x}-w/2':y='H*{watermark.pos_y}-h/2'"
    return f"{clip}[clip];[1:v]{scaled}[mark];[clip][mark]{place},format=yuv420p[picture]"


def _arguments(source: Source, short: Short, mark: Path | None, picture: str) -> list[str]:
    return [
        *("-protocol_whitelist", "file", "-ss", str(short.start), "-t", str(short.seconds)),
        *("-i", str(source.file)),
        *(("-i", str(mark)) if mark else ()),
        *("-filter_complex", picture, "-map", "[picture]"),
        *(("-map", "0:a:0", "-c:a", "aac", "-b:a", "96k", "-ac", "2") if source.has_audio else ()),
        *("-c:v", "libx264", "-preset", "ultrafast", "-crf", "26", "-fpsmax", str(MAX_FPS)),
        *("-movflags", "+faststart"),
    ]
