"""
For the API server: what users do to task instances and to the rows of an asset, in one transaction.

Why: Airflow's API has a request for each step, and none checks the state that the user saw. When it moves: see the
routes ``task_instances.py``, ``hitl.py`` and ``asset_state_store.py`` in ``core_api/routes/public``.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import uuid
from typing import TYPE_CHECKING, Any

from airflow._shared.state import AssetScope, AssetStateStoreWriterKind
from airflow.api_fastapi.core_api.datamodels.hitl import UpdateHITLDetailPayload
from airflow.api_fastapi.core_api.datamodels.task_instances import ClearTaskInstancesBody
from airflow.api_fastapi.core_api.routes.public.hitl import update_hitl_detail
from airflow.api_fastapi.core_api.routes.public.task_instances import post_clear_task_instances
from airflow.models.log import Log
from airflow.models.taskinstance import TaskInstance
from airflow.state.metastore import _get_db_backend
from airflow.utils.session import create_session
from fastapi import HTTPException
from sqlalchemy import update

from klap_provider.airflow_internals.api_server import _dag_bag
from klap_provider.airflow_internals.state_store import id_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sqlalchemy.orm import Session

#: The reason for which a step cannot be repeated, instead of Airflow's name of an exception.
RUNNING = (
    "A later task of this run is running or about to start, so this step cannot be repeated now. Nothing was started "
    "or paid. Try again when that task has ended."
)

#: The context manager of a session of its own. Airflow's functions commit and close the session of the thread.
transaction = functools.partial(create_session, scoped=False)

#: A task id and a map index, -1 if the task is not mapped.
Task = tuple[str, int]


def lock_unchanged(session: Session, dag_id: str, run_id: str, tasks: Iterable[Mapping[str, Any]]) -> bool:
    """
    Lock task instances until the end of the transaction, if all of them are still as given.

    :param tasks: mappings with ``id``, ``state`` and ``try_number``.
    :return: whether all of them are.
    """
    for task in tasks:
        try:
            row_id = uuid.UUID(task["id"])
        except ValueError:
            return False
        # Databases do not support the same kinds of locks. All of them lock a row that a statement updates.
        same = (
            update(TaskInstance)
            .values(updated_at=TaskInstance.updated_at)
            .where(
                TaskInstance.id == row_id,
                TaskInstance.dag_id == dag_id,
                TaskInstance.run_id == run_id,
                TaskInstance.state == task["state"],
                TaskInstance.try_number == task["try_number"],
            )
        )
        updated = session.execute(same.execution_options(synchronize_session=False))
        if updated.rowcount != 1:  # type: ignore[attr-defined]  # of a CursorResult
            return False
    return True


def clear(session: Session, user: Any, dag_id: str, run_id: str, tasks: Sequence[Task]) -> None:
    """
    Clear task instances of a run, and those downstream.

    :param user: what the dependency ``signed_in`` returns. The caller has checked the user's permission.
    :raises fastapi.HTTPException: the run does not exist, or one of these task instances is running.
    """
    markers = [task_id if map_index < 0 else (task_id, map_index) for task_id, map_index in tasks]
    body = ClearTaskInstancesBody(
        dry_run=False,
        dag_run_id=run_id,
        only_failed=False,
        include_downstream=True,
        prevent_running_task=True,
        task_ids=markers,
    )
    try:
        _call(post_clear_task_instances, session, dag_id=dag_id, body=body, user=user)
    except HTTPException as refused:
        if refused.status_code != 409:
            raise
        raise HTTPException(409, RUNNING) from refused
    _log(session, user, dag_id, run_id, "post_clear_task_instances", {"task_ids": markers})


def answer(session: Session, user: Any, dag_id: str, run_id: str, task: Task, chosen: Sequence[str]) -> None:
    """
    Answer a required action.

    :param chosen: options of the required action.
    :raises fastapi.HTTPException: it is answered already, does not offer an option, or is assigned to other users.
    """
    task_id, map_index = task
    payload = UpdateHITLDetailPayload(chosen_options=list(chosen), params_input={})
    place = {"dag_id": dag_id, "dag_run_id": run_id, "task_id": task_id, "map_index": map_index}
    _call(update_hitl_detail, session, **place, update_hitl_detail_payload=payload, user=user)
    _log(session, user, dag_id, run_id, "update_hitl_detail", {"task_id": task_id, "chosen_options": list(chosen)})


def replace_row(session: Session, asset: str, key: str, value: Any, *, instead_of: str) -> None:
    """
    Write a row of an asset's state store, and delete another one.

    :param asset: name of the asset.
    :param instead_of: key of the row to delete, if it exists.
    """
    scope, backend = AssetScope(asset_id=id_of(session, asset)), _get_db_backend()
    backend.delete(scope, instead_of, session=session)
    backend.set_asset_state_store(scope, key, json.dumps(value), kind=AssetStateStoreWriterKind.API, session=session)


def _call(route: Callable[..., Any], session: Session, **arguments: Any) -> None:
    """Call a function of Airflow's API. Airflow 3.4 has more parameters, which FastAPI would pass."""
    wanted = inspect.signature(route).parameters
    if "resolver" in wanted:
        coordinates = importlib.import_module("airflow.api_fastapi.core_api.services.public.task_coordinates")
        arguments["resolver"] = coordinates.TaskCoordinateResolver(_dag_bag(), session)
    if "dag_bag" in wanted:
        arguments["dag_bag"] = _dag_bag()
    route(session=session, **arguments)


def _log(session: Session, user: Any, dag_id: str, run_id: str, event: str, extra: Mapping[str, Any]) -> None:
    """Add an entry to the audit log, named like that of Airflow's own route."""
    who = {"owner": user.get_name(), "owner_display_name": user.get_name()}
    session.add(Log(event=event, dag_id=dag_id, run_id=run_id, extra=json.dumps(extra), **who))
