"""Waiting for a task and for an export: the same result, exception and XCom in every mode."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import requests
from airflow.sdk import Asset, BaseOperator
from airflow.sdk.exceptions import AirflowSensorTimeout, AirflowSkipException
from airflow.sdk.execution_time import comms

from klap_provider.errors import KlapAuthError, KlapInputError, KlapJobFailedError, KlapWaitError
from klap_provider.rules import polling
from klap_provider.sensors import ExportStatusSensor, TaskStatusSensor
from klap_provider.sensors.base import DEFERRAL_MARGIN

if TYPE_CHECKING:
    from collections.abc import Callable

    from klap_provider.sensors.base import KlapJobSensor
    from tests.support.airflow_context import Played, Supervisor
    from tests.support.sandbox import Sandbox

    Airflow = Callable[..., Played]
    MakeShorts = Callable[..., list[dict[str, Any]]]
    Make = Callable[..., Callable[[], KlapJobSensor]]

MODES = {
    "poke": {"mode": "poke", "deferrable": False},
    "reschedule": {"mode": "reschedule", "deferrable": False},
    "deferrable": {"deferrable": True},
    "ended from trigger": {"deferrable": True, "end_from_trigger": True},
}
PATIENT = 20.0
TALK = {"source_video_url": "https://example.com/talk.mp4"}
NOWHERE = '{"conn_type": "klap", "host": "http://127.0.0.1:9/v2", "password": "kak_test_nowhere"}'


@dataclass(frozen=True)
class Case:
    """Klap's responses to the polls of a wait, and the result of the wait.

    :param faults: faults of the task's GET; the body of a response gets the task's id.
    :param seconds: duration of the task.
    :param failure: class and message of the exception, with numbers as N and the task's id as ID; None = success.
    """

    faults: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0
    timeout: float = PATIENT
    failure: tuple[str, str] | None = None


def answer(status: str, times: int | None = None, **fields: Any) -> dict[str, Any]:
    return {"action": "status", "code": 200, "times": times, "body": {"id": "?", "status": status, **fields}}


GAVE_UP = (
    "Gave up N s after the job was submitted (timeout N s); {}. Klap may still finish the job. To wait longer, "
    "raise the timeout in the Dag file and clear this task: task_timeout or export_timeout of the function that makes "
    "the Dag, or timeout of the sensor or operator. Nothing is paid again."
)
KEY_IS_WRONG = (
    "KlapAuthError",
    "GET /tasks/ID: HTTP N (unauthorized: bad key). The API key is missing or wrong. Correct the connection's "
    "Password, then clear this task.",
)
BAD_KEY = {"action": "status", "code": 401, "times": None, "body": {"message": "bad key", "error_code": "unauthorized"}}
OVER = (
    "Fix the video or its address, and start a new run. 'Trigger again with this config' in Airflow keeps the other "
    "settings. Clearing this run submits the same video again and pays for it again."
)

CASES = {
    "ready at once": Case(),
    "ready after a while": Case(seconds=0.4),
    "failed with a reason": Case(
        [{"action": "job_error", "error_code": "no_speech", "message": "Nobody speaks."}],
        failure=("KlapJobFailedError", f"Klap task ID failed: no_speech · Nobody speaks. {OVER}"),
    ),
    "failed after a while without a reason": Case(
        [answer("processing", times=2), answer("error")],
        failure=("KlapJobFailedError", f"Klap task ID failed: Klap gave no reason. {OVER}"),
    ),
    "an unknown status for two polls": Case([answer("paused", times=2)]),
    "an unknown status that stays": Case(
        [answer("done")],
        failure=(
            "KlapUnknownStatusError",
            "Klap task ID has had the unknown status 'done' for N s. The known statuses are processing, ready, error. "
            "Check the job in the Klap app. To continue the wait, clear this task.",
        ),
    ),
    "a status that is not a text": Case(
        [answer(["done"])],  # type: ignore[arg-type]  # a response that breaks the API's types
        failure=(
            "KlapUnknownStatusError",
            "Klap task ID has had the unknown status '[\"done\"]' for N s. The known statuses are processing, ready, "
            "error. Check the job in the Klap app. To continue the wait, clear this task.",
        ),
    ),
    "ready without an output for two polls": Case([answer("ready", times=2, output_id=None)]),
    "stuck until the deadline": Case(
        [{"action": "stuck"}],
        timeout=0.3,
        failure=("AirflowSensorTimeout", GAVE_UP.format("Klap task ID is 'processing'")),
    ),
    "ready without an output until the deadline": Case(
        [answer("ready", output_id=None)],
        timeout=0.3,
        failure=("AirflowSensorTimeout", GAVE_UP.format("Klap task ID is 'ready', but has no output_id yet")),
    ),
    "transient errors until the deadline": Case(
        [{"action": "html", "code": 502, "times": None}],
        timeout=0.3,
        failure=(
            "AirflowSensorTimeout",
            GAVE_UP.format(
                "the last poll failed: GET /tasks/ID: HTTP N (an HTML page). Klap, or a proxy in front of it, "
                "failed. Try again later"
            ),
        ),
    ),
    "401": Case([BAD_KEY], failure=KEY_IS_WRONG),
    "401 after a while": Case([answer("processing", times=2), BAD_KEY], failure=KEY_IS_WRONG),
    "404": Case(
        [{"action": "status", "code": 404, "body": {"message": "no"}, "times": None}],
        failure=(
            "KlapNotFoundError",
            "GET /tasks/ID: HTTP N (no). Klap does not have this id, or this API key and user may not see it. Correct "
            "the id, or use the connection and user that it belongs to.",
        ),
    ),
    "two 500s": Case([{"action": "status", "code": 500, "times": 2}]),
    "two web pages": Case([{"action": "html", "times": 2}]),
    "two 401s of a firewall": Case([{"action": "html", "code": 401, "times": 2}]),
    "two 403s of a firewall": Case([{"action": "html", "code": 403, "times": 2}]),
    "two 404s of a deploy": Case([{"action": "html", "code": 404, "times": 2}]),
    "two empty 404s": Case([{"action": "status", "code": 404, "times": 2}]),
    "two empty bodies": Case([{"action": "empty", "times": 2}]),
    "two dropped connections": Case([{"action": "drop", "times": 2}]),
}


@pytest.fixture(autouse=True)
def _short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the grace period of two minutes."""
    monkeypatch.setattr(polling, "UNKNOWN_GRACE", 0.3)


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> dict[str, Any]:
    return dict(MODES[request.param])


