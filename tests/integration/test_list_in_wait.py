"""The wait for a task also polls the list of shorts, so that listing them needs no second worker start."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import pytest
import requests

from klap_provider.errors import KlapNoShortsError
from klap_provider.operators import ListShortsOperator
from klap_provider.rules import list_complete
from klap_provider.sensors import TaskStatusSensor
from tests.support.airflow_context import json_copy

if TYPE_CHECKING:
    from collections.abc import Callable

    from klap_provider.triggers import TaskStatusTrigger
    from tests.support.airflow_context import Played, Supervisor
    from tests.support.sandbox import Sandbox

    Airflow = Callable[..., Played]
    Connect = Callable[..., None]

MODES = {
    "poke": {"mode": "poke", "deferrable": False},
    "reschedule": {"mode": "reschedule", "deferrable": False},
    "deferrable": {"deferrable": True},
    "ended from trigger": {"deferrable": True, "end_from_trigger": True},
}
TALK = {"source_video_url": "https://example.com/talk.mp4", "target_clip_count": 5}
LIST = "^/projects/[^/]+$"
INTERVAL = 0.5
LISTED = "{{ ti.xcom_pull('wait').get('listed_ids') | tojson }}"


@pytest.fixture(autouse=True)
def interval(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the list interval half a second, instead of up to a minute."""
    monkeypatch.setattr(list_complete, "MAX_LIST_INTERVAL", INTERVAL)


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> dict[str, Any]:
    return dict(MODES[request.param])


def submitted(klap: Sandbox, *, seconds: float = 0.3, path: str = "video-to-shorts") -> str:
    klap.reset(task_seconds=seconds)
    body = TALK if path == "video-to-shorts" else {"source_video_url": TALK["source_video_url"]}
    return str(klap.call("POST", f"/tasks/{path}", json=body).json()["id"])


def waiting(klap_task_id: str, **fields: Any) -> Callable[[], TaskStatusSensor]:
    fields = {"poke_interval": 0.05, "timeout": 20, **fields}
    return lambda: TaskStatusSensor(task_id="wait", klap_task_id=klap_task_id, **fields)


def listing(folder_id: str, **fields: Any) -> Callable[[], ListShortsOperator]:
    return lambda: ListShortsOperator(task_id="list", folder_id=folder_id, **{"listed_ids": LISTED, **fields})


def answer(*ids: str, **fields: Any) -> dict[str, Any]:
    body = [{"id": name, "virality_score": 50, **fields} for name in ids]
    return {"action": "status", "code": 200, "body": body}


def polls(klap: Sandbox) -> list[float]:
    return [request["at"] for request in klap.requests("GET", LIST)]


def test_a_wait_ends_when_two_polls_of_the_list_agree(klap: Sandbox, airflow: Airflow, mode: dict[str, Any]) -> None:
    klap_task_id = submitted(klap)
    for shorts in (2, 4):
        klap.fault("GET", LIST, "partial_list", shorts=shorts)
    ready = airflow(waiting(klap_task_id, poke_interval=INTERVAL / 2, **mode)).run()
    assert len(ready["listed_ids"]) == 5
    assert all(later - earlier > INTERVAL - 0.1 for earlier, later in pairwise(polls(klap)[:4]))
    assert len(polls(klap)) <= 6
    before = len(polls(klap))

    task = airflow(listing(ready["output_id"]))
    assert {short["project_id"] for short in task.run()} == set(ready["listed_ids"])
    assert (task.workers, len(polls(klap)) - before) == (1, 1)


def test_a_wait_for_the_list_starts_no_extra_worker(klap: Sandbox, airflow: Airflow) -> None:
    klap_task_id = submitted(klap)
    klap.fault("GET", LIST, "partial_list", shorts=1)
    task = airflow(waiting(klap_task_id, submitted_at=time.time(), **MODES["ended from trigger"]))
    task.run()
    assert (task.workers, task.ended_from_trigger) == (1, True)
    assert len(klap.requests("GET", "^/tasks/")) <= 12, "the task is not polled after it is ready"


