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
from klap_provider.hooks.lookup import aget_connection
from klap_provider.rules.job_targets import TaskTarget
from klap_provider.rules.poll_schedule import PollSchedule
from klap_provider.rules.polling import PollAgain, PollState
from klap_provider.triggers import TaskStatusTrigger
from tests.integration.test_hook import closed_url
from tests.support.airflow_context import all_events
from tests.support.loop_watch import blockers, free_loop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from klap_provider.hooks.connection import KlapConnection
    from tests.support.airflow_context import Supervisor

__all__ = ["blockers", "closed_url", "free_loop"]  # fixtures
pytestmark = pytest.mark.usefixtures("free_loop")

POLL = calls.list_exports()
PROCESSING = {"id": "task000000000000", "status": "processing"}


class Klap:
    """A server in this event loop.

    :ivar url: its address, once it listens.
    :ivar keys: the API keys that it accepts.
    :ivar responses: statuses and headers of its next responses; after these it responds with 200.
    :ivar seconds: the duration of a response.
    :ivar together: number of concurrent requests before it answers the first one.
    :ivar users: the user of each request.
    :ivar polls: number of requests.
    """

    def __init__(self) -> None:
        self.url = ""
        self.keys = {"kak_test_first"}
        self.responses: list[tuple[int, dict[str, str]]] = []
        self.body: Any = []
        self.seconds = 0.0
        self.together = 0
        self._are_together = asyncio.Event()
        self.users: list[str | None] = []
        self.polls = self.connections = self.open = self.under_way = self.most = 0

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
        self.polls += 1
        named = re.search("X-On-Behalf-Of: (.*)\r\n", request)
        self.users.append(named and named[1])
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(self.seconds)
        if self.most >= self.together:
            self._are_together.set()
        await self._are_together.wait()
        self.under_way -= 1
        status, headers = self.responses.pop(0) if self.responses else (200, {})
        if not any(f"Authorization: Bearer {key}\r\n" in request for key in self.keys):
            status = 401
        body = json.dumps(self.body)
        lines = "".join(f"{name}: {value}\r\n" for name, value in {**headers, "Content-Length": len(body)}.items())
        writer.write(f"HTTP/1.1 {status} X\r\n{lines}\r\n{body}".encode())


@pytest.fixture
async def server(connect: Callable[..., None]) -> AsyncIterator[Klap]:
    """A server, and the connection ``klap_default`` to it with a key that it accepts."""
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


async def poll() -> Any:
    async with KlapAsyncClient() as hook:
        return await hook.call(POLL)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  # the condition has no event
        await asyncio.sleep(0.01)


async def test_open_clients_share_one_connection_lookup_and_one_tcp_connection(
    server: Klap, connect: Callable[..., None]
) -> None:
    async with KlapAsyncClient() as first:
        await first.call(POLL)
        connect("http://127.0.0.1:1/v2")
        for _ in range(3):
            await poll()
    assert (server.polls, server.connections) == (4, 1)


