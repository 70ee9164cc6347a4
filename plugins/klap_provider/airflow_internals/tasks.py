"""On workers and in the triggerer: what tasks, triggers and links need."""

from __future__ import annotations

import asyncio
import importlib
import os
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


#: What stands for a row that does not exist, and for nothing that a store can have.
NO_ROW: Any = object()

#: The key with which Airflow marks a reference in place of a value (``sdk/execution_time/context.py``).
REFERENCE = "__airflow_state_ref__"


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


def run_state(dag_id: str, run_id: str) -> str | None:
    """
    Return the state of a Dag run; None if there is no such run.

    Why: ``ti.get_dagrun_state`` is published, what it fails with where there is no such run is not. When it moves: see
    what the route ``dag-runs/{dag_id}/{run_id}/state`` of the execution API answers.
    """
    from airflow.sdk.exceptions import AirflowRuntimeError
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import GetDagRunState

    try:
        return _state_in(task_runner.SUPERVISOR_COMMS.send(GetDagRunState(dag_id=dag_id, run_id=run_id)))
    except AirflowRuntimeError as fault:
        return _state_in(fault.error)


async def arun_state(dag_id: str, run_id: str) -> str | None:
    """
    Return the same, in the triggerer.

    Why: there is no published way to ask from an event loop. When it moves: see how ``DagStateTrigger`` of the standard
    provider asks.
    """
    from airflow.sdk.exceptions import AirflowRuntimeError
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import GetDagRunState

    try:
        return _state_in(await task_runner.SUPERVISOR_COMMS.asend(GetDagRunState(dag_id=dag_id, run_id=run_id)))
    except AirflowRuntimeError as fault:
        return _state_in(fault.error)


def _state_in(answer: Any) -> str | None:
    """
    Return the state that an answer has; None if it says that there is no such run.

    Why: see :func:`run_state`. When it moves: likewise.
    """
    from airflow.sdk.exceptions import AirflowRuntimeError
    from airflow.sdk.execution_time.comms import ErrorResponse

    if not isinstance(answer, ErrorResponse):
        return str(getattr(answer.state, "value", answer.state))
    if (answer.detail or {}).get("status_code") == 404:
        return None
    raise AirflowRuntimeError(answer)


def run_address(dag_id: str, run_id: str) -> str:
    """
    Return the address of a run in Airflow's UI.

    Why: ``TriggerDagRunLink`` of the standard provider builds it so; there is no published name. When it moves: see
    what that link imports.
    """
    from airflow.utils.helpers import build_airflow_dagrun_url

    return build_airflow_dagrun_url(dag_id=dag_id, run_id=run_id)


def is_unmapped(operator: Any) -> bool:
    """
    Whether an operator was made of a mapped one, so that what it was given may be some task's result.

    Why: nothing published tells. When it moves: see what ``MappedOperator.unmap`` gives the operator's constructor.
    """
    return bool(operator._BaseOperator__from_mapped)


def asset_store(name: str) -> AssetStore:
    """
    Return the state store of an asset.

    Why: ``context["asset_state_store"]`` has it only where the asset is among a task's inlets or outlets, and those of
    a mapped task do not count. When it moves: see what that accessor is made of.
    """
    return AssetStore(name)


