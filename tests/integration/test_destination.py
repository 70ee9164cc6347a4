"""The destination: of the run, of the connection, or in Airflow's home. Never a folder of only one worker."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import TaskGroup, XComArg

from klap_provider.airflow_internals.tasks import runs_on_one_machine
from klap_provider.errors import KlapConfigError, KlapInputError, KlapStorageError
from klap_provider.files.destination import resolve_destination
from klap_provider.operators import (
    DeliverShortOperator,
    PublishShortsOperator,
    SubmitShortsOperator,
    SubmitVideoOperator,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk import DAG

    from tests.support.airflow_context import Played, Supervisor
    from tests.support.sandbox import Sandbox

    Airflow = Callable[..., Played]
    Connect = Callable[..., None]

TALK = "https://example.com/talk.mp4"
LOCAL = [
    "LocalExecutor",
    " LocalExecutor ,",
    "mine:LocalExecutor",
    "airflow.executors.local_executor.LocalExecutor",
    "mine:airflow.executors.local_executor.LocalExecutor",
    "LocalExecutor;team_a=LocalExecutor",
    f"{__name__}.OurLocalExecutor",
]
SEVERAL = [
    "CeleryExecutor",
    "KubernetesExecutor",
    "LocalExecutor,CeleryExecutor",
    "CeleryExecutor,LocalExecutor",
    "LocalExecutor;team_a=CeleryExecutor",
    "LocalExecutor,edge:airflow.providers.edge3.executors.EdgeExecutor",
    "airflow.providers.celery.executors.celery_executor.CeleryExecutor",
    "airflow.executors.base_executor.BaseExecutor",
    "no.such.module.LocalExecutor",
    f"{__name__}.NoSuchExecutor",
]


class OurLocalExecutor:
    """A custom executor, as far as the package reads it."""

    is_local = True


@pytest.fixture
def several_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")


@pytest.fixture
def submit(airflow: Airflow) -> Callable[..., Played]:
    """Make a submit task: of a custom Dag with these downstream tasks, or with the fields of a form."""

    def task(*following: Callable[[], Any], **fields: Any) -> Played:
        def make() -> SubmitShortsOperator:
            operator = SubmitShortsOperator(task_id="submit", source_video_url=TALK, **fields)
            operator >> EmptyOperator(task_id="between") >> [follow() for follow in following]
            return operator

        return airflow(make)

    return task


#: An empty field of the trigger form. Only the rendered template shows that it is empty.
EMPTY_FIELD = {"destination": "{{ '' }}"}


def delivery(**fields: Any) -> Callable[[], DeliverShortOperator]:
    return lambda: DeliverShortOperator(task_id="deliver", export_id="e", project_id="p", **fields)


def mapped_delivery(*args: Any, by: str = "expand", destination: str | None = None, **fields: Any) -> Any:
    """Map a delivery with ``expand`` or ``expand_kwargs``."""
    given = {} if destination is None else {"destination": destination}
    return lambda: getattr(DeliverShortOperator.partial(task_id="deliver", project_id="p", **given), by)(
        *args, **fields
    )


def mapped_delivery_in_group() -> TaskGroup:
    with TaskGroup("group", default_args={"destination": "/data/shorts"}) as group:
        mapped_delivery(export_id=["e"])()
    return group


#: Arguments to map a delivery over.
EACH = {"export_id": ["e"], "destination": ["/data/shorts"]}


def home_folder() -> str:
    return f"{os.environ['AIRFLOW_HOME']}/klap_shorts"


# Which executors keep all tasks on one machine


@pytest.mark.parametrize("executor", LOCAL)
def test_a_local_executor_runs_on_one_machine_however_it_is_named(
    executor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", executor)
    assert runs_on_one_machine()


@pytest.mark.parametrize("executor", SEVERAL)
def test_other_executors_do_not_run_on_one_machine(executor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", executor)
    assert not runs_on_one_machine()


@pytest.mark.parametrize("name", ["AIRFLOW_IS_K8S_EXECUTOR_POD", "AIRFLOW_IS_EXECUTOR_CONTAINER"])
def test_a_pod_with_a_local_executor_does_not_run_on_one_machine(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")
    monkeypatch.setenv(name, "True")
    assert not runs_on_one_machine()


# Resolve a destination


@pytest.mark.parametrize("nothing", [None, ""])
def test_the_default_destination_is_in_airflows_home(nothing: str | None) -> None:
    assert resolve_destination(nothing, klap_conn_id="klap_default") == home_folder()


@pytest.mark.usefixtures("several_machines")
def test_an_empty_destination_on_several_machines_is_an_error() -> None:
    with pytest.raises(KlapInputError) as refused:
        resolve_destination(None, klap_conn_id="klap_team")
    for part in ("destination is empty", "s3://", "connection 'klap_team'", "Extra", "all workers share"):
        assert part in str(refused.value)


@pytest.mark.parametrize("path", ["/data/shorts", "file:///data/shorts", "FILE:///data/shorts", "local:///data/shorts"])
def test_a_local_path_is_used_with_a_warning_on_several_machines(
    path: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert resolve_destination(path, klap_conn_id="klap_default") == path
    assert caplog.records == []
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    assert resolve_destination(path, klap_conn_id="klap_default") == path
    (warning,) = caplog.records
    assert warning.levelno == logging.WARNING
    assert path in warning.getMessage()
    assert "share" in warning.getMessage()


@pytest.mark.usefixtures("several_machines")
def test_object_storage_is_used_without_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    assert resolve_destination("s3://aws@bucket/shorts", klap_conn_id="klap_default") == "s3://aws@bucket/shorts"
    assert caplog.records == []


# Submit


def test_a_destination_comes_from_the_run_the_connection_or_airflows_home(
    klap: Sandbox, submit: Callable[..., Played], connect: Connect, tmp_path: Path
) -> None:
    assert submit(**EMPTY_FIELD).run()["destination"] == home_folder()
    connect(klap.url, destination=f"{tmp_path}/team")
    assert submit(**EMPTY_FIELD).run()["destination"] == f"{tmp_path}/team"
    assert submit(destination=f"{tmp_path}/own").run()["destination"] == f"{tmp_path}/own"


def test_the_destination_of_the_connection_is_checked_before_the_post(
    klap: Sandbox, submit: Callable[..., Played], connect: Connect, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    connect(klap.url, destination=f"{tmp_path}/file/shorts")
    with pytest.raises(KlapStorageError, match="destination"):
        submit(**EMPTY_FIELD).run()
    assert klap.requests() == []


def test_a_clear_uses_the_new_destination_and_pays_nothing(
    klap: Sandbox, submit: Callable[..., Played], connect: Connect, tmp_path: Path
) -> None:
    connect(klap.url, destination=f"{tmp_path}/old")
    task = submit(**EMPTY_FIELD)
    first = task.run()
    connect(klap.url, destination=f"{tmp_path}/new")
    task.clear()
    assert task.run() == {**first, "destination": f"{tmp_path}/new"}
    assert len(klap.ledger()) == 1


def test_a_submission_with_a_given_task_resolves_the_destination(
    klap: Sandbox, airflow: Airflow, connect: Connect, tmp_path: Path
) -> None:
    made = klap.call("POST", "/tasks/video-to-video", json={"source_video_url": TALK}).json()["id"]
    connect(klap.url, destination=str(tmp_path))
    given = {"source_video_url": TALK, "klap_task_id": made, **EMPTY_FIELD}
    result = airflow(lambda: SubmitVideoOperator(task_id="submit", **given)).run()
    assert result == {**result, "klap_task_id": made, "paid": 0, "destination": str(tmp_path)}


@pytest.mark.usefixtures("several_machines")
@pytest.mark.parametrize("given", [EMPTY_FIELD, {**EMPTY_FIELD, "klap_task_id": "task000000000000"}])
def test_a_run_without_a_destination_on_several_machines_is_refused(
    klap: Sandbox, submit: Callable[..., Played], given: dict[str, Any]
) -> None:
    with pytest.raises(KlapInputError, match=r"^destination is empty"):
        submit(**given).run()
    assert klap.requests() == []


@pytest.mark.usefixtures("several_machines")
@pytest.mark.parametrize(
    "following",
    [
        delivery(),
        mapped_delivery(export_id=["e"]),
        mapped_delivery([{"export_id": "e", "destination": "/data"}, {"export_id": "f"}], by="expand_kwargs"),
        lambda: DeliverShortOperator.partial(task_id="deliver").expand_kwargs(XComArg(EmptyOperator(task_id="ready"))),
    ],
    ids=["a delivery", "a mapped one", "a mapped one with a list", "a mapped one with the result of a task"],
)
def test_a_delivery_without_a_destination_is_refused_at_the_submission(
    klap: Sandbox,
    submit: Callable[..., Played],
    connect: Connect,
    tmp_path: Path,
    following: Callable[[], Any],
) -> None:
    task = submit(following)
    with pytest.raises(KlapInputError, match=r"^destination is empty"):
        task.run()
    assert klap.requests() == []
    connect(klap.url, destination=str(tmp_path))
    assert task.run()["destination"] == str(tmp_path)


@pytest.mark.usefixtures("several_machines")
@pytest.mark.parametrize(
    "following",
    [
        [],
        [delivery(destination="/data/shorts")],
        [delivery(destination="{{ var.value.shorts }}")],
        [mapped_delivery(export_id=["e"], destination="/data/shorts")],
        [mapped_delivery_in_group],
        [lambda: DeliverShortOperator.partial(task_id="deliver", project_id="p").expand(**EACH)],
        [mapped_delivery([{"export_id": "e", "destination": "/data/shorts"}], by="expand_kwargs")],
    ],
    ids=[
        "nothing that delivers",
        "a delivery with its own",
        "a delivery with a template",
        "a mapped one with its own",
        "a mapped one whose group has one in default_args",
        "one mapped over destinations",
        "one mapped over a list of destinations",
    ],
)
def test_a_submission_needs_no_destination_if_its_deliveries_have_one(
    klap: Sandbox, submit: Callable[..., Played], following: list[Callable[[], Any]]
) -> None:
    assert submit(*following).run()["destination"] is None
    assert len(klap.ledger()) == 1


# A run keeps the destination of its submission


@pytest.mark.parametrize(("dag_id", "group"), [("klap_generate_shorts", "short"), ("klap_caption_video", "video")])
def test_deliveries_and_manifest_use_the_destination_of_the_submission(
    dag_id: str, group: str, supervisor: Supervisor
) -> None:
    from importlib import import_module

    from jinja2 import Template

    dag: DAG = getattr(import_module(dag_id), dag_id)()

    class Ti:
        @staticmethod
        def xcom_pull(task_id: str, **_: Any) -> Any:
            return supervisor.xcom(task_id)

    templates = {dag.task_dict[task_id].destination for task_id in (f"{group}.deliver", "publish")}
    (template,) = templates
    supervisor.put_xcom("submit", {"klap_task_id": "t", "destination": "s3://media/shorts"})
    assert Template(template).render(ti=Ti) == "s3://media/shorts"
    supervisor.put_xcom("submit", None)
    assert Template(template).render(ti=Ti) == ""


def rendered(task_id: str, of: type, **fields: Any) -> Callable[[], Any]:
    """Make a task with a template of the recorded destination."""
    destination = "{{ (ti.xcom_pull('submit') or {}).get('destination') or '' }}"
    return lambda: of(task_id=task_id, destination=destination, submit_task_id="submit", **fields)


@pytest.mark.parametrize("today", ["another", "none", "unreadable"])
@pytest.mark.parametrize("recorded", ["of the connection", "of an allowlist that was longer"])
def test_the_recorded_destination_is_used_whatever_changes_later(
    klap: Sandbox,
    airflow: Airflow,
    connect: Connect,
    supervisor: Supervisor,
    export: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    today: str,
    recorded: str,
) -> None:
    (tmp_path / "paid").mkdir()
    supervisor.put_xcom("submit", {"klap_task_id": "task01", "destination": f"{tmp_path}/paid"})
    connect(klap.url, **({"destination": f"{tmp_path}/new"} if today == "another" else {}))
    allowed = {"allowed_destinations": ["s3://media/shorts"]} if recorded == "of an allowlist that was longer" else {}

    delivered = airflow(rendered("deliver", DeliverShortOperator, **export, **allowed)).run()
    if today == "unreadable":
        monkeypatch.delenv("AIRFLOW_CONN_KLAP_DEFAULT")
    published = airflow(
        rendered(
            "publish",
            PublishShortsOperator,
            steps=["export", "deliver"],
            shorts=[],
            source_video_url=TALK,
            klap_task_id="task01",
            **allowed,
        )
    ).run()

    assert Path(delivered["path"].removeprefix("file://")).parent == tmp_path / "paid"
    assert published["manifest"].startswith(f"file://{tmp_path}/paid/")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("submitted", [None, {"klap_task_id": "task01", "destination": None}, "/data/paid"])
def test_a_run_cannot_use_another_destination_than_the_recorded_one(
    klap: Sandbox, airflow: Airflow, supervisor: Supervisor, export: dict[str, str], tmp_path: Path, submitted: Any
) -> None:
    if submitted == "/data/paid":
        submitted = {"klap_task_id": "task01", "destination": submitted}
    supervisor.put_xcom("submit", submitted)
    task = airflow(
        lambda: DeliverShortOperator(
            task_id="deliver", destination=f"{{{{ '{tmp_path}/mine' }}}}", submit_task_id="submit", **export
        )
    )
    with pytest.raises(KlapInputError, match="destination is"):
        task.run()
    assert list(tmp_path.iterdir()) == []


# Deliver and publish in a custom Dag


@pytest.fixture
def export(klap: Sandbox, make_shorts: Callable[..., list[dict[str, Any]]]) -> dict[str, str]:
    """The ids of a ready export."""
    (short,) = make_shorts()
    made = klap.call("POST", f"/projects/{short['folder_id']}/{short['id']}/exports").json()
    time.sleep(0.02)
    return {"export_id": made["id"], "project_id": short["id"], "folder_id": short["folder_id"]}


def test_a_delivery_uses_the_destination_of_the_connection(
    klap: Sandbox, airflow: Airflow, connect: Connect, export: dict[str, str], tmp_path: Path
) -> None:
    connect(klap.url, destination=str(tmp_path))
    delivered = airflow(lambda: DeliverShortOperator(task_id="deliver", **export)).run()
    assert Path(delivered["path"].removeprefix("file://")).parent == tmp_path


@pytest.mark.usefixtures("several_machines")
def test_a_delivery_without_a_destination_resumes_when_there_is_one(
    klap: Sandbox, airflow: Airflow, connect: Connect, export: dict[str, str], tmp_path: Path
) -> None:
    task = airflow(lambda: DeliverShortOperator(task_id="deliver", **export))
    with pytest.raises(KlapInputError, match=r"^destination is empty"):
        task.run()
    assert not [request for request in klap.requests() if request["path"].startswith("/renders/")]
    connect(klap.url, destination=str(tmp_path))
    task.clear()
    assert task.run()["export_id"] == export["export_id"]
    assert len(klap.ledger("export")) == 1


def test_a_manifest_and_its_asset_use_the_destination_of_the_connection(
    klap: Sandbox, airflow: Airflow, connect: Connect, supervisor: Supervisor, tmp_path: Path
) -> None:
    connect(klap.url, destination=str(tmp_path))
    short = {"project_id": "p", "folder_id": "f", "short_name": "One", "virality_score": 9, "explanation": None}
    file = {"path": "file:///x.mp4", "size": 1, "sha256": "0", "sidecar": "file:///x.json"}
    supervisor.put_xcom("deliver", {"project_id": "p", "publication_captions": None, "transcript": None, **file})
    task = airflow(
        lambda: PublishShortsOperator(
            task_id="publish",
            steps=["export", "deliver"],
            shorts=[{**short, "preview_url": "", "duration": None}],
            source_video_url=TALK,
            klap_task_id="task01",
        )
    )
    assert task.run()["manifest"].startswith(f"file://{tmp_path}/runs/")
    assert (tmp_path / "manifest.json").exists()
    assert [event["dest_asset_key"]["uri"] for event in task.asset_events()] == [f"file://{tmp_path}"]


def test_an_invalid_destination_of_the_connection_is_refused(
    klap: Sandbox, submit: Callable[..., Played], connect: Connect
) -> None:
    connect(klap.url, destination="shorts")
    with pytest.raises(KlapConfigError, match=r"^destination of the connection 'klap_default' is 'shorts'"):
        submit(**EMPTY_FIELD).run()
    assert klap.requests() == []
