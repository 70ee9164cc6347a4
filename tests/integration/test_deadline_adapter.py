"""A paid request is sent before its deadline, on its own connection, or not at all."""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest
import requests

from klap_provider.api import calls
from klap_provider.api.requests import ShortsRequest
from klap_provider.errors import KlapConnectionError
from klap_provider.hooks.client import KlapClient
from klap_provider.hooks.deadline_adapter import DeadlineAdapter, DeadlineConnection, TooLateError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.sandbox import Sandbox

SUBMIT = calls.submit_shorts(ShortsRequest(source_video_url="https://example.com/talk.mp4"))


class Listener:
    """Accepts one connection, and records the bytes that arrive."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.came = b""
        self._thread = threading.Thread(target=self._take, daemon=True)
        self._thread.start()

    def _take(self) -> None:
        connection, _ = self._socket.accept()
        with connection:
            while data := connection.recv(65536):
                self.came += data

    def all_that_came(self) -> bytes:
        self._thread.join(10)
        self._socket.close()
        return self.came


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.all_that_came()


def test_a_request_before_its_deadline_is_sent(klap: Sandbox) -> None:
    client = KlapClient()
    first, second = (client.call(SUBMIT, until=time.time() + 60).id for _ in range(2))
    assert [billed["id"] for billed in klap.ledger("task")] == [first, second]


def test_a_request_after_its_deadline_is_refused(klap: Sandbox) -> None:
    with pytest.raises(KlapConnectionError, match="deadline passed 5 s ago") as late:
        KlapClient().call(SUBMIT, until=time.time() - 5)
    assert late.value.refused
    assert klap.requests("POST") == []


@pytest.mark.parametrize("proxied", [False, True])
def test_no_byte_is_sent_after_the_deadline(listener: Listener, *, proxied: bool) -> None:
    here = f"http://127.0.0.1:{listener.port}"
    with requests.Session() as session:
        session.mount("http://", DeadlineAdapter(time.time() - 1))
        session.trust_env = False
        with pytest.raises(TooLateError):
            session.post("http://klap.example/" if proxied else here, proxies={"http": here} if proxied else {})
    assert listener.all_that_came() == b""


def test_a_request_is_cut_off_at_its_deadline(listener: Listener) -> None:
    class Freezing(DeadlineConnection):
        until = time.time() + 60

        def endheaders(self, *args: object, **kwargs: object) -> None:
            super().endheaders(*args, **kwargs)
            self.until = time.time() - 1  # a minute has passed

    connection = Freezing("127.0.0.1", listener.port)
    with pytest.raises(TooLateError):
        connection.request("POST", "/", body=b"all of it")
    connection.close()
    head, _, body = listener.all_that_came().partition(b"\r\n\r\n")
    assert (head[:7], body) == (b"POST / ", b"")
