"""Finished clips are served as a file store would: whole, in ranges, without a key."""

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


def test_a_clip_is_an_mp4_with_its_length_and_a_tag(clip: str) -> None:
    answer = requests.get(clip, timeout=5)
    assert answer.headers["Content-Type"] == "video/mp4"
    assert answer.headers["Content-Length"] == str(len(answer.content))
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["ETag"]
    assert answer.content[4:8] == b"ftyp"


def test_head_tells_the_same_without_the_bytes(clip: str) -> None:
    head, whole = requests.head(clip, timeout=5), requests.get(clip, timeout=5)
    assert head.content == b""
    for header in ("Content-Length", "ETag", "Content-Type"):
        assert head.headers[header] == whole.headers[header]


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("bytes=0-99", slice(0, 100)),
        ("bytes=100-199", slice(100, 200)),
        ("bytes=1000-", slice(1000, None)),
        ("bytes=-50", slice(-50, None)),
        ("bytes=-99999999", slice(None)),
        ("bytes=10-99999999", slice(10, None)),
        ("bytes= 5-9 , 99999999-", slice(5, 10)),
        ("BYTES=0-0", slice(0, 1)),
    ],
)
def test_a_range_yields_that_part(clip: str, asked: str, part: slice) -> None:
    whole = requests.get(clip, timeout=5).content
    answer = requests.get(clip, headers={"Range": asked}, timeout=5)
    assert answer.status_code == 206
    assert answer.content == whole[part]
    assert answer.headers["Content-Range"].endswith(f"/{len(whole)}")


def test_several_ranges_come_in_parts(clip: str) -> None:
    whole = requests.get(clip, timeout=5).content
    answer = requests.get(clip, headers={"Range": "bytes=0-9,-10"}, timeout=5)
    assert answer.status_code == 206
    assert answer.headers["Content-Type"].startswith("multipart/byteranges; boundary=")
    assert answer.headers["Content-Length"] == str(len(answer.content))
    for part in (whole[:10], whole[-10:]):
        assert b"\r\n\r\n" + part in answer.content


@pytest.mark.parametrize("of", ["etag", "last-modified"])
def test_a_range_of_the_same_version_yields_it_and_of_an_older_one_the_whole_clip(clip: str, of: str) -> None:
    whole = requests.get(clip, timeout=5)
    for version, code in ((whole.headers[of], 206), ('"another"', 200), ("Wed, 01 Jan 2020 00:00:00 GMT", 200)):
        headers = {"Range": "bytes=0-99", "If-Range": version}
        assert requests.get(clip, headers=headers, timeout=5).status_code == code


@pytest.mark.parametrize("beyond", ["99999999-", "-0", "5-3", "abc", "", "-", "0-1,x", "1-2-3", "٣-", "--5"])
def test_a_range_that_cannot_be_had_is_refused_with_the_length(clip: str, beyond: str) -> None:
    answer = requests.get(clip, headers={"Range": f"bytes={beyond}".encode()}, timeout=5)
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == f"bytes */{len(requests.get(clip, timeout=5).content)}"


@pytest.mark.parametrize("unknown", ["items=0-5", "0-5", "bytes"])
def test_a_range_of_something_else_than_bytes_is_no_range(clip: str, unknown: str) -> None:
    assert requests.get(clip, headers={"Range": unknown}, timeout=5).status_code == 200
    assert requests.head(clip, headers={"Range": "bytes=0-5"}, timeout=5).status_code == 200


def test_what_a_client_has_already_is_not_sent_again(clip: str) -> None:
    whole = requests.get(clip, timeout=5)
    tag, changed = whole.headers["ETag"], whole.headers["Last-Modified"]
    for known in (
        {"If-None-Match": tag},
        {"If-None-Match": f'"x", W/{tag}'},
        {"If-None-Match": "*"},
        {"If-Modified-Since": changed},
        {"If-None-Match": tag, "If-Modified-Since": "Wed, 01 Jan 2020 00:00:00 GMT", "Range": "bytes=0-1"},
    ):
        for method in ("GET", "HEAD"):
            answer = requests.request(method, clip, headers=known, timeout=5)
            assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", tag), known
    for older in (
        {"If-None-Match": '"x"'},
        {"If-None-Match": '"x"', "If-Modified-Since": changed},
        {"If-Modified-Since": "Wed, 01 Jan 2020 00:00:00 GMT"},
        {"If-Modified-Since": "yesterday"},
    ):
        assert requests.get(clip, headers=older, timeout=5).content == whole.content, older


def test_an_unknown_clip_is_not_found(clip: str) -> None:
    assert requests.get(clip.replace(".mp4", "x.mp4"), timeout=5).status_code == 404