def new_task(klap: Sandbox, faults: list[dict[str, Any]], seconds: float = 0) -> str:
    """Submit a task and set the faults of its polls."""
    klap.reset(task_seconds=seconds)
    klap_task_id = str(klap.call("POST", "/tasks/video-to-shorts", json=TALK).json()["id"])
    if not seconds:
        finished_job(klap, f"/tasks/{klap_task_id}")
    for fault in faults:
        body = {"body": {**fault["body"], "id": klap_task_id}} if "id" in fault.get("body", {}) else {}
        klap.fault("GET", f"^/tasks/{klap_task_id}$", **{**fault, **body})
    return klap_task_id


def finished_job(klap: Sandbox, path: str) -> dict[str, Any]:
    """Return a job, of no duration, when it is no longer processing."""
    time.sleep(0.02)
    return klap.outcome(path)


def forget_faults(klap: Sandbox) -> None:
    assert requests.delete(f"{klap.root}/_sandbox/faults", timeout=30).ok


def waiting(klap_task_id: str, **fields: Any) -> Callable[[], TaskStatusSensor]:
    fields = {"poke_interval": 0.05, "timeout": PATIENT, **fields}
    return lambda: TaskStatusSensor(task_id="wait", klap_task_id=klap_task_id, **fields)


def failure_of(task: Played, klap_task_id: str) -> tuple[str, str] | None:
    """Run a try and return the class and message of its exception, in the form of :class:`Case`."""
    try:
        task.run()
    except Exception as failure:
        return type(failure).__name__, re.sub(r"\d+(\.\d+)?", "N", str(failure).replace(klap_task_id, "ID"))
    return None


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_wait_has_the_same_result_in_every_mode(
    klap: Sandbox, airflow: Airflow, mode: dict[str, Any], case: Case
) -> None:
    klap_task_id = new_task(klap, case.faults, case.seconds)
    task = airflow(waiting(klap_task_id, timeout=case.timeout, **mode))
    failure = failure_of(task, klap_task_id)
    assert failure == case.failure
    if failure is None:
        folder_id = klap.outcome(f"/tasks/{klap_task_id}")["output_id"]
        listed_ids = [short["id"] for short in klap.call("GET", f"/projects/{folder_id}").json()]
        ready = {"klap_task_id": klap_task_id, "output_type": "folder", "output_id": folder_id}
        assert task.xcom() == {**ready, "listed_ids": listed_ids}
        assert task.xcom("klap_error") is None
    else:
        assert task.xcom() is None
        assert task.xcom("klap_error")["type"] == failure[0]
        assert task.xcom("klap_error")["project_id"] is None
    assert len(klap.requests("POST")) == 1


