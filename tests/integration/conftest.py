"""Fixtures of the integration tests."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import fsspec
import pytest
from airflow.sdk.io import attach

from klap_provider.operators import asset_event
from klap_provider.rules import attempt_log, list_complete

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other run makes the same request or delivers to the same folder, and Klap's lists are complete."""
    monkeypatch.setattr(attempt_log, "PATIENCE", ())
    monkeypatch.setattr(asset_event, "FIRST_EVENT_TIMEOUT", 1)
    monkeypatch.setattr(list_complete, "MAX_LIST_INTERVAL", 0.0)


@pytest.fixture
def storage() -> Iterator[fsspec.AbstractFileSystem]:
    """A kind of object storage."""
    memory = fsspec.filesystem("memory")
    attach("memory", fs=memory)
    yield memory
    memory.rm("/bucket", recursive=True)


@pytest.fixture(autouse=True)
def unknown_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resolve no made-up hosts of the tests, as without internet access."""
    look_up = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        if str(host).endswith(("example.com", ".invalid")):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return look_up(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.fixture
def dns(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """
    A DNS of the test's own. For each name it has the answers to successive lookups; the last answer is repeated.

    An answer is a list of addresses, separated by spaces, or ``nothing`` for an unknown name.
    """
    names: dict[str, list[str]] = {}
    look_up = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        answers = names.get(str(host))
        if answers is None:
            return look_up(host, port, *args, **kwargs)
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer == "nothing":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [entry for address in answer.split() for entry in look_up(address, port, *args, **kwargs)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return names
