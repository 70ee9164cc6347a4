"""The sandbox serves clips like a file storage: whole, in ranges, without a key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import requests

from tests.support.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def clip() -> Iterator[str]:
    with Sandbox() as sandbox:
        body = {"source_video_url": sandbox.sample}
        task = sandbox.call("POST", "/tasks/video-to-video", json=body).json()
        project = sandbox.outcome(f"/tasks/{task['id']}")["output_id"]
        export = sandbox.call("POST", f"/projects/{project}/exports").json()
        yield sandbox.outcome(f"/projects/{project}/exports/{export['id']}")["src_url"]


def test_a_clip_is_an_mp4_with_its_length_and_an_etag(clip: str) -> None:
    answer = requests.get(clip, timeout=30)
    assert answer.headers["Content-Type"] == "video/mp4"
    assert answer.headers["Content-Length"] == str(len(answer.content))
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["ETag"]
    assert answer.content[4:8] == b"ftyp"


def test_head_returns_the_headers_of_a_get(clip: str) -> None:
    head, whole = requests.head(clip, timeout=30), requests.get(clip, timeout=30)
    assert head.content == b""
    for header in ("Content-Length", "ETag", "Content-Type"):
        assert head.headers[header] == whole.headers[header]


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("bytes=0-99", slice(0, 100)),
        ("bytes=1000-", slice(1000, None)),
        ("bytes=-50", slice(-50, None)),
        ("bytes=10-99999999", slice(10, None)),
    ],
)
def test_a_range_yields_that_part(clip: str, asked: str, part: slice) -> None:
    whole = requests.get(clip, timeout=30)
    answer = requests.get(clip, headers={"Range": asked, "If-Range": whole.headers["ETag"]}, timeout=30)
    assert answer.status_code == 206
    assert answer.content == whole.content[part]
    assert answer.headers["Content-Range"].endswith(f"/{len(whole.content)}")


def test_a_range_of_another_version_yields_the_whole_clip(clip: str) -> None:
    answer = requests.get(clip, headers={"Range": "bytes=0-99", "If-Range": '"another"'}, timeout=30)
    assert (answer.status_code, len(answer.content)) == (
        200,
        int(requests.head(clip, timeout=30).headers["Content-Length"]),
    )


def test_a_range_beyond_the_end_is_refused_with_the_length(clip: str) -> None:
    answer = requests.get(clip, headers={"Range": "bytes=99999999-"}, timeout=30)
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == f"bytes */{len(requests.get(clip, timeout=30).content)}"


def test_an_unknown_clip_is_not_found(clip: str) -> None:
    assert requests.get(clip.replace(".mp4", "x.mp4"), timeout=30).status_code == 404