def test_retry_after_is_respected_by_the_next_poll(klap: Sandbox, airflow: Airflow, mode: dict[str, Any]) -> None:
    klap_task_id = new_task(klap, [{"action": "status", "code": 429, "headers": {"Retry-After": "1"}}])
    assert failure_of(airflow(waiting(klap_task_id, **mode)), klap_task_id) is None
    polls = [poll for poll in klap.requests("GET", "^/tasks/") if poll["status"] in (200, 429)]
    (refused,) = [index for index, poll in enumerate(polls) if poll["status"] == 429]
    assert polls[refused + 1]["at"] - polls[refused]["at"] >= 0.99


@pytest.mark.parametrize("end_from_trigger", [True, False])
def test_a_new_job_is_polled_first_by_the_triggerer(
    klap: Sandbox, airflow: Airflow, supervisor: Supervisor, end_from_trigger: bool
) -> None:
    klap_task_id = new_task(klap, [])
    began = time.time()
    task = airflow(waiting(klap_task_id, submitted_at=began, poke_interval=0.5, end_from_trigger=end_from_trigger))
    task.run()
    polls = [poll for poll in klap.requests("GET", "^/tasks/") if poll["at"] > began]
    assert polls[0]["at"] - began >= 0.95
    assert len(polls) == 2 - end_from_trigger


def test_a_poll_schedule_comes_from_the_sensor_the_connection_or_klap(
    klap: Sandbox, airflow: Airflow, connect: Callable[..., None]
) -> None:
    def schedule(**own: Any) -> tuple[float, float]:
        found = TaskStatusSensor(task_id="wait", klap_task_id="task000000000000", **own).schedule()
        return found.interval, found.first_poll

    ids = {"export_id": "export0000000000", "project_id": "short0000001"}
    assert ExportStatusSensor(task_id="wait", **ids).schedule().interval == 15
    assert schedule() == (30, 60)
    assert schedule(poke_interval=5) == (5, 10)
    assert schedule(poke_interval=timedelta(seconds=5), first_poll=90) == (5, 90)
    assert schedule(first_poll=0) == (30, 0)
    assert schedule(mode="reschedule", deferrable=False) == (60, 120)
    connect(klap.url, poke_interval=10)
    assert schedule() == (10, 20)
    assert schedule(poke_interval=1) == (1, 2)
    assert schedule(mode="poke", deferrable=False) == (10, 20)
    assert schedule(mode="reschedule", deferrable=False) == (60, 120)
    connect(klap.url, poke_interval=10, first_poll=45)
    assert schedule() == (10, 45)
    assert schedule(poke_interval=1, first_poll=3) == (1, 3)


def test_the_schedule_of_the_sensor_holds_in_the_triggerer(klap: Sandbox, airflow: Airflow) -> None:
    klap_task_id = new_task(klap, [answer("processing", times=1)])
    task = airflow(waiting(klap_task_id, poke_interval=0.2, first_poll=0.3))
    task.run()
    kwargs = task.triggers[0][1]
    assert (kwargs["poll_interval"], kwargs["first_poll"]) == (0.2, 0.3)


def test_a_wait_survives_a_connection_that_cannot_be_read_for_a_while(
    klap: Sandbox,
    airflow: Airflow,
    supervisor: Supervisor,
    connect: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    mode: dict[str, Any],
) -> None:
    klap_task_id = new_task(klap, [])
    monkeypatch.delenv("AIRFLOW_CONN_KLAP_DEFAULT")
    supervisor.broken = (comms.GetConnection,)
    again = threading.Timer(0.3, connect, (klap.url,))
    again.start()
    task = airflow(lambda: TaskStatusSensor(task_id="wait", klap_task_id=klap_task_id, poke_interval=0.05, **mode))
    assert task.run()["klap_task_id"] == klap_task_id
    again.join()


def test_a_job_of_unknown_age_is_polled_at_once(klap: Sandbox, airflow: Airflow, mode: dict[str, Any]) -> None:
    klap_task_id = new_task(klap, [])
    task = airflow(waiting(klap_task_id, **{**mode, "poke_interval": 3600}))
    assert task.run()["klap_task_id"] == klap_task_id
    assert (task.workers, task.triggers) == (1, [])


