"""What holds for all tests here."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import fsspec
import pytest
from airflow.sdk.io import attach

from klap_provider.rules import first, polling

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else delivers to where a test does, and Klap's lists are complete: nothing is waited for needlessly."""
    monkeypatch.setattr(first, "QUIET", 0.0)
    monkeypatch.setattr(polling, "LIST_INTERVAL", 0.0)


@pytest.fixture
def storage() -> Iterator[fsspec.AbstractFileSystem]:
    """A kind of object storage."""
    memory = fsspec.filesystem("memory")
    attach("memory", fs=memory)
    yield memory
    memory.rm("/bucket", recursive=True)


@pytest.fixture(autouse=True)
def unknown_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """No DNS server is asked for the made-up hosts of the tests, as if there were no internet."""
    look_up = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        if str(host).endswith(("example.com", ".invalid")):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return look_up(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
