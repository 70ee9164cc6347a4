"""
For the API server: the rows of an asset's state store.

Why: the public class is only for tasks. With Airflow's API, the API server would have to request its own pages as a
user who may read all rows. When it moves: see ``core_api/routes/public/asset_state_store.py``, and for the values
``AssetStateStoreAccessor.get`` of ``airflow.sdk.execution_time.context``.
"""

from __future__ import annotations

import functools
import json
import re
import urllib.parse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow.models.asset import AssetModel
from airflow.models.asset_state_store import AssetStateStoreModel as Row
from airflow.sdk.execution_time.context import _get_worker_state_store_backend, _unwrap_external_ref
from airflow.sdk.state import AssetScope
from sqlalchemy import and_, bindparam, or_, select

from klap_provider.airflow_internals.runs import log_once, portions

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import datetime

    from sqlalchemy.orm import Session

#: Maximum number of key ranges in a statement.
RANGES_AT_ONCE = 50

#: The columns of a :class:`StateRow`, without the asset.
COLUMNS = (
    Row.key,
    Row.value,
    Row.updated_at,
    Row.last_updated_by_dag_id,
    Row.last_updated_by_run_id,
    Row.last_updated_by_task_id,
    Row.last_updated_by_map_index,
)

#: The first and the last key of a range. All its keys start with the same text, as collations differ for others.
KeyRange = tuple[str, str]


@dataclass(frozen=True)
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
        resolves references only for tasks.
        """
        try:
            value = json.loads(self.stored)
            reference = _unwrap_external_ref(value) if isinstance(value, dict) else None
            return value if reference is None else _referred(reference, self.asset, self.key, self.at)
        except Exception as failure:  # any error of the backend's storage library
            log_once(f"The row {self.key!r} of a state store cannot be read: {type(failure).__name__}")
            return None


def rows(
    session: Session,
    name: str,
    *,
    keys: Iterable[str] = (),
    ranges: Iterable[KeyRange] = (),
    run_ids: Collection[str] | None = None,
) -> list[StateRow]:
    """
    Return the rows of an asset's state store with the given keys, and those in ranges of keys.

    :param name: name of the asset.
    :param run_ids: only rows that tasks of runs with these ids last wrote; None: all.
    """
    if (asset := id_of(session, name)) is None:
        return []
    by_key = select(*COLUMNS).where(Row.asset_id == asset)
    statements: list[tuple[Any, dict[str, Any]]] = [(by_key.where(Row.key.in_(part)), {}) for part in portions(keys)]
    statements += [_of_ranges(asset, part) for part in portions(ranges, RANGES_AT_ONCE)]
    if run_ids is not None:
        by_runs = [Row.last_updated_by_run_id.in_(part) for part in portions(run_ids)]
        statements = [(each.where(by_run), values) for each, values in statements for by_run in by_runs]
    return [StateRow(name, *found) for statement, values in statements for found in session.execute(statement, values)]


def _of_ranges(asset: int, ranges: list[KeyRange]) -> tuple[Any, dict[str, Any]]:
    """Return a statement for the rows in ranges of keys, and its values."""
    values: dict[str, Any] = {"asset": asset}
    size = 1 if len(ranges) == 1 else RANGES_AT_ONCE
    for number, (first, last) in enumerate(ranges + ranges[-1:] * (size - len(ranges))):
        values |= {f"first{number}": first, f"last{number}": last}
    return _statement_of_ranges(size), values


@functools.cache
def _statement_of_ranges(size: int) -> Any:
    """Return the statement for some number of ranges. To make it takes longer than to run it."""
    in_ranges = (Row.key.between(bindparam(f"first{number}"), bindparam(f"last{number}")) for number in range(size))
    # With the asset in each part, so that databases read the ranges and not all rows of the asset.
    return select(*COLUMNS).where(or_(*(and_(Row.asset_id == bindparam("asset"), each) for each in in_ranges)))


def last_key(session: Session, name: str, within: KeyRange, *, skip: int = 0) -> str | None:
    """Return the last key in a range, after skipping some from the end; None if the range has no more keys."""
    first, last = within
    found = select(Row.key).where(Row.asset_id == id_of(session, name), Row.key.between(first, last))
    return session.scalar(found.order_by(Row.key.desc()).offset(skip).limit(1))


def id_of(session: Session, name: str) -> int | None:
    """
    Return the id of an asset; None if there is no such asset.

    Assets with another URI may have the same name. Tasks write to the active one. Without any Dag, none is active.
    """
    found = select(AssetModel.id).where(AssetModel.name == name)
    return session.scalar(found.order_by(AssetModel.active.has().desc(), AssetModel.id.desc()).limit(1))


@functools.lru_cache(maxsize=10_000)
def _referred(reference: str, asset: str, key: str, _at: datetime) -> Any:
    """
    Return the value that a state-store backend stores for a row.

    Any task can write any text as a reference. In object storage, it must be the row's own reference.

    :param _at: when the row was written: the reference stays the same when the value changes.
    """
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

    When it moves: see ``StateStoreObjectStorageBackend`` of that provider.
    """
    try:
        from airflow.providers.common.io.state_store import backend as common_io
    except ImportError:  # an older version of that provider
        return False
    if not isinstance(backend, common_io.StateStoreObjectStorageBackend) or not common_io._is_storage_ref(reference):
        return False  # below the threshold, the reference is the value itself
    from fsspec.utils import compressions  # type: ignore[import-untyped]  # it has no types

    path = str(common_io._build_asset_path(AssetScope(name=asset), key))
    own = path.removesuffix(common_io._get_compression_suffix())
    # The setting for compression may have been another one when the row was written.
    return reference not in {own, *(f"{own}.{suffix}" for suffix in compressions)}
