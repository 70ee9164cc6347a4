"""
For the API server: list, delete and restore the rows of an asset's state store.

Why: Airflow's API lists rows only by their number, without the values of a state store backend, and it cannot write who
wrote a row and when. When it moves: see ``core_api/routes/public/asset_state_store.py``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow.models.asset_state_store import AssetStateStoreModel as Row
from airflow.models.dagrun import DagRun
from airflow.sdk.execution_time.context import _get_worker_state_store_backend, _wrap_external_ref
from airflow.sdk.state import AssetScope
from sqlalchemy import and_, delete, exists, select

from klap_provider.airflow_internals.state_store import COLUMNS, StateRow, id_of, rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from sqlalchemy.orm import Session

    from klap_provider.airflow_internals.state_store import KeyRange


def next_rows(
    session: Session,
    name: str,
    *,
    after: str,
    limit: int,
    ranges: Iterable[KeyRange] = (),
    before: datetime | None = None,
    of_deleted_runs: bool = False,
) -> list[StateRow]:
    """
    Return rows of an asset's state store in the order of their keys; those of one range after those of another.

    :param name: name of the asset.
    :param after: only rows with a greater key.
    :param ranges: only rows in these ranges of keys, which do not overlap. Default: all.
    :param before: only rows that were last written before. None: all.
    :param of_deleted_runs: only rows whose run does not exist.
    """
    found = select(*COLUMNS).where(Row.asset_id == id_of(session, name), Row.key > after)
    if before is not None:
        found = found.where(Row.updated_at < before)
    if of_deleted_runs:
        of_row = and_(DagRun.dag_id == Row.last_updated_by_dag_id, DagRun.run_id == Row.last_updated_by_run_id)
        found = found.where(~exists().where(of_row))
    # A statement for each range, because databases would read all rows for several ranges that are to be sorted.
    parts = [found.where(Row.key.between(*each)) for each in ranges] or [found]
    read: list[StateRow] = []
    for part in parts:
        if len(read) < limit:
            selected = part.order_by(Row.key).limit(limit - len(read))
            read += [StateRow(name, *each) for each in session.execute(selected)]
    return read


def delete_unchanged(
    session: Session, name: str, archived: Mapping[str, tuple[Any, datetime]], needed_by: Mapping[str, str | None]
) -> int:
    """
    Delete rows, in their order, if they still have the given value and time, and return their number.

    :param needed_by: the key of the row that needs a row. While it exists, the row stays.

    The values that a state store backend keeps elsewhere remain: a task may be writing the same row, and it writes the
    value first.
    """
    asset, deleted = id_of(session, name), 0
    there = {row.key: row for row in rows(session, name, keys={*archived, *filter(None, needed_by.values())})}
    for key, (value, at) in archived.items():
        row = there.get(key)
        if row is None or needed_by.get(key) in there or row.at != at or row.value != value:
            continue
        is_same = and_(Row.key == key, Row.updated_at == at, Row.value == row.stored)
        statement = delete(Row).where(Row.asset_id == asset, is_same)
        if session.execute(statement).rowcount:  # type: ignore[attr-defined]  # of a CursorResult
            deleted += 1
            del there[key]
    return deleted


def insert_missing(session: Session, name: str, restored: Iterable[StateRow]) -> int:
    """
    Write rows that do not exist, with the time and the writer that they had, and return their number.

    :param restored: the rows; ``stored`` is the value as JSON.
    """
    wanted = {row.key: row for row in restored}
    missing = wanted.keys() - {row.key for row in rows(session, name, keys=wanted)}
    asset, backend = id_of(session, name), _get_worker_state_store_backend()
    for key in missing:
        row, stored = wanted[key], wanted[key].stored
        if backend is not None:
            scope, value = AssetScope(name=name), json.loads(stored)
            reference = backend.serialize_asset_state_store_to_ref(value=value, key=key, scope=scope)
            stored = json.dumps(_wrap_external_ref(reference))
        session.add(
            Row(
                asset_id=asset,
                key=key,
                value=stored,
                updated_at=row.at,
                last_updated_by_kind="task" if row.dag_id else "api",
                last_updated_by_dag_id=row.dag_id,
                last_updated_by_run_id=row.run_id,
                last_updated_by_task_id=row.task_id,
                last_updated_by_map_index=row.map_index,
            )
        )
    return len(missing)
