"""The HTTP response that sends a delivered video, or a range of it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.responses import Response, StreamingResponse

from klap_provider.ui.byte_ranges import Span, UnsatisfiableError, requested

if TYPE_CHECKING:
    from collections.abc import Mapping

    from klap_provider.files.served_files import StoredFile


def video_response(file: StoredFile, request_headers: Mapping[str, str], *, download: bool, head: bool) -> Response:
    """
    Return the response that sends a video, or the requested range. The file is read while it is sent.

    :param download: whether the browser should save the file, rather than show it.
    :param head: whether to send only the headers.
    """
    tag = f'"{file.version}"'
    headers = {
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",  # browsers revalidate each time: permissions and files change
        "Content-Disposition": _disposition(file.path.name, "attachment" if download else "inline"),
        "Content-Type": "video/mp4",  # whatever the file contains, it is never shown as a page
        "ETag": tag,
        "X-Content-Type-Options": "nosniff",
    }
    if tag in request_headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    is_same = request_headers.get("if-range", tag) == tag
    try:
        part = requested(request_headers.get("range"), file.size) if is_same else None
    except UnsatisfiableError:
        return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{file.size}"})
    span = part or Span(0, file.size)
    headers["Content-Length"] = str(span.end - span.start)
    if part:
        headers["Content-Range"] = f"bytes {span.start}-{span.end - 1}/{file.size}"
    status = 206 if part else 200
    return (
        Response(None, status, headers) if head else StreamingResponse(file.read(span.start, span.end), status, headers)
    )


def _disposition(name: str, how: str) -> str:
    plain = name.encode("ascii", "ignore").decode().replace("\\", "").replace('"', "")
    return f"{how}; filename=\"{plain}\"; filename*=utf-8''{quote(name, safe='')}"
