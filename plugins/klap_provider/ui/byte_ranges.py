"""Parse the HTTP header ``Range``. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


@dataclass(frozen=True)
class Span:
    """
    A range of bytes.

    :param start: the first byte, from 0.
    :param end: the byte after the last.
    """

    start: int
    end: int


class UnsatisfiableError(Exception):
    """The file has none of the requested bytes."""


def requested(header: str | None, size: int) -> Span | None:
    """
    Return the range that a ``Range`` header requests; None for the whole file.

    An invalid header, or one with several ranges, counts as the whole file, as HTTP allows. Players request one range.

    :param size: size of the file in bytes.
    :raises UnsatisfiableError: the range starts after the end of the file, or is empty.
    """
    found = _RANGE.fullmatch((header or "").replace(" ", ""))
    if found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if first == "":
        span = Span(max(0, size - int(last)), size)
    else:
        if last and int(last) < int(first):
            return None
        span = Span(int(first), min(int(last) + 1, size) if last else size)
    if span.start >= span.end:
        raise UnsatisfiableError
    return span