@pytest.mark.parametrize(
    ("mode_name", "workers"), [("poke", [1]), ("deferrable", [2]), ("ended from trigger", [1]), ("reschedule", [3, 9])]
)
def test_a_wait_starts_the_workers_of_its_mode_only(
    klap: Sandbox, airflow: Airflow, mode_name: str, workers: list[int]
) -> None:
    klap_task_id = new_task(klap, [answer("processing", times=3)])
    task = airflow(waiting(klap_task_id, **MODES[mode_name]))
    task.run()
    assert workers[0] <= task.workers <= workers[-1]
    assert task.ended_from_trigger is (mode_name == "ended from trigger")


# Exports


@pytest.fixture
def new_export(klap: Sandbox, make_shorts: MakeShorts) -> Callable[..., dict[str, str]]:
    def ids(**fault: Any) -> dict[str, str]:
        short = make_shorts()[0]
        path = f"/projects/{short['folder_id']}/{short['id']}/exports"
        if fault:
            klap.fault("POST", f"^{path}$", **fault)
        export = klap.call("POST", path).json()
        return {"export_id": export["id"], "project_id": short["id"], "folder_id": short["folder_id"]}

    return ids


def test_a_wait_for_an_export_returns_its_ids_and_its_address(
    klap: Sandbox, airflow: Airflow, new_export: Callable[..., dict[str, str]], mode: dict[str, Any]
) -> None:
    ids = new_export()
    klap.fault("GET", "/exports/", "status", times=2, code=500)
    task = airflow(lambda: ExportStatusSensor(task_id="wait", poke_interval=0.05, timeout=PATIENT, **ids, **mode))
    path = f"/projects/{ids['folder_id']}/{ids['project_id']}/exports/{ids['export_id']}"
    result = task.run()
    assert result == {**ids, "src_url": klap.outcome(path)["src_url"]}
    assert result["src_url"].endswith(".mp4")


def test_a_signed_address_of_a_video_is_not_in_the_xcom(
    klap: Sandbox,
    airflow: Airflow,
    new_export: Callable[..., dict[str, str]],
    mode: dict[str, Any],
    supervisor: Supervisor,
) -> None:
    ids = new_export()
    signed = "https://storage.example.com/a.mp4?X-Goog-Signature=s3cr3t"
    body = {"id": ids["export_id"], "status": "ready", "src_url": signed}
    klap.fault("GET", "/exports/", "status", times=None, code=200, body=body)
    task = airflow(lambda: ExportStatusSensor(task_id="wait", poke_interval=0.05, timeout=PATIENT, **ids, **mode))
    assert task.run() == {**ids, "src_url": None}
    assert "s3cr3t" not in repr(supervisor.messages)


def test_an_export_of_a_project_without_a_folder_is_waited_for(
    klap: Sandbox, airflow: Airflow, mode: dict[str, Any]
) -> None:
    video = klap.call("POST", "/tasks/video-to-video", json=TALK).json()
    project_id = finished_job(klap, f"/tasks/{video['id']}")["output_id"]
    export = klap.call("POST", f"/projects/{project_id}/exports").json()
    klap.fault("GET", "/exports/", "drop")
    ids = {"export_id": export["id"], "project_id": project_id, "folder_id": None}
    task = airflow(lambda: ExportStatusSensor(task_id="wait", poke_interval=0.05, timeout=PATIENT, **ids, **mode))
    result = task.run()
    assert {name: result[name] for name in ids} == ids


def test_a_failed_export_records_its_error_with_its_project(
    klap: Sandbox, airflow: Airflow, new_export: Callable[..., dict[str, str]], mode: dict[str, Any]
) -> None:
    ids = new_export(action="job_error", error_code="render_failed", message="No luck.")
    klap.fault("GET", "/exports/", "status", code=500)
    task = airflow(lambda: ExportStatusSensor(task_id="wait", poke_interval=0.05, timeout=PATIENT, **ids, **mode))
    with pytest.raises(KlapJobFailedError, match="render_failed · No luck") as failed:
        task.run()
    assert failed.value.error_code == "render_failed"
    assert task.xcom("klap_error") == {
        "error": str(failed.value),
        "type": "KlapJobFailedError",
        "project_id": ids["project_id"],
    }


