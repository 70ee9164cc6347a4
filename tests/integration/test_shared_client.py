"""Thousands of waits share one client: one connection lookup, one session, and one set of limits."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk.execution_time import comms

from klap_provider.api import calls
from klap_provider.errors import KlapAuthError, KlapConnectionError, KlapError, KlapInputError, KlapRateLimitError
from klap_provider.hooks import async_client
from klap_provider.hooks.async_client import KlapAsyncClient
from klap_provider.rules.job_targets import TaskTarget
from klap_provider.rules.poll_schedule import PollSchedule
from klap_provider.rules.polling import PollAgain, PollState
from klap_provider.triggers import TaskStatusTrigger
from tests.integration.test_hook import closed_url
from tests.support.airflow_context import all_events
from tests.support.loop_watch import blockers, free_loop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.support.airflow_context import Supervisor

__all__ = ["blockers", "closed_url", "free_loop"]  # fixtures
pytestmark = pytest.mark.usefixtures("free_loop")

POLL = calls.list_exports()
PROCESSING = {"id": "task000000000000", "status": "processing"}


class Klap:
    """A server in this event loop.

    :ivar url: its address, once it listens.
    :ivar keys: the API keys that it takes.
    :ivar said: statuses and headers of its next answers, before it says 200 again.
    :ivar seconds: how long it takes to answer.
    :ivar together: how many requests must have been under way at once before it answers any.
    :ivar users: for whom it was asked, each time.
    """

    def __init__(self) -> None:
        self.url = ""
        self.keys = {"kak_test_first"}
        self.said: list[tuple[int, dict[str, str]]] = []
        self.body: Any = []
        self.seconds = 0.0
        self.together = 0
        self._are_together = asyncio.Event()
        self.users: list[str | None] = []
        self.looks = self.connections = self.open = self.under_way = self.most = 0

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        try:
            while request := await reader.readuntil(b"\r\n\r\n"):
                await self._answer(request.decode(), writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            writer.close()

    async def _answer(self, request: str, writer: asyncio.StreamWriter) -> None:
        self.looks += 1
        named = re.search("X-On-Behalf-Of: (.*)\r\n", request)
        self.users.append(named and named[1])
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(self.seconds)
        if self.most >= self.together:
            self._are_together.set()
        await self._are_together.wait()
        self.under_way -= 1
        status, headers = self.said.pop(0) if self.said else (200, {})
        if not any(f"Authorization: Bearer {key}\r\n" in request for key in self.keys):
            status = 401
        body = json.dumps(self.body)
        lines = "".join(f"{name}: {value}\r\n" for name, value in {**headers, "Content-Length": len(body)}.items())
        writer.write(f"HTTP/1.1 {status} X\r\n{lines}\r\n{body}".encode())


@pytest.fixture
async def server(connect: Callable[..., None]) -> AsyncIterator[Klap]:
    """A server, and ``klap_default`` leading to it with the key that it takes."""
    klap = Klap()
    async with await asyncio.start_server(klap.take, "127.0.0.1", 0) as listening:
        klap.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v2"
        connect(klap.url, password="kak_test_first")
        yield klap


def waiting(seconds: float = 60) -> TaskStatusTrigger:
    now = time.time()
    again = PollAgain(0.05, PollState(now, now + seconds, PollSchedule(0.05)))
    trigger = TaskStatusTrigger.waiting(TaskTarget("task000000000000"), again, klap_conn_id="klap_default")
    assert isinstance(trigger, TaskStatusTrigger)
    return trigger


async def look() -> Any:
    async with KlapAsyncClient() as hook:
        return await hook.call(POLL)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  # the condition has no event
        await asyncio.sleep(0.01)


async def test_hooks_that_are_open_together_share_one_look_up_and_one_tcp_connection(
    server: Klap, connect: Callable[..., None]
) -> None:
    async with KlapAsyncClient() as first:
        await first.call(POLL)
        connect("http://127.0.0.1:1/v2")
        for _ in range(3):
            await look()
    assert (server.looks, server.connections) == (4, 1)


async def test_hooks_for_different_users_are_one_client_and_each_request_names_its_own(
    server: Klap, connect: Callable[..., None]
) -> None:
    connect(server.url, password="kak_test_first", on_behalf_of="user-1")
    named = [None, "user-2", "user-3", "", None]
    hooks = [KlapAsyncClient(on_behalf_of=user) for user in named]
    async with contextlib.AsyncExitStack() as stack:
        for hook in hooks:
            await stack.enter_async_context(hook)
        for hook in hooks:
            await hook.call(POLL)
        server.said = [(429, {"Retry-After": "60"})]
        for hook in hooks:
            with pytest.raises(KlapRateLimitError):
                await hook.call(POLL)
    assert server.users == ["user-1", "user-2", "user-3", "user-1", "user-1", "user-1"]
    assert server.connections == 1


async def test_a_user_that_fits_no_header_is_named_and_not_asked_for(server: Klap) -> None:
    async with KlapAsyncClient(on_behalf_of="user\r\nX-Evil: 1") as hook:
        with pytest.raises(KlapInputError, match="on_behalf_of"):
            await hook.call(POLL)
    assert server.looks == 0


async def test_a_connection_is_looked_up_anew_after_the_last_hook_has_left(
    server: Klap, connect: Callable[..., None]
) -> None:
    await look()
    connect("http://127.0.0.1:1/v2")
    with pytest.raises(KlapConnectionError, match=r"127\.0\.0\.1:1/"):
        await look()
    assert server.looks == 1


async def test_hooks_of_different_connections_share_nothing(
    server: Klap, connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    server.keys |= {"kak_test_other"}
    other = {"conn_type": "klap", "host": server.url, "password": "kak_test_other"}
    monkeypatch.setenv("AIRFLOW_CONN_KLAP_OTHER", json.dumps(other))
    async with KlapAsyncClient() as first, KlapAsyncClient("klap_other") as second:
        await first.call(POLL)
        server.keys = {"kak_test_other"}
        await second.call(POLL)
    assert server.connections == 2


async def test_each_event_loop_has_a_client_of_its_own(klap: Any) -> None:
    async with KlapAsyncClient() as here:
        assert await here.call(POLL) == []
        assert await asyncio.to_thread(asyncio.run, look()) == []
        assert await here.call(POLL) == []


async def test_a_rotated_key_is_found_by_those_who_wait_and_ends_no_wait(
    server: Klap, connect: Callable[..., None]
) -> None:
    async with KlapAsyncClient() as first, KlapAsyncClient() as second:
        await first.call(POLL)
        server.keys = {"kak_test_second"}
        connect(server.url, password="kak_test_second")
        assert await asyncio.gather(first.call(POLL), second.call(POLL)) == [[], []]
        server.looks = 0
        assert await second.call(POLL) == []
    assert server.looks == 1


async def test_a_key_that_is_no_longer_good_is_not_tried_again(server: Klap) -> None:
    async with KlapAsyncClient() as hook:
        await hook.call(POLL)
        server.keys = set()
        with pytest.raises(KlapAuthError):
            await hook.call(POLL)
    assert server.looks == 2


async def test_a_connection_that_was_deleted_leaves_the_failure_as_it_is(
    server: Klap, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with KlapAsyncClient() as hook:
        await hook.call(POLL)
        server.keys = set()
        monkeypatch.delenv("AIRFLOW_CONN_KLAP_DEFAULT")
        with pytest.raises(KlapAuthError):
            await hook.call(POLL)


async def test_a_connection_that_cannot_be_read_again_leaves_the_one_in_hand(
    server: Klap, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor.broken = (comms.GetConnection,)
    async with KlapAsyncClient() as hook:
        await hook.call(POLL)
        monkeypatch.delenv("AIRFLOW_CONN_KLAP_DEFAULT")
        server.keys = set()
        with pytest.raises(KlapAuthError):
            await hook.call(POLL)
        server.keys = {"kak_test_first"}
        assert await hook.call(POLL) == []


async def test_a_host_that_was_mended_is_found_by_those_who_wait(
    server: Klap, closed_url: str, connect: Callable[..., None]
) -> None:
    connect(closed_url)
    async with KlapAsyncClient() as hook:
        with pytest.raises(KlapConnectionError):
            await hook.call(POLL)
        connect(server.url, password="kak_test_first")
        assert await hook.call(POLL) == []


async def test_a_429_of_one_wait_holds_all_waits_of_its_connection(server: Klap) -> None:
    server.said = [(429, {"Retry-After": "1"})]
    async with KlapAsyncClient() as first, KlapAsyncClient() as second:
        with pytest.raises(KlapRateLimitError):
            await first.call(POLL)
        limited_at = time.monotonic()
        with pytest.raises(KlapRateLimitError, match="not sent") as held:
            await second.call(POLL)
        assert 0 < (held.value.retry_after or 0) <= 1.5
        assert server.looks == 1
        await asyncio.sleep(held.value.retry_after or 0)
        assert await second.call(POLL) == []
        assert time.monotonic() - limited_at >= 1


async def test_a_429_that_names_no_time_holds_longer_each_time_until_an_answer_comes(server: Klap) -> None:
    server.said = [(429, {})] * 3
    async with KlapAsyncClient() as hook:
        holds = []
        while len(holds) < 3:
            with pytest.raises(KlapRateLimitError):
                await hook.call(POLL)
            with pytest.raises(KlapRateLimitError, match="not sent") as held:
                await hook.call(POLL)
            holds.append(held.value.retry_after or 0)
            if len(holds) < 3:
                await asyncio.sleep(holds[-1])
    assert 0.4 < holds[0] <= 1.5
    assert 0.9 < holds[1] <= 3
    assert 1.9 < holds[2] <= 6
    assert server.looks == 3


async def test_a_429_that_asks_for_a_day_holds_the_other_waits_for_minutes_at_most(
    server: Klap, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert async_client.MAX_HOLD <= 300
    monkeypatch.setattr(async_client, "MAX_HOLD", 0.5)
    server.said = [(429, {"Retry-After": "86400"})]
    async with KlapAsyncClient() as first, KlapAsyncClient() as second:
        with pytest.raises(KlapRateLimitError) as limited:
            await first.call(POLL)
        assert limited.value.retry_after == 86400
        with pytest.raises(KlapRateLimitError, match="not sent") as held:
            await second.call(POLL)
        await asyncio.sleep(held.value.retry_after or 0)
        assert await second.call(POLL) == []


async def test_a_held_wait_still_ends_at_its_deadline(server: Klap) -> None:
    server.said = [(429, {"Retry-After": "3600"})]
    server.body = PROCESSING
    began = time.monotonic()
    await asyncio.gather(*(all_events(waiting(seconds=0.5)) for _ in range(3)))
    assert time.monotonic() - began > 0.3
    assert server.looks <= 3  # those that were under way when Klap said so


@pytest.mark.parametrize("queued", [1, 40])
async def test_no_wait_outlives_its_deadline_however_slow_klap_is_and_however_many_wait(
    server: Klap, monkeypatch: pytest.MonkeyPatch, queued: int
) -> None:
    server.seconds = 3600
    monkeypatch.setattr(async_client, "MAX_CONCURRENT_REQUESTS", 5)
    monkeypatch.setattr("klap_provider.triggers.status.LAST_POLL", 0.2)
    began = time.monotonic()
    events = await asyncio.gather(*(all_events(waiting(seconds=1)) for _ in range(queued)))
    assert time.monotonic() - began >= 1
    assert [[event.payload for event in each] for each in events] == [
        [{"unknown_since": None, "handovers": 0}]
    ] * queued


async def test_a_wait_that_is_late_still_looks_once(server: Klap) -> None:
    server.seconds = 0.5
    await all_events(waiting(seconds=-5))
    assert server.looks == 1


async def test_requests_of_many_waits_are_under_way_at_the_same_time(server: Klap) -> None:
    server.together = 10
    assert await asyncio.gather(*(look() for _ in range(10))) == [[]] * 10


async def test_requests_under_way_are_limited(server: Klap, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(async_client, "MAX_CONCURRENT_REQUESTS", 3)
    server.seconds, server.together = 0.1, 3
    assert await asyncio.gather(*(look() for _ in range(9))) == [[]] * 9
    assert (server.most, server.connections) == (3, 3)


async def test_requests_per_second_are_those_of_the_connection(server: Klap, connect: Callable[..., None]) -> None:
    connect(server.url, password="kak_test_first", requests_per_second=20)
    began = time.monotonic()
    await asyncio.gather(*(look() for _ in range(11)))
    assert time.monotonic() - began >= 0.5


async def test_a_wait_in_the_queue_can_be_cancelled_and_the_others_go_on(
    server: Klap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(async_client, "MAX_CONCURRENT_REQUESTS", 1)
    server.seconds = 0.2
    looks = [asyncio.create_task(look()) for _ in range(4)]
    await asyncio.sleep(0.1)
    looks[0].cancel()
    looks[2].cancel()
    ended = await asyncio.gather(*looks, return_exceptions=True)
    assert [isinstance(end, asyncio.CancelledError) for end in ended] == [True, False, True, False]


async def test_when_the_last_wait_ends_however_it_ends_the_connections_are_closed(server: Klap) -> None:
    server.body = PROCESSING
    waits = [asyncio.create_task(all_events(waiting())) for _ in range(3)]
    await until(lambda: server.looks > 6)
    waits[0].cancel()
    waits[1].cancel()
    await asyncio.wait(waits[:2])
    looks = server.looks
    await until(lambda: server.looks > looks + 2)
    assert server.open
    server.keys = set()
    assert len(await waits[2]) == 1
    await until(lambda: not server.open)


async def test_a_wait_that_fails_in_its_first_look_up_leaves_nothing_behind(connect: Callable[..., None]) -> None:
    connect("http://127.0.0.1:1/v2", password=None)
    for _ in range(2):
        with pytest.raises(KlapError, match="Password"):
            await look()
