"""Waiting without a worker: nothing secret is stored, nothing blocks, and a restart changes nothing."""

from __future__ import annotations

import asyncio
import json
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk.execution_time import comms
from airflow.sdk.module_loading import import_string
from airflow.triggers.base import TaskSuccessEvent
from structlog.testing import capture_logs

from klap_provider.rules.job_targets import ExportTarget, TaskTarget
from klap_provider.rules.list_complete import ShortsTarget
from klap_provider.rules.poll_schedule import TASKS, PollSchedule
from klap_provider.rules.polling import PollAgain, PollState, Target
from klap_provider.sensors import TaskStatusSensor
from klap_provider.triggers import ExportStatusTrigger, ShortsListTrigger, TaskStatusTrigger
from tests.support.airflow_context import API_KEY, DAG_ID, RUN_ID, all_events, json_copy
from tests.support.loop_watch import BLOCKED, blockers, free_loop
from tests.support.tcp_proxy import TcpProxy

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.triggers.base import TriggerEvent

    from klap_provider.triggers.status import KlapTrigger
    from tests.support.airflow_context import Played, Supervisor
    from tests.support.sandbox import Sandbox

    Airflow = Callable[..., Played]

__all__ = ["blockers", "free_loop"]  # fixtures
pytestmark = pytest.mark.usefixtures("free_loop")

TALK = {"source_video_url": "https://example.com/talk.mp4"}

TRIGGERS: list[tuple[type[KlapTrigger], Target[Any]]] = [
    (TaskStatusTrigger, TaskTarget("task000000000000")),
    (ExportStatusTrigger, ExportTarget("export0000000000", "short0000001", "folder01")),
    (ExportStatusTrigger, ExportTarget("export0000000000", "short0000001", None)),
    (ShortsListTrigger, ShortsTarget("folder01")),
    (ShortsListTrigger, ShortsTarget(project_id="short0000001")),
]


def state(seconds: float = 20, interval: float = 0.05, **more: Any) -> PollState:
    now = time.time()
    return PollState(now, now + seconds, PollSchedule(interval, 0), **more)


def waiting(klap_task_id: str, state_now: PollState | None = None, **more: Any) -> KlapTrigger:
    state_now = state_now or state()
    again = PollAgain(state_now.schedule.interval, state_now)
    return TaskStatusTrigger.waiting(TaskTarget(klap_task_id), again, klap_conn_id="klap_default", **more)


def restarted(trigger: KlapTrigger) -> KlapTrigger:
    """Return the trigger as another triggerer makes it from the stored arguments."""
    path, kwargs = trigger.serialize()
    again: KlapTrigger = import_string(path)(**json_copy(kwargs))
    return again


def submitted(klap: Sandbox) -> str:
    return str(klap.call("POST", "/tasks/video-to-shorts", json=TALK).json()["id"])


def payloads(events: list[TriggerEvent]) -> list[Any]:
    """Return the payloads of the events, without the time at which the task was ready."""
    found = [event.payload for event in events]
    return [{name: value for name, value in each.items() if name != "ready_at"} for each in found]


@pytest.mark.parametrize(("kind", "target"), TRIGGERS)
@pytest.mark.parametrize("end_from_trigger", [False, True])
def test_a_stored_trigger_is_rebuilt_unchanged(
    kind: type[KlapTrigger], target: Target[Any], end_from_trigger: bool
) -> None:
    trigger = kind.waiting(
        target,
        PollAgain(5, state(unknown_since=5.5, handovers=3)),
        klap_conn_id="klap_studio",
        on_behalf_of="user-1",
        end_from_trigger=end_from_trigger,
    )
    again = restarted(trigger)
    assert type(again) is kind
    assert again.serialize() == trigger.serialize()
    assert (again.target, again.state) == (target, trigger.state)
    assert (again.klap_conn_id, again.end_from_trigger) == ("klap_studio", end_from_trigger)
    assert again.on_behalf_of == "user-1"
    assert (again.template_fields, again.trigger_id) == ((), None), "which the triggerer reads and sets"


#: Arguments that earlier versions stored: with another schedule, and with fewer or more fields.
OLDER = {
    "learned": {
        "shortest": 0.05,
        "longest": 30.0,
        "typical": {"median": 464.8, "spread": 0.69, "price": 2.2, "may_be_short": True},
        "next_look": 0.0,
        "unknown_since": None,
        "running_at": 1.5,
        "on_behalf_of": None,
        "end_from_trigger": False,
    },
    "least": {},
    "of a later version": {"poll_interval": 0.05, "colour": "green"},
}


