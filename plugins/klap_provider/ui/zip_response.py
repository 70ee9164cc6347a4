"""The HTTP response that sends several delivered videos as one ZIP file."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any

from starlette.responses import StreamingResponse

from klap_provider.errors import KlapError
from klap_provider.files.served_files import served_video

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: The file in the ZIP that names the videos that it does not contain.
MISSING = "missing.txt"


class _Unsent(io.RawIOBase):
    """What was written and not sent yet. It cannot seek, so the ZIP needs no file on disk."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, part: Any, /) -> int:
        """Keep a part."""
        self._parts.append(bytes(part))
        return len(part)

    def take(self) -> bytes:
        """Return the parts, and forget them."""
        taken, self._parts = b"".join(self._parts), []
        return taken


def zip_response(urls: Sequence[str]) -> StreamingResponse:
    """
    Return the response that sends videos as a ZIP file. The videos are read while they are sent, and not compressed.

    :param urls: addresses of delivered videos. A video that cannot be sent is named in :data:`MISSING`.
    """
    headers = {
        "Cache-Control": "private, no-store",
        "Content-Disposition": 'attachment; filename="shorts.zip"',
        "X-Content-Type-Options": "nosniff",
    }
    return StreamingResponse(_zip(urls), headers=headers, media_type="application/zip")


def _zip(urls: Sequence[str]) -> Iterator[bytes]:
    unsent, problems = _Unsent(), []
    names: set[str] = set()
    with zipfile.ZipFile(unsent, "w") as archive:
        for url in urls:
            try:
                file = served_video(url)
            except KlapError as problem:
                problems.append(str(problem))
                continue
            name = file.path.name if file.path.name not in names else f"{len(names) + 1}_{file.path.name}"
            names.add(name)
            with archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as entry:
                for part in file.read(0, file.size):
                    entry.write(part)
                    yield unsent.take()
        if problems:
            archive.writestr(MISSING, "\n".join(problems))
    yield unsent.take()
