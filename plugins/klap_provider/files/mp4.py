"""Whether an MP4 is whole, told from its boxes while its bytes come by."""

from __future__ import annotations

_SHORT, _LONG = 8, 16

#: Sizes that mean something else: the next eight bytes are the size; the box goes on to the end of the file.
_SIZE_FOLLOWS, _TO_THE_END = 1, 0


class BoxWalk:
    """
    A walk over the boxes of an MP4, from one to the next, of which no more than a head of 16 bytes is kept.

    Each box says how long it is, so that a file that was cut ends within one; its index (``moov``) and its pictures
    (``mdat``) have to be there. A file in fragments has a ``moof`` before each further ``mdat``.
    """

    def __init__(self) -> None:
        self._head = b""
        self._left = 0
        self._boxes: set[bytes] = set()
        self._last = b""
        #: Why no further byte can make it an MP4; None if one can.
        self.broken: str | None = None
        #: Whether the last box goes on to the end of the file, wherever that is: then a cut does not show.
        self.is_open = False

    def feed(self, chunk: bytes) -> None:
        """Go on with the next bytes of the file."""
        at = 0
        while at < len(chunk) and not self.is_open and self.broken is None:
            if self._left:
                step = min(self._left, len(chunk) - at)
                self._left -= step
            else:
                step = self._wanted - len(self._head)
                self._head += chunk[at : at + step]
                if len(self._head) == self._wanted:
                    self._enter()
            at += step

    @property
    def problem(self) -> str | None:
        """What keeps the bytes so far from being a whole MP4; None if nothing does."""
        if self.broken is not None:
            return self.broken
        if self._left or self._head:
            return "it ends within a box"
        if missing := [kind.decode() for kind in (b"ftyp", b"moov", b"mdat") if kind not in self._boxes]:
            return f"it has no {' and no '.join(missing)} box"
        return "its last fragment has no pictures" if self._last == b"moof" else None

    @property
    def _wanted(self) -> int:
        return _LONG if len(self._head) >= _SHORT and _size(self._head[:4]) == _SIZE_FOLLOWS else _SHORT

    def _enter(self) -> None:
        size, kind, length = _size(self._head[:4]), self._head[4:8], len(self._head)
        if size == _SIZE_FOLLOWS:
            size = _size(self._head[8:])
        self._head = b""
        if not self._last and kind != b"ftyp":
            self.broken = "it does not begin as an MP4"
        elif size == _TO_THE_END and length == _SHORT:
            self.is_open = True
        elif size < length:
            self.broken = "a box is shorter than its own head"
        else:
            self._left = size - length
        self._boxes.add(kind)
        self._last = kind


def _size(number: bytes) -> int:
    return int.from_bytes(number, "big")