async def test_polls_that_begin_while_the_connection_is_read_use_it(
    server: Klap, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []

    async def read(klap_conn_id: str) -> KlapConnection:
        reads.append(klap_conn_id)
        await asyncio.sleep(0.1)
        return await aget_connection(klap_conn_id)

    monkeypatch.setattr(async_client, "aget_connection", read)

    async def later(seconds: float) -> None:
        await asyncio.sleep(seconds)
        await poll()

    await asyncio.gather(*(later(0.01 * number) for number in range(5)))
    assert (server.polls, reads) == (5, ["klap_default"])


async def test_clients_of_different_users_share_a_session_and_name_their_user(
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
        server.responses = [(429, {"Retry-After": "60"})]
        for hook in hooks:
            with pytest.raises(KlapRateLimitError):
                await hook.call(POLL)
    assert server.users == ["user-1", "user-2", "user-3", "user-1", "user-1", "user-1"]
    assert server.connections == 1


async def test_a_user_that_is_no_valid_header_is_refused_before_the_request(server: Klap) -> None:
    async with KlapAsyncClient(on_behalf_of="user\r\nX-Evil: 1") as hook:
        with pytest.raises(KlapInputError, match="on_behalf_of"):
            await hook.call(POLL)
    assert server.polls == 0


async def test_a_connection_is_read_again_after_the_last_client_has_closed(
    server: Klap, connect: Callable[..., None]
) -> None:
    await poll()
    connect("http://127.0.0.1:1/v2")
    with pytest.raises(KlapConnectionError, match=r"127\.0\.0\.1:1/"):
        await poll()
    assert server.polls == 1


async def test_clients_of_different_connections_share_nothing(
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
        assert await asyncio.to_thread(asyncio.run, poll()) == []
        assert await here.call(POLL) == []


async def test_a_rotated_key_is_used_by_running_waits(server: Klap, connect: Callable[..., None]) -> None:
    async with KlapAsyncClient() as first, KlapAsyncClient() as second:
        await first.call(POLL)
        server.keys = {"kak_test_second"}
        connect(server.url, password="kak_test_second")
        assert await asyncio.gather(first.call(POLL), second.call(POLL)) == [[], []]
        server.polls = 0
        assert await second.call(POLL) == []
    assert server.polls == 1


async def test_a_revoked_key_is_not_tried_again(server: Klap) -> None:
    async with KlapAsyncClient() as hook:
        await hook.call(POLL)
        server.keys = set()
        with pytest.raises(KlapAuthError):
            await hook.call(POLL)
    assert server.polls == 2


async def test_a_refused_key_of_a_deleted_connection_is_an_auth_error(
    server: Klap, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with KlapAsyncClient() as hook:
        await hook.call(POLL)
        server.keys = set()
        monkeypatch.delenv("AIRFLOW_CONN_KLAP_DEFAULT")
        with pytest.raises(KlapAuthError):
            await hook.call(POLL)


async def test_the_known_connection_is_used_if_it_cannot_be_read_again(
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


async def test_a_corrected_host_is_used_by_running_waits(
    server: Klap, closed_url: str, connect: Callable[..., None]
) -> None:
    connect(closed_url)
    async with KlapAsyncClient() as hook:
        with pytest.raises(KlapConnectionError):
            await hook.call(POLL)
        connect(server.url, password="kak_test_first")
        assert await hook.call(POLL) == []


async def test_a_429_response_delays_all_waits_of_its_connection(server: Klap) -> None:
    server.responses = [(429, {"Retry-After": "1"})]
    async with KlapAsyncClient() as first, KlapAsyncClient() as second:
        with pytest.raises(KlapRateLimitError):
            await first.call(POLL)
        limited_at = time.monotonic()
        with pytest.raises(KlapRateLimitError, match="not sent") as held:
            await second.call(POLL)
        assert 0 < (held.value.retry_after or 0) <= 1.5
        assert server.polls == 1
        await asyncio.sleep(held.value.retry_after or 0)
        assert await second.call(POLL) == []
        assert time.monotonic() - limited_at >= 1


async def test_429_responses_without_retry_after_delay_polls_longer_each_time(server: Klap) -> None:
    server.responses = [(429, {})] * 3
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
    assert server.polls == 3


async def test_a_long_retry_after_delays_the_other_waits_for_minutes_at_most(
    server: Klap, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert async_client.MAX_HOLD <= 300
    monkeypatch.setattr(async_client, "MAX_HOLD", 0.5)
    server.responses = [(429, {"Retry-After": "86400"})]
    async with KlapAsyncClient() as first, KlapAsyncClient() as second:
        with pytest.raises(KlapRateLimitError) as limited:
            await first.call(POLL)
        assert limited.value.retry_after == 86400
        with pytest.raises(KlapRateLimitError, match="not sent") as held:
            await second.call(POLL)
        await asyncio.sleep(held.value.retry_after or 0)
        assert await second.call(POLL) == []


async def test_a_delayed_wait_ends_at_its_deadline(server: Klap) -> None:
    server.responses = [(429, {"Retry-After": "3600"})]
    server.body = PROCESSING
    began = time.monotonic()
    await asyncio.gather(*(all_events(waiting(seconds=0.5)) for _ in range(3)))
    assert time.monotonic() - began > 0.3
    assert server.polls <= 3  # the polls that were in flight when Klap answered 429


@pytest.mark.parametrize("queued", [1, 40])
async def test_a_wait_ends_at_its_deadline_however_slow_klap_is(
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


async def test_a_wait_after_its_deadline_polls_once(server: Klap) -> None:
    server.seconds = 0.5
    await all_events(waiting(seconds=-5))
    assert server.polls == 1


async def test_requests_of_many_waits_run_concurrently(server: Klap) -> None:
    server.together = 10
    assert await asyncio.gather(*(poll() for _ in range(10))) == [[]] * 10


async def test_concurrent_requests_are_limited(server: Klap, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(async_client, "MAX_CONCURRENT_REQUESTS", 3)
    server.seconds, server.together = 0.1, 3
    assert await asyncio.gather(*(poll() for _ in range(9))) == [[]] * 9
    assert (server.most, server.connections) == (3, 3)


async def test_requests_per_second_are_limited_by_the_connection(server: Klap, connect: Callable[..., None]) -> None:
    connect(server.url, password="kak_test_first", requests_per_second=20)
    began = time.monotonic()
    await asyncio.gather(*(poll() for _ in range(11)))
    assert time.monotonic() - began >= 0.5


async def test_a_queued_wait_can_be_cancelled_without_stopping_the_others(
    server: Klap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(async_client, "MAX_CONCURRENT_REQUESTS", 1)
    server.seconds = 0.2
    polls = [asyncio.create_task(poll()) for _ in range(4)]
    await asyncio.sleep(0.1)
    polls[0].cancel()
    polls[2].cancel()
    ended = await asyncio.gather(*polls, return_exceptions=True)
    assert [isinstance(end, asyncio.CancelledError) for end in ended] == [True, False, True, False]


async def test_connections_are_closed_when_the_last_wait_ends(server: Klap) -> None:
    server.body = PROCESSING
    waits = [asyncio.create_task(all_events(waiting())) for _ in range(3)]
    await until(lambda: server.polls > 6)
    waits[0].cancel()
    waits[1].cancel()
    await asyncio.wait(waits[:2])
    before = server.polls
    await until(lambda: server.polls > before + 2)
    assert server.open
    server.keys = set()
    assert len(await waits[2]) == 1
    await until(lambda: not server.open)


async def test_a_wait_whose_connection_lookup_fails_leaves_nothing_behind(connect: Callable[..., None]) -> None:
    connect("http://127.0.0.1:1/v2", password=None)
    for _ in range(2):
        with pytest.raises(KlapError, match="Password"):
            await poll()
