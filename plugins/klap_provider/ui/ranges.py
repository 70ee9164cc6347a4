"""Which bytes of a file a request is after: the ``Range`` of HTTP. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


@dataclass(frozen=True)
class Span:
    """
    Some bytes of a file.

    :param start: the first one, from 0.
    :param end: the one after the last.
    """

    start: int
    end: int


class UnsatisfiableError(Exception):
    """None of the bytes are there."""


def requested(header: str | None, size: int) -> Span | None:
    """
    Return what a ``Range`` asks for; None: for the whole file.

    What is not understood, and several ranges at once, which no player asks for, counts as the whole file, as HTTP
    allows.

    :param size: bytes of the file.
    :raises UnsatisfiableError: the range begins behind the end of the file, or is of no bytes.
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
