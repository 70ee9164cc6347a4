"""In the API server, for the plugin's own pages. Airflow's guide to plugins leaves their login to them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


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
