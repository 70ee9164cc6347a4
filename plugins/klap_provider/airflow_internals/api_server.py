"""
For the API server: users, permissions, Dags and triggers.

Why: only Airflow's REST API has all of this. There are no public functions behind its routes.
When it moves: see the routes of ``airflow.api_fastapi.core_api``, and ``security.py`` beside them.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from typing import TYPE_CHECKING, Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import AssetDetails, DagAccessEntity, DagDetails
from airflow.api_fastapi.common.dagbag import create_dag_bag
from airflow.api_fastapi.core_api.datamodels.dag_run import TriggerDAGRunPostBody
from airflow.api_fastapi.core_api.routes.public.dag_run import trigger_dag_run
from airflow.api_fastapi.core_api.security import get_user
from airflow.configuration import conf
from airflow.models.asset import AssetModel, TaskInletAssetReference
from airflow.models.dag import DagModel
from airflow.models.log import Log
from airflow.utils.session import create_session
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from klap_provider.airflow_internals.state_store import id_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: The FastAPI dependency that returns the user of a request, by cookie or by token, or answers 401.
signed_in = get_user


def permitted(user: Any, dag_ids: Iterable[str], what: str, *, method: str = "GET") -> set[str]:
    """
    Return the Dags for which a user has a permission.

    :param user: what the dependency :data:`signed_in` returns.
    :param what: name of a ``DagAccessEntity``, such as ``XCOM``, ``TASK_INSTANCE`` or ``RUN``.
    :param method: ``GET``, ``POST``, ``PUT`` or ``DELETE``.

    Why: ``requires_access_dag`` checks only the one Dag of a request. When it moves: see how it calls the auth manager.
    """
    manager, ids = get_auth_manager(), list(dag_ids)
    teams = DagModel.get_dag_id_to_team_name_mapping(ids)
    return {
        dag_id
        for dag_id in ids
        if manager.is_authorized_dag(
            method=method,  # type: ignore[arg-type]  # a literal type of Airflow
            access_entity=DagAccessEntity[what],
            details=DagDetails(id=dag_id, team_name=teams.get(dag_id)),
            user=user,
        )
    }


def may_access_asset(user: Any, name: str, *, method: str) -> bool:
    """
    Return whether a user has a permission for an asset, and with it for its state store.

    :param method: ``GET``, ``POST``, ``PUT`` or ``DELETE``.

    Why: ``requires_access_asset`` takes the asset from the path of the request. When it moves: see how it calls the
    auth manager.
    """
    with create_session() as session:
        asset = id_of(session, name)
    details = AssetDetails(id=None if asset is None else str(asset))
    return get_auth_manager().is_authorized_asset(
        method=method,  # type: ignore[arg-type]  # a literal type of Airflow
        details=details,
        user=user,
    )


def dags_of_asset(name: str) -> list[str]:
    """Return the ids of the Dags with a task that has the asset as an inlet."""
    dag_ids = select(TaskInletAssetReference.dag_id).join(AssetModel).where(AssetModel.name == name).distinct()
    with create_session() as session:
        return sorted(session.scalars(dag_ids))


def refresh_interval() -> int:
    """Return the seconds between two refreshes of Airflow's own pages; 0: no refresh."""
    return max(0, conf.getint("api", "auto_refresh_interval", fallback=3))


@dataclasses.dataclass(frozen=True)
class Form:
    """
    The trigger form of a Dag.

    :param fields: names of the fields.
    :param is_paused: whether the Dag is paused, so that its runs wait.
    """

    fields: frozenset[str]
    is_paused: bool


#: The Dags in the database, cached. The API server's own cache is in its app's state, which a plugin's app has not.
_dag_bag = functools.cache(create_dag_bag)


def form_of(dag_id: str) -> Form | None:
    """Return the trigger form of a Dag; None if the Dag does not exist."""
    with create_session() as session:
        model = session.get(DagModel, dag_id)
        dag = None if model is None or model.is_stale else _dag_bag().get_latest_version_of_dag(dag_id, session=session)
        return None if model is None or dag is None else Form(frozenset(dag.params), bool(model.is_paused))


def trigger(request: Any, user: Any, *, dag_id: str, run_id: str, conf: Mapping[str, Any], note: str) -> None:
    """
    Start a run like Airflow's own route, with an entry in the audit log.

    :param request: the FastAPI request.
    :param user: see :func:`permitted`. The caller has checked the user's permission.
    :raises FileExistsError: the Dag has a run with this id.
    :raises fastapi.HTTPException: the Dag refuses the conf or manual runs.

    Why: with the public API, the browser would need the conf, which may contain a secret address. When it moves: see
    ``core_api/routes/public/dag_run.py``.
    """
    body = TriggerDAGRunPostBody(dag_run_id=run_id, logical_date=None, conf=dict(conf), note=note)
    who = {"owner": user.get_name(), "owner_display_name": user.get_name()}
    try:
        with create_session() as session:
            trigger_dag_run(dag_id, body, _dag_bag(), user, session, request)
            entry = Log(event="trigger_dag_run", dag_id=dag_id, run_id=run_id, extra=json.dumps({"note": note}), **who)
            session.add(entry)
    except IntegrityError as there:
        raise FileExistsError(run_id) from there
