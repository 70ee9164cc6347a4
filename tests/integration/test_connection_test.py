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


def test_a_404_of_the_test_task_proves_a_valid_key(klap: Sandbox) -> None:
    assert KlapHook().test_connection() == (True, f"{klap.url} accepts the API key")
    (request,) = klap.requests()
    assert (request["method"], request["status"]) == ("GET", 404)


def test_the_test_costs_nothing(klap: Sandbox) -> None:
    KlapHook().test_connection()
    assert klap.ledger() == []


def test_a_key_is_valid_even_if_the_test_task_exists(klap: Sandbox) -> None:
    klap.fault("GET", "^/tasks/", "status", code=200, body={"id": "t", "status": "ready"})
    assert KlapHook().test_connection()[0]


@pytest.mark.parametrize("code", [401, 403])
def test_a_wrong_key_is_reported_with_its_field(klap: Sandbox, code: int) -> None:
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
def test_any_other_response_is_a_failure_and_not_retried(
    klap: Sandbox, fault: str, more: dict[str, Any], expected: str
) -> None:
    klap.fault("GET", "^/tasks/", fault, times=None, **more)
    good, message = KlapHook().test_connection()
    assert not good
    assert expected in message
    assert len(klap.requests()) == 1


def test_a_404_of_another_web_site_is_a_failure(klap: Sandbox) -> None:
    klap.fault("GET", "^/tasks/", "html", code=404)
    good, message = KlapHook().test_connection()
    assert not good
    assert "Host" in message


def test_an_unreachable_host_is_a_failure_without_retries(
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
def test_an_invalid_connection_is_a_failure_that_names_the_field(
    connect: Callable[..., None], host: str | None, password: str, expected: str
) -> None:
    connect(host, password=password)
    good, message = KlapHook().test_connection()
    assert not good
    assert expected in message


def test_an_invalid_setting_is_a_failure_that_names_it(klap: Sandbox, connect: Callable[..., None]) -> None:
    connect(klap.url, read_timeout="soon")
    good, message = KlapHook().test_connection()
    assert not good
    assert "read_timeout" in message
    assert klap.requests() == []


def test_the_message_has_no_key(klap: Sandbox) -> None:
    klap.fault("GET", "^/tasks/", "status", code=500, body={"message": f"bad key {API_KEY}"})
    good, message = KlapHook().test_connection()
    assert not good
    assert "bad key" in message
    assert API_KEY not in message


def test_the_test_checks_the_destination(
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


def test_a_destination_with_an_unknown_scheme_or_connection_is_reported(
    klap: Sandbox, connect: Callable[..., None]
) -> None:
    connect(klap.url, destination="nope://bucket/shorts")
    good, message = KlapHook().test_connection()
    assert not good
    assert "destination is 'nope://bucket/shorts'" in message


def test_a_local_path_is_not_checked_on_several_machines(
    klap: Sandbox, connect: Callable[..., None], tmp_path: Path
) -> None:
    connect(klap.url, destination=f"{tmp_path}/shorts")
    good, message = KlapHook().test_connection()
    assert good
    assert f"Not tested: {tmp_path}/shorts" in message
    assert list(tmp_path.iterdir()) == []
