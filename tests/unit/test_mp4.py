"""Whether an MP4 file is complete follows from its boxes, however its bytes are split."""

from __future__ import annotations

import pytest

from klap_provider.files.mp4 import BoxWalk
from tests.support.videos import box

LONG = b"\0\0\0\x01mdat" + (16 + 5).to_bytes(8, "big") + b"frame"
SHORT = "a box is shorter than its header"
OPEN = b"\0\0\0\0mdat" + b"frames without end"
FTYP, MOOV, MDAT, MOOF = box("ftyp", b"isom"), box("moov", b"index"), box("mdat", b"frames"), box("moof", b"f")

WHOLE = [
    pytest.param(FTYP + MOOV + MDAT, id="the index first"),
    pytest.param(FTYP + box("free") + MDAT + MOOV, id="the index last"),
    pytest.param(FTYP + LONG + MOOV, id="a box with a long size"),
    pytest.param(FTYP + MOOV + OPEN, id="a box to the end"),
    pytest.param(FTYP + MOOV + MOOF + MDAT + MOOF + MDAT, id="fragments"),
    pytest.param(FTYP + MOOV + box("sidx", b"s") + MOOF + LONG + box("mfra", b"m"), id="fragments with their index"),
]
NOT_WHOLE = [
    pytest.param(b"", "it has no ftyp and no moov and no mdat box", id="nothing"),
    pytest.param(b"<!DOCTYPE html><html>", "it does not start like an MP4", id="a web page"),
    pytest.param(MOOV + MDAT, "it does not start like an MP4", id="another beginning"),
    pytest.param(FTYP, "it has no moov and no mdat box", id="its beginning alone"),
    pytest.param(FTYP + MDAT, "it has no moov box", id="no index"),
    pytest.param(FTYP + OPEN, "it has no moov box", id="no index, and pictures to the end"),
    pytest.param(FTYP + MOOV, "it has no mdat box", id="no pictures"),
    pytest.param(
        FTYP + MOOV + MOOF + MDAT + MOOF, "its last fragment has no media data", id="a fragment without its pictures"
    ),
    pytest.param(FTYP + MOOV + b"\0\0\0\x07mdat", SHORT, id="a size below its head"),
    pytest.param(FTYP + MOOV + b"\0\0\0\x01mdat" + (15).to_bytes(8, "big"), SHORT, id="a long one likewise"),
    pytest.param(FTYP + MOOV + b"\0\0\0\x01mdat" + bytes(8), SHORT, id="a long size of nothing"),
]


def walk(video: bytes, step: int) -> BoxWalk:
    boxes = BoxWalk()
    for at in range(0, len(video), step):
        boxes.feed(video[at : at + step])
    return boxes


@pytest.mark.parametrize("step", [1, 3, 8, 16, 10_000])
@pytest.mark.parametrize("video", WHOLE)
def test_a_complete_video_has_no_problem(video: bytes, step: int) -> None:
    boxes = walk(video, step)
    assert (boxes.problem, boxes.broken, boxes.is_open) == (None, None, video.endswith(OPEN))


@pytest.mark.parametrize("step", [1, 3, 8, 16, 10_000])
@pytest.mark.parametrize(("video", "problem"), NOT_WHOLE)
def test_an_incomplete_video_is_described(video: bytes, problem: str, step: int) -> None:
    assert walk(video, step).problem == problem


@pytest.mark.parametrize("video", [FTYP + MOOV + MDAT, FTYP + LONG + MOOV, FTYP + MOOV + MOOF + LONG])
def test_a_video_truncated_anywhere_is_incomplete(video: bytes) -> None:
    for end in range(len(video)):
        assert walk(video[:end], 7).problem is not None


def test_a_file_that_is_no_video_is_known_after_eight_bytes() -> None:
    boxes = BoxWalk()
    boxes.feed(b"<!DOCTY")
    assert boxes.broken is None
    boxes.feed(b"P")
    assert boxes.broken is not None


def test_only_the_head_of_a_box_is_kept() -> None:
    boxes = walk(FTYP + MOOV + (8 + 10**6).to_bytes(4, "big") + b"mdat" + bytes(10**6), 1000)
    assert boxes.problem is None
    assert max(len(kept) for kept in vars(boxes).values() if isinstance(kept, bytes)) <= 16


def test_a_truncated_head_of_a_later_box_is_noticed() -> None:
    assert walk(FTYP + MOOV + MDAT + MDAT[:3], 5).problem == "it ends within a box"


@pytest.mark.parametrize("size", [2**32, 2**56])
def test_a_box_may_have_more_than_4_gib(size: int) -> None:
    boxes = walk(FTYP + MOOV + b"\0\0\0\x01mdat" + (size + 16).to_bytes(8, "big"), 7)
    assert boxes.problem == "it ends within a box"


def test_a_size_that_comes_in_pieces_is_read_when_it_is_complete() -> None:
    content = bytes(0x01000000)
    boxes = BoxWalk()
    for piece in (FTYP + MOOV + b"\x01", b"\0\0\x08mdat" + content[:100], content[100:]):
        assert boxes.problem is not None
        boxes.feed(piece)
    assert boxes.problem is None


def test_bytes_after_a_broken_box_are_ignored() -> None:
    boxes = walk(b"<!DOCTYP" + bytes(8), 8)
    assert (boxes.is_open, boxes.broken is None) == (False, False)