@pytest.mark.parametrize("fields", [{"max_clip_count": 5}, {"max_clip_count": "{{ 5 }}"}, {"project_ids": ["a", "b"]}])
def test_a_complete_list_needs_no_second_poll(
    klap: Sandbox, airflow: Airflow, mode: dict[str, Any], fields: dict[str, Any]
) -> None:
    klap_task_id = submitted(klap)
    klap.fault("GET", LIST, times=None, **answer("a", "b", *"cde"[: 5 if "max_clip_count" in fields else 0]))
    task = airflow(waiting(klap_task_id, **fields, **mode))
    assert {"a", "b"} <= set(task.run()["listed_ids"])
    assert len(polls(klap)) <= (2 if mode.get("deferrable") and not mode.get("end_from_trigger") else 1)


@pytest.mark.parametrize(
    "fault",
    [
        {"action": "status", "code": 500},
        {"action": "status", "code": 404},
        {"action": "status", "code": 401, "body": {"message": "no", "error_code": "unauthorized"}},
        {"action": "html"},
        {"action": "drop"},
    ],
    ids=str,
)
def test_a_wait_ends_as_ready_if_the_list_cannot_be_read(
    klap: Sandbox,
    airflow: Airflow,
    monkeypatch: pytest.MonkeyPatch,
    mode: dict[str, Any],
    fault: dict[str, Any],
) -> None:
    monkeypatch.setattr(list_complete, "LIST_TIMEOUT", 0.8)
    klap_task_id = submitted(klap)
    klap.fault("GET", LIST, times=None, **fault)
    ready = airflow(waiting(klap_task_id, **mode)).run()
    assert ready.keys() == {"klap_task_id", "output_type", "output_id"}
    assert requests.delete(f"{klap.root}/_sandbox/faults", timeout=30).ok
    assert len(airflow(listing(ready["output_id"])).run()) == 5


def test_a_list_that_keeps_changing_ends_the_wait_at_its_deadline(
    klap: Sandbox, airflow: Airflow, mode: dict[str, Any]
) -> None:
    klap_task_id = submitted(klap)
    klap.fault("GET", LIST, times=None, action="status", code=200, body=[])
    began = time.time()
    ready = airflow(waiting(klap_task_id, timeout=1.5, submitted_at=began, **mode)).run()
    assert "listed_ids" not in ready, "the list was empty for too short a time to prove that there are no shorts"
    assert time.time() - began < 4


def test_an_empty_list_is_not_waited_for_twice(
    klap: Sandbox, airflow: Airflow, monkeypatch: pytest.MonkeyPatch, mode: dict[str, Any]
) -> None:
    monkeypatch.setattr(list_complete, "LIST_TIMEOUT", 0.6)
    klap_task_id = submitted(klap)
    klap.fault("GET", LIST, times=None, action="status", code=200, body=[])
    ready = airflow(waiting(klap_task_id, **mode)).run()
    assert ready["listed_ids"] == []
    with pytest.raises(KlapNoShortsError, match="after the task was ready"):
        airflow(listing(ready["output_id"])).run()
    task = airflow(listing(ready["output_id"], allow_empty=True))
    assert (task.run(), task.workers) == ([], 1)


def test_shorts_after_an_empty_list_of_the_wait_need_two_equal_polls(
    klap: Sandbox, airflow: Airflow, supervisor: Supervisor
) -> None:
    klap_task_id = submitted(klap, seconds=0)
    ready = airflow(waiting(klap_task_id)).run()
    supervisor.put_xcom("wait", {**ready, "listed_ids": []})
    klap.fault("GET", LIST, "partial_list", shorts=1)
    assert len(airflow(listing(ready["output_id"])).run()) == 5


@pytest.mark.parametrize(
    ("known", "workers"),
    [(["a", "b"], 1), (["a"], 1), (["a", "gone"], 2), (None, 2), ("nonsense", 2), ({"a": 1}, 2)],
    ids=str,
)
def test_a_list_that_differs_from_the_wait_needs_two_equal_polls(
    klap: Sandbox, airflow: Airflow, supervisor: Supervisor, known: Any, workers: int
) -> None:
    xcom = {"klap_task_id": "task000000000000", "output_type": "folder", "output_id": "folder01"}
    supervisor.put_xcom("wait", xcom if known is None else {**xcom, "listed_ids": known})
    klap.fault("GET", LIST, times=None, **answer("a", "b"))
    task = airflow(listing("folder01"))
    assert len(task.run()) == 2
    assert task.workers == workers


