"""Check video files, and make files with the boxes of an MP4."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import imageio_ffmpeg  # type: ignore[import-untyped]  # it has no types

if TYPE_CHECKING:
    from pathlib import Path


def box(kind: str, content: bytes = b"") -> bytes:
    """Return a box of an MP4."""
    return (8 + len(content)).to_bytes(4, "big") + kind.encode() + content


def head_of_mp4(size: int) -> bytes:
    """Return the start of a valid MP4 of this size; the other bytes can be anything."""
    beginning = box("ftyp", b"mp42mp41") + box("moov")
    return beginning + (size - len(beginning)).to_bytes(4, "big") + b"mdat"


def size_of(video: Path) -> tuple[int, int]:
    """Decode the whole file, and return width and height. Fail if a frame cannot be decoded."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-xerror", "-i", str(video), "-f", "null", "-"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = re.search(r"Video: .*?, (\d+)x(\d+)", done.stderr)
    assert found is not None, done.stderr
    return int(found[1]), int(found[2])
