"""
The one door to what Airflow does not publish. What it publishes, other modules import from ``airflow.sdk`` themselves.

Each function says why Airflow's published names do not do, and what to look at when an upgrade breaks it. All of them
import where they are called: nothing here costs a parse of a DAG file.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from airflow.sdk.types import TaskInstanceKey


def start_run(dag_id: str, run_id: str, conf: Mapping[str, Any], note: str) -> bool:
    """
    Make a run of a DAG, and return whether it is new: the database has each id but once, whoever else asks.

    :param note: for people, shown with the run.

    Why: ``TriggerDagRunOperator`` takes a run that is there already for a final failure, also where it is its own
    one and the answer to the request that made it got lost. When it moves: see what that operator raises
    (``DagRunTriggerException``) and what ``task_runner`` sends for it.
    """
    from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import ErrorResponse, TriggerDagRun

    answer = task_runner.SUPERVISOR_COMMS.send(TriggerDagRun(dag_id=dag_id, run_id=run_id, conf=dict(conf), note=note))
    if not isinstance(answer, ErrorResponse):
        return True
    if answer.error != ErrorType.DAGRUN_ALREADY_EXISTS:
        raise AirflowRuntimeError(answer)
    return False


def is_paused(ti: Any, dag_id: str) -> bool | None:
    """
    Return whether a DAG is paused; None if there is none of that id.

    Why: ``ti.get_dag`` is published, what it fails with where there is no such DAG is not. When it moves: see what
    ``task_runner.RuntimeTaskInstance.get_dag`` raises.
    """
    from airflow.sdk.exceptions import AirflowRuntimeError

    try:
        return bool(ti.get_dag(dag_id).is_paused)
    except AirflowRuntimeError as fault:
        if (fault.error.detail or {}).get("status_code") != 404:
            raise
        return None


def run_address(dag_id: str, run_id: str) -> str:
    """
    Return the address of a run in Airflow's UI.

    Why: ``TriggerDagRunLink`` of the standard provider builds it so; there is no published name. When it moves: see
    what that link imports.
    """
    from airflow.utils.helpers import build_airflow_dagrun_url

    return build_airflow_dagrun_url(dag_id=dag_id, run_id=run_id)


def returned(ti_key: TaskInstanceKey) -> Any:
    """
    Return what a task instance has returned so far, or None.

    Why: an operator link is given a key and no context; ``airflow.sdk`` publishes ``BaseXCom``, which is not the back
    end that is configured. When it moves: see how the links of Airflow's own providers read an XCom.
    """
    from airflow.sdk.execution_time.xcom import XCom

    return XCom.get_value(ti_key=ti_key, key=XCom.XCOM_RETURN_KEY)


def is_unmapped(operator: Any) -> bool:
    """
    Whether an operator was made of a mapped one, so that what it was given may be some task's result.

    Why: nothing published tells. When it moves: see what ``MappedOperator.unmap`` gives the operator's constructor.
    """
    return bool(operator._BaseOperator__from_mapped)


def asset_store(name: str) -> Any:
    """
    Return the state store of an asset, with ``get``, ``set`` and ``delete``.

    Why: ``context["asset_state_store"]`` has it only where the asset is among a task's inlets or outlets, which those
    of a task that is mapped itself are not. When it moves: see what that accessor is made of.
    """
    from airflow.sdk.execution_time.context import AssetStateStoreAccessor

    return AssetStateStoreAccessor(name=name)


def can_end_in_triggerer() -> bool:
    """
    Whether a task that ends in the triggerer is all that Airflow expects of a task that has ended.

    **How a wait ends there** (``end_from_trigger``): its trigger writes the task's XCom with :func:`leave_result` and
    yields ``TaskSuccessEvent``, with which Airflow sets the task's state; no worker is started for it. What only a
    worker does is then left out: success callbacks, outlets, and the listeners of plugins such as OpenLineage's. So
    it is not done where there are listeners.

    Why: there is no published way to ask for them, and ``BaseOperator``'s own parameter of that name makes Airflow
    load all plugins at each parse to refuse the DAG. When it moves: see what ``task_runner`` asks before it calls
    ``on_task_instance_success``. To be called on a worker, which has loaded the plugins by then.
    """
    from airflow.sdk.listener import get_listener_manager

    return not get_listener_manager().has_listeners


async def leave_result(ti: Any, value: Any) -> None:
    """
    Write, from the triggerer, what a task returns; see :func:`can_end_in_triggerer`.

    Why: ``TaskSuccessEvent(xcoms=…)`` is published, but Airflow 3.3 encodes those twice, and a dict arrives as a
    string. When it moves: try whether that is mended, and use it.

    :param ti: ``BaseTrigger.task_instance``.
    """
    from airflow.sdk.execution_time.xcom import XCom

    await XCom.aset(
        XCom.XCOM_RETURN_KEY,
        value,
        dag_id=ti.dag_id,
        task_id=ti.task_id,
        run_id=ti.run_id,
        map_index=-1 if ti.map_index is None else ti.map_index,
    )


def runs_on_one_machine() -> bool:
    """
    Whether tasks run where the scheduler runs, and so with one disk, by what ``[core] executor`` says.

    Why: only an executor's class knows (``is_local``), and the setting may name several, each as
    ``[team=][alias:]name`` with the name or the path of a class. A pod or container that an executor made for a task is
    known by its environment: older Helm charts tell their pods that their executor is a local one. When it moves: see
    how ``ExecutorLoader`` reads that setting.
    """
    from airflow.sdk import conf

    def is_local(executor: str) -> bool:
        module, _, name = executor.strip().rpartition(".")
        if not module:
            return name == "LocalExecutor"
        try:
            return bool(getattr(importlib.import_module(module), name).is_local)
        except (ImportError, AttributeError):  # it is for the scheduler to have, not for a worker
            return False

    if os.environ.get("AIRFLOW_IS_K8S_EXECUTOR_POD") or os.environ.get("AIRFLOW_IS_EXECUTOR_CONTAINER"):
        return False
    named = [each for each in re.split("[,;]", conf.get("core", "executor")) if each.strip()]
    return all(is_local(re.split("[=:]", each)[-1]) for each in named)


def silent_backend(conn_id: str) -> str | None:
    """
    Return which secrets backend did not answer, where Airflow has just said that there is no such connection; None if
    all of them say so.

    Why: Airflow's look-up takes a backend that fails for one that has no such connection. It does so on the API server
    too, and what fails there cannot be told from here. When it moves: see what ``_get_connection`` of
    ``airflow.sdk.execution_time.context`` does with what a backend raises.
    """
    from airflow.sdk.exceptions import ErrorType
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import ErrorResponse, GetConnection
    from airflow.sdk.execution_time.secrets import ExecutionAPISecretsBackend
    from airflow.sdk.execution_time.supervisor import ensure_secrets_backend_loaded

    for backend in ensure_secrets_backend_loaded():
        try:
            if not isinstance(backend, ExecutionAPISecretsBackend):
                has_none = backend.get_connection(conn_id=conn_id) is None
            else:  # it hides its failures itself
                answer = task_runner.SUPERVISOR_COMMS.send(GetConnection(conn_id=conn_id))
                has_none = isinstance(answer, ErrorResponse) and answer.error == ErrorType.CONNECTION_NOT_FOUND
        except Exception:  # of whatever library talks to that backend
            has_none = False
        if not has_none:
            return type(backend).__name__
    return None


def failed_in_triggerer(next_method: str) -> bool:
    """
    Whether a task is resumed because its trigger failed, or outlived the deferral's timeout.

    Why: Airflow has no callback for it; ``resume_execution`` is told by a method that is none. When it moves: see
    ``BaseOperator.resume_execution``.
    """
    from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR

    return next_method == TRIGGER_FAIL_REPR


def statistics() -> Any:
    """
    Return Airflow's statistics, with ``incr`` and ``timing``.

    Why: ``airflow.stats`` of earlier versions is deprecated and imports the whole core; the module that replaced it is
    not in the reference. When it moves: see what ``airflow.sdk``'s own ``task_runner`` counts with.
    """
    from airflow.sdk.observability import stats

    return stats


# In the API server, for the plugin's own pages. Airflow's guide to plugins leaves their login to them.


def signed_in() -> Callable[..., Any]:
    """
    Return the FastAPI dependency that gives the user of a request: by cookie, as the UI has it, or by token; or 401.

    Why: it is what all of Airflow's own routes use, and providers with pages of their own; there is no published name.
    When it moves: see what the routes of ``airflow.api_fastapi.core_api`` depend on.
    """
    from airflow.api_fastapi.core_api.security import get_user

    return get_user


def may_read_xcoms(user: Any, dag_ids: Iterable[str]) -> set[str]:
    """
    Return those of some DAGs whose XComs a user may read.

    Why: ``requires_access_dag`` of Airflow's own routes answers for the one DAG of a request alone. When it moves: see
    what that asks the auth manager.

    :param user: of :func:`signed_in`.
    """
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
    from airflow.models.dag import DagModel

    manager, ids = get_auth_manager(), list(dag_ids)
    teams = DagModel.get_dag_id_to_team_name_mapping(ids)
    return {
        dag_id
        for dag_id in ids
        if manager.is_authorized_dag(
            method="GET",
            access_entity=DagAccessEntity.XCOM,
            details=DagDetails(id=dag_id, team_name=teams.get(dag_id)),
            user=user,
        )
    }


@dataclasses.dataclass(frozen=True)
class StateRow:
    """
    A row of an asset's state store.

    :param dag_id: of the task that wrote it last; None if that was no task, but a person.
    :param run_id: likewise.
    """

    key: str
    value: Any
    dag_id: str | None
    run_id: str | None


def rows_of_asset(
    name: str, *, prefix: str | None = None, keys: Iterable[str] = (), run_ids: Iterable[str] | None = None
) -> list[StateRow]:
    """
    Return the rows of an asset's state store whose keys begin so, or are among the given ones.

    :param run_ids: only rows that tasks of runs of these ids wrote last; None: all.

    Why: the store is there for tasks; over Airflow's API the API server would have to ask itself, page by page, and
    as somebody who may read all of it. When it moves: see the routes of
    ``core_api/routes/public/asset_state_store.py``.
    """
    import json

    from airflow.models.asset import AssetModel
    from airflow.models.asset_state_store import AssetStateStoreModel as Row
    from airflow.utils.session import create_session
    from sqlalchemy import select

    wanted = Row.key.in_(list(keys)) if prefix is None else Row.key.startswith(prefix, autoescape=True)
    statement = (
        select(Row.key, Row.value, Row.last_updated_by_kind, Row.last_updated_by_dag_id, Row.last_updated_by_run_id)
        .join(AssetModel, AssetModel.id == Row.asset_id)
        .where(AssetModel.name == name, wanted)
    )
    if run_ids is not None:
        statement = statement.where(Row.last_updated_by_run_id.in_(list(run_ids)))
    with create_session() as session:
        found = session.execute(statement).all()
    return [
        StateRow(key, json.loads(value), *((dag_id, run_id) if kind == "task" else (None, None)))
        for key, value, kind, dag_id, run_id in found
    ]


def dags_of_asset(name: str) -> list[str]:
    """
    Return the ids of the DAGs that have a task with the asset as an inlet.

    Why: ``GET /assets/{id}`` tells it those alone who may see assets. When it moves: see ``consuming_tasks`` there.
    """
    from airflow.models.asset import AssetModel, TaskInletAssetReference
    from airflow.utils.session import create_session
    from sqlalchemy import select

    statement = (
        select(TaskInletAssetReference.dag_id)
        .join(AssetModel, AssetModel.id == TaskInletAssetReference.asset_id)
        .where(AssetModel.name == name)
        .distinct()
    )
    with create_session() as session:
        return sorted(session.scalars(statement))


@dataclasses.dataclass(frozen=True)
class RunRow:
    """
    A run, as far as lists of them show it.

    :param at: ISO 8601; when it was to begin.
    :param by: who triggered it; None where nobody did.
    :param mapped: how many task instances it has of the operator that was asked about.
    """

    dag_id: str
    run_id: str
    state: str
    at: str
    by: str | None
    note: str | None
    conf: Mapping[str, Any]
    mapped: int


def latest_runs(dag_ids: Iterable[str], *, limit: int, offset: int, operator: str) -> list[RunRow]:
    """
    Return runs of some DAGs, the newest first.

    :param operator: name of the operator to count the task instances of.

    Why: Airflow's API lists the runs of one DAG, or of all. When it moves: see
    ``core_api/routes/public/dag_run.py``.
    """
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import func, select, tuple_
    from sqlalchemy.orm import joinedload

    statement = (
        select(DagRun)
        .options(joinedload(DagRun.dag_run_note))
        .where(DagRun.dag_id.in_(list(dag_ids)))
        .order_by(DagRun.run_after.desc(), DagRun.id.desc())
        .limit(limit)
        .offset(offset)
    )
    with create_session() as session:
        runs = list(session.scalars(statement))
        of = tuple_(TaskInstance.dag_id, TaskInstance.run_id)
        counted = session.execute(
            select(TaskInstance.dag_id, TaskInstance.run_id, func.count())
            .where(of.in_([(run.dag_id, run.run_id) for run in runs]), TaskInstance.operator == operator)
            .group_by(TaskInstance.dag_id, TaskInstance.run_id)
        )
        mapped = {(dag_id, run_id): count for dag_id, run_id, count in counted}
        return [
            RunRow(
                run.dag_id,
                run.run_id,
                str(run.state),
                run.run_after.isoformat(),
                run.triggering_user_name,
                run.note,
                run.conf or {},
                mapped.get((run.dag_id, run.run_id), 0),
            )
            for run in runs
        ]


def existing_runs(runs: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """
    Return those of some runs, each a DAG's id and its own, that have not been deleted.

    Why: as for :func:`latest_runs`. When it moves: likewise.
    """
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import select, tuple_

    wanted = list(runs)
    statement = select(DagRun.dag_id, DagRun.run_id).where(tuple_(DagRun.dag_id, DagRun.run_id).in_(wanted))
    with create_session() as session:
        return {(dag_id, run_id) for dag_id, run_id in session.execute(statement)} if wanted else set()