def test_a_task_with_one_project_needs_no_list(klap: Sandbox, airflow: Airflow, mode: dict[str, Any]) -> None:
    ready = airflow(waiting(submitted(klap, path="video-to-video"), **mode)).run()
    assert ready.keys() == {"klap_task_id", "output_type", "output_id"}
    assert polls(klap) == []


@pytest.mark.parametrize(("minutes", "expected"), [(11, 1), (9, 2), (None, 2)])
@pytest.mark.parametrize("mode_name", ["poke", "reschedule", "ended from trigger"])
def test_shorts_of_an_old_task_need_no_second_poll(
    klap: Sandbox, airflow: Airflow, mode_name: str, minutes: float | None, expected: int
) -> None:
    klap_task_id = submitted(klap, seconds=0)
    time.sleep(0.1)
    made_at = datetime.now(timezone.utc) - timedelta(minutes=minutes or 0)
    fields = {} if minutes is None else {"created_at": made_at.isoformat()}
    klap.fault("GET", LIST, times=None, **answer("a", "b", **fields))
    airflow(waiting(klap_task_id, **MODES[mode_name])).run()
    assert len(polls(klap)) == expected


def test_a_task_that_was_seen_processing_is_not_old(klap: Sandbox, airflow: Airflow, mode: dict[str, Any]) -> None:
    klap_task_id = submitted(klap, seconds=0.5)
    klap.fault("GET", LIST, times=None, **answer("a", created_at="2020-01-01T00:00:00Z"))
    airflow(waiting(klap_task_id, **mode)).run()
    assert len(polls(klap)) >= 2


def test_a_failed_triggerer_does_not_fail_the_wait_for_a_ready_task(klap: Sandbox, airflow: Airflow) -> None:
    klap_task_id = submitted(klap, seconds=0)
    time.sleep(0.1)
    ready = airflow(waiting(klap_task_id)).resume_stranded()
    assert ready.keys() == {"klap_task_id", "output_type", "output_id"}


def test_a_wait_for_a_list_continues_in_another_triggerer(klap: Sandbox, airflow: Airflow) -> None:
    task = airflow(waiting(submitted(klap, seconds=0), max_clip_count=9, project_ids=["x"]))
    time.sleep(0.1)
    task.run()
    [(_, kwargs)] = task.triggers
    assert kwargs["target"] == {"klap_task_id": kwargs["target"]["klap_task_id"], "most": 9, "wanted": ["x"]}
    assert kwargs["seen"]
    again = cast("TaskStatusTrigger", task.rebuilt_trigger())
    assert again.state.of_list == {name: kwargs[name] for name in ("seen", "seen_since", "ready_at")}
    assert json_copy(again.serialize()[1]) == kwargs


def test_a_trigger_that_an_older_version_stored_waits_for_the_list(
    klap: Sandbox, airflow: Airflow, supervisor: Supervisor
) -> None:
    klap_task_id = submitted(klap)
    task = airflow(waiting(klap_task_id, submitted_at=time.time(), **MODES["ended from trigger"]))
    in_the_triggerer = task._in_the_triggerer

    def of_an_older_version(deferral: Any) -> Any:
        _, kwargs = deferral.trigger.serialize()
        kwargs["target"] = {"klap_task_id": klap_task_id}
        deferral.trigger = type(deferral.trigger)(**{name: kwargs[name] for name in kwargs if name != "ready_at"})
        return in_the_triggerer(deferral)

    task._in_the_triggerer = of_an_older_version  # type: ignore[method-assign]  # what it stored
    assert len(task.run()["listed_ids"]) == 5
    assert task.workers == 1


def test_a_late_list_in_reschedule_mode_is_polled_at_the_interval(klap: Sandbox, airflow: Airflow) -> None:
    klap_task_id = submitted(klap, seconds=0)
    time.sleep(0.1)
    klap.fault("GET", LIST, "late_list", polls=2)
    airflow(waiting(klap_task_id, mode="reschedule", deferrable=False, poke_interval=0.7)).run()
    times = polls(klap)
    assert len(times) == 4
    assert all(later - earlier > 0.65 for earlier, later in pairwise(times[:3]))
