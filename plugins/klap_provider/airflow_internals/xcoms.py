"""
For the API server: XComs and their values.

Why: with Airflow's API, the API server would send itself hundreds of requests for a run. ``[core] xcom_backend`` may
store values elsewhere, and references in the database. Airflow resolves references only for tasks. When it moves: see
``core_api/routes/public/xcom.py``, and for the values ``XCom.get_one`` of ``airflow.sdk.bases.xcom``,
``XComModel.deserialize_value``, and ``XComObjectStorageBackend`` of the provider common.io.
"""

from __future__ import annotations

import functools
import json
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from airflow.models.dagrun import DagRun
from airflow.models.xcom import XComModel
from airflow.sdk.bases.xcom import BaseXCom
from airflow.sdk.execution_time.xcom import resolve_xcom_backend
from sqlalchemy import select

from klap_provider.airflow_internals.runs import log_once, portions

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from datetime import datetime

    from sqlalchemy.orm import Session

#: Number of XComs that are read from an XCom backend in parallel.
AT_A_TIME = 8


@dataclass(frozen=True)
class StoredXCom:
    """
    An XCom in Airflow's database.

    :param run: id of the row of its run.
    :param raw: the value, or the XCom backend's reference to it.
    :param at: when it was written.
    """

    run: int
    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    key: str
    raw: Any
    at: datetime


def xcoms(
    session: Session, runs: Iterable[int], keys: Collection[str], *, task_ids: Collection[str] | None = None
) -> list[StoredXCom]:
    """
    Return the XComs of some runs. Read their values with :func:`read_values`.

    :param runs: ids of the rows of the runs.
    :param task_ids: only XComs of these tasks; None: all.
    """
    # Not the plain column, because databases would use its index, and read the results of all tasks of all Dags.
    wanted = [XComModel.key.concat("").in_(list(keys))]
    if task_ids is not None:
        wanted.append(XComModel.task_id.in_(list(task_ids)))
    return [each for part in portions(runs) for each in _xcoms(session, *_of_runs(part), *wanted)]


def _of_runs(runs: Sequence[int]) -> list[Any]:
    """Return the conditions for XComs of these runs."""
    conditions = [XComModel.dag_run_id.in_(runs)]
    if hasattr(XComModel, "mapped_length"):
        # Airflow 3.4 finds XComs by their task instances. SQLite would read all of them without these conditions.
        for name in ("dag_id", "run_id"):
            of_runs = select(getattr(DagRun, name)).where(DagRun.id.in_(runs))
            conditions.append(getattr(XComModel, name).in_(of_runs))
    return conditions


def newest_xcoms(session: Session, dag_ids: Collection[str], key: str, *, limit: int) -> list[StoredXCom]:
    """Return the XComs with a key in the newest runs."""
    return _xcoms(session, XComModel.key == key, XComModel.dag_id.in_(list(dag_ids)), limit=limit)


def _xcoms(session: Session, *wanted: Any, limit: int | None = None) -> list[StoredXCom]:
    place = (XComModel.dag_run_id, XComModel.dag_id, XComModel.run_id, XComModel.task_id, XComModel.map_index)
    found = select(*place, XComModel.key, XComModel.value, XComModel.timestamp).where(*wanted)
    if limit is not None:
        found = found.order_by(XComModel.dag_run_id.desc()).limit(limit)
    return [StoredXCom(*each) for each in session.execute(found)]


def read_values(stored: Sequence[StoredXCom], *, unreadable: Any = None) -> list[tuple[StoredXCom, Any]]:
    """
    Return XComs, each with its value.

    :param unreadable: placeholder for a value that cannot be read.
    """
    backend = resolve_xcom_backend()
    read = functools.partial(_value_of, backend, unreadable)
    if backend is BaseXCom or len(stored) < AT_A_TIME:
        return [(xcom, read(xcom)) for xcom in stored]
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        return list(zip(stored, pool.map(read, stored), strict=True))


def _value_of(backend: Any, unreadable: Any, xcom: StoredXCom) -> Any:
    try:
        plain = _plain(xcom.raw)
        if backend is BaseXCom or (_keeps_in_object_storage(backend) and not isinstance(plain, str)):
            return plain
        return _kept_by(backend, json.dumps(plain), replace(xcom, raw=None))
    except Exception as failure:  # any error of the backend's storage library
        where = " ".join((xcom.dag_id, xcom.run_id, xcom.task_id))
        log_once(f"The XCom {xcom.key} of {where} cannot be read: {type(failure).__name__}")
        return unreadable


@functools.lru_cache(maxsize=1_000)
def _kept_by(backend: Any, raw: str, xcom: StoredXCom) -> Any:
    """
    Return the value that an XCom backend stores for an XCom.

    Any task can write any value to the database. So no object of a class is created, unlike in Airflow's decoder, and a
    reference to object storage must be the XCom's own reference.

    :param raw: the reference, as JSON.
    :param xcom: the XCom. Its time is part of the cache key, because the reference may stay the same.
    """
    plain = json.loads(raw)
    if not _keeps_in_object_storage(backend):
        if _makes_objects(plain):
            raise ValueError("it would create an object of a class")
        return backend.deserialize_value(SimpleNamespace(key=xcom.key, value=plain))
    from airflow.providers.common.io.xcom.backend import _get_base_path

    base = _get_base_path()
    if not plain.startswith(str(base)):
        return plain
    inside = plain.removeprefix(str(base)).lstrip("/")
    own = f"{xcom.dag_id}/{xcom.run_id}/{xcom.task_id}/"
    for text in (inside, urllib.parse.unquote(inside)):
        if ".." in text.split("/") or not text.startswith(own):
            raise ValueError("it is the value of another XCom")
    with (base / inside).open(mode="rb", compression="infer") as file:
        return json.load(file)


def _keeps_in_object_storage(backend: Any) -> bool:
    """Return whether an XCom backend reads values like the one of the provider common.io."""
    try:
        from airflow.providers.common.io.xcom.backend import XComObjectStorageBackend
    except ImportError:
        return False
    return backend.deserialize_value is XComObjectStorageBackend.deserialize_value


def _plain(raw: Any) -> Any:
    """Return a value of the database. Tasks send values as JSON, so the column has JSON in JSON."""
    if not isinstance(raw, str):
        return raw
    try:
        decoded = json.loads(raw)
    except ValueError:
        return raw
    return decoded if isinstance(decoded, dict | list | str) else raw


def _makes_objects(value: Any) -> bool:
    """Return whether Airflow's decoder, ``XComDecoder``, would create an object of a class from a value."""
    if isinstance(value, dict):
        return any(str(key).startswith("__") for key in value) or any(map(_makes_objects, value.values()))
    return isinstance(value, list) and any(map(_makes_objects, value))
