"""In the API server, for the plugin's own pages. Airflow's guide to plugins leaves their login to them."""

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

#: How many values one statement names: databases take so many, and no more.
AT_ONCE = 1000


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
    Return those of some Dags whose XComs a user may read.

    Why: as for :func:`permitted`. When it moves: likewise.
    """
    return permitted(user, dag_ids, "GET", "XCOM")


def permitted(user: Any, dag_ids: Iterable[str], method: str, what: str) -> set[str]:
    """
    Return those of some Dags with which a user may do something.

    :param user: of :func:`signed_in`.
    :param method: ``GET``, ``POST``, ``PUT`` or ``DELETE``.
    :param what: the name of a ``DagAccessEntity``, such as ``XCOM``, ``TASK_INSTANCE`` or ``RUN``.

    Why: ``requires_access_dag`` of Airflow's own routes answers for the one Dag of a request alone. When it moves: see
    what that asks the auth manager.
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
            method=method,  # type: ignore[arg-type]  # a word that Airflow has for it
            access_entity=DagAccessEntity[what],
            details=DagDetails(id=dag_id, team_name=teams.get(dag_id)),
            user=user,
        )
    }


def refresh_interval() -> int:
    """
    Return after how many seconds Airflow's own pages ask again, 0 for never.

    Why: ``GET /config`` tells it to browsers alone. When it moves: see ``core_api/routes/ui/config.py``.
    """
    from airflow.configuration import conf

    return max(0, conf.getint("api", "auto_refresh_interval", fallback=3))


@dataclasses.dataclass(frozen=True)
class Form:
    """
    The trigger form of a Dag.

    :param fields: their names.
    :param is_paused: whether its runs wait until somebody unpauses the Dag.
    """

    fields: frozenset[str]
    is_paused: bool


def form_of(dag_id: str) -> Form | None:
    """
    Return the trigger form of a Dag; None if Airflow does not have that Dag now.

    Why: ``GET /dags/{dag_id}/details`` gives it to browsers alone. When it moves: see ``trigger_dag_run`` of
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
    Return what gives Dags as the database has them, and remembers them.

    Why: the API server's own is in the state of its app, which a plugin's app does not have. When it moves: see
    ``dag_bag_from_app`` of ``api_fastapi/common/dagbag.py``.
    """
    from airflow.api_fastapi.common.dagbag import create_dag_bag

    return create_dag_bag()


def trigger(request: Any, user: Any, *, dag_id: str, run_id: str, conf: Mapping[str, Any], note: str) -> None:
    """
    Start a run as Airflow's own route does, and note in the audit log who has done so.

    :param request: the FastAPI request that asks for it.
    :param user: of :func:`signed_in`, whose right to do so is checked already.
    :raises FileExistsError: the Dag has a run of that id.
    :raises fastapi.HTTPException: the Dag does not take the conf, or runs that people start.

    Why: over its public API the conf, which may have a secret address in it, would have to come from the browser.
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

    :param asset: the name of the asset.
    :param stored: the value as the database has it.
    :param at: when it was last written.
    :param dag_id: of the task that last wrote it; None if a person or a watcher did.
    :param run_id: likewise.
    :param task_id: likewise.
    :param map_index: likewise.
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
        The value; None if it cannot be read, because it is no JSON or its backend does not have it.

        Why: ``[workers] state_store_backend`` keeps values in a storage of its own, and leaves a reference in the
        database. Airflow resolves it for tasks alone. When it moves: see what ``AssetStateStoreAccessor.get`` of
        ``airflow.sdk.execution_time.context`` does with what it is answered.
        """
        from airflow.sdk.execution_time.context import _unwrap_external_ref

        try:
            value = json.loads(self.stored)
            reference = _unwrap_external_ref(value) if isinstance(value, dict) else None
            return value if reference is None else _referred(reference, self.asset, self.key, self.at)
        except Exception as failure:  # of whatever library reads the backend's storage
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
    Return the rows of an asset's state store whose keys begin so, or are among the given ones.

    :param run_ids: of the rows with that prefix, only those that tasks of runs of these ids wrote last; None: all.

    Why: the store is there for tasks; over Airflow's API the API server would have to ask itself, page by page, and
    as somebody who may read all of it. When it moves: see the routes of
    ``core_api/routes/public/asset_state_store.py``.
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
    Return some values in lists of :data:`AT_ONCE`.

    Why: databases limit how many values a statement has. When it moves: it does not depend on Airflow.
    """
    whole = list(values)
    for start in range(0, len(whole), AT_ONCE):
        yield whole[start : start + AT_ONCE]


@functools.lru_cache(maxsize=1_000)
def log_once(words: str) -> None:
    """
    Log something that is found again with each request.

    Why: the rest of this module finds it. When it moves: it does not depend on Airflow.
    """
    log.warning(words)


@functools.lru_cache(maxsize=20_000)
def _referred(reference: str, asset: str, key: str, _at: datetime) -> Any:
    """
    Return the value that a state-store backend keeps for a row.

    Any task can write any text as a reference. In object storage it must be the reference of the row itself.

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
