"""In the API server: runs, their task instances and what these left, each query bounded to some runs of one Dag."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import logging
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from datetime import datetime

log = logging.getLogger(__name__)

#: How many values that an XCom backend keeps are read at a time.
AT_A_TIME = 8


@dataclasses.dataclass(frozen=True)
class Run:
    """
    A run.

    :param id: of its row.
    :param at: ISO 8601; when it was to begin.
    :param ended_at: ISO 8601; None while it goes on.
    :param by: who triggered it; None where nobody did.
    """

    id: int
    dag_id: str
    run_id: str
    state: str
    at: str
    ended_at: str | None
    by: str | None
    note: str | None
    conf: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Instance:
    """
    A task instance.

    :param id: another one after each clear and retry.
    :param started_at: ISO 8601.
    """

    id: str
    run_id: str
    task_id: str
    map_index: int
    operator: str
    state: str | None
    try_number: int
    started_at: str | None


@dataclasses.dataclass(frozen=True)
class StoredXCom:
    """
    An XCom, as it is in Airflow's database.

    :param raw: the value, or what its backend left in place of it.
    :param at: when it was written.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    key: str
    raw: Any
    at: datetime


@dataclasses.dataclass(frozen=True)
class Question:
    """
    A required action.

    :param asked_at: ISO 8601.
    :param answered_at: ISO 8601; None while nobody has answered.
    :param by: name or id of who answered.
    """

    instance_id: str
    subject: str
    options: Sequence[str]
    asked_at: str
    answered_at: str | None
    chosen: Sequence[str]
    by: str | None


@contextlib.contextmanager
def reading() -> Iterator[Any]:
    """
    Give a session of Airflow's database, for the other functions here.

    Why: over Airflow's API the API server would have to ask itself, page by page, some hundred times for a run.
    When it moves: see what the routes of ``core_api/routes/public`` get their sessions from.
    """
    from airflow.utils.session import create_session

    with create_session() as session:
        yield session


def runs(
    session: Any, dag_id: str, *, run_ids: Collection[str] = (), prefix: str | None = None, limit: int
) -> list[Run]:
    """
    Return runs of a Dag, the newest first.

    :param run_ids: those of these ids.
    :param prefix: or those whose ids begin so.

    Why: as for :func:`reading`. When it moves: see ``core_api/routes/public/dag_run.py``.
    """
    from airflow.models.dagrun import DagRun, DagRunNote
    from sqlalchemy import select

    wanted = DagRun.run_id.in_(list(run_ids)) if prefix is None else DagRun.run_id.startswith(prefix, autoescape=True)
    found = session.execute(
        select(
            DagRun.id,
            DagRun.run_id,
            DagRun.state,
            DagRun.run_after,
            DagRun.end_date,
            DagRun.triggering_user_name,
            DagRunNote.content,
            DagRun.conf,
        )
        .outerjoin(DagRunNote, DagRunNote.dag_run_id == DagRun.id)
        .where(DagRun.dag_id == dag_id, wanted)
        .order_by(DagRun.run_after.desc(), DagRun.id.desc())
        .limit(limit)
    )
    return [
        Run(
            row_id,
            dag_id,
            run_id,
            str(state),
            at.isoformat(),
            ended and ended.isoformat(),
            by,
            note,
            conf if isinstance(conf, dict) else {},
        )
        for row_id, run_id, state, at, ended, by, note, conf in found
    ]


def instances(session: Any, dag_id: str, run_ids: Collection[str], operators: Collection[str]) -> list[Instance]:
    """
    Return the task instances of some operators in some runs, by run, task and map index.

    Why: as for :func:`reading`. When it moves: see ``core_api/routes/public/task_instances.py``.
    """
    from airflow.models.taskinstance import TaskInstance as Row
    from sqlalchemy import select

    found = session.execute(
        select(Row.id, Row.run_id, Row.task_id, Row.map_index, Row.operator, Row.state, Row.try_number, Row.start_date)
        .where(Row.dag_id == dag_id, Row.run_id.in_(list(run_ids)), Row.operator.in_(list(operators)))
        .order_by(Row.run_id, Row.task_id, Row.map_index)
    )
    return [
        Instance(
            str(row_id), run_id, task_id, map_index, operator, state and str(state), tries, start and start.isoformat()
        )
        for row_id, run_id, task_id, map_index, operator, state, tries, start in found
    ]


def questions(session: Any, instance_ids: Collection[str]) -> list[Question]:
    """
    Return the required actions of some task instances.

    Why: as for :func:`reading`. When it moves: see ``core_api/routes/public/hitl.py``.
    """
    import uuid

    from airflow.models.hitl import HITLDetail as Row
    from sqlalchemy import select

    ids = [uuid.UUID(each) for each in instance_ids]
    columns = (
        Row.ti_id,
        Row.subject,
        Row.options,
        Row.created_at,
        Row.responded_at,
        Row.chosen_options,
        Row.responded_by,
    )
    found = session.execute(select(*columns).where(Row.ti_id.in_(ids)).order_by(Row.created_at)) if ids else ()
    return [
        Question(
            str(ti_id),
            subject,
            options or [],
            asked.isoformat(),
            answered and answered.isoformat(),
            chosen or [],
            (by or {}).get("name") or (by or {}).get("id"),
        )
        for ti_id, subject, options, asked, answered, chosen, by in found
    ]


