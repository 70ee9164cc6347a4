"""In the API server, for the plugin's own pages. Airflow's guide to plugins leaves their login to them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

#: What names a task instance.
PLACE = ("dag_id", "run_id", "task_id", "map_index")


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
    name: str,
    *,
    prefix: str | None = None,
    keys: Iterable[str] = (),
    run_ids: Iterable[str] | None = None,
    dag_ids: Iterable[str] | None = None,
    limit: int | None = None,
    offset: int = 0,
) -> list[StateRow]:
    """
    Return the rows of an asset's state store whose keys begin so, or are among the given ones.

    :param run_ids: only rows that tasks of runs of these ids wrote last; None: all.
    :param dag_ids: only rows that tasks of these DAGs wrote last; None: all.
    :param limit: only so many, those that were written last, the newest first; None: all, in any order.
    :param offset: after so many of them.

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
    if dag_ids is not None:
        statement = statement.where(Row.last_updated_by_kind == "task", Row.last_updated_by_dag_id.in_(list(dag_ids)))
    if limit is not None:
        statement = statement.order_by(Row.updated_at.desc(), Row.key).limit(limit).offset(offset)
    with create_session() as session:
        found = session.execute(statement).all()
    return [
        StateRow(key, json.loads(value), *((dag_id, run_id) if kind == "task" else (None, None)))
        for key, value, kind, dag_id, run_id in found
    ]


def writers_of_asset(name: str, *, prefix: str) -> list[str]:
    """
    Return the ids of the DAGs, deleted ones, too, whose tasks wrote rows last whose keys begin so.

    Why: as for :func:`rows_of_asset`. When it moves: likewise.
    """
    from airflow.models.asset import AssetModel
    from airflow.models.asset_state_store import AssetStateStoreModel as Row
    from airflow.utils.session import create_session
    from sqlalchemy import select

    statement = (
        select(Row.last_updated_by_dag_id)
        .join(AssetModel, AssetModel.id == Row.asset_id)
        .where(AssetModel.name == name, Row.key.startswith(prefix, autoescape=True), Row.last_updated_by_kind == "task")
        .distinct()
    )
    with create_session() as session:
        return sorted(filter(None, session.scalars(statement)))


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
class TaskRow:
    """
    A task instance, as far as lists of runs need it.

    :param name: what Airflow shows in place of its map index; None while there is none.
    :param fields: its rendered templates, if it is mapped, and as far as Airflow still has them.
    """

    operator: str
    name: str | None
    fields: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class RunRow:
    """
    A run, as far as lists of them show it.

    :param at: ISO 8601; when it was to begin.
    :param by: who triggered it; None where nobody did.
    :param tasks: its task instances of the operators that were asked about, by map index.
    """

    dag_id: str
    run_id: str
    state: str
    at: str
    by: str | None
    note: str | None
    conf: Mapping[str, Any]
    tasks: Sequence[TaskRow]


def latest_runs(dag_ids: Iterable[str], *, limit: int, offset: int, operators: Iterable[str]) -> list[RunRow]:
    """
    Return runs of some DAGs, the newest first.

    :param operators: names of those to tell the task instances of.

    Why: Airflow's API lists the runs of one DAG, or of all. When it moves: see
    ``core_api/routes/public/dag_run.py``.
    """
    from airflow.models.dagrun import DagRun
    from airflow.models.renderedtifields import RenderedTaskInstanceFields as Fields
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import and_, select, tuple_
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
        its_own = [getattr(Fields, name) == getattr(TaskInstance, name) for name in PLACE]
        found = session.execute(
            select(
                TaskInstance.dag_id,
                TaskInstance.run_id,
                TaskInstance.operator,
                TaskInstance.__table__.c.rendered_map_index,  # the attribute has the index where there is no name
                Fields.rendered_fields,
            )
            .outerjoin(Fields, and_(*its_own, TaskInstance.map_index >= 0))
            .where(of.in_([(run.dag_id, run.run_id) for run in runs]), TaskInstance.operator.in_(list(operators)))
            .order_by(TaskInstance.map_index)
        )
        tasks: dict[tuple[str, str], list[TaskRow]] = {(run.dag_id, run.run_id): [] for run in runs}
        for dag_id, run_id, operator, name, fields in found:
            tasks[dag_id, run_id].append(TaskRow(operator, name, fields or {}))
        return [
            RunRow(
                run.dag_id,
                run.run_id,
                str(run.state),
                run.run_after.isoformat(),
                run.triggering_user_name,
                run.note,
                run.conf or {},
                tasks[run.dag_id, run.run_id],
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
