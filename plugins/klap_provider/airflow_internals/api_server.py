"""For the API server: users, permissions, Dags, triggers and rows of the ledger."""

from __future__ import annotations

import dataclasses
import functools
import json
import logging
import re
import urllib.parse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import datetime

log = logging.getLogger(__name__)

#: Maximum number of values in a statement.
AT_ONCE = 1000


def signed_in() -> Callable[..., Any]:
    """
    Return the FastAPI dependency that returns the user of a request, by cookie or by token, or answers 401.

    Why: Airflow's own routes use it, and there is no public name. When it moves: see the dependencies of the routes of
    ``airflow.api_fastapi.core_api``.
    """
    from airflow.api_fastapi.core_api.security import get_user

    return get_user


def may_read_xcoms(user: Any, dag_ids: Iterable[str]) -> set[str]:
    """
    Return the Dags whose XComs a user may read.

    Why: as for :func:`permitted`. When it moves: likewise.
    """
    return permitted(user, dag_ids, "GET", "XCOM")


def permitted(user: Any, dag_ids: Iterable[str], method: str, what: str) -> set[str]:
    """
    Return the Dags for which a user has a permission.

    :param user: see :func:`signed_in`.
    :param method: ``GET``, ``POST``, ``PUT`` or ``DELETE``.
    :param what: name of a ``DagAccessEntity``, such as ``XCOM``, ``TASK_INSTANCE`` or ``RUN``.

    Why: ``requires_access_dag`` of Airflow's own routes checks only the one Dag of a request. When it moves: see how it
    calls the auth manager.
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
            method=method,  # type: ignore[arg-type]  # a literal type of Airflow
            access_entity=DagAccessEntity[what],
            details=DagDetails(id=dag_id, team_name=teams.get(dag_id)),
            user=user,
        )
    }


def refresh_interval() -> int:
    """
    Return the seconds between two refreshes of Airflow's own pages; 0: no refresh.

    Why: only the browser API ``GET /config`` returns it. When it moves: see ``core_api/routes/ui/config.py``.
    """
    from airflow.configuration import conf

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


def form_of(dag_id: str) -> Form | None:
    """
    Return the trigger form of a Dag; None if the Dag does not exist.

    Why: only the browser API ``GET /dags/{dag_id}/details`` returns it. When it moves: see ``trigger_dag_run`` of
    ``core_api/routes/public/dag_run.py``.
    """
    from airflow.models.dag import DagModel
    from airflow.utils.session import create_session

    with create_session() as session:
        model = session.get(DagModel, dag_id)
        dag = None if model is None or model.is_stale else _dag_bag().get_latest_version_of_dag(dag_id, session=session)
        return None if model is None or dag is None else Form(frozenset(dag.params), bool(model.is_paused))


@functools.cache
def _dag_bag() -> Any:
    """
    Return a cache of the Dags in the database.

    Why: the API server's own cache is in its app's state, which a plugin's app does not have. When it moves: see
    ``dag_bag_from_app`` of ``api_fastapi/common/dagbag.py``.
    """
    from airflow.api_fastapi.common.dagbag import create_dag_bag

    return create_dag_bag()


def trigger(request: Any, user: Any, *, dag_id: str, run_id: str, conf: Mapping[str, Any], note: str) -> None:
    """
    Start a run like Airflow's own route, with an entry in the audit log.

    :param request: the FastAPI request.
    :param user: see :func:`signed_in`. The caller has checked the user's permission.
    :raises FileExistsError: the Dag has a run with this id.
    :raises fastapi.HTTPException: the Dag refuses the conf or manual runs.

    Why: with the public API, the browser would need the conf, which may contain a secret address.
    When it moves: see ``core_api/routes/public/dag_run.py``.
    """
    from airflow.api_fastapi.core_api.datamodels.dag_run import TriggerDAGRunPostBody
    from airflow.api_fastapi.core_api.routes.public.dag_run import trigger_dag_run
    from airflow.models.log import Log
    from airflow.utils.session import create_session
    from sqlalchemy.exc import IntegrityError

    body = TriggerDAGRunPostBody(dag_run_id=run_id, logical_date=None, conf=dict(conf), note=note)
    try:
        with create_session() as session:
            trigger_dag_run(dag_id, body, _dag_bag(), user, session, request)
            who = {"owner": user.get_name(), "owner_display_name": user.get_name()}
            session.add(
                Log(event="trigger_dag_run", dag_id=dag_id, run_id=run_id, extra=json.dumps({"note": note}), **who)
            )
    except IntegrityError as there:
        raise FileExistsError(run_id) from there


@dataclasses.dataclass(frozen=True)
class StateRow:
    """
    A row of an asset's state store.

    :param asset: name of the asset.
    :param stored: value in the database.
    :param at: when the row was last written.
    :param dag_id: Dag of the task that last wrote the row; None if a user or a watcher wrote it.
    :param run_id: run of that task.
    :param task_id: id of that task.
    :param map_index: map index of that task.
    """

    asset: str
    key: str
    stored: str
    at: datetime
    dag_id: str | None
    run_id: str | None
    task_id: str | None
    map_index: int | None

    @functools.cached_property
    def value(self) -> Any:
        """
        The value; None if it is not JSON, or its backend does not have it.

        Why: ``[workers] state_store_backend`` stores values elsewhere, and references to them in the database. Airflow
        resolves references only for tasks. When it moves: see ``AssetStateStoreAccessor.get`` of
        ``airflow.sdk.execution_time.context``.
        """
        from airflow.sdk.execution_time.context import _unwrap_external_ref

        try:
            value = json.loads(self.stored)
            reference = _unwrap_external_ref(value) if isinstance(value, dict) else None
            return value if reference is None else _referred(reference, self.asset, self.key, self.at)
        except Exception as failure:  # any error of the backend's storage library
            log_once(f"The row {self.key!r} of a state store cannot be read: {type(failure).__name__}")
            return None


def rows_of_asset(
    name: str,
    *,
    prefix: str | None = None,
    keys: Iterable[str] = (),
    run_ids: Iterable[str] | None = None,
) -> list[StateRow]:
    """
    Return the rows of an asset's state store with a key prefix or with the given keys.

    :param run_ids: ids of runs: only rows with the prefix that tasks of these runs last wrote; None: all.

    Why: the public class is only for tasks. With Airflow's API, the API server would have to request its own pages as a
    user who may read all rows. When it moves: see the routes of ``core_api/routes/public/asset_state_store.py``.
    """
    from airflow.models.asset import AssetModel
    from airflow.models.asset_state_store import AssetStateStoreModel as Row
    from airflow.utils.session import create_session
    from sqlalchemy import and_, case, select

    wanted: list[Any] = [Row.key.in_(part) for part in portions(keys)]
    if prefix is not None:
        begins = Row.key.startswith(prefix, autoescape=True)
        wanted = [begins]
        if run_ids is not None:
            wanted = [and_(begins, Row.last_updated_by_run_id.in_(part)) for part in portions(run_ids)]
    is_task = Row.last_updated_by_kind == "task"
    writer = (
        Row.last_updated_by_dag_id,
        Row.last_updated_by_run_id,
        Row.last_updated_by_task_id,
        Row.last_updated_by_map_index,
    )
    statement = (
        select(Row.key, Row.value, Row.updated_at, *(case((is_task, column)) for column in writer))
        .join(AssetModel, AssetModel.id == Row.asset_id)
        .where(AssetModel.name == name)
    )
    with create_session() as session:
        return [StateRow(name, *found) for each in wanted for found in session.execute(statement.where(each))]


def portions(values: Iterable[Any]) -> Iterator[list[Any]]:
    """
    Yield values in lists of at most :data:`AT_ONCE`.

    Why: databases limit the number of values in a statement. When it moves: it does not depend on Airflow.
    """
    whole = list(values)
    for start in range(0, len(whole), AT_ONCE):
        yield whole[start : start + AT_ONCE]


@functools.lru_cache(maxsize=1_000)
def log_once(words: str) -> None:
    """
    Log a warning once, although each request finds the problem again.

    Why: the rest of this module finds it. When it moves: it does not depend on Airflow.
    """
    log.warning(words)


@functools.lru_cache(maxsize=20_000)
def _referred(reference: str, asset: str, key: str, _at: datetime) -> Any:
    """
    Return the value that a state-store backend stores for a row.

    Any task can write any text as a reference. In object storage, it must be the row's own reference.

    :param _at: when the row was written: the reference stays the same when the value changes.

    Why: as for :attr:`StateRow.value`. When it moves: likewise, and ``StateStoreObjectStorageBackend`` of the provider
    common.io.
    """
    from airflow.sdk.execution_time.context import _get_worker_state_store_backend

    backend = _get_worker_state_store_backend()
    if backend is None:
        raise LookupError("the API server has no [workers] state_store_backend")
    leads_out = ".." in re.split(r"[/\\]", urllib.parse.unquote(reference))
    if leads_out or _is_of_another_row(backend, reference, asset, key):
        raise ValueError("it is not the reference of this row")
    return backend.deserialize_asset_state_store_from_ref(reference)


def _is_of_another_row(backend: Any, reference: str, asset: str, key: str) -> bool:
    """
    Return whether a reference leads to an object in the storage of the provider common.io that is not this row's.

    Why: as for :func:`_referred`. When it moves: likewise.
    """
    try:
        from airflow.providers.common.io.state_store import backend as common_io
    except ImportError:  # an older version of that provider
        return False
    if not isinstance(backend, common_io.StateStoreObjectStorageBackend) or not common_io._is_storage_ref(reference):
        return False  # below the threshold, the reference is the value itself
    from airflow.sdk.state import AssetScope
    from fsspec.utils import compressions  # type: ignore[import-untyped]  # it has no types

    path = str(common_io._build_asset_path(AssetScope(name=asset), key))
    own = path.removesuffix(common_io._get_compression_suffix())
    # The setting for compression may have been another one when the row was written.
    suffixes = ("", *(f".{suffix}" for suffix in compressions))
    return reference not in {f"{own}{suffix}" for suffix in suffixes}


def dags_of_asset(name: str) -> list[str]:
    """
    Return the ids of the Dags with a task that has the asset as an inlet.

    Why: ``GET /assets/{id}`` returns them only to users who may see assets. When it moves: see ``consuming_tasks``
    there.
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