def xcom_stamps(session: Any, rows: Collection[int], keys: Collection[str]) -> list[tuple[Any, ...]]:
    """
    Return when each XCom of some runs was written, without the values: what tells whether something has changed.

    :param rows: :attr:`Run.id` of these runs.

    Why: as for :func:`reading`. When it moves: see ``core_api/routes/public/xcom.py``.
    """
    from airflow.models.xcom import XComModel as Row
    from sqlalchemy import select

    return [
        tuple(found)
        for found in session.execute(
            select(Row.dag_run_id, Row.task_id, Row.map_index, Row.key, Row.timestamp)
            .where(Row.dag_run_id.in_(list(rows)), Row.key.in_(list(keys)))
            .order_by(Row.dag_run_id, Row.task_id, Row.map_index, Row.key)
        )
    ]


def xcoms(
    session: Any, rows: Collection[int], keys: Collection[str], *, task_ids: Collection[str] | None = None
) -> list[StoredXCom]:
    """
    Return the XComs of some runs, to be read with :func:`values_of`.

    :param rows: :attr:`Run.id` of these runs.
    :param task_ids: only those of these tasks; None: all.

    Why: as for :func:`reading`. When it moves: see ``core_api/routes/public/xcom.py``.
    """
    from airflow.models.xcom import XComModel as Row
    from sqlalchemy import select

    statement = select(Row.dag_id, Row.run_id, Row.task_id, Row.map_index, Row.key, Row.value, Row.timestamp).where(
        Row.dag_run_id.in_(list(rows)), Row.key.in_(list(keys))
    )
    if task_ids is not None:
        statement = statement.where(Row.task_id.in_(list(task_ids)))
    return [StoredXCom(*found) for found in session.execute(statement)]


#: What :func:`values_of` returns for an XCom that cannot be read.
UNREADABLE = object()


def values_of(stored: Sequence[StoredXCom]) -> list[Any]:
    """
    Return the values of some XComs, each :data:`UNREADABLE` if it cannot be read; one does not hide another.

    Why: ``[core] xcom_backend`` may keep values in a storage of its own, and leave references in the database.
    Airflow's API gives the references, and resolves them for tasks alone. When it moves: see what ``XCom.get_one`` of
    ``airflow.sdk.bases.xcom`` does with what it is answered.
    """
    from airflow.sdk.bases.xcom import BaseXCom
    from airflow.sdk.execution_time.xcom import resolve_xcom_backend

    read = functools.partial(_value_of, resolve_xcom_backend())
    if read.args[0] is BaseXCom or len(stored) < 2:  # nothing is asked of another storage
        return [read(xcom) for xcom in stored]
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        return list(pool.map(read, stored))


def _value_of(backend: Any, xcom: StoredXCom) -> Any:
    """
    Return the value of an XCom, or :data:`UNREADABLE`.

    Why: as for :func:`values_of`. When it moves: likewise.
    """
    from airflow.sdk.bases.xcom import BaseXCom

    try:
        plain = _plain(xcom.raw)
        if backend is BaseXCom or (_keeps_in_object_storage(backend) and not isinstance(plain, str)):
            return plain
        return _kept_by(backend, json.dumps(plain), dataclasses.replace(xcom, raw=None))
    except Exception:  # of whatever library reads the backend's storage
        log.debug("An XCom cannot be read: %s", xcom, exc_info=True)
        return UNREADABLE


@functools.lru_cache(maxsize=5_000)
def _kept_by(backend: Any, raw: str, xcom: StoredXCom) -> Any:
    """
    Return the value that an XCom backend has for what it left in the database.

    Tasks can leave anything there. So no object is made of it here, though Airflow's own decoder does, and a reference
    into object storage has to be that of the XCom itself, which says whose it is.

    :param raw: that, as JSON.
    :param xcom: what it is of, and when it was written, as the reference may stay the same.

    Why: as for :func:`values_of`. When it moves: likewise, and ``XComObjectStorageBackend`` of the provider common.io.
    """
    plain = json.loads(raw)
    if not _keeps_in_object_storage(backend):
        if _makes_objects(plain):
            raise ValueError("it would make an object of a class")
        return backend.deserialize_value(_Row(xcom.key, plain))
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


@dataclasses.dataclass(frozen=True)
class _Row:
    """What XCom backends expect of a row."""

    key: str
    value: Any


def _keeps_in_object_storage(backend: Any) -> bool:
    """
    Return whether an XCom backend reads as that of the provider common.io does.

    Why: as for :func:`values_of`. When it moves: see ``airflow.providers.common.io.xcom.backend``.
    """
    try:
        from airflow.providers.common.io.xcom.backend import XComObjectStorageBackend
    except ImportError:
        return False
    return backend.deserialize_value is XComObjectStorageBackend.deserialize_value


def _plain(raw: Any) -> Any:
    """
    Return a value of the database without making objects of classes that it names.

    Why: tasks send values that are JSON already, so that the column has JSON in JSON. When it moves: see
    ``XComModel.deserialize_value``.
    """
    if not isinstance(raw, str):
        return raw
    try:
        decoded = json.loads(raw)
    except ValueError:
        return raw
    return decoded if isinstance(decoded, dict | list | str) else raw


def _makes_objects(value: Any) -> bool:
    """
    Return whether Airflow's decoder would make an object of some class of a value.

    Why: its decoder is no place for what any task may have written. When it moves: see ``XComDecoder``.
    """
    if isinstance(value, dict):
        return any(str(key).startswith("__") for key in value) or any(map(_makes_objects, value.values()))
    return isinstance(value, list) and any(map(_makes_objects, value))