# Skipping


TIMED_OUT = Case([{"action": "stuck"}], timeout=0.2)


def test_a_timeout_is_skipped_with_soft_fail(klap: Sandbox, airflow: Airflow, mode: dict[str, Any]) -> None:
    klap_task_id = new_task(klap, TIMED_OUT.faults)
    task = airflow(waiting(klap_task_id, timeout=TIMED_OUT.timeout, soft_fail=True, **mode))
    with pytest.raises(AirflowSkipException):
        task.run()


@pytest.mark.parametrize("name", ["failed with a reason", "401"])
def test_a_failure_is_never_hidden_by_soft_fail(
    klap: Sandbox, airflow: Airflow, mode: dict[str, Any], name: str
) -> None:
    klap_task_id = new_task(klap, CASES[name].faults)
    task = airflow(waiting(klap_task_id, soft_fail=True, **mode))
    assert failure_of(task, klap_task_id) == CASES[name].failure


@pytest.mark.parametrize("case", [TIMED_OUT, CASES["failed with a reason"]], ids=["time", "error"])
def test_any_failure_is_skipped_with_never_fail(
    klap: Sandbox, airflow: Airflow, mode: dict[str, Any], case: Case
) -> None:
    klap_task_id = new_task(klap, case.faults)
    task = airflow(waiting(klap_task_id, timeout=case.timeout, never_fail=True, **mode))
    with pytest.raises(AirflowSkipException):
        task.run()


# Deadlines


@pytest.mark.parametrize("form", ["ISO 8601", "ISO 8601 with Z", "seconds", "seconds as text"])
def test_the_deadline_counts_from_the_submission(
    klap: Sandbox, airflow: Airflow, mode: dict[str, Any], form: str
) -> None:
    klap_task_id = new_task(klap, [{"action": "stuck"}])
    at = time.time() - 100
    iso = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at))
    submitted_at: Any = {
        "ISO 8601": f"{iso}.123456+00:00",
        "ISO 8601 with Z": f"{iso}Z",
        "seconds": at,
        "seconds as text": str(at),
    }[form]
    task = airflow(waiting(klap_task_id, timeout=99, submitted_at=submitted_at, **mode))
    with pytest.raises(AirflowSensorTimeout, match=r"Gave up 1\d\d s after .*\(timeout 99 s\)"):
        task.run()
    assert task.triggers == []


def test_a_deadline_may_be_later_than_the_timeout_of_the_try(
    klap: Sandbox, airflow: Airflow, mode: dict[str, Any]
) -> None:
    """The clock of the submitting machine is ahead, so the deadline is 0.8 s from now instead of 0.3 s."""
    klap_task_id = new_task(klap, [{"action": "stuck"}])
    task = airflow(waiting(klap_task_id, timeout=0.3, submitted_at=time.time() + 0.5, **mode))
    began = time.time()
    with pytest.raises(AirflowSensorTimeout, match=r"Gave up .* after the job was submitted"):
        task.run()
    assert time.time() - began >= 0.8


def test_a_timeout_that_a_cluster_policy_sets_applies(klap: Sandbox, airflow: Airflow, mode: dict[str, Any]) -> None:
    klap_task_id = new_task(klap, [{"action": "stuck"}])

    def changed() -> TaskStatusSensor:
        sensor = waiting(klap_task_id, **mode)()
        sensor.timeout = 0.3
        return sensor

    with pytest.raises(AirflowSensorTimeout, match=r"Gave up .*\(timeout 0 s\)"):
        airflow(changed).run()


def test_a_ready_job_succeeds_even_after_the_deadline(klap: Sandbox, airflow: Airflow, mode: dict[str, Any]) -> None:
    klap_task_id = new_task(klap, [])
    task = airflow(waiting(klap_task_id, timeout=10, submitted_at=time.time() - 100, **mode))
    assert task.run()["klap_task_id"] == klap_task_id


def test_the_deadline_counts_from_the_first_poll_without_submitted_at(
    klap: Sandbox, airflow: Airflow, mode: dict[str, Any]
) -> None:
    klap_task_id = new_task(klap, [{"action": "stuck"}, BAD_KEY])
    task = airflow(waiting(klap_task_id, timeout=0.6, **mode))
    with pytest.raises(KlapAuthError):
        task.run()
    first = task.store
    time.sleep(0.6)
    forget_faults(klap)
    before = len(klap.requests("GET", "^/tasks/"))
    with pytest.raises(AirflowSensorTimeout):
        task.run()
    assert task.store == first
    assert len(klap.requests("GET", "^/tasks/")) == before + 1, "after the deadline, the job is polled once"


