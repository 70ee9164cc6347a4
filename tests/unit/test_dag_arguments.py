"""The arguments of the Dag factories."""

from __future__ import annotations

import inspect
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.api.datamodels._generated import DagRunType
from airflow.serialization.serialized_objects import DagSerialization

from klap_caption_video import klap_caption_video
from klap_generate_shorts import klap_generate_shorts
from klap_generate_shorts_batch import klap_generate_shorts_batch
from klap_provider.operators.notices import KlapNotifyingOperator
from tests.support.notifier import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable

    Factory = Callable[..., DAG]

FACTORIES = [klap_generate_shorts, klap_caption_video, klap_generate_shorts_batch]
each_factory = pytest.mark.parametrize("factory", FACTORIES, ids=lambda each: each.__name__)
TALK = "https://example.com/talk.mp4"


def tell(context: Any) -> None:
    """Act as a callback."""


@each_factory
def test_a_dag_takes_the_arguments_of_a_dag(factory: Factory) -> None:
    start = datetime(2026, 1, 1, tzinfo=timezone.utc)
    dag = factory(
        "mine",
        start_date=start,
        max_active_runs=3,
        max_active_tasks=5,
        dagrun_timeout=timedelta(hours=9),
        on_failure_callback=tell,
        tags=["marketing"],
        doc_md="Ours.",
        dag_display_name="Our shorts",
        default_args={"retries": 7, "owner": "media", "queue": "video", "on_failure_callback": tell},
        pool="klap",
    )
    assert (dag.dag_id, dag.start_date, dag.max_active_runs, dag.max_active_tasks) == ("mine", start, 3, 5)
    assert (dag.dagrun_timeout, dag.on_failure_callback) == (timedelta(hours=9), tell)
    assert (dag.tags, dag.doc_md, dag.dag_display_name) == ({"klap", "video", "marketing"}, "Ours.", "Our shorts")
    for task in dag.tasks:
        assert (task.retries, task.owner, task.queue, task.pool) == (7, "media", "video", "klap"), task.task_id
        assert [*task.on_failure_callback] == [tell], task.task_id
        assert task.retry_delay == timedelta(seconds=30), "other defaults do not change"


@each_factory
def test_a_dag_without_arguments_is_the_shipped_one(factory: Factory) -> None:
    dag = factory()
    assert dag.dag_id == factory.__name__
    assert dag.dag_display_name.startswith("Klap: ")
    assert factory("mine").dag_display_name == "mine"
    assert {task.pool for task in dag.tasks} == {"default_pool"}
    assert not dag.catchup
    assert klap_generate_shorts_batch().max_active_runs == 1


@each_factory
def test_form_fields_are_passed_in_the_argument_form(factory: Factory) -> None:
    assert factory(form={"language": "de"}).params["language"] == "de"
    with pytest.raises(ValueError, match=r"no such field: 'lanugage' \(did you mean 'language'\?\)"):
        factory(form={"lanugage": "de"})
    with pytest.raises(TypeError, match=r"language is a field of the trigger form\. Write form=\{'language': 'de'\}"):
        factory(language="de")
    with pytest.raises(TypeError, match=r"are fields of the trigger form.*\{'language': 'de', 'width': 720\}"):
        factory(language="de", width=720)
    for name in ("max_active_runs", "schedule", "pool", "allowed_connections"):
        with pytest.raises(ValueError, match=f"no such field: {name}. Pass {name}=… as an argument of its own"):
            factory(form={name: 1})


@each_factory
def test_no_field_has_the_name_of_an_argument(factory: Factory) -> None:
    taken = {*inspect.signature(DAG).parameters, *inspect.signature(factory).parameters}
    assert len(taken) > 30
    assert not taken & factory().params.keys()


@each_factory
def test_an_unknown_argument_is_refused(factory: Factory) -> None:
    with pytest.raises(TypeError, match=r"no such argument: 'max_active_run' \(did you mean 'max_active_runs'\?\)"):
        factory(max_active_run=1)
    with pytest.raises(TypeError, match=r"no such argument: 'retries'.*default_args"):
        factory(retries=1)
    with pytest.raises(TypeError, match=r"params: .*form="):
        factory(params={"limit": 5})
    with pytest.raises(TypeError, match="render_template_as_native_obj"):
        factory(render_template_as_native_obj=True)


def test_a_refused_argument_shows_no_secret() -> None:
    with pytest.raises(TypeError) as refused:
        klap_generate_shorts(source_video_url=f"{TALK}?X-Amz-Signature=s3cr3tsignature")
    assert "s3cr3tsignature" not in str(refused.value)


@each_factory
@pytest.mark.parametrize(
    "given",
    [
        {"catchup": True},
        {"allowed_run_types": ["manual", "backfill"]},
        {"allowed_run_types": "backfill"},
        {"allowed_run_types": DagRunType.BACKFILL},
        {"allowed_run_types": [DagRunType.MANUAL, DagRunType.BACKFILL]},
    ],
    ids=str,
)
def test_no_argument_lets_a_backfill_pay(factory: Factory, given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="would pay for the video once per date"):
        factory(**given)


@each_factory
@pytest.mark.parametrize(
    "given", [{}, {"allowed_run_types": None, "catchup": False}, {"allowed_run_types": ["manual"]}]
)
def test_allowed_run_types_can_be_narrowed(factory: Factory, given: dict[str, Any]) -> None:
    dag = factory(**given)
    assert not dag.catchup
    assert dag.allowed_run_types
    assert DagRunType.BACKFILL not in dag.allowed_run_types
    assert (DagRunType.SCHEDULED in dag.allowed_run_types) == (given.get("allowed_run_types") is None)


@pytest.mark.parametrize("factory", [klap_generate_shorts, klap_caption_video])
def test_the_timeouts_of_the_waits_are_arguments(factory: Factory) -> None:
    def timeouts(dag: DAG) -> list[float]:
        waits = sorted(task_id for task_id in dag.task_ids if "wait_for" in task_id)
        return sorted(dag.get_task(task_id).timeout for task_id in waits)

    assert timeouts(factory()) == [3600, 7200]
    assert timeouts(factory(task_timeout=timedelta(hours=5), export_timeout=90)) == [90, 18000]


@each_factory
def test_a_run_may_use_the_forms_connection_and_those_of_the_dag_file(
    factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = [] if factory is klap_generate_shorts_batch else ["klap_default"]
    assert {tuple(getattr(task, "allowed_connections", own)) for task in factory().tasks} == {tuple(own)}
    dag = factory(form={"klap_conn_id": "klap_studio"}, allowed_connections=["klap_team"])
    assert dag.tasks[0].allowed_connections == ["klap_team", "klap_studio"]
    monkeypatch.setenv("AIRFLOW__KLAP__ALLOWED_CONNECTIONS", "klap_all")
    assert factory().tasks[0].allowed_connections == ["klap_all", *own]
    assert factory(allowed_connections=[]).tasks[0].allowed_connections == own
    with pytest.raises(ValueError, match=r"allowlist of klap_conn_id must be a list: write \['klap_team'\]"):
        factory(allowed_connections="klap_team")


@each_factory
def test_notifiers_reach_their_tasks_and_change_no_dag_version(factory: Factory) -> None:
    notifiers = [Recorder([])]
    dag = factory("notifying", notifiers=notifiers)
    telling = [task for task in dag.tasks if isinstance(task, KlapNotifyingOperator)]
    assert telling
    assert all(task.notifiers == notifiers for task in telling)
    assert DagSerialization.to_dict(dag) == DagSerialization.to_dict(factory("notifying"))