class AssetStore:
    """
    The state store of an asset. A row whose value cannot be read is never reported as a row that does not exist.

    With ``[workers] state_store_backend``, Airflow's database holds references, and the values are stored elsewhere.
    Airflow's own accessor returns None for a value that is gone there, and the reference itself where no backend is
    configured.

    Why: see :func:`asset_store`. When it moves: see what the accessor's ``get`` returns for a reference.

    :param name: of the asset.
    """

    def __init__(self, name: str) -> None:
        from airflow.sdk.execution_time.context import AssetStateStoreAccessor

        self._name = name
        self._rows: Any = AssetStateStoreAccessor(name=name)

    def get(self, key: str) -> Any:
        """
        Return the value of a row, or None if there is no such row.

        :raises LookupError: there is one, and its value cannot be read.
        """
        problem = "its value is gone"
        try:
            value = self._rows.get(key, default=NO_ROW)
        except ValueError as fault:  # half a value, or a backend that cannot be loaded
            value, problem = None, f"its value cannot be read ({fault})"
        if value is NO_ROW:
            return None
        if value is None:
            raise LookupError(
                f"The row {key!r} of the asset {self._name} exists, but {problem}. Values are stored where [workers] "
                "state_store_backend writes: restore this one there and clear the task. Only if you know that nothing "
                f"was paid for under this row, delete it in Airflow's UI under Assets, {self._name}, State Store."
            )
        if isinstance(value, dict) and REFERENCE in value:
            raise LookupError(
                f"The row {key!r} of the asset {self._name} was written with a [workers] state_store_backend that this "
                "worker does not have. Configure the same backend for every worker."
            )
        return value

    def set(self, key: str, value: Any) -> None:
        """Write a row, whatever was there."""
        self._rows.set(key, value)

    def delete(self, key: str) -> None:
        """Delete a row, if there is one."""
        self._rows.delete(key)


def has_asset(alias: str, uri: str) -> bool:
    """
    Return whether an event of an asset was ever recorded by way of an alias.

    Why: Airflow makes the asset and ties it to the alias when the first event is recorded. Where two are recorded at
    the same moment both do it, and the API server sets the task whose rows come second to failed: after it has ended
    well, without a retry, a reason or a line in its log (3.3.2, 3.4.0b2). Nothing published tells whether it is done.
    When it moves: see whether ``register_asset_changes_in_db`` of ``TaskInstance`` still adds an ``AssetModel`` without
    looking out for another one; if not, this and the wait for the first event can go.
    """
    from airflow.sdk.exceptions import AirflowRuntimeError
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import AssetsByAliasResult, ErrorResponse, GetAssetsByAlias

    answer = task_runner.SUPERVISOR_COMMS.send(GetAssetsByAlias(alias_name=alias))
    if isinstance(answer, ErrorResponse):
        raise AirflowRuntimeError(answer)
    return isinstance(answer, AssetsByAliasResult) and any(asset.uri == uri for asset in answer.assets)


def can_end_in_triggerer(task: Any) -> bool:
    """
    Return whether the triggerer can end a task (``end_from_trigger``) without losing anything that its end leads to.

    The trigger writes the task's XCom with :func:`leave_result` and yields ``TaskSuccessEvent``, with which Airflow
    sets the task's state. No worker is started, and Airflow silently omits what only a worker does: the asset events of
    outlets, success callbacks and ``post_execute``, the listeners of plugins such as OpenLineage's, and the length that
    a task mapped over the result needs. A task that has any of these, or that is to push no XCom, ends on a worker.

    Why: there is no published way to ask for listeners, and ``BaseOperator``'s own parameter of that name makes Airflow
    load all plugins at each parse to refuse the DAG. When it moves: see what ``task_runner`` does after ``execute`` and
    in ``finalize``. To be called on a worker, which has loaded the plugins by then.

    :param task: the operator.
    """
    from airflow.sdk import BaseOperator
    from airflow.sdk.listener import get_listener_manager

    needs_worker = (
        task.outlets,
        task.on_success_callback,
        task._post_execute_hook,
        getattr(task.post_execute, "__func__", None) is not BaseOperator.post_execute,
        not task.do_xcom_push,
        any(True for _ in task.iter_mapped_dependants()),
        get_listener_manager().has_listeners,
    )
    return not any(needs_worker)


async def leave_result(ti: Any, value: Any) -> None:
    """
    Write, from the triggerer, what a task returns; see :func:`can_end_in_triggerer`.

    Why: ``TaskSuccessEvent(xcoms=…)`` is published, but Airflow 3.3 encodes those twice, and a dict arrives as a
    string. When it moves: try whether that is mended, and use it.

    :param ti: ``BaseTrigger.task_instance``.
    """
    from airflow.sdk.execution_time.xcom import XCom

    # Not aset: it lets an XCom backend write to its object storage in the event loop.
    await asyncio.to_thread(
        XCom.set,
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
