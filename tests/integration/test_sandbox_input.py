"""The sandbox accepts what Klap accepts, and refuses everything else without failing."""

from __future__ import annotations

import http.client
import json
import random
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.sandbox import Sandbox

TALK = "https://example.com/talk.mp4"
TASKS = "/tasks/video-to-video"
BODY = json.dumps({"source_video_url": TALK}).encode()


@pytest.fixture
def sandbox(lenient_sandbox: Sandbox) -> Iterator[Sandbox]:
    """A sandbox that must not fail, and whose data must still be readable after the test."""
    yield lenient_sandbox
    for entry in lenient_sandbox.requests():
        assert entry["status"] is None or entry["status"] < 500, entry
    lenient_sandbox.ledger()


def post(sandbox: Sandbox, body: bytes = BODY, path: str = TASKS, **headers: str) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return sandbox.call("POST", path, data=body, headers={"Content-Type": "application/json", **named}).status_code


def raw(sandbox: Sandbox, request: bytes, *, half: bool = False) -> bytes:
    """Send these bytes and return the response; with ``half``, close the connection without reading it."""
    with socket.create_connection(("127.0.0.1", int(sandbox.root.rpartition(":")[2])), timeout=30) as client:
        client.sendall(request)
        if half:
            return b""
        response = b""
        while part := client.recv(65536):
            response += part
        return response


def test_unknown_fields_are_ignored_and_logged(sandbox: Sandbox) -> None:
    body = {
        "source_video_url": TALK,
        "preset_id": "p",
        "max_clip_count": 3,
        "editing_options": {"captions": False, "width": 1080},
        "dimensions": {"width": 1081.0, "depth": 1},
    }
    assert sandbox.call("POST", TASKS, json=body).ok
    assert sandbox.ledger()[0]["body"] == {
        "source_video_url": TALK,
        "editing_options": {"captions": False},
        "dimensions": {"width": 1080},
    }
    ignored = ["preset_id", "max_clip_count", "editing_options.width", "dimensions.depth"]
    assert sorted(sandbox.requests("POST")[0]["ignored"]) == sorted(ignored)
    assert sandbox.requests("POST")[0]["status"] == 200


def test_null_counts_as_not_sent_and_30_0_is_30(sandbox: Sandbox) -> None:
    body: dict[str, Any] = dict.fromkeys(
        ["language", "name", "dimensions", "editing_options", "style_preset_id", "target_clip_count", "min_duration"]
    )
    body |= {"source_video_url": TALK, "max_clip_count": 2.0, "max_duration": 30.0}
    task = sandbox.call("POST", "/tasks/video-to-shorts", json=body).json()
    folder = sandbox.outcome(f"/tasks/{task['id']}")["output_id"]
    assert len(sandbox.call("GET", f"/projects/{folder}").json()) == 2
    assert sandbox.requests("POST")[0]["ignored"] == []


@pytest.mark.parametrize("body", ["", "null", "{}", '{"watermark": false}', '{"watermark": true, "preset_id": "x"}'])
def test_an_export_needs_no_body_and_a_boolean_watermark_is_ignored(sandbox: Sandbox, body: str) -> None:
    project = sandbox.outcome(f"/tasks/{sandbox.call('POST', TASKS, data=BODY).json()['id']}")["output_id"]
    assert sandbox.call("POST", f"/projects/{project}/exports?folder_id=x", data=body.encode()).ok
    assert sandbox.ledger("export")[0]["body"] == {}
    assert sandbox.requests("POST", "exports")[0]["ignored"] == list(json.loads(body or "null") or {})


