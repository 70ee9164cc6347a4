"""XComs that an XCom backend has lost: the backend returns the path of the file instead of the value."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.standard.operators.empty import EmptyOperator

from klap_provider.errors import KlapTemplateError
from klap_provider.operators import PublishShortsOperator, SummarizeVideosOperator
from klap_provider.sensors import TaskStatusSensor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from klap_provider.operators.base import KlapOperator
    from tests.support.airflow_context import Played, Supervisor

    Airflow = Callable[..., Played]

STEPS = ["short.export", "short.wait_for_export", "short.deliver"]


def lost(task_id: str) -> str:
    """Return what Airflow's ``XComObjectStorageBackend`` returns for a file that is not there."""
    return f"s3://media/xcoms/videos/monday/{task_id}/0f6d1c1e-5b1c-4a0c-9d0e-0c8f9a1d2b3c"


@pytest.mark.parametrize("task_id", [*STEPS, "select_shorts"])
def test_a_run_with_lost_results_names_them_and_the_action(
    airflow: Airflow, supervisor: Supervisor, tmp_path: Path, task_id: str
) -> None:
    def publish() -> PublishShortsOperator:
        operator = PublishShortsOperator(
            task_id="publish",
            steps=STEPS,
            shorts=[{"project_id": "project0", "short_name": "Why we sleep"}],  # type: ignore[typeddict-item]  # enough
            source_video_url="https://example.com/talk.mp4",
            klap_task_id="task000000000000",
            submissions=1,
            list_task_id="select_shorts",
            destination=str(tmp_path),
        )
        EmptyOperator(task_id=STEPS[-1]) >> operator
        return operator

    index = 0 if task_id in STEPS else -1
    for key in ("return_value", "klap_shorts", "klap_error"):
        supervisor.put_xcom(task_id, lost(task_id), key, map_index=index)
    with pytest.raises(KlapTemplateError, match=rf"{task_id}.*cannot be read.*xcoms.*clear that task") as failed:
        airflow(publish).run()
    assert not failed.value.transient
    assert supervisor.xcom("publish", "klap_error")["type"] == "KlapTemplateError"


def test_a_batch_with_a_lost_list_is_an_error(airflow: Airflow, supervisor: Supervisor) -> None:
    supervisor.put_xcom("read_list", lost("read_list"))
    task = airflow(
        lambda: SummarizeVideosOperator(
            task_id="summarize", list_task_id="read_list", video_task_id="run_video", trigger_dag_id="videos"
        )
    )
    with pytest.raises(KlapTemplateError, match="'read_list' cannot be read"):
        task.run()


@pytest.mark.parametrize(
    ("result", "problem"),
    [
        (lost("submit"), "the result of the task 'submit' cannot be read.*XCom backend returns"),
        ("a text of another kind", "klap_task_id could not be rendered"),
    ],
)
def test_a_field_with_a_lost_result_is_named(
    airflow: Airflow, supervisor: Supervisor, result: Any, problem: str
) -> None:
    def wait() -> KlapOperator:
        return TaskStatusSensor(task_id="wait", klap_task_id="{{ ti.xcom_pull('submit').klap_task_id }}")

    supervisor.put_xcom("submit", result)
    task = airflow(wait)
    assert task.end() == "failed"
    failure = supervisor.xcom("wait", "klap_error")
    assert failure["type"] == "KlapTemplateError"
    assert re.search(problem, failure["error"])
