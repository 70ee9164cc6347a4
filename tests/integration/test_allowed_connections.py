"""Which Klap connections a run may use."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG

from klap_generate_shorts import klap_generate_shorts
from klap_provider.errors import KlapInputError
from klap_provider.operators import (
    ExportShortOperator,
    GenerateShortsOperator,
    ListShortsOperator,
    PublishShortsOperator,
    ReadVideoListOperator,
    SubmitShortsOperator,
    SubmitVideoOperator,
)
from klap_provider.operators.retry_policy import KlapRetryPolicy
from klap_provider.sensors import ExportStatusSensor, TaskStatusSensor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.airflow_context import Played, Supervisor
    from tests.support.sandbox import Sandbox

    Airflow = Callable[..., Played]

TALK = "https://example.com/talk.mp4"
OF_RUN = "{{ params.klap_conn_id }}"
REFUSED = "klap_conn_id is 'klap_studio', which is not on the allowlist. Nothing was sent to Klap"

#: The arguments of each operator besides its connection.
TASKS: dict[type[Any], dict[str, Any]] = {
    SubmitShortsOperator: {"source_video_url": TALK, "destination": "/nowhere/that/can/be/written"},
    SubmitVideoOperator: {"source_video_url": TALK, "klap_task_id": "task000000000000"},
    GenerateShortsOperator: {"source_video_url": TALK},
    ListShortsOperator: {"folder_id": "f"},
    ExportShortOperator: {"project_id": "p"},
    TaskStatusSensor: {"klap_task_id": "task000000000000"},
    ExportStatusSensor: {"export_id": "e", "project_id": "p"},
}


@pytest.fixture(autouse=True)
def studio(klap: Sandbox, connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """A second connection, to the same sandbox."""
    connect(klap.url, poke_interval=0.05, first_poll=0.05)
    monkeypatch.setenv("AIRFLOW_CONN_KLAP_STUDIO", os.environ["AIRFLOW_CONN_KLAP_DEFAULT"])
    monkeypatch.delenv("AIRFLOW__KLAP__ALLOWED_CONNECTIONS", raising=False)


@pytest.fixture
def play(airflow: Airflow) -> Callable[..., Played]:
    """Make a task whose run names a connection."""

    def task(kind: type[Any], klap_conn_id: str = "klap_studio", **given: Any) -> Played:
        more = {"klap_conn_id": OF_RUN, **TASKS[kind], **given}
        return airflow(lambda: kind(task_id="task", params={"klap_conn_id": klap_conn_id}, **more))

    return task


@pytest.mark.parametrize("deferrable", [True, False])
@pytest.mark.parametrize("kind", TASKS)
def test_a_connection_that_only_the_run_names_is_not_used(
    klap: Sandbox, play: Callable[..., Played], kind: type[Any], deferrable: bool
) -> None:
    given: dict[str, Any] = {"deferrable": deferrable}
    if issubclass(kind, TaskStatusSensor | ExportStatusSensor):
        given |= {"submitted_at": "{{ macros.time.time() }}", "timeout": 30}  # defers without a poll
    task = play(kind, **given)
    with pytest.raises(KlapInputError) as refused:
        task.run()
    assert str(refused.value).startswith(REFUSED)
    assert KlapRetryPolicy().evaluate(refused.value, 1, 3).action.value == "fail"
    assert klap.requests() == []
    assert task.triggers == []


@pytest.mark.parametrize("kind", [SubmitShortsOperator, GenerateShortsOperator])
@pytest.mark.parametrize("where", ["Dag file", "configuration"])
def test_a_connection_on_an_allowlist_is_used(
    klap: Sandbox,
    play: Callable[..., Played],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[Any],
    where: str,
) -> None:
    allowed = ["klap_team", "klap_studio"] if where == "Dag file" else None
    if allowed is None:
        monkeypatch.setenv("AIRFLOW__KLAP__ALLOWED_CONNECTIONS", "klap_team, klap_studio")
    limits = {"limit": 1} if kind is GenerateShortsOperator else {}
    given = {"destination": str(tmp_path), "max_clip_count": 1, "deferrable": True, **limits}
    assert play(kind, allowed_connections=allowed, **given).run()
    assert klap.ledger()
    with pytest.raises(KlapInputError, match="klap_conn_id is 'klap_default'"):
        play(kind, "klap_default", allowed_connections=allowed, **given).run()


def test_a_connection_in_the_dag_file_needs_no_allowlist(klap: Sandbox, airflow: Airflow, tmp_path: Path) -> None:
    for index, given in enumerate(({}, {"klap_conn_id": "klap_studio"})):
        more = {"source_video_url": f"{TALK}?{index}", "destination": str(tmp_path), "allowed_connections": [], **given}
        task = airflow(lambda index=index, more=more: SubmitShortsOperator(task_id=f"submit_{index}", **more))
        assert task.run()["paid"] == 1


@pytest.mark.parametrize(
    ("constant", "mapped", "is_allowed"),
    [
        ({}, {}, True),
        ({"klap_conn_id": "klap_studio"}, {}, True),
        ({}, {"klap_conn_id": "klap_default"}, True),
        ({}, {"klap_conn_id": "klap_studio"}, False),
        ({"allowed_connections": ["klap_studio"]}, {"klap_conn_id": "klap_studio"}, True),
    ],
    ids=str,
)
def test_a_mapped_task_uses_the_connection_of_partial(
    constant: dict[str, Any], mapped: dict[str, Any], is_allowed: bool
) -> None:
    with DAG("mapped", schedule=None):
        task = SubmitShortsOperator.partial(task_id="submit", **constant).expand_kwargs([{"source_video_url": TALK}])
    one = task.unmap({"source_video_url": TALK, **mapped})
    if is_allowed:
        assert one.checked_conn_id() == one.klap_conn_id == {**constant, **mapped}.get("klap_conn_id", "klap_default")
    else:
        with pytest.raises(KlapInputError):
            one.checked_conn_id()


def test_a_mapped_task_uses_the_connection_of_default_args() -> None:
    for default_args in ({"klap_conn_id": "klap_studio"}, {"allowed_connections": ["klap_studio"]}):
        with DAG("mapped", schedule=None, default_args=default_args):
            task = SubmitShortsOperator.partial(task_id="submit").expand_kwargs([{"source_video_url": TALK}])
        assert task.unmap({"source_video_url": TALK, "klap_conn_id": "klap_studio"}).checked_conn_id()


def test_publish_reports_the_failed_submission_without_a_connection(
    klap: Sandbox, airflow: Airflow, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    from klap_provider.errors import KlapIncompleteError

    def publish() -> PublishShortsOperator:
        publish = PublishShortsOperator(
            task_id="publish",
            params={"klap_conn_id": "klap_studio"},
            klap_conn_id=OF_RUN,
            steps=["export", "wait", "deliver"],
            shorts=[],
            source_video_url=TALK,
            submissions=0,
            trigger_rule="all_done",
        )
        publish.upstream_task_ids.add("submit")
        return publish

    supervisor.states["submit"] = "failed"
    supervisor.put_xcom("submit", {"error": REFUSED, "type": "KlapInputError", "project_id": None}, key="klap_error")
    with pytest.raises(KlapIncompleteError, match=REFUSED):
        airflow(publish).run()
    assert not [message for message in supervisor.messages if "GetConnection" in message]


@pytest.fixture
def read(airflow: Airflow) -> Callable[..., Played]:
    """Make the task that reads a list."""

    def task(**given: Any) -> Played:
        params = klap_generate_shorts().params
        form = {name: params.get_param(name) for name in params}
        return airflow(
            lambda: ReadVideoListOperator(
                task_id="read_list", form=form, trigger_dag_id="klap_generate_shorts", **given
            )
        )

    return task


def test_a_batch_uses_no_connection_that_only_its_run_or_list_names(
    klap: Sandbox, read: Callable[..., Played], tmp_path: Path
) -> None:
    of_run = {"klap_conn_id": OF_RUN}, {"klap_conn_id": "klap_studio"}
    with pytest.raises(KlapInputError, match=REFUSED):
        read(source_video_urls=[TALK], settings=of_run[0], params=of_run[1]).run()
    (tmp_path / "videos.csv").write_text(f"url,klap_conn_id\n{TALK},klap_studio\n")
    listed = {"list_path": str(tmp_path / "videos.csv")}
    with pytest.raises(KlapInputError, match="Line 2: klap_conn_id is not on the allowlist or cannot be used"):
        read(**listed).run()
    for allowed in (
        {"settings": of_run[0], "params": of_run[1], "allowed_connections": ["klap_studio"]},
        {"settings": {"klap_conn_id": "klap_studio"}},  # a constant in the Dag file
        {"settings": of_run[0], "params": {"klap_conn_id": "klap_default"}},  # the default of the form
    ):
        assert len(read(source_video_urls=[TALK], **allowed).run()) == 1
    assert len(read(**listed, allowed_connections=["klap_studio"]).run()) == 1
