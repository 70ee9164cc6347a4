"""Running ffmpeg: few at a time, none left behind."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import imageio_ffmpeg  # type: ignore[import-untyped]  # it has no types

if TYPE_CHECKING:
    from pathlib import Path

AT_ONCE = 2
TIMEOUT_SECONDS = 900


class FfmpegError(Exception):
    """ffmpeg could not do it; the text is its last words."""


@dataclass(frozen=True)
class Probe:
    """What a media file holds; ``width`` is None when there is no picture."""

    seconds: float | None
    width: int | None
    height: int | None
    has_audio: bool


class Ffmpeg:
    """A bounded pool of ffmpeg processes. Cancelling a run kills its process."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def run(self, *arguments: str) -> None:
        """Run ffmpeg to its end.

        :raises FfmpegError: it failed, or took longer than it may.
        """
        code, said = await self._run("-loglevel", "error", *arguments)
        if code:
            raise FfmpegError("\n".join(said.strip().splitlines()[-3:]) or f"exit code {code}")

    async def probe(self, file: Path) -> Probe:
        """Find out what a file holds."""
        _, said = await self._run("-protocol_whitelist", "file", "-i", str(file))
        return read_probe(said)

    async def _run(self, *arguments: str) -> tuple[int, str]:
        async with self._slots:
            process = await asyncio.create_subprocess_exec(
                imageio_ffmpeg.get_ffmpeg_exe(),
                *("-hide_banner", "-nostdin", "-nostats", "-y"),
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
            )
            try:
                _, said = await asyncio.wait_for(process.communicate(), TIMEOUT_SECONDS)
            except asyncio.TimeoutError as problem:
                raise FfmpegError(f"took longer than {TIMEOUT_SECONDS} s") from problem
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        return process.returncode or 0, said.decode(errors="replace")


def read_probe(said: str) -> Probe:
    """Read what ``ffmpeg -i`` says about a file."""
    length = re.search(r"Duration: (\d+):(\d+):(\d+\.\d+)", said)
    picture = re.search(r"Stream #.*Video:.*?[ ,](\d{2,5})x(\d{2,5})", said)
    hours, minutes, seconds = (float(part) for part in length.groups()) if length else (0.0, 0.0, 0.0)
    return Probe(
        seconds=hours * 3600 + minutes * 60 + seconds if length else None,
        width=int(picture[1]) if picture else None,
        height=int(picture[2]) if picture else None,
        has_audio=re.search(r"Stream #.*Audio:", said) is not None,
    )
