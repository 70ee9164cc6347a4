"""Defects of Airflow's core, with a metadata database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.upstream.defects import defect

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest


@defect("klap_provider.airflow_internals.tasks.push_result")
def test_xcoms_of_a_success_event_are_encoded_twice(create_run: Callable[[Any], Any], execution_api: Any) -> None:
    """
    The XComs of a ``TaskSuccessEvent`` are encoded twice

    A dict arrives at the next task as a string.
    """
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.trigger import handle_event_submit
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.sdk import DAG
    from airflow.sdk.bases.xcom import BaseXCom
    from airflow.triggers.base import TaskSuccessEvent
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with DAG("xcoms", schedule=None) as dag:
        EmptyOperator(task_id="wait")
    create_run(dag)

    with create_session() as session:
        ti = session.scalar(select(TaskInstance).where(TaskInstance.dag_id == "xcoms"))
        handle_event_submit(TaskSuccessEvent(xcoms={"found": {"id": 1}}), task_instance=ti, session=session)

    stored = execution_api.xcoms.get("xcoms", "run", "wait", "found")
    assert BaseXCom.deserialize_value(stored) == '{"id": 1}'


@defect("klap_provider.airflow_internals.tasks.can_end_in_triggerer", issue=46224)
def test_a_task_that_ends_in_the_triggerer_records_no_asset_event(create_run: Callable[[Any], Any]) -> None:
    """
    A task that ends in the triggerer records no asset event

    No worker runs at the end, so ``post_execute``, success callbacks and listeners are skipped, too. The length of the
    result, which a downstream mapped task needs, is not recorded either. #46224 is about callbacks and retries.
    """
    from airflow.models.asset import AssetEvent
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.trigger import handle_event_submit
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.sdk import DAG, Asset
    from airflow.triggers.base import TaskSuccessEvent
    from airflow.utils.session import create_session
    from sqlalchemy import func, select

    with DAG("outlets", schedule=None) as dag:
        EmptyOperator(task_id="wait", outlets=[Asset("report")])
    create_run(dag)

    with create_session() as session:
        ti = session.scalar(select(TaskInstance).where(TaskInstance.dag_id == "outlets"))
        handle_event_submit(TaskSuccessEvent(), task_instance=ti, session=session)

    with create_session() as session:
        ti = session.scalar(select(TaskInstance).where(TaskInstance.dag_id == "outlets"))
        assert ti.state == "success"
        assert session.scalar(select(func.count()).select_from(AssetEvent)) == 0


@defect("klap_provider.operators.asset_event.record")
def test_two_tasks_that_record_the_first_event_of_an_asset_fail(
    create_run: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Two tasks that record the first event of an asset at the same time fail

    Airflow creates the asset with its first event through an alias. ``register_asset_changes_in_db`` adds an
    ``AssetModel`` without a lock after it found none. If another request adds it in between, the API server answers
    500, and the task fails after it has succeeded: without a retry and without a line in its log.
    """
    from airflow.models import taskinstance
    from airflow.models.asset import AssetModel
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.sdk import DAG, AssetAlias
    from airflow.sdk.api.datamodels._generated import AssetProfile
    from airflow.utils.session import create_session
    from sqlalchemy import select
    from sqlalchemy.exc import IntegrityError

    with DAG("events", schedule=None) as dag:
        EmptyOperator(task_id="publish", outlets=[AssetAlias("reports")])
    create_run(dag)
    register = taskinstance.asset_manager.register_asset_change

    def other_request_comes_in_between(**kwargs: Any) -> Any:
        event = register(**kwargs)
        if event is None:
            with taskinstance.settings.NonScopedSession() as other:
                other.add(AssetModel(name="report", uri="s3://bucket/report", group="asset", extra={}))
                other.commit()
        return event

    monkeypatch.setattr(taskinstance.asset_manager, "register_asset_change", other_request_comes_in_between)
    key = {"name": "report", "uri": "s3://bucket/report"}
    event = {"source_alias_name": "reports", "dest_asset_key": key, "extra": {}}
    failure = None
    with create_session() as session:
        ti = session.scalar(select(taskinstance.TaskInstance).where(taskinstance.TaskInstance.dag_id == "events"))
        outlets = [AssetProfile(name="reports", type="AssetAlias")]
        try:
            ti.register_asset_changes_in_db(ti, outlets, [event], session=session)
        except IntegrityError as conflict:
            failure = conflict
            session.rollback()
    assert failure is not None


@defect("klap_provider.operators.completion.KlapCompletionOperator.resume_execution")
def test_a_task_whose_trigger_failed_loses_the_arguments_of_its_deferral(create_run: Callable[[Any], Any]) -> None:
    """
    A task whose trigger failed loses the arguments of its deferral

    No method of the operator handles the failure of a trigger: only ``resume_execution`` with the private
    ``next_method`` "__fail__" is called. The ``kwargs`` of ``defer``, which identify the remote job, are replaced by
    the error.
    """
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.trigger import Trigger
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.sdk import DAG
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with DAG("deferral", schedule=None) as dag:
        EmptyOperator(task_id="wait")
    create_run(dag)

    with create_session() as session:
        trigger = Trigger(classpath="example.Trigger", kwargs={})
        session.add(trigger)
        session.flush()
        ti = session.scalar(select(TaskInstance).where(TaskInstance.dag_id == "deferral"))
        ti.state, ti.trigger_id = "deferred", trigger.id
        ti.next_method, ti.next_kwargs = "execute_complete", {"job_id": 1}
        session.flush()
        Trigger.submit_failure(trigger.id, session=session)
        assert ti.next_method == "__fail__"
        assert "job_id" not in ti.next_kwargs