@pytest.mark.parametrize("stored", OLDER.values(), ids=OLDER)
async def test_a_wait_of_another_version_keeps_its_deadline(
    klap: Sandbox, monkeypatch: pytest.MonkeyPatch, stored: dict[str, Any]
) -> None:
    monkeypatch.setattr("random.uniform", lambda low, high: low)  # a poll that is due is spread over the interval
    klap_task_id, now = submitted(klap), time.time()
    kwargs = {"klap_conn_id": "klap_default", "started_at": now - 5, "deadline": now + 20, **stored}
    trigger = TaskStatusTrigger(**json_copy({**kwargs, "target": {"klap_task_id": klap_task_id, "colour": "red"}}))
    assert (trigger.state.started_at, trigger.state.deadline) == (now - 5, now + 20)
    assert trigger.state.schedule.interval == stored.get("poll_interval", TASKS.interval)
    assert payloads(await asyncio.wait_for(all_events(trigger), 10)) == [{"unknown_since": None, "handovers": 0}]


async def test_a_worker_takes_over_after_5_failed_polls_and_then_every_20(
    klap: Sandbox, connect: Callable[..., None]
) -> None:
    wire = TcpProxy(klap.root)
    connect(f"{wire.url}/v2")
    klap_task_id = submitted(klap)
    klap.fault("GET", "^/tasks/", "status", times=None, code=503)
    polls = []
    for handovers in range(3):
        before = len(klap.requests("GET", "^/tasks/"))
        (event,) = payloads(await all_events(waiting(klap_task_id, state(handovers=handovers))))
        assert event == {"unknown_since": None, "handovers": handovers + 1}
        polls.append(len(klap.requests("GET", "^/tasks/")) - before)
    assert polls == [5, 20, 20]
    wire.cut()
    (event,) = payloads(await asyncio.wait_for(all_events(waiting(klap_task_id)), 10))
    assert event == {"unknown_since": None, "handovers": 1}


async def test_failed_polls_with_successes_in_between_start_no_worker(klap: Sandbox) -> None:
    klap.reset(task_seconds=2)
    klap_task_id = submitted(klap)
    running = asyncio.create_task(all_events(waiting(klap_task_id, state(handovers=1))))
    for _ in range(4):
        klap.fault("GET", "^/tasks/", "status", times=4, code=503)
        await asyncio.sleep(0.4)
    assert payloads(await running) == [{"unknown_since": None, "handovers": 0}], "a successful poll is remembered"


@pytest.mark.parametrize(("handovers", "least"), [(0, 0), (1, 1), (2, 1)])
async def test_a_triggerer_with_a_wrong_connection_hands_over_rarely(
    klap: Sandbox, connect: Callable[..., None], handovers: int, least: float
) -> None:
    connect(klap.url, password="kak_of_the_triggerer_alone")
    klap.fault("GET", "^/tasks/", "status", times=None, code=403, body={"message": "not from this address"})
    began = time.time()
    events = payloads(await all_events(waiting(submitted(klap), state(handovers=handovers))))
    assert events == [{"unknown_since": None, "handovers": handovers + 1}]
    assert time.time() - began >= least


