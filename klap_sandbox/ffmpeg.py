"""Run ffmpeg: a limited number of processes, which end with the sandbox."""

from __future__ import annotations

import asyncio
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MAX_PROCESSES = 2
TIMEOUT_SECONDS = 900


class FfmpegError(Exception):
    """ffmpeg failed; the message is the end of its output."""


@dataclass(frozen=True)
class Probe:
    """Properties of a media file; ``width`` is None if there is no picture."""

    seconds: float | None
    width: int | None
    height: int | None
    has_audio: bool


def find_ffmpeg() -> str | None:
    """Return the path of ffmpeg: that of the extra ``rendering``, or else one on the ``PATH``."""
    try:
        import imageio_ffmpeg  # type: ignore[import-untyped]  # it has no types
    except ImportError:
        return shutil.which("ffmpeg")
    return str(imageio_ffmpeg.get_ffmpeg_exe())


class Ffmpeg:
    """Runs at most ``MAX_PROCESSES`` at a time. Cancelling a run kills its process.

    :param program: path of ffmpeg.
    """

    def __init__(self, program: str) -> None:
        self._program = program
        self._slots = asyncio.Semaphore(MAX_PROCESSES)

    async def run(self, *arguments: str) -> None:
        """Run ffmpeg.

        :raises FfmpegError: it failed or reached the time limit.
        """
        code, output = await self._run("-loglevel", "error", *arguments)
        if code:
            raise FfmpegError("\n".join(output.strip().splitlines()[-3:]) or f"exit code {code}")

    async def probe(self, file: Path) -> Probe:
        """Return the properties of a media file."""
        _, output = await self._run("-protocol_whitelist", "file", "-i", str(file))
        return parse_probe(output)

    async def _run(self, *arguments: str) -> tuple[int, str]:
        async with self._slots:
            process = await asyncio.create_subprocess_exec(
                self._program,
                *("-hide_banner", "-nostdin", "-nostats", "-y"),
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
            )
            try:
                _, output = await asyncio.wait_for(process.communicate(), TIMEOUT_SECONDS)
            except asyncio.TimeoutError as problem:
                raise FfmpegError(f"took longer than {TIMEOUT_SECONDS} s") from problem
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        return process.returncode or 0, output.decode(errors="replace")


def parse_probe(output: str) -> Probe:
    """Parse the output of ``ffmpeg -i``."""
    length = re.search(r"Duration: (\d+):(\d+):(\d+\.\d+)", output)
    picture = re.search(r"Stream #.*Video:.*?[ ,](\d{2,5})x(\d{2,5})", output)
    hours, minutes, seconds = (float(part) for part in length.groups()) if length else (0.0, 0.0, 0.0)
    return Probe(
        seconds=hours * 3600 + minutes * 60 + seconds if length else None,
        width=int(picture[1]) if picture else None,
        height=int(picture[2]) if picture else None,
        has_audio=re.search(r"Stream #.*Audio:", output) is not None,
    )
