"""
For workers and the triggerer: runs, secrets backends, results and statistics.

Imports are inside the functions, so that they do not slow down the parsing of Dag files.

Why: ``airflow.sdk`` has no public function for this, or the public one is not enough. When it moves: see
``airflow.sdk.execution_time.task_runner``, or what the docstring of the function names.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import re
from collections.abc import Mapping
from typing import Any

from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType


def start_run(dag_id: str, run_id: str, conf: Mapping[str, Any], note: str) -> bool:
    """
    Start a run of a Dag, and return whether it is new. The database allows each run id only once.

    :param note: note of the run in the UI.

    Why: ``TriggerDagRunOperator`` fails if the run exists, even if its own lost request has created it
    (apache/airflow#66905). When it moves: see what that operator raises (``DagRunTriggerException``) and what
    ``task_runner`` sends for it.
    """
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
    Return whether a Dag is paused; None if it does not exist.

    Why: ``ti.get_dag`` is public, but not its error for a missing Dag.
    """
    try:
        return bool(ti.get_dag(dag_id).is_paused)
    except AirflowRuntimeError as fault:
        if (fault.error.detail or {}).get("status_code") != 404:
            raise
        return None


def is_refusal(failure: Exception) -> bool:
    """
    Return whether it is certain that :func:`start_run` has started nothing.

    Why: Airflow has one exception for all errors of its API server, and for lost answers.
    """
    if not isinstance(failure, AirflowRuntimeError):
        return True  # the message could not be sent
    status = (failure.error.detail or {}).get("status_code")
    return isinstance(status, int) and 400 <= status < 500


def run_state(dag_id: str, run_id: str) -> str | None:
    """
    Return the state of a Dag run; None if it does not exist.

    Why: ``ti.get_dagrun_state`` is public, but not its error for a missing run.
    """
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import GetDagRunState

    try:
        return _state_in(task_runner.SUPERVISOR_COMMS.send(GetDagRunState(dag_id=dag_id, run_id=run_id)))
    except AirflowRuntimeError as fault:
        return _state_in(fault.error)


async def arun_state(dag_id: str, run_id: str) -> str | None:
    """Return the state of a Dag run, in the triggerer; None if it does not exist."""
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import GetDagRunState

    try:
        return _state_in(await task_runner.SUPERVISOR_COMMS.asend(GetDagRunState(dag_id=dag_id, run_id=run_id)))
    except AirflowRuntimeError as fault:
        return _state_in(fault.error)


def _state_in(answer: Any) -> str | None:
    from airflow.sdk.execution_time.comms import ErrorResponse

    if not isinstance(answer, ErrorResponse):
        return str(getattr(answer.state, "value", answer.state))
    if (answer.detail or {}).get("status_code") == 404:
        return None
    raise AirflowRuntimeError(answer)


def run_address(dag_id: str, run_id: str) -> str:
    """Return the address of a run in Airflow's UI."""
    from airflow.utils.helpers import build_airflow_dagrun_url

    return build_airflow_dagrun_url(dag_id=dag_id, run_id=run_id)


def is_unmapped(operator: Any) -> bool:
    """Return whether an operator was created by ``MappedOperator.unmap``: its arguments may be results of tasks."""
    return bool(operator._BaseOperator__from_mapped)


def arguments_in_dag_file(task: Any, name: str) -> list[Any]:
    """
    Return what the Dag file has for an argument of a task: one value, or a value for each map index.

    The value is None if the Dag file does not set the argument, or may set it with the result of another task
    (``expand_kwargs``). It is an ``XComArg`` if it is the result of another task.

    Why: a mapped operator has no public attribute for the arguments of ``partial`` and ``expand``. When it moves: see
    ``MappedOperator.unmap``.
    """
    if not task.is_mapped:
        return [getattr(task, name)]
    given = {**task.dag.default_args, **(task.task_group.default_args or {}), **task.partial_kwargs}.get(name)
    expanded = task.expand_input.value
    if isinstance(expanded, list | tuple):
        return [each.get(name, given) if isinstance(each, Mapping) else given for each in expanded]
    if isinstance(expanded, Mapping) and name in expanded:
        values = expanded[name]
        return list(values) if isinstance(values, list | tuple) else [values]
    return [given]


def can_end_in_triggerer(task: Any) -> bool:
    """
    Return whether the triggerer can end a task (``end_from_trigger``) without side effects being lost.

    The trigger writes the task's XCom with :func:`push_result` and yields ``TaskSuccessEvent``. No worker is started,
    so Airflow silently skips asset events of outlets, success callbacks, ``post_execute``, listeners of plugins such as
    OpenLineage, the length of the result for mapped downstream tasks, and the XComs of ``multiple_outputs``. A task
    with any of these, or without ``do_xcom_push``, ends on a worker.

    Why: there is no public way to find listeners. For an operator with an attribute ``end_from_trigger``, Airflow loads
    all plugins at each parse, and refuses the Dag if one of them has a listener. When it moves: see what
    ``task_runner`` does after ``execute`` and in ``finalize``. Call it on a worker, which has loaded the plugins.

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
        task.multiple_outputs,
        any(True for _ in task.iter_mapped_dependants()),
        get_listener_manager().has_listeners,
    )
    return not any(needs_worker)


async def push_result(ti: Any, value: Any) -> None:
    """
    Write a task's result from the triggerer, see :func:`can_end_in_triggerer`.

    Why: ``TaskSuccessEvent(xcoms=…)`` is public, but Airflow 3.3 encodes the values twice, so that a dict becomes a
    string. When it moves: if this is fixed, use it.

    :param ti: ``BaseTrigger.task_instance``.
    :param value: the result.
    """
    from airflow.sdk.execution_time.xcom import XCom

    # Not XCom.aset, because an XCom backend would write to its object storage in the event loop.
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
    Return whether all tasks run on the scheduler's machine, according to ``[core] executor``.

    Why: only the executor's class has this (``is_local``), and the setting may have several executors, each as
    ``[team=][alias:]name`` with the name or the path of a class. In a pod or container of an executor, the environment
    decides, because older Helm charts set a local executor there. When it moves: see how ``ExecutorLoader`` reads the
    setting.
    """
    from airflow.sdk import conf

    def is_local(executor: str) -> bool:
        module, _, name = executor.strip().rpartition(".")
        if not module:
            return name == "LocalExecutor"
        try:
            return bool(getattr(importlib.import_module(module), name).is_local)
        except (ImportError, AttributeError):  # a worker need not have the executor installed
            return False

    if os.environ.get("AIRFLOW_IS_K8S_EXECUTOR_POD") or os.environ.get("AIRFLOW_IS_EXECUTOR_CONTAINER"):
        return False
    named = [each for each in re.split("[,;]", conf.get("core", "executor")) if each.strip()]
    return all(is_local(re.split("[=:]", each)[-1]) for each in named)


def unresponsive_backend(conn_id: str) -> str | None:
    """
    Return the secrets backend that did not answer, after Airflow reported that a connection does not exist; None if all
    backends answered.

    Why: Airflow treats a failed backend like one without the connection. The same happens on the API server, which
    cannot be detected here. When it moves: see how ``_get_connection`` of ``airflow.sdk.execution_time.context``
    handles errors of a backend.
    """
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import ErrorResponse, GetConnection
    from airflow.sdk.execution_time.secrets import ExecutionAPISecretsBackend
    from airflow.sdk.execution_time.supervisor import ensure_secrets_backend_loaded

    for backend in ensure_secrets_backend_loaded():
        try:
            if not isinstance(backend, ExecutionAPISecretsBackend):
                has_none = backend.get_connection(conn_id=conn_id) is None
            else:  # this backend hides its own failures
                answer = task_runner.SUPERVISOR_COMMS.send(GetConnection(conn_id=conn_id))
                has_none = isinstance(answer, ErrorResponse) and answer.error == ErrorType.CONNECTION_NOT_FOUND
        except Exception:  # any error of the backend's library
            has_none = False
        if not has_none:
            return type(backend).__name__
    return None


def execute_part(operator: Any, context: Any) -> Any:
    """
    Execute an operator as a part of another operator's task.

    Why: Airflow logs a warning for each ``execute`` that its task runner does not call itself, and refuses it where
    ``allow_nested_operators`` is off.
    """
    from airflow.sdk.bases.operator import ExecutorSafeguard

    token = ExecutorSafeguard.tracker.set(operator)
    try:
        return operator.execute(context)
    finally:
        ExecutorSafeguard.tracker.reset(token)


def failed_in_triggerer(next_method: str) -> bool:
    """
    Return whether a task is resumed because its trigger failed or exceeded the timeout of the deferral.

    Airflow has no callback for it, only a special value of ``next_method``, see ``BaseOperator.resume_execution``.
    """
    from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR

    return next_method == TRIGGER_FAIL_REPR


def statistics() -> Any:
    """
    Return Airflow's metrics client, with ``incr`` and ``timing``.

    Why: ``airflow.stats`` is deprecated and imports the whole core.
    """
    from airflow.sdk.observability import stats

    return stats