@pytest.mark.parametrize("outcome", ["ready", "job_error", "401"])
@pytest.mark.parametrize("end_from_trigger", [False, True])
async def test_a_wait_ends_with_one_event_without_secrets(
    klap: Sandbox, supervisor: Supervisor, outcome: str, end_from_trigger: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    klap_task_id = submitted(klap)
    if outcome == "job_error":
        klap.fault("GET", "^/tasks/", "job_error")
    elif outcome == "401":
        klap.fault("GET", "^/tasks/", "status", times=None, code=401, body={"message": f"bad key {API_KEY}"})
    trigger = waiting(klap_task_id, end_from_trigger=end_from_trigger)
    events = payloads(await all_events(trigger))
    assert events == [{"unknown_since": None, "handovers": int(outcome == "401")}]
    outputs = [json.dumps(trigger.serialize()), repr(trigger), repr(events), *capfd.readouterr()]
    assert not [words for words in outputs if API_KEY in words]


@pytest.mark.parametrize(("map_index", "stored_as"), [(-1, -1), (2, 2), (None, -1)])
async def test_a_task_ended_from_the_trigger_has_its_xcom_before_its_event(
    klap: Sandbox, supervisor: Supervisor, airflow: Airflow, map_index: int | None, stored_as: int
) -> None:
    klap_task_id = submitted(klap)
    instance = airflow(
        lambda: TaskStatusSensor(task_id="wait", klap_task_id=klap_task_id), map_index=map_index, task_id="wait"
    )
    instance.triggers.append(waiting(klap_task_id, end_from_trigger=True).serialize())
    seen: list[tuple[TriggerEvent, Any]] = []
    async for event in instance.rebuilt_trigger().run():
        seen.append((event, supervisor.xcom("wait", map_index=stored_as)))
    ((event, xcom),) = seen
    assert isinstance(event, TaskSuccessEvent)
    assert event.xcoms is None
    folder_id = klap.call("GET", f"/tasks/{klap_task_id}").json()["output_id"]
    listed_ids = [short["id"] for short in klap.call("GET", f"/projects/{folder_id}").json()]
    ready = {"klap_task_id": klap_task_id, "output_type": "folder", "output_id": folder_id}
    assert xcom == {**ready, "listed_ids": listed_ids}
    (xcom_message,) = [json.loads(message) for message in supervisor.messages if '"SetXCom"' in message]
    assert (xcom_message["dag_id"], xcom_message["run_id"], xcom_message["task_id"]) == (DAG_ID, RUN_ID, "wait")


async def test_the_start_of_an_unknown_status_reaches_the_worker(klap: Sandbox) -> None:
    klap_task_id = submitted(klap)
    klap.fault("GET", "^/tasks/", "unknown_status", word="done")
    before = time.time()
    (event,) = payloads(await all_events(waiting(klap_task_id, state(seconds=2))))
    assert before <= event["unknown_since"] <= time.time()


async def test_an_unknown_status_is_logged_once(klap: Sandbox) -> None:
    klap_task_id = submitted(klap)
    klap.fault("GET", "^/tasks/", "unknown_status", word="reticulating")
    with capture_logs() as logged:
        await all_events(waiting(klap_task_id, state(seconds=2)))
    warnings = [line["event"] for line in logged if "reticulating" in line["event"]]
    assert len(klap.requests("GET", "^/tasks/")) > 1
    assert len([line for line in warnings if "is over" not in line]) == 1


async def test_only_the_status_of_a_response_with_an_unknown_status_is_logged(klap: Sandbox) -> None:
    klap_task_id = submitted(klap)
    body = {"id": klap_task_id, "status": "odd", "output_url": "https://a.example/v.mp4?X-Goog-Signature=s3cr3t"}
    klap.fault("GET", "^/tasks/", "status", times=None, code=200, body=body)
    with capture_logs() as logged:
        await all_events(waiting(klap_task_id, state(seconds=2)))
    assert [line for line in logged if "'odd'" in line["event"]]
    assert "s3cr3t" not in repr(logged)


async def test_a_restarted_trigger_keeps_its_deadline_and_its_state(klap: Sandbox) -> None:
    klap_task_id = submitted(klap)
    klap.fault("GET", "^/tasks/", "unknown_status", word="paused")
    trigger = waiting(klap_task_id, state(seconds=3))
    deadline = trigger.state.deadline
    running = asyncio.create_task(all_events(trigger))
    while trigger.state.unknown_since is None and not running.done():  # noqa: ASYNC110  # it has no event
        await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await trigger.cleanup()
    knew = trigger.state.unknown_since
    assert knew is not None

    again = restarted(trigger)
    assert (again.state.deadline, again.state.unknown_since) == (deadline, knew)
    (event,) = payloads(await all_events(again))
    assert event["unknown_since"] == knew
    assert time.time() >= deadline


@pytest.mark.parametrize("left", [-5, 0.5])
async def test_a_trigger_restarted_near_its_deadline_polls_once_more(klap: Sandbox, left: float) -> None:
    klap_task_id = submitted(klap)
    klap.fault("GET", "^/tasks/", "stuck")
    path, kwargs = waiting(klap_task_id, state(seconds=left, interval=3600)).serialize()
    stale = import_string(path)(**{**kwargs, "next_poll": time.time() - 10})
    await all_events(stale)
    assert len(klap.requests("GET", "^/tasks/")) in (1, 2)


async def test_a_trigger_only_polls_and_stops_when_it_is_cancelled(klap: Sandbox) -> None:
    klap_task_id = submitted(klap)
    klap.fault("GET", "^/tasks/", "stuck")
    trigger = waiting(klap_task_id)
    running = asyncio.create_task(all_events(trigger))
    await asyncio.sleep(0.3)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await trigger.cleanup()
    polls = len(klap.requests())
    await asyncio.sleep(0.3)
    assert len(klap.requests()) == polls
    assert {poll["method"] for poll in klap.requests()[1:]} == {"GET"}


async def test_a_trigger_polls_first_at_the_time_of_the_worker(klap: Sandbox) -> None:
    klap_task_id = submitted(klap)
    began = time.time()
    first = PollAgain(0.8, state(interval=0.05))
    await all_events(TaskStatusTrigger.waiting(TaskTarget(klap_task_id), first, klap_conn_id="klap_default"))
    (poll,) = klap.requests("GET", "^/tasks/")
    assert poll["at"] - began >= 0.7


async def test_late_polls_of_many_triggers_are_spread(klap: Sandbox) -> None:
    late: list[KlapTrigger] = []
    for klap_task_id in await asyncio.to_thread(lambda: [submitted(klap) for _ in range(20)]):
        path, kwargs = waiting(klap_task_id, state(interval=2)).serialize()
        late.append(import_string(path)(**{**kwargs, "next_poll": time.time() - 10}))
    began = time.time()
    await asyncio.gather(*map(all_events, late))
    polls = sorted(poll["at"] - began for poll in klap.requests("GET", "^/tasks/"))
    assert polls[-1] - polls[0] > 1


async def test_a_trigger_ends_only_tasks_with_end_from_trigger(
    klap: Sandbox, supervisor: Supervisor, airflow: Airflow
) -> None:
    klap_task_id = submitted(klap)
    instance = airflow(lambda: TaskStatusSensor(task_id="wait", klap_task_id=klap_task_id), task_id="wait")
    path, kwargs = waiting(klap_task_id).serialize()
    without = {name: value for name, value in kwargs.items() if name != "end_from_trigger"}
    for stored in (kwargs, without):
        instance.triggers.append((path, stored))
        (event,) = await all_events(instance.rebuilt_trigger())
        assert not isinstance(event, TaskSuccessEvent)
        assert supervisor.xcom("wait") is None


async def test_a_missing_connection_hands_the_wait_over_to_a_worker(supervisor: Supervisor) -> None:
    assert len(await all_events(waiting("task000000000000"))) == 1


async def test_a_trigger_survives_an_unreachable_host(
    connect: Callable[..., None],
) -> None:
    connect("http://127.0.0.1:9/v2")
    assert len(await all_events(waiting("task000000000000", state(seconds=0.4)))) == 1


async def test_a_wait_survives_a_connection_that_cannot_be_read_for_a_while(
    klap: Sandbox, supervisor: Supervisor, connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    klap_task_id = submitted(klap)
    monkeypatch.delenv("AIRFLOW_CONN_KLAP_DEFAULT")
    supervisor.broken = (comms.GetConnection,)
    running = asyncio.create_task(all_events(waiting(klap_task_id, state(interval=0.3))))
    await asyncio.sleep(0.4)
    assert not running.done()
    connect(klap.url)
    assert payloads(await running) == [{"unknown_since": None, "handovers": 0}]
    assert klap.requests("GET", "^/tasks/")


async def test_an_xcom_that_cannot_be_written_is_left_to_a_worker(
    klap: Sandbox, supervisor: Supervisor, airflow: Airflow
) -> None:
    klap_task_id = submitted(klap)
    instance = airflow(lambda: TaskStatusSensor(task_id="wait", klap_task_id=klap_task_id), task_id="wait")
    instance.triggers.append(waiting(klap_task_id, end_from_trigger=True).serialize())
    supervisor.broken = (comms.SetXCom,)
    (event,) = await all_events(instance.rebuilt_trigger())  # at once, because the job is ready
    assert not isinstance(event, TaskSuccessEvent)
    assert payloads([event]) == [{"unknown_since": None, "handovers": 0}]


async def test_a_trigger_without_a_task_instance_hands_over_to_a_worker(
    klap: Sandbox,
) -> None:
    klap_task_id = submitted(klap)
    with capture_logs() as logged:
        (event,) = await all_events(waiting(klap_task_id, end_from_trigger=True))
    assert not isinstance(event, TaskSuccessEvent)
    assert [line["event"] for line in logged] == [f"task {klap_task_id} is ready"]


async def test_a_deadline_that_passes_during_a_poll_is_no_failure(
    klap: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("klap_provider.triggers.status.LAST_POLL", 0.1)
    klap_task_id = submitted(klap)
    klap.fault("GET", "^/tasks/", "delay", seconds=5)
    with capture_logs() as logged:
        assert len(await all_events(waiting(klap_task_id, state(seconds=0.3)))) == 1
    assert [line["event"] for line in logged] == [f"The deadline of task {klap_task_id} passed during a poll"]


async def test_a_poll_may_take_long_if_the_deadline_is_far(klap: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("klap_provider.triggers.status.LAST_POLL", 0.1)
    klap_task_id = submitted(klap)
    klap.fault("GET", "^/tasks/", "delay", seconds=0.6)
    with capture_logs() as logged:
        await all_events(waiting(klap_task_id))
    assert [line["event"] for line in logged] == [f"task {klap_task_id} is ready"]


async def test_polls_are_one_poll_interval_apart(klap: Sandbox) -> None:
    klap.reset(task_seconds=1.5)
    await all_events(waiting(submitted(klap), state(interval=0.3)))
    at = [poll["at"] for poll in klap.requests("GET", "^/tasks/")]
    assert len(at) > 2
    assert all(later - earlier > 0.2 for earlier, later in pairwise(at))


async def test_a_worker_continues_the_wait_of_a_failing_trigger(klap: Sandbox) -> None:
    klap_task_id = submitted(klap)
    for seconds, interval in ((3600, 0.4), (0.4, 3600)):  # not at once, to prevent a loop between worker and triggerer
        began = time.time()
        again = PollAgain(0.05, state(seconds, interval))
        trigger = TaskStatusTrigger.waiting(TaskTarget(klap_task_id), again, klap_conn_id="klap_default")
        trigger.target = "no target"  # type: ignore[assignment]  # so that everything fails
        assert payloads(await all_events(trigger)) == [{"unknown_since": None, "handovers": 1}]
        assert time.time() - began >= 0.4


async def test_an_outage_is_logged_when_it_begins_and_when_it_ends(
    klap: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    klap.reset(task_seconds=1.5)
    job = submitted(klap)
    klap.fault("GET", "^/tasks/", "status", times=3, code=500)
    trigger = waiting(job)
    lines: list[str] = []
    monkeypatch.setattr(trigger.log, "info", lambda words, *facts: lines.append(words % facts))

    await all_events(trigger)

    assert ["HTTP 500" in lines[0], "polls succeed again" in lines[1], "is ready" in lines[2]] == [True] * 3
    assert len(lines) == 3


async def test_fifty_triggers_leave_the_event_loop_free(klap: Sandbox) -> None:
    klap.reset(task_seconds=1)
    ids = await asyncio.to_thread(lambda: [submitted(klap) for _ in range(50)])
    longest, beating = 0.0, True

    async def heartbeat() -> None:
        nonlocal longest
        while beating:
            # CPU time, as a busy machine does other things meanwhile. The fixture free_loop detects sleeping.
            before = time.thread_time()
            await asyncio.sleep(0.01)
            longest = max(longest, time.thread_time() - before)

    heart = asyncio.create_task(heartbeat())
    events = await asyncio.gather(*(all_events(waiting(klap_task_id, state(interval=0.2))) for klap_task_id in ids))
    beating = False
    await heart
    assert [len(each) for each in events] == [1] * 50
    assert longest < BLOCKED


async def test_a_wait_of_many_polls_opens_one_connection(klap: Sandbox, connect: Callable[..., None]) -> None:
    ports: list[int] = []

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ports.append(writer.get_extra_info("peername")[1])
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(_pump(reader, upstream_writer), _pump(upstream_reader, writer))

    port = int(klap.root.rpartition(":")[2])
    klap_task_id = submitted(klap)
    processing = {"id": klap_task_id, "status": "processing"}
    klap.fault("GET", "^/tasks/", "status", times=4, code=200, body=processing)
    proxy = await asyncio.start_server(count, "127.0.0.1", 0)
    async with proxy:
        connect(f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}/v2")
        await all_events(waiting(klap_task_id))
    assert len(klap.requests("GET", "^/tasks/")) == 5
    assert len(ports) == 1


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