@defect("klap_provider.operators.completion.KlapCompletionOperator.execute_complete", issue=69942, fixed_in="3.4.0b2")
def test_dag_test_drops_the_arguments_of_a_deferral(create_run: Callable[[Any], Any]) -> None:
    """
    ``dag.test()`` drops the arguments of a deferral

    The method that continues the task gets only the event of the trigger.
    """
    from datetime import timedelta

    from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
    from airflow.sdk import DAG, BaseOperator

    received = []

    class Wait(BaseOperator):
        def execute(self, context: Any) -> None:
            self.defer(trigger=TimeDeltaTrigger(timedelta()), method_name="proceed", kwargs={"job_id": 1})

        def proceed(self, context: Any, event: Any, job_id: int | None = None) -> None:
            received.append(job_id)

    with DAG("tested", schedule=None) as dag:
        Wait(task_id="wait")
    create_run(dag)

    dag.test()
    assert received == [None]


@defect(None, issue=71580)
def test_a_resumed_task_fails_if_the_executor_reports_late(create_run: Callable[[Any], Any]) -> None:
    """
    A resumed task fails if the executor reports the end of its first part late

    The scheduler takes the late report for the end of the second part. The task is retried. A review that is answered
    within some seconds of the question loses its answer and is asked again. #66374 fixed this for a task that is not
    running yet.
    """
    from airflow.executors.base_executor import BaseExecutor
    from airflow.executors.workloads import ExecuteTask
    from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
    from airflow.models.dagbag import DBDagBag
    from airflow.models.taskinstance import TaskInstance
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.sdk import DAG
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with DAG("review", schedule=None) as dag:
        EmptyOperator(task_id="ask", retries=1)
    create_run(dag)

    with create_session() as session:
        ti = session.scalar(select(TaskInstance).where(TaskInstance.dag_id == "review"))
        executor = BaseExecutor(parallelism=1)
        ti.state, ti.try_number, ti.queued_by_job_id = "queued", 1, 7
        session.flush()
        executor.queue_workload(ExecuteTask.make(ti), session=session)
        key = next(iter(executor.queued_tasks))
        executor.queued_tasks.clear()  # the first part runs, waits for the answer, and ends
        ti.state, ti.next_method, ti.next_kwargs = "running", "execute_complete", {}  # the second part runs
        session.flush()
        executor.change_state(key, "success")  # only now the executor notices that the first part has ended
        SchedulerJobRunner.process_executor_events(
            executor=executor, job_id=7, scheduler_dag_bag=DBDagBag(), session=session
        )

    with create_session() as session:
        ti = session.scalar(select(TaskInstance).where(TaskInstance.dag_id == "review"))
        assert ti.state == "up_for_retry"


@defect("klap_provider.rules.review_form.NONE_OF_THEM")
def test_a_required_action_cannot_be_answered_with_no_option() -> None:
    """
    A required action with several options cannot be answered with none of them

    ``HITLOperator(multiple=True)`` accepts an empty list of defaults, but no empty answer.
    """
    from airflow.api_fastapi.core_api.datamodels.hitl import UpdateHITLDetailPayload
    from pydantic import ValidationError

    errors = []
    try:
        UpdateHITLDetailPayload(chosen_options=[])
    except ValidationError as refused:
        errors = refused.errors()
    assert [error["type"] for error in errors] == ["too_short"]


@defect(None, issue=73298, since="3.3.2", fixed_in="3.4.0b2")
def test_a_saved_connection_without_a_port_cannot_be_tested(database: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A saved connection without a port cannot be tested in the UI

    The UI sends port 0 for a connection without one. The API server takes it for another destination, refuses to use
    the saved password, and answers 400. 3.3.1 tests the connection with the password "***" instead (#72318).
    """
    from unittest.mock import MagicMock

    from airflow.api_fastapi.core_api.datamodels.connections import ConnectionBody
    from airflow.api_fastapi.core_api.routes.public.connections import test_connection as post_test
    from airflow.models import Connection  # the row, not the class of the SDK
    from airflow.utils.session import create_session
    from fastapi import HTTPException

    monkeypatch.setenv("AIRFLOW__CORE__TEST_CONNECTION", "Enabled")
    with create_session() as session:
        session.add(Connection(conn_id="files", conn_type="fs", password="secret"))  # noqa: AIR311  # the model, for its table
    body = ConnectionBody(connection_id="files", conn_type="fs", password="***", port=0)
    status = 200
    try:
        post_test(body, user=MagicMock(), auth_manager=MagicMock())
    except HTTPException as refused:
        status = refused.status_code
    assert status == 400


def test_a_write_to_the_state_of_an_asset_that_no_dag_has_fails(execution_api: Any) -> None:
    """Not a defect: ``klap_provider.rules.claim`` relies on it."""
    import pytest
    from airflow.sdk.api.client import ServerResponseError

    with pytest.raises(ServerResponseError) as refused:
        execution_api.asset_state_store.set("k", 1, name="unknown")
    assert refused.value.response.status_code == 404
