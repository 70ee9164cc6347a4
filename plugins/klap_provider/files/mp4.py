"""Check that an MP4 file is complete while its bytes are read."""

from __future__ import annotations

_SHORT, _LONG = 8, 16

#: Special sizes: the next eight bytes have the size; the box extends to the end of the file.
_SIZE_FOLLOWS, _TO_THE_END = 1, 0


class BoxWalk:
    """
    Walks over the boxes of an MP4 file, and keeps only a header of up to 16 bytes.

    Each box has its length, so a truncated file ends within a box. The index (``moov``) and the media data (``mdat``)
    must be present. A fragmented file has a ``moof`` before each further ``mdat``.
    """

    def __init__(self) -> None:
        self._head = b""
        self._left = 0
        self._boxes: set[bytes] = set()
        self._last = b""
        #: Why the file cannot be an MP4, whatever follows; None if it can.
        self.broken: str | None = None
        #: Whether the last box extends to the end of the file, so that a truncated file cannot be detected.
        self.is_open = False

    def feed(self, chunk: bytes) -> None:
        """Read the next bytes of the file."""
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
        """Why the bytes so far are not a complete MP4 file; None if they are."""
        if self.broken is not None:
            return self.broken
        if self._left or self._head:
            return "it ends within a box"
        if missing := [kind.decode() for kind in (b"ftyp", b"moov", b"mdat") if kind not in self._boxes]:
            return f"it has no {' and no '.join(missing)} box"
        return "its last fragment has no media data" if self._last == b"moof" else None

    @property
    def _wanted(self) -> int:
        return _LONG if len(self._head) >= _SHORT and _size(self._head[:4]) == _SIZE_FOLLOWS else _SHORT

    def _enter(self) -> None:
        size, kind, length = _size(self._head[:4]), self._head[4:8], len(self._head)
        if size == _SIZE_FOLLOWS:
            size = _size(self._head[8:])
        self._head = b""
        if not self._last and kind != b"ftyp":
            self.broken = "it does not start like an MP4"
        elif size == _TO_THE_END and length == _SHORT:
            self.is_open = True
        elif size < length:
            self.broken = "a box is shorter than its header"
        else:
            self._left = size - length
        self._boxes.add(kind)
        self._last = kind


def _size(number: bytes) -> int:
    return int.from_bytes(number, "big")
