"""Waits for exports of one folder share one list; where it does not do, each looks by itself, and no more often."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from klap_provider.hooks import shared_looks
from klap_provider.rules.pace import Pace
from klap_provider.rules.polling import ExportTarget, Wait, Watch
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

#: Seconds between looks.
STEP = 0.3

#: Seconds that an export takes: many looks, also on a busy machine.
LONG = 3.0

#: Looks that such a one takes at most, with jitter, and one more at either end.
MOST = LONG / STEP / 0.9 + 3


@pytest.fixture
def exports(klap: Sandbox, make_shorts: MakeShorts) -> Callable[..., list[ExportTarget]]:
    """Have so many shorts of one folder exported, which takes some seconds."""

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


def waits(targets: Iterable[ExportTarget], *, seconds: float = 20, **more: Any) -> list[ExportStatusTrigger]:
    now = time.time()
    triggers = []
    for target in targets:
        wait = Wait(STEP, Watch(now, now + seconds, Pace(STEP, STEP)))
        triggers.append(ExportStatusTrigger.watching(target, wait, klap_conn_id="klap_default", **more))
    return triggers  # type: ignore[return-value]  # of this class


async def ended(triggers: Iterable[ExportStatusTrigger]) -> list[float]:
    """Let them wait to their ends, and return when each ended, in seconds from now."""
    began = time.monotonic()

    async def one(trigger: ExportStatusTrigger) -> float:
        assert len(await all_events(trigger)) == 1
        return time.monotonic() - began

    return await asyncio.gather(*map(one, triggers))


def lists(klap: Sandbox) -> list[dict[str, Any]]:
    return klap.requests("GET", "^/exports$")


def own(klap: Sandbox) -> Counter[str]:
    """How often each export was looked at by itself."""
    return Counter(look["path"].rpartition("/")[2] for look in klap.requests("GET", "^/projects/.*/exports/"))


async def test_ten_exports_of_a_folder_take_the_looks_of_one(klap: Sandbox, exports: Any) -> None:
    targets = await asyncio.to_thread(exports, 10)
    triggers = waits(targets)
    await ended(triggers)
    assert len(klap.requests("GET", "exports")) <= MOST
    assert own(klap).total() <= 1  # the last one, if it was alone
    assert all(trigger.watch.shared for trigger in triggers), "and their pace knows it"


async def test_an_export_that_is_alone_is_looked_at_by_itself(klap: Sandbox, exports: Any) -> None:
    targets = await asyncio.to_thread(exports, 1)
    (trigger,) = waits(targets)
    await ended([trigger])
    assert not trigger.watch.shared
    assert lists(klap) == []
    assert own(klap).total() >= 3


async def test_one_that_fails_and_one_of_an_unknown_word_and_one_that_is_not_listed_leave_the_others_alone(
    klap: Sandbox, exports: Any
) -> None:
    targets = await asyncio.to_thread(exports, 10)
    fails, odd, lacking = targets[:3]
    listed = [{"id": target.export_id, "project_id": target.project_id, "status": "processing"} for target in targets]
    listed[0]["status"], listed[1]["status"] = "error", "rendering"
    del listed[2]
    await asyncio.to_thread(klap.fault, "GET", "^/exports$", "status", times=None, code=200, body=listed)
    began = len(klap.requests())

    waiting = asyncio.create_task(ended(waits(targets[3:], seconds=LONG - 0.5)))
    first, *others = await ended(waits([fails, odd, lacking]))

    assert first < min(others)  # a worker is to look, and to fail
    assert min(await waiting) > LONG - 1  # at their deadline, as their list says that they run
    assert set(own(klap)) == {odd.export_id, lacking.export_id}
    assert all(3 <= each <= MOST for each in own(klap).values())
    assert len(klap.requests()) - began <= 3 * MOST  # ten by themselves would have taken some hundred


@pytest.mark.parametrize(
    "fault",
    [
        {"action": "status", "code": 403},
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
async def test_a_list_that_does_not_do_costs_no_look_and_no_wait(
    klap: Sandbox, exports: Any, fault: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    caplog.set_level("INFO", "klap_provider")
    monkeypatch.setattr(shared_looks, "PATIENCE", 0.3)
    targets = await asyncio.to_thread(exports, 4)
    await asyncio.to_thread(klap.fault, "GET", "^/exports$", times=None, **fault)
    await ended(waits(targets))
    assert len(lists(klap)) <= 1 + (fault["action"] == "drop")  # aiohttp sends a GET again that was dropped
    most = max(own(klap).values())
    assert most >= 3
    assert len(klap.requests("GET", "exports")) <= 4 * (most + 1)
    assert caplog.text.count("each export of the folder is looked at by itself") == 1


async def test_a_list_that_was_refused_for_a_while_is_used_again(
    klap: Sandbox, exports: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_looks, "LEFT_ALONE", 0.5)
    targets = await asyncio.to_thread(exports, 5)
    await asyncio.to_thread(klap.fault, "GET", "^/exports$", "status", code=403)
    await ended(waits(targets))
    refused, *good = lists(klap)
    assert refused["status"] == 403
    assert good[0]["at"] - refused["at"] >= 0.5
    assert {each["status"] for each in good} == {200}
    assert own(klap).total() < 5 * MOST / 2


async def test_the_pace_of_looks_that_were_shared_stays_when_the_list_no_longer_does(
    klap: Sandbox, exports: Any
) -> None:
    targets = await asyncio.to_thread(exports, 4)
    triggers = waits(targets)
    running = asyncio.create_task(ended(triggers))
    await asyncio.sleep(LONG / 2)
    assert lists(klap)
    await asyncio.to_thread(klap.fault, "GET", "^/exports$", "status", times=None, code=403)
    await running
    assert max(own(klap).values()) >= 3, "by itself in the end"
    assert all(trigger.watch.shared for trigger in triggers)


async def test_an_export_that_is_listed_late_joins_then(klap: Sandbox, exports: Any) -> None:
    targets = await asyncio.to_thread(exports, 3)
    listed = [{"id": target.export_id, "status": "processing"} for target in targets[1:]]
    await asyncio.to_thread(klap.fault, "GET", "^/exports$", "status", times=2, code=200, body=listed)
    await ended(waits(targets))
    assert set(own(klap)) >= {targets[0].export_id}
    assert own(klap)[targets[0].export_id] <= 5
    assert own(klap).total() <= 7


async def test_two_runs_on_one_folder_share_its_list_also_for_the_same_export(klap: Sandbox, exports: Any) -> None:
    targets = await asyncio.to_thread(exports, 3)
    await ended([*waits(targets), *waits(targets[:2])])
    assert len(klap.requests("GET", "exports")) <= MOST + 1


async def test_what_is_waited_for_on_behalf_of_different_users_is_not_shared(klap: Sandbox, exports: Any) -> None:
    targets = await asyncio.to_thread(exports, 2)
    await asyncio.to_thread(
        klap.fault, "GET", "/exports/", "status", times=None, code=200, body={"id": "export", "status": "processing"}
    )
    await asyncio.gather(
        ended(waits(targets[:1], seconds=0.5)), ended(waits(targets[1:], seconds=0.5, on_behalf_of="user-2"))
    )
    assert lists(klap) == []
    assert {look["on_behalf_of"] for look in klap.requests("GET", "/exports/")} == {None, "user-2"}


async def test_a_wait_that_is_cancelled_takes_none_with_it(klap: Sandbox, exports: Any) -> None:
    targets = await asyncio.to_thread(exports, 4)
    await asyncio.to_thread(klap.fault, "GET", "^/exports$", "delay", seconds=1.5)
    running = [asyncio.create_task(ended([trigger])) for trigger in waits(targets)]
    await asyncio.sleep(STEP + 0.5)  # the list is under way
    running[0].cancel()
    running[1].cancel()
    done = await asyncio.gather(*running, return_exceptions=True)
    assert [isinstance(each, asyncio.CancelledError) for each in done] == [True, True, False, False]


async def test_a_deadline_is_each_ones_own(klap: Sandbox, exports: Any) -> None:
    targets = await asyncio.to_thread(exports, 3)
    hurried = waits(targets[:1], seconds=0.5)
    first, *rest = await ended([*hurried, *waits(targets[1:])])
    assert first < min(rest)
    assert own(klap).total() <= 2


async def test_no_wait_outlives_its_deadline_when_the_list_hangs(
    klap: Sandbox, exports: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("klap_provider.triggers.status.LAST_LOOK", 0.2)
    targets = await asyncio.to_thread(exports, 3)
    monkeypatch.setattr(shared_looks, "PATIENCE", 3600.0)
    await asyncio.to_thread(klap.fault, "GET", "exports", "delay", seconds=3600, times=None)
    await ended(waits(targets, seconds=1))
    assert lists(klap)


async def test_a_restarted_triggerer_shares_again(klap: Sandbox, exports: Any, supervisor: Supervisor) -> None:
    targets = await asyncio.to_thread(exports, 6)
    stored = [trigger.serialize()[1] for trigger in waits(targets)]
    again = [ExportStatusTrigger(**{**json.loads(json.dumps(kwargs)), "next_look": 0}) for kwargs in stored]
    await ended(again)
    assert len(klap.requests("GET", "exports")) <= MOST + 1


async def test_a_list_of_the_whole_account_is_read_no_further_than_it_matters(klap: Sandbox, exports: Any) -> None:
    targets = await asyncio.to_thread(exports, 2, 0)
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
