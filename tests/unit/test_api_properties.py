"""Any HTTP response becomes a result or a KlapError."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from klap_provider.api import calls, response_parser
from klap_provider.api.requests import ExportRequest, ShortsRequest, VideoRequest, build_request
from klap_provider.api.responses import Project
from klap_provider.errors import KlapError, KlapInputError, KlapInvalidResponseError, KlapResponseError
from klap_provider.rules.selection import virality_percentages
from klap_sandbox import request_bodies as bodies

URL = "https://example.com/talk.mp4"
CALLS = [
    calls.submit_shorts(ShortsRequest(source_video_url=URL)),
    calls.submit_video(VideoRequest(source_video_url=URL)),
    calls.get_task("t"),
    calls.list_projects("f"),
    calls.get_project("p", folder_id="f"),
    calls.create_export(ExportRequest(), project_id="p"),
    calls.get_export("e", project_id="p"),
    calls.list_exports(),
    calls.create_user(),
    calls.create_user_token("u"),
]
each_call = pytest.mark.parametrize("call", CALLS, ids=str)

WORDS = [
    "id",
    "status",
    "error_code",
    "error",
    "error_message",
    "message",
    "detail",
    "type",
    "output_type",
    "output_id",
    "project_id",
    "folder_id",
    "created_at",
    "name",
    "src_url",
    "descriptions",
    "virality_score",
    "virality_score_explanation",
    "email",
    "external_access_token",
    "output",
    "failure",
    "model_config",
    "__class__",
    "__dict__",
]

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["ready", "processing", "error", "2023-10-01T12:00:00Z"])
)
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS) | st.text(), inner, max_size=6),
    max_leaves=15,
)
plausible = st.fixed_dictionaries(
    {"id": st.text(), "status": st.text(), "external_access_token": st.text()},
    optional={word: documents for word in WORDS if word not in ("id", "status", "external_access_token")},
)
statuses = st.sampled_from([200, 201, 204, 301, 400, 401, 402, 403, 404, 422, 429, 500, 503]) | st.integers(100, 599)
headers = st.dictionaries(st.sampled_from(["Retry-After", "retry-after", "X"]), st.text(max_size=30), max_size=2)


def outcome(call: calls.Call[Any], status: int, body: bytes, headers: dict[str, str] | None = None) -> Any:
    """Return the parsed result or the KlapError. Any other exception fails the test."""
    result: Any
    try:
        result = response_parser.parse_response(call, status=status, headers=headers or {}, body=body, now=1e9)
    except KlapResponseError as error:
        result = error
    if isinstance(result, KlapResponseError):
        assert result.status == status
        assert result.retry_after is None or (result.retry_after >= 0 and math.isfinite(result.retry_after))
    else:
        assert 200 <= status < 300
    return result


@each_call
@settings(max_examples=60)
@given(document=documents | plausible | st.lists(plausible, max_size=3), status=statuses, headers=headers)
@example(document=[{"id": "a", "virality_score": math.nan}], status=200, headers={})
@example(document=[{"id": "a", "virality_score": 10**400}], status=200, headers={})
@example(document={"id": "\ud800", "status": "\ud800"}, status=200, headers={})
@example(document={"detail": "\ud800", "error_code": 1e999}, status=500, headers={})
def test_any_json_is_a_result_or_a_klap_error(
    call: calls.Call[Any], document: Any, status: int, headers: dict[str, str]
) -> None:
    result = outcome(call, status, json.dumps(document).encode(), headers)
    if isinstance(result, list):
        assert isinstance(document, list)
    elif not isinstance(result, KlapError):
        assert isinstance(document, dict)


@each_call
@settings(max_examples=60)
@given(body=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
@example(body=b"\xef\xbb\xbf{}")
@example(body=b"[" * 100_000)
@example(body=b"1" * 5000)
@example(body=b"\xff\xfe[\x00")
def test_any_bytes_are_a_result_or_a_klap_error(call: calls.Call[Any], body: bytes) -> None:
    for status in (200, 404, 500):
        outcome(call, status, body)


@settings(max_examples=30)
@given(task=plausible)
def test_a_truncated_answer_is_never_a_result(task: dict[str, Any]) -> None:
    body = json.dumps(task).encode()
    for length in range(0, len(body), max(1, len(body) // 20)):
        assert isinstance(outcome(calls.get_task("t"), 200, body[:length]), KlapInvalidResponseError)


@given(klap_id=st.text())
def test_any_id_is_refused_or_stays_one_segment_of_printable_ascii(klap_id: str) -> None:
    try:
        path = calls.get_task(klap_id).path
    except (KlapError, UnicodeEncodeError):
        return
    assert path.isascii()
    assert path.isprintable()
    assert path.count("/") == 2
    assert not set(path) & set("?# \\")
    assert path.rpartition("/")[2] not in ("", ".", "..")


@given(
    value=st.text(max_size=60) | st.integers().map(str) | st.datetimes().map(lambda d: d.strftime("%a, %d %b %Y %T"))
)
def test_any_retry_after_is_a_finite_wait_or_none(value: str) -> None:
    seconds = response_parser.parse_retry_after(value, now=1e9)
    assert seconds is None or (seconds >= 0 and math.isfinite(seconds))


@given(scores=st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False)))
@example(scores=[-1e308])
def test_any_scores_are_shown_as_0_to_100_in_their_own_order(scores: list[float | None]) -> None:
    shown = virality_percentages(Project(id="p", virality_score=score) for score in scores)
    assert [score is None for score in shown] == [score is None for score in scores]
    pairs = sorted((s, p) for s, p in zip(scores, shown, strict=True) if s is not None and p is not None)
    assert all(0 <= percentage <= 100 for _, percentage in pairs)
    assert [p for _, p in pairs] == sorted(p for _, p in pairs)


numbers = st.none() | st.integers(-1, 200) | st.sampled_from([0.5, 1.0, 2, 16, 3840, 3841, 10**9, "5", True])
fractions = (
    st.none() | st.floats(-0.1, 1.1) | st.sampled_from([0, 1, -0.0, 5e-324, 100, 100.1, math.inf, math.nan, "0.5"])
)
flags = st.none() | st.booleans() | st.sampled_from([0, 1, "yes", "off"])
words = st.none() | st.text(max_size=30) | st.sampled_from(["", "en", " de ", "x" * 1000, "x" * 1001])
urls = st.sampled_from([URL, "http://a", f" {URL} ", "https://[::1]/a", "https://ä.example/ü?q#f"]) | st.text().map(
    "https://".__add__
)
dimensions = st.none() | st.fixed_dictionaries({}, optional={"width": numbers, "height": numbers})
options = st.fixed_dictionaries({}, optional=dict.fromkeys(bodies.EditingOptions.model_fields, flags))
video = {
    "language": words,
    "translate_to": words,
    "transcription_context": words,
    "name": words,
    "dimensions": dimensions,
    "style_preset_id": words,
    "editing_options": st.none() | options,
}
counts = dict.fromkeys(
    ["target_clip_count", "max_clip_count", "min_duration", "max_duration", "target_duration"], numbers
)
marks = st.fixed_dictionaries({"src_url": urls}, optional={"pos_x": fractions, "pos_y": fractions, "scale": fractions})


@pytest.mark.parametrize(
    ("ours", "theirs", "fields"),
    [
        (VideoRequest, bodies.VideoToVideo, st.fixed_dictionaries({"source_video_url": urls}, optional=video)),
        (
            ShortsRequest,
            bodies.VideoToShorts,
            st.fixed_dictionaries({"source_video_url": urls}, optional=video | counts),
        ),
        (ExportRequest, bodies.ExportRequest, st.fixed_dictionaries({}, optional={"watermark": st.none() | marks})),
    ],
)
@given(data=st.data())
@settings(max_examples=300)
def test_the_sandbox_accepts_what_our_validation_accepts(ours: Any, theirs: Any, fields: Any, data: Any) -> None:
    try:
        request = build_request(ours, data.draw(fields))
    except KlapInputError:
        return
    sent = json.loads(json.dumps(request.body(), allow_nan=False))
    theirs.model_validate(sent, context={"strict": True})