def test_another_job_of_the_same_task_has_a_deadline_of_its_own(
    klap: Sandbox, airflow: Airflow, mode: dict[str, Any]
) -> None:
    task = airflow(waiting(new_task(klap, [BAD_KEY]), timeout=0.6, **mode))
    with pytest.raises(KlapAuthError):
        task.run()
    time.sleep(0.6)
    forget_faults(klap)
    task.make = waiting(new_task(klap, [{"action": "stuck"}]), timeout=0.6, **mode)
    before = time.monotonic()
    with pytest.raises(AirflowSensorTimeout):
        task.run()
    assert time.monotonic() - before > 0.4


@pytest.mark.parametrize("time_given", ["yesterday", "nan", "inf", -1, "1764547200000", "2199-01-01T00:00:00Z"])
def test_an_invalid_submitted_at_is_refused(
    klap: Sandbox, airflow: Airflow, mode: dict[str, Any], time_given: str
) -> None:
    task = airflow(waiting("task000000000000", submitted_at=time_given, **mode))
    with pytest.raises(KlapInputError, match=f"submitted_at is {time_given!r}"):
        task.run()
    assert klap.requests() == []


@pytest.mark.parametrize("end_from_trigger", [False, True])
def test_the_deferral_timeout_is_after_the_deadline(klap: Sandbox, airflow: Airflow, end_from_trigger: bool) -> None:
    klap_task_id = new_task(klap, [answer("processing", times=2)])
    task = airflow(waiting(klap_task_id, timeout=30, end_from_trigger=end_from_trigger))
    task.run()
    (timeout,) = task.deferral_timeouts
    (_, kwargs) = task.triggers[0]
    assert kwargs["deadline"] - kwargs["started_at"] == 30
    assert 30 < timeout <= 30 + DEFERRAL_MARGIN


def test_an_unknown_status_gets_one_grace_period_per_try(klap: Sandbox, airflow: Airflow, mode: dict[str, Any]) -> None:
    klap_task_id = new_task(klap, [answer("done")])
    task = airflow(waiting(klap_task_id, **mode))
    for _ in range(2):
        before = time.monotonic()
        failure = failure_of(task, klap_task_id)
        assert failure is not None
        assert failure[0] == "KlapUnknownStatusError"
        assert time.monotonic() - before > 0.25


# Arguments


def test_silent_fail_is_refused() -> None:
    with pytest.raises(ValueError, match="silent_fail"):
        waiting("task000000000000", silent_fail=True)()


@pytest.mark.parametrize("default", ["True", "False", None])
def test_deferrable_defaults_to_airflows_configuration(default: str | None) -> None:
    code = """
from klap_provider.operators import ListShortsOperator
from klap_provider.sensors import ExportStatusSensor, TaskStatusSensor
tasks = [
    TaskStatusSensor(task_id="task", klap_task_id="task000000000000"),
    ExportStatusSensor(task_id="export", export_id="e", project_id="p"),
    ListShortsOperator(task_id="list", folder_id="f"),
]
print([task.deferrable for task in tasks])
"""
    environ = {name: value for name, value in os.environ.items() if name != "AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE"}
    if default is not None:
        environ["AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE"] = default
    printed = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, timeout=120, check=True
    ).stdout
    assert printed.splitlines()[-1] == str([default == "True"] * 3)


@pytest.mark.parametrize("klap_task_id", ["", " ", ".."])
def test_an_invalid_id_is_refused_before_any_request(
    klap: Sandbox, airflow: Airflow, mode: dict[str, Any], klap_task_id: str
) -> None:
    with pytest.raises(KlapInputError, match="klap_task_id"):
        airflow(waiting(klap_task_id, **mode)).run()
    assert klap.requests() == []


def test_an_export_is_shown_under_the_name_of_its_short() -> None:
    sensor = ExportStatusSensor(task_id="wait", export_id="e", project_id="p", short_name="Why we sleep")
    assert sensor.map_index_template == "{{ task.shown_name }}"
    assert sensor.short_name == "Why we sleep"


