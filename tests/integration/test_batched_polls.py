"""One list request answers all waits for the exports of a folder. Other exports are polled with their own GET."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from klap_provider.hooks import KlapAsyncClient, batched_polls
from klap_provider.rules.job_targets import ExportTarget
from klap_provider.rules.poll_schedule import PollSchedule
from klap_provider.rules.polling import PollAgain, PollState
from klap_provider.triggers import ExportStatusTrigger
from tests.support.airflow_context import all_events
from tests.support.loop_watch import BLOCKED, blockers, free_loop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.support.airflow_context import Supervisor
    from tests.support.sandbox import Sandbox

    MakeShorts = Callable[..., list[dict[str, Any]]]

__all__ = ["blockers", "free_loop"]  # fixtures
pytestmark = pytest.mark.usefixtures("free_loop")

#: Seconds between two polls.
INTERVAL = 0.6

#: Duration of an export in seconds: enough for many polls on a busy machine.
LONG = 3.6

#: Maximum number of polls of such an export, with one more at the start and the end.
MOST = LONG / INTERVAL + 3


@pytest.fixture
def exports(klap: Sandbox, make_shorts: MakeShorts) -> Callable[..., list[ExportTarget]]:
    """Export this number of shorts of one folder, which takes some seconds."""

    def make(count: int, seconds: float = LONG) -> list[ExportTarget]:
        klap.reset(export_seconds=seconds)
        shorts = make_shorts(count)
        targets = []
        for short in shorts:
            path = f"/projects/{short['folder_id']}/{short['id']}/exports"
            export = klap.call("POST", path).json()
            targets.append(ExportTarget(export["id"], short["id"], short["folder_id"]))
        return targets

    return make


def waits(
    targets: Iterable[ExportTarget], *, seconds: float = 20, interval: float = INTERVAL, **more: Any
) -> list[ExportStatusTrigger]:
    now = time.time()
    triggers = []
    for target in targets:
        again = PollAgain(interval, PollState(now, now + seconds, PollSchedule(interval)))
        triggers.append(ExportStatusTrigger.waiting(target, again, klap_conn_id="klap_default", **more))
    return triggers  # type: ignore[return-value]  # of this class


async def ended(triggers: Iterable[ExportStatusTrigger]) -> list[float]:
    """Run the waits, and return when each ended, in seconds from now."""
    began = time.monotonic()

    async def one(trigger: ExportStatusTrigger) -> float:
        assert len(await all_events(trigger)) == 1
        return time.monotonic() - began

    return await asyncio.gather(*map(one, triggers))


def lists(klap: Sandbox) -> list[dict[str, Any]]:
    return klap.requests("GET", "^/exports$")


def own(klap: Sandbox) -> Counter[str]:
    """Return the number of own GETs of each export."""
    return Counter(poll["path"].rpartition("/")[2] for poll in klap.requests("GET", "^/projects/.*/exports/"))


async def test_ten_exports_of_a_folder_take_one_list_for_each_interval(klap: Sandbox, exports: Any) -> None:
    targets = await asyncio.to_thread(exports, 10)
    await ended(waits(targets))
    assert len(lists(klap)) <= MOST
    assert own(klap).total() <= 2  # the first and the last wait, while they are alone


async def test_waits_that_poll_between_list_requests_send_no_own_request(klap: Sandbox, exports: Any) -> None:
    targets = await asyncio.to_thread(exports, 4)
    late = waits(targets)
    for number, trigger in enumerate(late):
        trigger.next_poll += INTERVAL * number / 4
    await ended(late)
    assert len(lists(klap)) <= MOST
    assert own(klap).total() <= 1


async def test_a_single_export_is_polled_by_its_own_get(klap: Sandbox, exports: Any) -> None:
    targets = await asyncio.to_thread(exports, 1)
    await ended(waits(targets))
    assert lists(klap) == []
    assert own(klap).total() >= 3


async def test_failed_unknown_and_unlisted_exports_do_not_affect_the_others(klap: Sandbox, exports: Any) -> None:
    targets = await asyncio.to_thread(exports, 10)
    fails, odd, lacking = targets[:3]
    listed = [{"id": target.export_id, "project_id": target.project_id, "status": "processing"} for target in targets]
    listed[0]["status"], listed[1]["status"] = "error", "rendering"
    del listed[2]
    await asyncio.to_thread(klap.fault, "GET", "^/exports$", "status", times=None, code=200, body=listed)

    waiting = asyncio.create_task(ended(waits(targets[3:], seconds=LONG - 0.5)))
    first, *others = await ended(waits([fails, odd, lacking]))

    assert first < min(others)  # a worker polls it, and fails
    assert min(await waiting) > LONG - 1  # at their deadline, as their list shows them processing
    polled = own(klap)
    assert {odd.export_id, lacking.export_id} <= set(polled)
    # The others need no GET of their own, except the last one.
    assert sum(polled[each.export_id] for each in targets[3:]) <= 2
    assert all(3 <= own(klap)[each.export_id] <= MOST for each in (odd, lacking))
    assert len(lists(klap)) <= MOST


@pytest.mark.parametrize(
    "fault",
    [
        {"action": "status", "code": 403, "body": {"message": "no"}},
        {"action": "status", "code": 404, "body": {"message": "no such path"}},
        {"action": "status", "code": 500},
        {"action": "html"},
        {"action": "drop"},
        {"action": "status", "code": 200, "body": []},
        {"action": "status", "code": 200, "body": {"exports": []}},
        {"action": "status", "code": 200, "body": [{"id": "other", "status": "ready"}, 7, None, {"status": "ready"}]},
        {"action": "delay", "seconds": 2},
    ],
    ids=lambda fault: f"{fault['action']} {fault.get('code', '')} {fault.get('body', '')}",
)
async def test_exports_are_polled_with_own_gets_if_the_list_fails(
    klap: Sandbox, exports: Any, fault: dict[str, Any], caplog: Any
) -> None:
    caplog.set_level("INFO", "klap_provider")
    targets = await asyncio.to_thread(exports, 4)
    await asyncio.to_thread(klap.fault, "GET", "^/exports$", times=None, **fault)
    await ended(waits(targets))
    assert min(own(klap).values()) >= 2  # a list that hangs takes half of each interval
    assert max(own(klap).values()) <= MOST
    assert len(lists(klap)) <= MOST * (1 + (fault["action"] == "drop"))  # aiohttp repeats a GET that was dropped
    is_list = isinstance(fault.get("body"), list)  # a list without the exports is no failure
    assert is_list or caplog.text.count("polled with its own GET") == 1


async def test_a_list_that_works_again_is_used_again(klap: Sandbox, exports: Any) -> None:
    targets = await asyncio.to_thread(exports, 5)
    await asyncio.to_thread(klap.fault, "GET", "^/exports$", "status", times=2, code=403, body={"message": "no"})
    await ended(waits(targets))
    assert [each["status"] for each in lists(klap)][:3] == [403, 403, 200]
    assert own(klap).total() <= 3 * 5


async def test_two_runs_on_one_folder_share_its_list_also_for_the_same_export(klap: Sandbox, exports: Any) -> None:
    targets = await asyncio.to_thread(exports, 3)
    await ended([*waits(targets), *waits(targets[:2])])
    assert len(klap.requests("GET", "exports")) <= MOST + 2


async def test_waits_for_different_users_share_nothing(klap: Sandbox, exports: Any) -> None:
    targets = await asyncio.to_thread(exports, 2)
    await asyncio.to_thread(
        klap.fault, "GET", "/exports/", "status", times=None, code=200, body={"id": "export", "status": "processing"}
    )
    await asyncio.gather(
        ended(waits(targets[:1], seconds=0.5)), ended(waits(targets[1:], seconds=0.5, on_behalf_of="user-2"))
    )
    assert lists(klap) == []
    assert {poll["on_behalf_of"] for poll in klap.requests("GET", "/exports/")} == {None, "user-2"}


async def test_a_cancelled_wait_does_not_stop_the_others(klap: Sandbox, exports: Any) -> None:
    targets = await asyncio.to_thread(exports, 4)
    await asyncio.to_thread(klap.fault, "GET", "^/exports$", "delay", seconds=1.5)
    running = [asyncio.create_task(ended([trigger])) for trigger in waits(targets, interval=2)]
    await asyncio.sleep(2.5)  # the list request is in flight
    running[0].cancel()
    running[1].cancel()
    done = await asyncio.gather(*running, return_exceptions=True)
    assert [isinstance(each, asyncio.CancelledError) for each in done] == [True, True, False, False]


async def test_each_wait_has_its_own_deadline(klap: Sandbox, exports: Any) -> None:
    targets = await asyncio.to_thread(exports, 3)
    hurried = waits(targets[:1], seconds=0.5)
    first, *rest = await ended([*hurried, *waits(targets[1:])])
    assert first < min(rest)


async def test_a_wait_ends_at_its_deadline_if_the_list_hangs(
    klap: Sandbox, exports: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("klap_provider.triggers.status.LAST_POLL", 0.2)
    targets = await asyncio.to_thread(exports, 3)
    monkeypatch.setattr(batched_polls, "LIST_TIMEOUT", 3600.0)
    await asyncio.to_thread(klap.fault, "GET", "exports", "delay", seconds=3600, times=None)
    await ended(waits(targets, seconds=1))
    assert lists(klap)


async def test_a_restarted_triggerer_shares_again(klap: Sandbox, exports: Any, supervisor: Supervisor) -> None:
    targets = await asyncio.to_thread(exports, 6)
    stored = [trigger.serialize()[1] for trigger in waits(targets)]
    again = [ExportStatusTrigger(**{**json.loads(json.dumps(kwargs)), "next_poll": 0}) for kwargs in stored]
    await ended(again)
    assert len(klap.requests("GET", "exports")) <= MOST + 2


async def test_a_list_of_the_whole_account_is_read_only_as_far_as_needed(klap: Sandbox, exports: Any) -> None:
    targets = await asyncio.to_thread(exports, 2)
    ready = {"status": "ready", "src_url": "https://example.com/video.mp4"}
    others = [{"id": f"export{number:010}", "project_id": "short", **ready} for number in range(5000)]
    ours = [{"id": target.export_id, **ready} for target in targets]
    await asyncio.to_thread(klap.fault, "GET", "^/exports$", "status", times=None, code=200, body=[*others, *ours])
    longest = 0.0

    async def heart() -> None:
        nonlocal longest
        while True:
            before = time.thread_time()
            await asyncio.sleep(0.01)
            longest = max(longest, time.thread_time() - before)

    beating = asyncio.create_task(heart())
    await ended(waits(targets))
    beating.cancel()
    assert len(lists(klap)) == 1
    assert longest < BLOCKED


async def test_the_last_wait_of_a_folder_uses_the_list_of_the_interval(klap: Sandbox, exports: Any) -> None:
    first, last = await asyncio.to_thread(exports, 2)
    async with KlapAsyncClient(target=last) as client:
        async with KlapAsyncClient(target=first) as other:
            await other.poll(interval=60)
        found, age = await client.poll(interval=60)
    assert (found.id, age < 60) == (last.export_id, True)
    assert len(lists(klap)) == 1
    assert own(klap) == {}
