"""KlapAsyncClient polls from the triggerer's event loop, with the same results as KlapClient, and never blocks."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from klap_provider.api import calls, response_parser
from klap_provider.api.requests import ExportRequest, ShortsRequest
from klap_provider.errors import (
    KlapConfigError,
    KlapConnectionError,
    KlapError,
    KlapInvalidResponseError,
    KlapNoResponseError,
)
from klap_provider.hooks import KlapHook
from klap_provider.hooks.async_client import KlapAsyncClient
from klap_provider.rules.retry import ONCE
from tests.integration.test_hook import Listener, closed_url, deaf_url, each_failure, netrc
from tests.support.airflow_context import API_KEY
from tests.support.loop_watch import blockers, free_loop
from tests.support.tcp_proxy import Endless

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.sandbox import Sandbox

__all__ = ["blockers", "closed_url", "deaf_url", "free_loop", "netrc"]  # fixtures
pytestmark = pytest.mark.usefixtures("free_loop")

SUBMIT = calls.submit_shorts(ShortsRequest(source_video_url="https://example.com/talk.mp4"))


async def call_once(call: calls.Call[Any]) -> Any:
    async with KlapAsyncClient() as hook:
        return await hook.call(call)


async def test_every_call_returns_what_a_worker_gets(klap: Sandbox) -> None:
    worker = KlapHook()

    def prepare() -> tuple[str, str, str, str]:
        task = worker.call(SUBMIT).id
        folder = klap.outcome(f"/tasks/{task}")["output_id"]
        short = worker.call(calls.list_projects(folder))[0].id
        export = worker.call(calls.create_export(ExportRequest(), project_id=short, folder_id=folder)).id
        klap.outcome(f"/projects/{folder}/{short}/exports/{export}")
        return task, folder, short, export

    task, folder, short, export = await asyncio.to_thread(prepare)
    async with KlapAsyncClient() as hook:
        for call in (
            calls.get_task(task),
            calls.list_projects(folder),
            calls.get_project(short, folder_id=folder),
            calls.get_export(export, project_id=short, folder_id=folder),
            calls.list_exports(folder_id=folder, project_id=short),
        ):
            seen: Any = await hook.call(call)
            assert seen
            assert seen == await asyncio.to_thread(worker.call, call)


@each_failure
async def test_a_poll_fails_as_on_a_worker_and_is_not_retried_by_the_client(
    klap: Sandbox, fault: str, more: dict[str, Any], kind: type[KlapError], transient: bool
) -> None:
    klap.fault("GET", "^/exports$", fault, times=None, **more)
    with pytest.raises(kind) as here:
        await call_once(calls.list_exports())
    # aiohttp itself sends a GET again if the connection was closed before a response.
    assert len(klap.requests("GET", "^/exports$")) == (2 if fault in ("drop", "accept_then_drop") else 1)
    with pytest.raises(kind) as there:
        await asyncio.to_thread(KlapHook().call, calls.list_exports(), backoff=ONCE)
    assert type(here.value) is type(there.value) is kind
    assert here.value.transient is there.value.transient is transient
    assert here.value.refused is there.value.refused
    assert here.value.retry_after == there.value.retry_after
    if not isinstance(here.value, KlapNoResponseError):
        assert str(here.value) == str(there.value)


async def test_a_client_is_usable_after_a_failed_poll(klap: Sandbox) -> None:
    klap.fault("GET", "^/exports$", "truncate", bytes=1)
    async with KlapAsyncClient() as hook:
        with pytest.raises(KlapNoResponseError):
            await hook.call(calls.list_exports())
        assert await hook.call(calls.list_exports()) == []


@pytest.mark.parametrize(
    "call", [SUBMIT, calls.create_export(ExportRequest(), project_id="p"), calls.create_user()], ids=str
)
async def test_a_post_is_refused_before_it_is_sent(klap: Sandbox, call: calls.Call[Any]) -> None:
    with pytest.raises(ValueError, match="must be sent by a worker"):
        await call_once(call)
    assert klap.requests() == []


async def test_one_session_and_one_tcp_connection_serve_many_polls(connect: Callable[..., None]) -> None:
    with Listener() as server:
        connect(server.url)
        async with KlapAsyncClient() as hook:
            for _ in range(5):
                await hook.call(calls.list_exports())
    assert len(server.arrived) == 5
    assert len({request.client for request in server.arrived}) == 1


async def test_the_session_is_closed_at_the_end(
    klap: Sandbox, recwarn: pytest.WarningsRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    await call_once(calls.list_exports())
    klap.fault("GET", "^/exports$", "status", code=401)
    with pytest.raises(KlapError):
        await call_once(calls.list_exports())
    gc.collect()
    assert [w.message for w in recwarn if "Unclosed" in str(w.message)] == []
    assert "Unclosed" not in caplog.text


async def test_an_unused_client_closes_without_an_error() -> None:
    async with KlapAsyncClient("nowhere"):
        pass


async def test_the_event_loop_is_free_while_a_response_is_awaited(klap: Sandbox) -> None:
    klap.fault("GET", "^/exports$", "delay", seconds=0.8)
    request = asyncio.create_task(call_once(calls.list_exports()))
    beats = 0
    while not request.done():
        await asyncio.sleep(0.01)
        beats += 1
    assert await request == []
    assert beats > 1, "the fixture free_loop fails the test if something blocks the event loop"


async def test_a_missing_response_fails_after_the_read_timeout(klap: Sandbox, connect: Callable[..., None]) -> None:
    connect(klap.url, read_timeout=0.2)
    klap.fault("GET", "^/exports$", "delay", seconds=1.5)
    with pytest.raises(KlapNoResponseError, match=r"read_timeout of the connection 'klap_default' is 0\.2 s"):
        await call_once(calls.list_exports())


async def test_an_unanswered_connection_fails_after_the_connect_timeout(
    deaf_url: str, connect: Callable[..., None]
) -> None:
    connect(deaf_url, connect_timeout=0.2)
    started = time.monotonic()
    with pytest.raises(KlapConnectionError):
        await call_once(calls.list_exports())
    assert time.monotonic() - started >= 0.2


async def test_the_error_of_an_unreachable_host_names_it_and_klaps_hosts(
    closed_url: str, connect: Callable[..., None]
) -> None:
    connect(closed_url)
    with pytest.raises(KlapConnectionError) as failed:
        await call_once(calls.list_exports())
    for part in (closed_url, "https://api.klap.app/v2", "https://api.klap.video/v2", "'klap_default'"):
        assert part in str(failed.value)


async def test_only_the_key_and_the_managed_user_are_sent_to_klap(connect: Callable[..., None]) -> None:
    with Listener() as server:
        connect(server.url, on_behalf_of="user-1", Authorization="Bearer evil", headers={"X-Evil": "1"})
        await call_once(calls.list_exports(folder_id="a&b=c"))
    (request,) = server.arrived
    assert request.path == "/v2/exports?folder_id=a%26b%3Dc"
    assert request.headers["Authorization"] == f"Bearer {API_KEY}"
    assert request.headers["X-On-Behalf-Of"] == "user-1"
    assert request.headers["User-Agent"].startswith("airflow-provider-klap/")
    assert "evil" not in str(request.headers).lower()


@pytest.mark.parametrize("klap_id", ["a/../b", "a b?c#d", "100%25", "ü"])
async def test_an_id_is_sent_as_a_worker_sends_it(klap_id: str, connect: Callable[..., None]) -> None:
    with Listener(body=b'{"id": "t", "status": "ready"}') as server:
        connect(server.url)
        await call_once(calls.get_task(klap_id))
        KlapHook().call(calls.get_task(klap_id))
    assert server.arrived[0].path == server.arrived[1].path == f"/v2{calls.get_task(klap_id).path}"


@pytest.mark.usefixtures("netrc")
async def test_a_netrc_does_not_replace_the_key(connect: Callable[..., None]) -> None:
    with Listener() as server:
        connect(server.url)
        await call_once(calls.list_exports())
    assert server.arrived[0].headers["Authorization"] == f"Bearer {API_KEY}"


async def test_a_redirect_is_not_followed_with_the_key(connect: Callable[..., None]) -> None:
    with Listener() as elsewhere, Listener(status=302, headers={"Location": elsewhere.url}) as server:
        connect(server.url)
        with pytest.raises(KlapInvalidResponseError, match="Host"):
            await call_once(calls.list_exports())
    assert len(server.arrived) == 1
    assert elsewhere.arrived == []


async def test_a_key_in_klaps_response_is_not_in_the_error(connect: Callable[..., None]) -> None:
    with Listener(status=401, body=json.dumps({"message": f"bad key {API_KEY}"}).encode()) as server:
        connect(server.url)
        with pytest.raises(KlapError, match=r"bad key \*\*\*") as failed:
            await call_once(calls.list_exports())
    assert API_KEY not in str(failed.value)


async def test_the_connection_is_looked_up_once_per_hook(klap: Sandbox, connect: Callable[..., None]) -> None:
    async with KlapAsyncClient() as hook:
        await hook.call(calls.list_exports())
        connect("http://127.0.0.1:1/v2")
        await hook.call(calls.list_exports())
    assert len(klap.requests("GET")) == 2


async def test_a_connection_without_a_key_fails_before_the_request(klap: Sandbox, connect: Callable[..., None]) -> None:
    connect(klap.url, password=None)
    with pytest.raises(KlapConfigError, match="Password"):
        await call_once(calls.list_exports())
    assert klap.requests() == []


async def test_a_missing_connection_is_named() -> None:
    with pytest.raises(KlapConfigError, match=r"no Airflow connection 'nowhere'.*klap_conn_id"):
        async with KlapAsyncClient("nowhere") as hook:
            await hook.call(calls.list_exports())


async def test_an_endless_response_is_not_read_into_memory(
    connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(response_parser, "MAX_RESPONSE_BYTES", 1024**2)
    with Endless(b"HTTP/1.1 200 OK\r\n\r\n", b" " * 65536, 0) as server:
        connect(server.url)
        with pytest.raises(KlapInvalidResponseError, match=r"more than 1 MiB.*Host"):
            await call_once(calls.list_exports())
