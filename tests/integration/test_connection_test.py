"""The Test button of the connection form reports a valid key, an invalid key and a wrong host."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import fsspec
import pytest
from airflow.sdk.io import attach

from klap_provider.hooks import KlapHook
from tests.support.airflow_context import API_KEY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.sandbox import Sandbox

UNREACHABLE = "http://127.0.0.1:1/v2"  # a privileged port that nothing listens on


def test_a_good_key_is_one_with_which_klap_looks_for_the_task(klap: Sandbox) -> None:
    assert KlapHook().test_connection() == (True, f"{klap.url} accepts the API key")
    (request,) = klap.requests()
    assert (request["method"], request["status"]) == ("GET", 404)


def test_the_test_costs_nothing(klap: Sandbox) -> None:
    KlapHook().test_connection()
    assert klap.ledger() == []


def test_a_key_is_good_even_if_there_is_such_a_task(klap: Sandbox) -> None:
    klap.fault("GET", "^/tasks/", "status", code=200, body={"id": "t", "status": "ready"})
    assert KlapHook().test_connection()[0]


@pytest.mark.parametrize("code", [401, 403])
def test_a_bad_key_is_told_with_the_field_that_it_is_in(klap: Sandbox, code: int) -> None:
    klap.fault("GET", "^/tasks/", "status", code=code, body={"message": "no"})
    assert KlapHook().test_connection() == (
        False,
        f"{klap.url} refuses the API key: check the Password of the connection",
    )


@pytest.mark.parametrize(
    ("fault", "more", "expected"),
    [
        ("html", {}, "an HTML page"),
        ("html", {"code": 502}, "HTTP 502"),
        ("html", {"code": 401}, "Password"),
        ("html", {"code": 403}, "firewall"),
        ("redirect", {"location": "https://login.example.com/"}, "Check the connection's Host"),
        ("empty", {}, "an empty body"),
        ("status", {"code": 429}, "Too many requests"),
        ("drop", {}, "no response"),
    ],
)
def test_anything_else_is_a_failure_that_says_what_came_back_and_is_not_repeated(
    klap: Sandbox, fault: str, more: dict[str, Any], expected: str
) -> None:
    klap.fault("GET", "^/tasks/", fault, times=None, **more)
    good, message = KlapHook().test_connection()
    assert not good
    assert expected in message
    assert len(klap.requests()) == 1


def test_the_404_of_some_web_site_is_not_taken_for_klaps(klap: Sandbox) -> None:
    klap.fault("GET", "^/tasks/", "html", code=404)
    good, message = KlapHook().test_connection()
    assert not good
    assert "Host" in message


def test_an_unreachable_host_is_a_failure_that_names_it_at_once(
    connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(UNREACHABLE)
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    good, message = KlapHook().test_connection()
    assert not good
    for part in (UNREACHABLE, "https://api.klap.app/v2", "Host"):
        assert part in message
    assert pauses == []


@pytest.mark.parametrize(
    ("host", "password", "expected"),
    [
        (None, "", "no API key"),
        ("ftp://api.klap.app", API_KEY, "Host"),
    ],
)
def test_a_connection_that_cannot_be_right_is_a_failure_that_names_the_field(
    connect: Callable[..., None], host: str | None, password: str, expected: str
) -> None:
    connect(host, password=password)
    good, message = KlapHook().test_connection()
    assert not good
    assert expected in message


def test_a_wrong_setting_is_a_failure_that_names_it(klap: Sandbox, connect: Callable[..., None]) -> None:
    connect(klap.url, read_timeout="soon")
    good, message = KlapHook().test_connection()
    assert not good
    assert "read_timeout" in message
    assert klap.requests() == []


def test_the_message_never_holds_the_key(klap: Sandbox) -> None:
    klap.fault("GET", "^/tasks/", "status", code=500, body={"message": f"bad key {API_KEY}"})
    good, message = KlapHook().test_connection()
    assert not good
    assert "bad key" in message
    assert API_KEY not in message


def test_the_destination_is_tried_as_well(
    klap: Sandbox, connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = fsspec.filesystem("memory")
    attach("memory", fs=memory)
    connect(klap.url, destination="memory://team/shorts")
    assert KlapHook().test_connection() == (
        True,
        f"{klap.url} accepts the API key, and shorts can be written to memory://team/shorts",
    )
    assert memory.find("/team") == []
    monkeypatch.setattr(type(memory), "_open", refuse)
    good, message = KlapHook().test_connection()
    assert not good
    assert message.startswith(
        f"{klap.url} accepts the API key. But destination: access to memory://team/shorts was refused"
    )


def refuse(*_: Any, **__: Any) -> None:
    raise PermissionError("not you")


def test_a_destination_of_an_unknown_kind_or_connection_is_told(klap: Sandbox, connect: Callable[..., None]) -> None:
    connect(klap.url, destination="nope://bucket/shorts")
    good, message = KlapHook().test_connection()
    assert not good
    assert "destination is 'nope://bucket/shorts'" in message


def test_a_path_is_not_tried_where_it_may_be_another_folder(
    klap: Sandbox, connect: Callable[..., None], tmp_path: Path
) -> None:
    connect(klap.url, destination=f"{tmp_path}/shorts")
    good, message = KlapHook().test_connection()
    assert good
    assert f"Not tested: {tmp_path}/shorts" in message
    assert list(tmp_path.iterdir()) == []
