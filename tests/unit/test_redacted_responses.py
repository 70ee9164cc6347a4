"""Responses without the secrets that they repeat."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from klap_provider.api import calls, response_parser
from klap_provider.api.redaction import redacted
from klap_provider.errors import KlapInvalidResponseError, KlapRejectedError, KlapServerError

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = "kak_no-real-key"
TOKEN = "eat_no-real-token"

TASK = {
    "id": "X6DP4ZxCjfLi0Bog",
    "status": "ready",
    "type": "video-to-shorts",
    "output_type": "folder",
    "output_id": "F1folder",
}
SHORT = {"id": "PCMSAgF6UJEj", "folder_id": "F1folder", "name": "Sleep", "virality_score": 0.9}


def read(call: calls.Call[Any], document: Any, *secrets: str, status: int = 200) -> Any:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return response_parser.parse_response(call, status=status, headers={}, body=body, now=0, secrets=secrets)


def test_a_requested_token_is_read_even_if_the_connection_has_it() -> None:
    token = read(calls.create_user_token("u"), {"external_access_token": TOKEN}, KEY, TOKEN)
    assert token.external_access_token == TOKEN


@pytest.mark.parametrize("secret", [KEY, TOKEN])
def test_a_secret_in_a_response_is_removed(secret: str) -> None:
    body = {"error_code": secret, "error": {secret: [f"bad key {secret}!"]}, "message": secret, "status": secret}
    task = read(calls.get_task("t"), {**TASK, **body}, KEY, TOKEN)
    assert secret not in f"{task!r} {task.failure} {task.status}"
    names = {"name": secret, "virality_score_explanation": secret, "publication_captions": {secret: {"a": [secret]}}}
    (short,) = read(calls.list_projects("f"), [{**SHORT, **names, "src_url": f"https://x/?key={secret}"}], KEY, TOKEN)
    assert secret not in repr(short)
    for wrong in (
        body,
        [body],
        json.dumps(secret).encode(),
        f"<html>{secret}".encode(),
        json.dumps(body).replace("k", "\\u006b").encode(),
        b"x" * 290 + secret.encode(),
        b" " * 1990 + b"x" + secret.encode(),
    ):
        for status, kinds in (
            (200, KlapInvalidResponseError),
            (422, (KlapRejectedError, KlapInvalidResponseError)),
            (500, KlapServerError),
        ):
            with pytest.raises(kinds) as failure:
                read(calls.get_task("t"), wrong, KEY, TOKEN, status=status)
            assert secret not in str(failure.value)
            assert secret not in str(failure.value.error_code)
            assert secret[:9] not in str(failure.value)


@pytest.mark.parametrize("field", ["error_code", "error", "error_message", "message", "detail"])
def test_an_id_in_an_error_is_text(field: str) -> None:
    error = {"id": f"no {KEY}", "klap_task_id": KEY, f"{KEY}_id": [{"type": KEY, "status": KEY}]}
    for status in (200, 422, 500):
        try:
            text = repr(read(calls.get_task("t"), {**TASK, field: error}, KEY, status=status))
        except (KlapRejectedError, KlapServerError) as failure:
            text = str(failure)
        assert KEY not in text


def test_an_address_as_an_error_code_has_no_signature() -> None:
    error = {"error_code": "s3://ada:s3cr3tword@media/a.mp4?sig=s3cr3tword"}
    assert "s3cr3tword" not in str(read(calls.get_task("t"), {**TASK, **error}).error_code)
    with pytest.raises(KlapRejectedError) as failure:
        read(calls.get_task("t"), error, status=422)
    assert "s3cr3tword" not in str(failure.value.error_code)


@pytest.mark.parametrize("wrap", [lambda value: [value], lambda value: {"a": value}])
def test_forty_levels_are_read(wrap: Callable[[Any], Any]) -> None:
    document: Any = "bottom"
    for _ in range(40):
        document = wrap(document)
    assert redacted(document, ()) == document
    assert "bottom" not in json.dumps(redacted(wrap(document), ()))


def test_a_token_in_an_unexpected_field_is_not_quoted() -> None:
    with pytest.raises(KlapInvalidResponseError, match="external_access_token") as failure:
        read(calls.create_user_token("u"), {"token": "eat_new-token"})
    assert "eat_new-token" not in str(failure.value)


def test_values_that_cannot_be_stored_are_marked_and_depth_is_limited() -> None:
    assert redacted({"id": "a\x00b", "name": "half \ud800"}, ()) == {"id": "a\ufffdb", "name": "half \ufffd"}
    deep: Any = "bottom"
    for _ in range(300):
        deep = {"error": [deep]}
    assert "bottom" not in json.dumps(redacted({"id": "t", "error": deep}, (KEY,)))
    assert read(calls.get_task("t"), {**TASK, "error": deep}, KEY).id == TASK["id"]
    assert redacted([1, None, True, 0.5, {"a": {"b": ["bad kak_no-real-key"]}}], (KEY,)) == [
        1,
        None,
        True,
        0.5,
        {"a": {"b": ["bad ***"]}},
    ]
