"""Serving a file as a file store does: in ranges of all forms, and only if it is wanted."""

from __future__ import annotations

import os
import re
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders
from starlette.responses import FileResponse, Response

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request


def serve_video(request: Request, file: Path) -> Response:
    """The answer to a request for an MP4 file (RFC 9110, 13 and 14).

    :raises FileNotFoundError: there is none.
    """
    whole = FileResponse(file, media_type="video/mp4", stat_result=os.stat(file))
    asked = MutableHeaders(scope=request.scope)
    if _is_known(asked, whole):
        return Response(status_code=304, headers={name: whole.headers[name] for name in ("etag", "last-modified")})
    ranges = asked.get("range", "")
    if request.method == "HEAD" or not ranges.lower().startswith("bytes="):
        del asked["range"]
    elif not _older(asked.get("if-range"), whole):
        size = int(whole.headers["content-length"])
        within = _ranges_within(ranges[len("bytes=") :], size)
        if not within:
            return Response(status_code=416, headers={"Content-Range": f"bytes */{size}", "Accept-Ranges": "bytes"})
        asked["range"] = "bytes=" + ",".join(within)
    return whole


def _is_known(asked: MutableHeaders, whole: Response) -> bool:
    """Whether the client has the file already."""
    if "if-none-match" in asked:
        tags = [tag.strip().removeprefix("W/") for tag in asked["if-none-match"].split(",")]
        return "*" in tags or whole.headers["etag"] in tags
    try:
        since = parsedate_to_datetime(asked["if-modified-since"])
        return parsedate_to_datetime(whole.headers["last-modified"]) <= since
    except (KeyError, TypeError, ValueError, OverflowError):
        return False


def _older(if_range: str | None, whole: Response) -> bool:
    """Whether ranges are asked of a file that is no longer this one: then the whole is sent."""
    return if_range is not None and if_range not in (whole.headers["etag"], whole.headers["last-modified"])


def _ranges_within(asked: str, size: int) -> list[str]:
    """Those of the ranges that the file has; none if one of them is no range at all."""
    within = []
    for part in asked.split(","):
        parsed = re.fullmatch(r"\s*(\d{0,18})-(\d{0,18})\s*", part, re.ASCII)
        if parsed is None or not any(parsed.groups()):
            return []
        first, last = parsed.groups()
        if first and last and int(first) > int(last):
            return []
        if int(first) < size if first else int(last) > 0 and size > 0:
            within.append(f"{first}-{last}")
    return within