@pytest.mark.parametrize(
    "headers",
    [
        {"Content_Type": "application/json; charset=utf-8"},
        {"Content_Type": "text/plain"},
        {"Content_Type": "application/x-www-form-urlencoded"},
        {"Content_Type": ""},
        {"Accept": "text/html", "Expect": "nothing"},
    ],
)
def test_json_is_accepted_with_any_content_type(sandbox: Sandbox, headers: dict[str, str]) -> None:
    assert post(sandbox, **headers) == 200
    assert post(sandbox, b"\xef\xbb\xbf" + BODY, **headers) == 200
    assert len(sandbox.ledger()) == 2


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"1",
        b'"text"',
        b"{",
        b"source_video_url=https://example.com/talk.mp4",
        b'{"source_video_url": NaN}',
        b'{"source_video_url": "https://[::1/talk.mp4"}',
        b'{"source_video_url": "https://example.com/talk.mp4", "max_clip_count": 1e999}',
        b'{"source_video_url": "https://example.com/talk.mp4", "max_clip_count": true}',
        b'{"source_video_url": "https://example.com/talk.mp4", "max_clip_count": 2.5}',
        b'{"source_video_url": "https://example.com/talk.mp4", "dimensions": []}',
        b'{"source_video_url": "https://example.com/talk.mp4", "name": "\\ud800"}',
        b'{"source_video_url": "https://example.com/talk.mp4", "unknown": {"\\ud800": 1}}',
    ],
    ids=lambda body: body[:40].decode(),
)
def test_an_invalid_body_is_refused(sandbox: Sandbox, body: bytes) -> None:
    answer = sandbox.call("POST", "/tasks/video-to-shorts", data=body)
    assert answer.status_code == 422
    assert answer.json()["message"] == "unprocessable-entity"
    assert sandbox.ledger() == []


def test_at_most_fifty_unknown_fields_are_logged(sandbox: Sandbox) -> None:
    assert (
        post(sandbox, json.dumps({"source_video_url": TALK, **{f"field{n}": n for n in range(5000)}}).encode()) == 200
    )
    noted = sandbox.requests("POST")[0]["ignored"]
    assert (noted[0], noted[-1]) == ("field0", "…")
    assert sum(map(len, noted)) < 600


@pytest.mark.parametrize("authorization", ["", "Bearer", "Basic a2V5", "kak_key"])
def test_a_missing_key_is_reported_before_a_wrong_field(sandbox: Sandbox, authorization: str) -> None:
    assert post(sandbox, b"{}", Authorization=authorization) == 401


def test_extra_slashes_and_a_query_are_accepted(sandbox: Sandbox) -> None:
    for path in (f"{TASKS}/", f"/{TASKS}", f"{TASKS}?folder_id=x&name=y"):
        assert post(sandbox, path=path) == 200
    assert sandbox.call("GET", "/exports/").json() == []
    sandbox.fault("POST", f"^{TASKS}$", "status", code=429)
    assert post(sandbox, path=f"/{TASKS}/") == 429


def test_other_methods_are_refused_and_head_is_a_get_without_a_body(sandbox: Sandbox) -> None:
    for method in ("PUT", "PATCH", "DELETE", "OPTIONS", "BREW"):
        answer = sandbox.call(method, "/exports")
        assert (answer.status_code, answer.json()["error_code"]) == (405, "method_not_allowed")
        assert "Access-Control-Allow-Origin" not in answer.headers
    head, get = sandbox.call("HEAD", "/exports"), sandbox.call("GET", "/exports")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == get.headers["Content-Length"]
    assert [entry["method"] for entry in sandbox.requests()][-2:] == ["HEAD", "GET"]


def test_old_clients_are_served(sandbox: Sandbox) -> None:
    head = b"Authorization: Bearer k\r\n"
    assert b" 200 OK" in raw(sandbox, b"GET /v2/exports HTTP/1.0\r\n" + head + b"\r\n")
    sent = b"POST /v2/tasks/video-to-video HTTP/1.0\r\n" + head + b"Content-Length: %d\r\n\r\n" % len(BODY)
    assert b" 200 OK" in raw(sandbox, sent + BODY)
    for host in (b"[", b"evil/path?", b"\xff", b""):
        answer = raw(
            sandbox, b"GET /v2/exports HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n" + head + b"\r\n"
        )
        assert answer.split()[1] in (b"200", b"400")


