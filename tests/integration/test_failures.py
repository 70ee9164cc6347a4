"""The state of a failed try in Airflow's task runner, and the reason that it leaves."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk.execution_time import comms

from klap_provider.operators import DeliverShortOperator, ListShortsOperator, VideoRunOperator
from klap_provider.sensors import ExportStatusSensor, TaskStatusSensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk import BaseOperator

    from tests.support.airflow_context import Played, Supervisor
    from tests.support.sandbox import Sandbox

    Airflow = Callable[..., Played]
    MakeShorts = Callable[..., list[dict[str, Any]]]

MODES: dict[str, dict[str, Any]] = {
    "poke": {"mode": "poke", "deferrable": False},
    "reschedule": {"mode": "reschedule", "deferrable": False},
    "deferrable": {},
    "ended from trigger": {"end_from_trigger": True},
}
TALK = {"source_video_url": "https://example.com/talk.mp4"}

#: Klap's responses to the polls of a job, and the expected error of the task.
FINAL = {
    "error": ({"action": "job_error", "error_code": "no_speech", "message": "Nobody speaks."}, "KlapJobFailedError"),
    "401": ({"action": "status", "code": 401, "body": {"message": "no"}, "times": None}, "KlapAuthError"),
    "402": ({"action": "status", "code": 402, "body": {"message": "no"}, "times": None}, "KlapCreditsError"),
    "404": ({"action": "status", "code": 404, "body": {"message": "no"}, "times": None}, "KlapNotFoundError"),
    "422": ({"action": "status", "code": 422, "body": {"message": "no"}, "times": None}, "KlapRejectedError"),
}


@pytest.mark.parametrize("kind", ["task", "export"])
@pytest.mark.parametrize("late", [False, True], ids=["at the first poll", "on resume"])
@pytest.mark.parametrize(("fault", "error"), FINAL.values(), ids=FINAL)
@pytest.mark.parametrize("mode", MODES)
def test_a_final_failure_at_klap_is_final_for_airflow_and_leaves_its_error(
    klap: Sandbox,
    airflow: Airflow,
    make_shorts: MakeShorts,
    kind: str,
    late: bool,
    fault: dict[str, Any],
    error: str,
    mode: str,
) -> None:
    wait = {"poke_interval": 0.05, "timeout": 20, "retries": 3, **MODES[mode]}
    sensor: Callable[[], BaseOperator]
    if kind == "task":
        klap_task_id = klap.call("POST", "/tasks/video-to-shorts", json=TALK).json()["id"]
        path = f"^/tasks/{klap_task_id}$"
        sensor = partial(TaskStatusSensor, task_id="wait", klap_task_id=klap_task_id, **wait)
    else:
        (short,) = make_shorts()
        export = klap.call("POST", f"/projects/{short['folder_id']}/{short['id']}/exports").json()
        path = f"/exports/{export['id']}$"
        ids = {"export_id": export["id"], "project_id": short["id"], "folder_id": short["folder_id"]}
        sensor = partial(ExportStatusSensor, task_id="wait", **ids, **wait)
    if late:
        body = {"id": klap_task_id if kind == "task" else export["id"], "status": "processing"}
        klap.fault("GET", path, "status", times=1, code=200, body=body)
    klap.fault("GET", path, **fault)
    task = airflow(sensor)
    assert task.end() == "failed"
    assert task.xcom("klap_error")["type"] == error
    assert task.tries == 1


@pytest.mark.parametrize("mode", MODES)
def test_a_transient_error_is_still_retried(klap: Sandbox, airflow: Airflow, mode: str) -> None:
    if mode != "poke":
        klap.fault("GET", "^/projects/", "status", times=None, code=503)
    else:
        klap.fault("GET", "^/projects/", "html", times=None)
    task = airflow(lambda: ListShortsOperator(task_id="list", folder_id="f", list_timeout=0.1, retries=3))
    assert task.end() == "up_for_retry"
    assert task.xcom("klap_error")


# Before execute


WAIT_XCOM = "{{ ti.xcom_pull('wait_for_shorts').output_id }}"


def lister(*, upstream: tuple[str, ...] = ("submit", "wait_for_shorts"), **fields: Any) -> Callable[[], BaseOperator]:
    def make() -> BaseOperator:
        operator = ListShortsOperator(task_id="list", retries=3, **{"folder_id": WAIT_XCOM, **fields})
        operator << [EmptyOperator(task_id=task_id) for task_id in upstream]
        return operator

    return make


@pytest.mark.parametrize(
    ("fields", "pattern"),
    [
        ({}, r"folder_id needs the result of the task 'wait_for_shorts', which has none \(UndefinedError"),
        (
            {"folder_id": "f", "submissions": "{{ ti.xcom_pull('submit').paid }}"},
            r"submissions needs the result of the task 'submit'",
        ),
        ({"folder_id": "{{ nothing.at.all }}"}, r"folder_id could not be rendered \(UndefinedError"),
        ({"folder_id": "{{ broken"}, r"folder_id could not be rendered \(TemplateSyntaxError"),
        ({"folder_id": "{{ 1 / 0 }}"}, r"folder_id could not be rendered \(ZeroDivisionError"),
    ],
    ids=["a wait marked as success", "a submission marked as success", "an unknown name", "syntax", "an expression"],
)
def test_a_field_that_cannot_be_rendered_fails_without_retries(
    klap: Sandbox, airflow: Airflow, fields: dict[str, Any], pattern: str
) -> None:
    import re

    task = airflow(lister(**fields))
    assert task.end() == "failed"
    reason = task.xcom("klap_error")
    assert reason["type"] == "KlapTemplateError"
    assert re.search(pattern, reason["error"])
    assert "Clear that task" in reason["error"] or "clear this task" in reason["error"]
    assert klap.requests() == []


def test_a_missing_xcom_key_is_an_error_with_the_fix(supervisor: Supervisor, airflow: Airflow) -> None:
    supervisor.put_xcom("wait", {"output_id": "folder"})
    task = airflow(
        lambda: ListShortsOperator(task_id="list", folder_id=EmptyOperator(task_id="wait").output["output_id"])
    )
    assert task.end() == "failed"
    error = task.xcom("klap_error")["error"]
    assert "folder_id needs the XCom 'output_id' of the task 'wait', which has none" in error
    assert "multiple_outputs=True" in error


def test_the_error_names_a_task_that_should_be_upstream(airflow: Airflow) -> None:
    task = airflow(lister(upstream=("submit",)))
    assert task.end() == "failed"
    error = task.xcom("klap_error")["error"]
    assert "the task 'wait_for_shorts', which is not upstream of this task and may not have run" in error
    assert "Make it upstream in the Dag file, and clear this task" in error


def test_a_params_template_is_not_rendered_to_find_the_failing_field(airflow: Airflow, klap: Sandbox) -> None:
    task = airflow(
        lambda: DeliverShortOperator(
            task_id="deliver",
            project_id="p",
            export_id="{{ params.id }}",
            short_name="{{ nothing.at.all }}",
        )
    )
    task.params = {"id": "{{ evil.at.all }}"}
    assert task.end() == "failed"
    assert "short_name could not be rendered" in task.xcom("klap_error")["error"]
    assert "evil" not in task.xcom("klap_error")["error"]
    assert task.xcom("klap_error")["project_id"] == "p"


def test_a_failure_of_airflows_api_before_a_task_is_retried(
    airflow: Airflow, klap: Sandbox, supervisor: Supervisor
) -> None:
    supervisor.broken = (comms.GetXCom, comms.GetXComSequenceSlice)
    assert airflow(lister()).end() == "up_for_retry"


def test_a_mapped_task_whose_list_was_deleted_fails_without_retries(
    airflow: Airflow, klap: Sandbox, supervisor: Supervisor
) -> None:
    from klap_provider.operators.retry_policy import KlapRetryPolicy

    def mapped() -> BaseOperator:
        before = ListShortsOperator(task_id="read_list", folder_id="f")
        made: Any = VideoRunOperator.partial(
            task_id="video", trigger_dag_id="d", retries=3, retry_policy=KlapRetryPolicy()
        ).expand_kwargs(before.output)
        return made

    task = airflow(mapped, map_index=0)
    assert task.end() == "failed"
    assert "mapped over could not be read" in task.xcom("klap_error")["error"]
    assert task.xcom("klap_error")["type"] == "KlapTemplateError"


# After execute


class Unstorable:
    """A class that cannot be serialized into an XCom."""


class Lister(ListShortsOperator):
    """Succeeds, and returns a value that cannot be stored."""

    def resume_execution(self, *_: Any) -> Any:
        """Not used."""

    def _list(self, *_: Any, **__: Any) -> Any:
        return Unstorable()


def test_a_result_that_cannot_be_stored_fails_without_retries(airflow: Airflow, klap: Sandbox) -> None:
    task = airflow(lambda: Lister(task_id="list", folder_id="f", retries=3))
    assert task.end() == "failed"
    reason = task.xcom("klap_error")
    assert reason["type"] == "KlapResultError"
    assert "could not store its result" in reason["error"]
    assert "clear this task" in reason["error"]


@pytest.mark.parametrize("mode", ["poke", "deferrable"])
def test_a_failing_xcom_backend_fails_without_retries_and_is_logged(
    airflow: Airflow, klap: Sandbox, supervisor: Supervisor, mode: str, caplog: Any
) -> None:
    klap_task_id = klap.call("POST", "/tasks/video-to-shorts", json=TALK).json()["id"]
    klap.outcome(f"/tasks/{klap_task_id}")
    supervisor.broken = (comms.SetXCom,)
    task = airflow(lambda: TaskStatusSensor(task_id="wait", klap_task_id=klap_task_id, retries=3, **MODES[mode]))
    assert task.end() == "failed"
    assert "could not store its result" in caplog.text