@pytest.mark.parametrize("mode", MODES)
def test_a_hanging_poll_does_not_extend_a_wait(
    klap: Sandbox, airflow: Airflow, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setattr("klap_provider.operators.base.polling.LAST_POLL", 0.2)
    monkeypatch.setattr("klap_provider.triggers.status.LAST_POLL", 0.2)
    klap_task_id = new_task(klap, [{"action": "delay", "seconds": 20, "times": None}])
    wait = {"klap_task_id": klap_task_id, "poke_interval": 0.05, "timeout": 0.5, **MODES[mode]}
    with pytest.raises(AirflowSensorTimeout, match=r"no response from .* within"):
        airflow(lambda: TaskStatusSensor(task_id="wait", **wait)).run()


@pytest.mark.parametrize("soft_fail", [False, True])
@pytest.mark.parametrize("error", ["Trigger failure", "Trigger timeout"])
def test_a_failure_of_the_triggerer_is_not_a_failure_of_the_job(
    klap: Sandbox, airflow: Airflow, soft_fail: bool, error: str
) -> None:
    unfinished = new_task(klap, [], seconds=60)
    task = airflow(lambda: TaskStatusSensor(task_id="wait", klap_task_id=unfinished, soft_fail=soft_fail))
    with pytest.raises(KlapWaitError, match=f"could not wait for task {unfinished} .{error}") as failure:
        task.resume_stranded(error)
    assert failure.value.transient
    assert task.xcom("klap_error")["type"] == "KlapWaitError"


def test_a_ready_job_succeeds_after_a_failure_of_the_triggerer(klap: Sandbox, airflow: Airflow) -> None:
    klap_task_id = new_task(klap, [])
    klap.outcome(f"/tasks/{klap_task_id}")
    task = airflow(lambda: TaskStatusSensor(task_id="wait", klap_task_id=klap_task_id))
    assert task.resume_stranded()["klap_task_id"] == klap_task_id


# When the triggerer cannot reach Klap


def test_a_wait_continues_if_only_workers_reach_klap(
    klap: Sandbox, airflow: Airflow, connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    klap_task_id = new_task(klap, [], seconds=2.5)
    task = airflow(waiting(klap_task_id, end_from_trigger=True))
    in_the_triggerer = task._in_the_triggerer

    def cut_off(deferral: Any) -> Any:
        with monkeypatch.context() as triggerer:
            triggerer.setenv("AIRFLOW_CONN_KLAP_DEFAULT", NOWHERE)
            return in_the_triggerer(deferral)

    task._in_the_triggerer = cut_off  # type: ignore[method-assign]  # another machine, with another network
    assert task.run()["klap_task_id"] == klap_task_id
    handovers = [kwargs["handovers"] for _, kwargs in task.triggers]
    assert handovers == [0, 1, 2, 3][: len(handovers)]
    assert 3 <= task.workers <= 5  # of 50 polls


def test_a_wait_without_access_to_klap_ends_at_its_deadline(
    klap: Sandbox, airflow: Airflow, connect: Callable[..., None]
) -> None:
    connect("http://127.0.0.1:9/v2")
    began = time.time()
    task = airflow(waiting("task000000000000", timeout=1.5))
    with pytest.raises(AirflowSensorTimeout, match="cannot be reached"):
        task.run()
    assert time.time() - began > 1.4
    assert task.workers <= 5


@pytest.mark.parametrize(
    "needs",
    [
        {"outlets": [Asset("of_the_author")]},
        {"on_success_callback": print},
        {"post_execute": print},
        {"do_xcom_push": False},
        {"multiple_outputs": True},
    ],
    ids=lambda needs: next(iter(needs)),
)
def test_a_task_whose_end_needs_a_worker_does_not_end_in_the_triggerer(
    klap: Sandbox, airflow: Airflow, needs: dict[str, Any]
) -> None:
    klap_task_id = new_task(klap, [answer("processing", times=2)])
    task = airflow(waiting(klap_task_id, end_from_trigger=True, **needs))
    task.run()
    assert not task.ended_from_trigger
    assert task.workers == 2


def test_a_task_that_is_mapped_over_does_not_end_in_the_triggerer(klap: Sandbox, airflow: Airflow) -> None:
    klap_task_id = new_task(klap, [answer("processing", times=2)])

    def wait() -> TaskStatusSensor:
        sensor = waiting(klap_task_id, end_from_trigger=True)()
        BaseOperator.partial(task_id="mapped").expand(doc=sensor.output)
        return sensor

    task = airflow(wait)
    task.run()
    assert not task.ended_from_trigger