def test_a_connection_is_kept_for_the_next_request(sandbox: Sandbox) -> None:
    client = http.client.HTTPConnection("127.0.0.1", int(sandbox.root.rpartition(":")[2]), timeout=30)
    headers = {"Authorization": "Bearer k"}
    ports = set()
    for _ in range(3):
        client.request("POST", f"/v2{TASKS}", BODY, headers)
        assert client.getresponse().read()
        ports.add(client.sock.getsockname()[1])
    client.close()
    assert len(ports) == 1


@pytest.mark.parametrize("fault", [None, {"action": "late", "seconds": 0}, {"action": "html"}, {"action": "drop"}])
def test_an_incomplete_request_is_not_paid(sandbox: Sandbox, fault: dict[str, Any] | None) -> None:
    if fault:
        sandbox.fault("POST", TASKS, times=None, **fault)
    head = (
        b"POST /v2/tasks/video-to-video HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer k\r\nContent-Length: 9999\r\n\r\n"
    )
    for _ in range(5):
        raw(sandbox, head + BODY, half=True)
    chunked = head.replace(b"Content-Length: 9999", b"Transfer-Encoding: chunked")
    raw(sandbox, chunked + b"ff\r\n" + BODY, half=True)
    assert sandbox.call("GET", "/exports").ok
    assert sandbox.ledger() == []


@pytest.mark.parametrize("odd", ["%2e%2e", "%00", "%ff", "%F0%9F%9A%80", "a%2Fb", "x" * 5000, "%ed%a0%80", "a b", "{}"])
def test_an_unusual_id_is_not_found(sandbox: Sandbox, odd: str) -> None:
    for method, path in (
        ("GET", f"/tasks/{odd}"),
        ("GET", f"/projects/{odd}"),
        ("GET", f"/projects/{odd}/{odd}"),
        ("POST", f"/projects/{odd}/{odd}/exports"),
        ("GET", f"/projects/{odd}/exports/{odd}"),
        ("POST", f"/users/{odd}/tokens"),
    ):
        answer = sandbox.call(method, path)
        assert answer.status_code in (404, 405)
        assert len(answer.text) < 300
    assert sandbox.call("GET", f"/exports?folder_id={odd}&project_id={odd}").json() == []
    assert sandbox.call("GET", "/exports", headers={"X-On-Behalf-Of": "é" + odd[:50]}).status_code == 403
    assert all(len(entry["path"]) <= 500 for entry in sandbox.requests())


def test_concurrent_requests_are_all_served(sandbox: Sandbox) -> None:
    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(lambda _: post(sandbox), range(100))) == {200}
    assert len({entry["id"] for entry in sandbox.ledger()}) == 100


def test_a_field_with_any_value_is_accepted_or_refused(sandbox: Sandbox) -> None:
    dice = random.Random(7)
    values = [None, True, 0, -1, 1.5, 1e300, 10**30, "", "5", "\ud800", "x" * 2000, [], [[]], {}, {"a": {"b": [1]}}]
    fields = ["name", "language", "dimensions", "editing_options", "max_clip_count", "style_preset_id", "dimensions.x"]
    codes = set()
    for _ in range(300):
        body = {name: dice.choice(values) for name in dice.sample(fields, 3)} | {"source_video_url": TALK}
        codes.add(post(sandbox, json.dumps(body).encode(), path=f"/tasks/video-to-{dice.choice(['shorts', 'video'])}"))
    assert codes == {200, 422}


def test_a_fault_with_an_invalid_response_is_refused(sandbox: Sandbox) -> None:
    for wrong in ({"headers": {"X": "a\r\nb"}}, {"headers": {"X": "ж"}}, {"headers": {"": "x"}}, {"body": "\ud800"}):
        with pytest.raises(ValueError, match="422"):
            sandbox.fault("GET", "/", "status", code=200, **wrong)
    for code in (204, 304):
        sandbox.fault("GET", "^/exports$", "status", code=code, body={"a": 1})
        assert (sandbox.call("GET", "/exports").content) == b""
    sandbox.fault("GET", "^/exports$", "reshape")
    assert sandbox.call("GET", "/exports").json() == []
