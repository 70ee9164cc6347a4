"""Each call of the API, and what its response means."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from klap_provider.api import calls, response_parser
from klap_provider.api.requests import ExportRequest, ShortsRequest, VideoRequest
from klap_provider.api.responses import Export, Project, Task, User, UserToken
from klap_provider.errors import (
    KlapAuthError,
    KlapCreditsError,
    KlapInputError,
    KlapInvalidResponseError,
    KlapNotFoundError,
    KlapRateLimitError,
    KlapRejectedError,
    KlapResponseError,
    KlapServerError,
)

URL = "https://example.com/talk.mp4"
MARK = {"src_url": "https://example.com/logo.png"}
NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT

TASK = calls.get_task("t1")
LIST = calls.list_projects("f1")
POST = calls.submit_shorts(ShortsRequest(source_video_url=URL))


def answer(call: calls.Call[Any], body: Any, status: int = 200, **headers: str) -> Any:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return response_parser.parse_response(
        call, status=status, headers={k.replace("_", "-"): v for k, v in headers.items()}, body=raw, now=NOW
    )


def failure(status: int, body: Any = b"", call: calls.Call[Any] = TASK, **headers: str) -> KlapResponseError:
    with pytest.raises(KlapResponseError) as failed:
        answer(call, body, status, **headers)
    return failed.value


CALLS: list[tuple[calls.Call[Any], str, str, Any, Any]] = [
    (POST, "POST", "/tasks/video-to-shorts", {"source_video_url": URL}, None),
    (
        calls.submit_video(VideoRequest(source_video_url=URL)),
        "POST",
        "/tasks/video-to-video",
        {"source_video_url": URL},
        None,
    ),
    (TASK, "GET", "/tasks/t1", None, None),
    (LIST, "GET", "/projects/f1", None, None),
    (calls.get_project("p1", folder_id="f1"), "GET", "/projects/f1/p1", None, None),
    (calls.get_project("p1"), "GET", "/projects/p1", None, None),
    (
        calls.create_export(ExportRequest(), project_id="p1", folder_id="f1"),
        "POST",
        "/projects/f1/p1/exports",
        {},
        None,
    ),
    (
        calls.create_export(ExportRequest.model_validate({"watermark": MARK}), project_id="p1"),
        "POST",
        "/projects/p1/exports",
        {"watermark": MARK},
        None,
    ),
    (
        calls.get_export("e1", project_id="p1", folder_id="f1"),
        "GET",
        "/projects/f1/p1/exports/e1",
        None,
        None,
    ),
    (calls.get_export("e1", project_id="p1"), "GET", "/projects/p1/exports/e1", None, None),
    (calls.list_exports(), "GET", "/exports", None, {}),
    (
        calls.list_exports(folder_id="f1", project_id="p1"),
        "GET",
        "/exports",
        None,
        {"folder_id": "f1", "project_id": "p1"},
    ),
    (calls.list_exports(project_id="p1"), "GET", "/exports", None, {"project_id": "p1"}),
    (calls.create_user(), "POST", "/users", {}, None),
    (calls.create_user_token("u1"), "POST", "/users/u1/tokens", {}, None),
]


@pytest.mark.parametrize(("call", "method", "path", "body", "query"), CALLS, ids=lambda value: str(value)[:40])
def test_a_call_is_the_one_that_the_api_documents(
    call: calls.Call[Any], method: str, path: str, body: Any, query: Any
) -> None:
    assert (call.method, call.path, call.body, call.query) == (method, path, body, query)
    assert str(call) == f"{method} {path}"
    assert call.repeatable is (method == "GET")


@pytest.mark.parametrize(
    ("call", "body", "expected"),
    [
        (POST, {"id": "t", "status": "processing"}, Task),
        (TASK, {"id": "t", "status": "ready"}, Task),
        (LIST, [{"id": "p"}], list),
        (calls.get_project("p"), {"id": "p"}, Project),
        (calls.create_export(ExportRequest(), project_id="p"), {"id": "e", "status": "processing"}, Export),
        (calls.get_export("e", project_id="p"), {"id": "e", "status": "ready"}, Export),
        (calls.list_exports(), [], list),
        (calls.create_user(), {"id": "u"}, User),
        (calls.create_user_token("u"), {"external_access_token": "x"}, UserToken),
    ],
    ids=str,
)
@pytest.mark.parametrize("status", [200, 201, 202, 206, 299])
def test_any_2xx_returns_the_result_of_the_call(call: calls.Call[Any], body: Any, expected: type, status: int) -> None:
    assert isinstance(answer(call, body, status), expected)


def test_lists_hold_models() -> None:
    assert [type(item) for item in answer(LIST, [{"id": "a"}, {"id": "b"}])] == [Project, Project]
    assert [type(item) for item in answer(calls.list_exports(), [{"id": "a", "status": "ready"}])] == [Export]


def test_a_list_call_with_ids_ignores_malformed_entries() -> None:
    odd: list[Any] = [{"id": []}, {"id": {}}, {"id": None}, {}, [], None, "a", {"id": "b", "status": "ready"}]
    listed = [*odd, {"id": "a", "status": "ready"}, {"id": 7, "status": "ready"}]
    assert [export.id for export in answer(calls.list_exports(ids={"a", "7"}), listed)] == ["a", "7"]
    assert answer(calls.list_exports(ids={"a"}), odd) == []


@pytest.mark.parametrize(
    ("given", "quoted"),
    [
        ("a/b", "a%2Fb"),
        ("../users", "..%2Fusers"),
        ("a b", "a%20b"),
        ("a?b=c#d", "a%3Fb%3Dc%23d"),
        ("%2e%2e", "%252e%252e"),
        ("né", "n%C3%A9"),
        ("日", "%E6%97%A5"),
        ("a\r\nb", "a%0D%0Ab"),
        ("a-b_c.d~e", "a-b_c.d~e"),
    ],
)
def test_any_id_is_one_segment_of_the_path(given: str, quoted: str) -> None:
    assert calls.get_task(given).path == f"/tasks/{quoted}"
    assert calls.list_projects(given).path == f"/projects/{quoted}"
    assert calls.get_project(given, folder_id=given).path == f"/projects/{quoted}/{quoted}"
    assert (
        calls.get_export(given, project_id=given, folder_id=given).path
        == f"/projects/{quoted}/{quoted}/exports/{quoted}"
    )
    assert calls.create_export(ExportRequest(), project_id=given).path == f"/projects/{quoted}/exports"
    assert calls.create_user_token(given).path == f"/users/{quoted}/tokens"


@pytest.mark.parametrize("wrong", ["", "  ", ".", "..", None, 7])
def test_an_invalid_id_is_refused_before_the_request(wrong: Any) -> None:
    for name, make in [
        ("klap_task_id", lambda: calls.get_task(wrong)),
        ("folder_id", lambda: calls.list_projects(wrong)),
        ("project_id", lambda: calls.get_project(wrong)),
        ("project_id", lambda: calls.create_export(ExportRequest(), project_id=wrong, folder_id="f")),
        ("export_id", lambda: calls.get_export(wrong, project_id="p")),
        ("user_id", lambda: calls.create_user_token(wrong)),
    ]:
        with pytest.raises(KlapInputError, match=rf"^Nothing was sent to Klap. {name} is "):
            make()


def test_an_empty_folder_is_refused_where_none_means_the_direct_path() -> None:
    assert calls.get_project("p", folder_id=None).path == "/projects/p"
    with pytest.raises(KlapInputError, match="folder_id"):
        calls.get_project("p", folder_id="")


each_status = pytest.mark.parametrize(
    ("status", "kind", "transient", "refused", "advice"),
    [
        (301, KlapInvalidResponseError, True, False, "connection's Host"),
        (302, KlapInvalidResponseError, True, False, "connection's Host"),
        (304, KlapInvalidResponseError, True, False, "connection's Host"),
        (400, KlapRejectedError, False, True, "Correct the parameters"),
        (401, KlapAuthError, False, True, "Password"),
        (402, KlapCreditsError, False, True, "out of credits"),
        (403, KlapAuthError, False, True, "X-On-Behalf-Of"),
        (404, KlapNotFoundError, False, True, "does not have this id"),
        (405, KlapRejectedError, False, True, "Correct the parameters"),
        (409, KlapRejectedError, False, True, "Correct the parameters"),
        (413, KlapRejectedError, False, True, "Correct the parameters"),
        (422, KlapRejectedError, False, True, "Correct the parameters"),
        (408, KlapServerError, True, False, "not known whether Klap processed"),
        (425, KlapServerError, True, False, "not known whether Klap processed"),
        (429, KlapRateLimitError, True, True, "later"),
        (499, KlapServerError, True, False, "not known whether Klap processed"),
        (500, KlapServerError, True, False, "later"),
        (502, KlapServerError, True, False, "later"),
        (503, KlapServerError, True, False, "later"),
        (504, KlapServerError, True, False, "later"),
        (599, KlapServerError, True, False, "later"),
    ],
)
JSON = [{"message": "m"}, {"error_code": "c", "message": "m"}, {"detail": [{"loc": ["body"], "msg": "m"}]}, []]
NO_JSON = [b"", b"<html><h1>Oops</h1></html>", b"{", None]


@each_status
@pytest.mark.parametrize(
    ("call", "body"), [*((POST, body) for body in JSON + NO_JSON), *((TASK, body) for body in JSON)]
)
def test_the_status_code_decides_the_exception(
    status: int,
    kind: type[KlapResponseError],
    transient: bool,
    refused: bool,
    advice: str,
    call: calls.Call[Any],
    body: Any,
) -> None:
    error = failure(status, body, call=call)
    assert type(error) is kind
    assert (error.status, error.transient, error.refused) == (status, transient, refused)
    assert f"{call}: HTTP {status}" in str(error)
    assert advice in str(error)


@each_status
@pytest.mark.parametrize("body", NO_JSON)
def test_an_error_of_a_poll_is_final_only_with_json_of_the_api(
    status: int, kind: type[KlapResponseError], transient: bool, refused: bool, advice: str, body: Any
) -> None:
    error = failure(status, body)
    if status == 401 and body == b"":
        assert type(error) is KlapAuthError
        return
    assert type(error) is (kind if transient else KlapInvalidResponseError)
    assert error.transient
    assert advice in str(error)
    assert ("firewall" in str(error)) is not transient


def test_only_a_503_with_retry_after_proves_that_a_post_was_refused() -> None:
    assert failure(503, JSON[0], Retry_After="5", call=POST).refused
    assert not failure(503, JSON[0], Retry_After="whenever", call=POST).refused
    assert not failure(502, JSON[0], Retry_After="5", call=POST).refused


@pytest.mark.parametrize("body", NO_JSON)
def test_a_503_of_a_proxy_does_not_prove_that_a_post_was_refused(body: Any) -> None:
    # Varnish and Fastly answer so if the server behind them did not respond.
    assert not failure(503, body, Retry_After="5", call=POST).refused


@pytest.mark.parametrize(
    ("body", "error_code", "words"),
    [
        (
            {"message": "unprocessable-entity", "error_code": "video_too_long"},
            "video_too_long",
            ["unprocessable-entity", "video_too_long"],
        ),
        ({"error": "nope"}, None, ["nope"]),
        ({"detail": "missing"}, None, ["missing"]),
        ({"detail": [{"msg": "too short"}]}, None, ["too short"]),
        ({"error": {"code": 5}}, None, ["code", "5"]),
        ({"error_code": 42, "message": "m"}, None, ["42", "m"]),
        ({"message": None}, None, []),
        (b"<!doctype html><h1>Secret</h1>", None, ["an HTML page"]),
        (b"", None, ["an empty body"]),
        (b"gone fishing", None, ["not a JSON object"]),
    ],
    ids=str,
)
def test_an_error_has_klaps_message_and_code(body: Any, error_code: str | None, words: list[str]) -> None:
    error = failure(422, body)
    assert error.error_code == error_code
    for word in words:
        assert word in str(error)
    assert "Secret" not in str(error)


def test_repeated_and_long_messages_of_klap_are_shortened() -> None:
    assert str(failure(500, {"error": "boom", "message": "boom"})).count("boom") == 1
    assert len(str(failure(500, {"message": "x" * 100_000}))) < 1000


@pytest.mark.parametrize(
    ("call", "body", "what"),
    [
        (TASK, b"", "an empty body"),
        (TASK, b" \n", "an empty body"),
        (TASK, b"<html></html>", "an HTML page"),
        (TASK, b'{"id": "t1", "sta', "not a JSON"),
        (TASK, b"\xff\xfe\x00", "not a JSON"),
        (TASK, b"null", "not a JSON object or list"),
        (TASK, b'"ready"', "not a JSON object or list"),
        (TASK, [], "valid dictionary"),
        (TASK, [{"id": "t1", "status": "ready"}], "valid dictionary"),
        (TASK, {}, "id: "),
        (TASK, {"id": "t1"}, "status: "),
        (TASK, {"id": "", "status": "ready"}, "id: "),
        (TASK, {"id": "t1", "status": None}, "status: "),
        (LIST, {}, "valid list"),
        (LIST, {"projects": []}, "valid list"),
        (LIST, [{}], "0.id: "),
        (LIST, b"<html>", "an HTML page"),
        (POST, b"", "an empty body"),
        (POST, {"ticket": "t1"}, "id: "),
        (calls.create_user_token("u"), {"external_access_token": ""}, "external_access_token: "),
    ],
    ids=str,
)
def test_a_2xx_without_json_of_the_api_is_described(call: calls.Call[Any], body: Any, what: str) -> None:
    error = failure(200, body, call=call)
    assert type(error) is KlapInvalidResponseError
    assert what in str(error)
    assert f"Klap answered {call} with 200" in str(error)
    assert "Host" in str(error)
    assert error.transient
    assert not error.refused
    assert error.__cause__ is None


def test_a_response_of_the_wrong_shape_is_described() -> None:
    assert "promises: :" not in str(failure(200, [], call=TASK))
    assert "promises: :" not in str(failure(200, {}, call=LIST))


@pytest.mark.parametrize("status", [204, 205])
def test_an_empty_2xx_is_an_error(status: int) -> None:
    assert type(failure(status, b"")) is KlapInvalidResponseError


@pytest.mark.parametrize("status", [200, 500])
def test_deeply_nested_json_is_a_klap_error(status: int) -> None:
    limit = sys.getrecursionlimit()
    for depth in (100, *range(limit - 200, limit), 100_000):
        assert failure(status, b'{"detail":' + b"[" * depth + b"]" * depth + b"}").status == status


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        ("7", 7.0),
        (" 120 ", 120.0),
        ("99999999999999999999", 86_400),
        ("Tue, 14 Nov 2023 22:13:50 GMT", 30.0),
        ("Tue, 14 Nov 2023 22:13:50 -0000", 30.0),
        ("Tue, 14 Nov 2023 23:13:50 +0100", 30.0),
        ("Tue, 14 Nov 2023 22:13:50", 30.0),
        ("Tue, 14 Nov 2023 22:13:20 GMT", 0.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("-5", None),
        ("1.5", None),
        ("+3", None),
        ("٣", None),
        ("", None),
        ("soon", None),
        ("5 s", None),
        ("5, 7", None),
        ("Tue, 99 Nov 2023 22:13:50 GMT", None),
        ("Tue, 14 Nov 99999 22:13:50 GMT", None),
        ("Tue, 14 Nov 2023 22:13:50 +9999", None),
    ],
)
def test_retry_after_is_read_in_both_forms(value: str | None, seconds: float | None) -> None:
    assert response_parser.parse_retry_after(value, now=NOW) == seconds


@pytest.mark.parametrize("name", ["Retry-After", "retry-after", "RETRY-AFTER"])
def test_retry_after_is_in_the_error_whatever_the_case_of_the_header(name: str) -> None:
    with pytest.raises(KlapRateLimitError) as limited:
        response_parser.parse_response(TASK, status=429, headers={name: "12"}, body=b"", now=NOW)
    assert limited.value.retry_after == 12.0
    assert failure(429).retry_after is None
