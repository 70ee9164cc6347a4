"""For the API server: runs, task instances, XComs and required actions."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from klap_provider.airflow_internals.api_server import AT_ONCE, log_once, portions

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

#: Number of XComs that are read from an XCom backend in parallel.
AT_A_TIME = 8


@dataclasses.dataclass(frozen=True)
class Run:
    """
    A run.

    :param id: id of the row.
    :param at: when the run was due, ISO 8601.
    :param ended_at: ISO 8601; None while it is running.
    :param by: user who triggered the run; None if it was not triggered by a user.
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

    @property
    def key(self) -> tuple[str, str]:
        """Dag id and run id."""
        return self.dag_id, self.run_id


@dataclasses.dataclass(frozen=True)
class Instance:
    """
    A task instance.

    :param id: id, which changes with each clear and retry.
    :param started_at: ISO 8601.
    :param resumes: whether the task was deferred, or waited for a required action, and has not ended since.
    """

    id: str
    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    operator: str
    state: str | None
    try_number: int = 1
    started_at: str | None = None
    resumes: bool = False


@dataclasses.dataclass(frozen=True)
class StoredXCom:
    """
    An XCom in Airflow's database.

    :param run: :attr:`Run.id`.
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


@dataclasses.dataclass(frozen=True)
class Question:
    """
    A required action.

    :param asked_at: ISO 8601.
    :param answered_at: ISO 8601; None if there is no answer yet.
    :param by: name or id of the user who answered.
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
    Yield a session of Airflow's database for the other functions of this module.

    Why: with Airflow's API, the API server would send itself hundreds of requests for a run. When it moves: see how the
    routes of ``core_api/routes/public`` get a session.
    """
    from airflow.utils.session import create_session

    with create_session() as session:
        yield session


def runs(session: Any, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Run]:
    """
    Return the existing runs among some pairs of Dag id and run id.

    Why: as for :func:`reading`. When it moves: see ``core_api/routes/public/dag_run.py``.
    """
    from airflow.models.dagrun import DagRun

    found = [
        run
        for dag_id, run_ids in _by_dag(keys)
        for run in _runs(session, DagRun.dag_id == dag_id, DagRun.run_id.in_(run_ids))
    ]
    return {run.key: run for run in found}


def _by_dag(keys: Iterable[tuple[str, str]]) -> Iterator[tuple[str, list[str]]]:
    """
    Yield run ids by Dag, in lists that fit into a statement.

    Why: only PostgreSQL uses an index for pairs of Dag id and run id. When it moves: see the query plan of a statement
    with ``tuple_(…).in_(…)`` in SQLite.
    """
    dags: dict[str, list[str]] = {}
    for dag_id, run_id in sorted(set(keys)):
        dags.setdefault(dag_id, []).append(run_id)
    for dag_id, run_ids in dags.items():
        for part in portions(run_ids):
            yield dag_id, part


def runs_with_prefix(session: Any, dag_id: str, prefix: str, *, limit: int) -> list[Run]:
    """
    Return the runs of a Dag whose ids start with a prefix, newest first.

    Why: as for :func:`reading`. When it moves: as for :func:`runs`.
    """
    from airflow.models.dagrun import DagRun

    return _runs(session, DagRun.dag_id == dag_id, DagRun.run_id.startswith(prefix, autoescape=True), limit=limit)


def newest_runs(
    session: Any, dag_ids: Collection[str], *, without: Collection[tuple[str, str]], limit: int, offset: int
) -> list[Run]:
    """
    Return runs of some Dags, newest first.

    :param without: runs to skip.

    Why: as for :func:`reading`. When it moves: as for :func:`runs`.
    """
    from itertools import islice

    from airflow.models.dagrun import DagRun
    from sqlalchemy import select

    order = (DagRun.run_after.desc(), DagRun.id.desc())
    keys = select(DagRun.dag_id, DagRun.run_id).where(DagRun.dag_id.in_(list(dag_ids))).order_by(*order)
    found = session.execute(keys.execution_options(yield_per=AT_ONCE))
    wanted = list(islice((tuple(key) for key in found if tuple(key) not in without), offset, offset + limit))
    there = runs(session, wanted)
    return [there[key] for key in wanted if key in there]


def _runs(session: Any, *wanted: Any, limit: int | None = None) -> list[Run]:
    """
    Return the runs that match SQL clauses, newest first.

    Why: as for :func:`reading`. When it moves: as for :func:`runs`.
    """
    from airflow.models.dagrun import DagRun, DagRunNote
    from sqlalchemy import select

    found = session.execute(
        select(
            DagRun.id,
            DagRun.dag_id,
            DagRun.run_id,
            DagRun.state,
            DagRun.run_after,
            DagRun.end_date,
            DagRun.triggering_user_name,
            DagRunNote.content,
            DagRun.conf,
        )
        .outerjoin(DagRunNote, DagRunNote.dag_run_id == DagRun.id)
        .where(*wanted)
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
        for row_id, dag_id, run_id, state, at, ended, by, note, conf in found
    ]


def instances(
    session: Any, keys: Collection[tuple[str, str]], operators: Collection[str], *, state: str | None = None
) -> list[Instance]:
    """
    Return the task instances of some operators in some runs, sorted by run, task and map index.

    :param keys: pairs of Dag id and run id.
    :param state: only task instances in this state; None: all.

    Why: as for :func:`reading`. When it moves: see ``core_api/routes/public/task_instances.py``.
    """
    from airflow.models.taskinstance import TaskInstance as Row

    more = (Row.operator.in_(list(operators)), *(() if state is None else (Row.state == state,)))
    return [
        each
        for dag_id, run_ids in _by_dag(keys)
        for each in _instances(session, Row.dag_id == dag_id, Row.run_id.in_(run_ids), *more)
    ]


def instances_in_state(session: Any, dag_ids: Collection[str], operator: str, state: str) -> list[Instance]:
    """
    Return the task instances of an operator in a state, in all runs.

    Why: as for :func:`reading`. When it moves: as for :func:`instances`.
    """
    from airflow.models.taskinstance import TaskInstance as Row

    return _instances(session, Row.state == state, Row.dag_id.in_(list(dag_ids)), Row.operator == operator)


def _instances(session: Any, *wanted: Any) -> list[Instance]:
    """
    Return the task instances that match SQL clauses.

    Why: as for :func:`reading`. When it moves: as for :func:`instances`.
    """
    from airflow.models.taskinstance import TaskInstance as Row
    from sqlalchemy import select

    found = session.execute(
        select(
            Row.id,
            Row.dag_id,
            Row.run_id,
            Row.task_id,
            Row.map_index,
            Row.operator,
            Row.state,
            Row.try_number,
            Row.start_date,
            Row.next_method,
        )
        .where(*wanted)
        .order_by(Row.dag_id, Row.run_id, Row.task_id, Row.map_index)
    )
    return [
        Instance(
            id=str(row_id),
            dag_id=dag_id,
            run_id=run_id,
            task_id=task_id,
            map_index=map_index,
            operator=operator,
            state=state and str(state),
            try_number=tries,
            started_at=start and start.isoformat(),
            resumes=bool(method),
        )
        for row_id, dag_id, run_id, task_id, map_index, operator, state, tries, start, method in found
    ]


def questions(session: Any, instance_ids: Collection[str]) -> list[Question]:
    """
    Return the required actions of some task instances.

    Why: as for :func:`reading`. When it moves: see ``core_api/routes/public/hitl.py``.
    """
    import uuid

    from airflow.models.hitl import HITLDetail as Row
    from sqlalchemy import select

    columns = (
        Row.ti_id,
        Row.subject,
        Row.options,
        Row.created_at,
        Row.responded_at,
        Row.chosen_options,
        Row.responded_by,
    )
    found = [
        each
        for part in portions(uuid.UUID(each) for each in instance_ids)
        for each in session.execute(select(*columns).where(Row.ti_id.in_(part)).order_by(Row.created_at))
    ]
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


def xcoms(
    session: Any, rows: Collection[int], keys: Collection[str], *, task_ids: Collection[str] | None = None
) -> list[StoredXCom]:
    """
    Return the XComs of some runs. Read their values with :func:`values_of`.

    :param rows: :attr:`Run.id` of the runs.
    :param task_ids: only XComs of these tasks; None: all.

    Why: as for :func:`reading`. When it moves: see ``core_api/routes/public/xcom.py``.
    """
    from airflow.models.xcom import XComModel as Row

    more = () if task_ids is None else (Row.task_id.in_(list(task_ids)),)
    return [
        each
        for part in portions(rows)
        for each in _xcoms(session, Row.dag_run_id.in_(part), Row.key.in_(list(keys)), *more)
    ]


def xcoms_of_key(session: Any, dag_ids: Collection[str], key: str) -> list[StoredXCom]:
    """
    Return the XComs with a key in all runs.

    Why: as for :func:`reading`. When it moves: as for :func:`xcoms`.
    """
    from airflow.models.xcom import XComModel as Row

    return _xcoms(session, Row.key == key, Row.dag_id.in_(list(dag_ids)))


def _xcoms(session: Any, *wanted: Any) -> list[StoredXCom]:
    """
    Return the XComs that match SQL clauses.

    Why: as for :func:`reading`. When it moves: as for :func:`xcoms`.
    """
    from airflow.models.xcom import XComModel as Row
    from sqlalchemy import select

    found = session.execute(
        select(
            Row.dag_run_id, Row.dag_id, Row.run_id, Row.task_id, Row.map_index, Row.key, Row.value, Row.timestamp
        ).where(*wanted)
    )
    return [StoredXCom(*each) for each in found]


def values_of(stored: Sequence[StoredXCom], *, unreadable: Any = None) -> list[Any]:
    """
    Return the values of some XComs.

    :param unreadable: placeholder for a value that cannot be read.

    Why: ``[core] xcom_backend`` may store values elsewhere, and references in the database. Airflow resolves references
    only for tasks. When it moves: see ``XCom.get_one`` of ``airflow.sdk.bases.xcom``.
    """
    from airflow.sdk.bases.xcom import BaseXCom
    from airflow.sdk.execution_time.xcom import resolve_xcom_backend

    backend = resolve_xcom_backend()
    read = functools.partial(_value_of, backend, unreadable)
    if backend is BaseXCom or len(stored) < AT_A_TIME:
        return [read(xcom) for xcom in stored]
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        return list(pool.map(read, stored))


def _value_of(backend: Any, unreadable: Any, xcom: StoredXCom) -> Any:
    """
    Return the value of an XCom, or the placeholder if it cannot be read.

    Why: as for :func:`values_of`. When it moves: likewise.
    """
    from airflow.sdk.bases.xcom import BaseXCom

    try:
        plain = _plain(xcom.raw)
        if backend is BaseXCom or (_keeps_in_object_storage(backend) and not isinstance(plain, str)):
            return plain
        return _kept_by(backend, json.dumps(plain), dataclasses.replace(xcom, raw=None))
    except Exception as failure:  # any error of the backend's storage library
        where = " ".join((xcom.dag_id, xcom.run_id, xcom.task_id))
        log_once(f"The XCom {xcom.key} of {where} cannot be read: {type(failure).__name__}")
        return unreadable


@functools.lru_cache(maxsize=5_000)
def _kept_by(backend: Any, raw: str, xcom: StoredXCom) -> Any:
    """
    Return the value that an XCom backend stores for an XCom.

    Any task can write any value to the database. So no object of a class is created, unlike in Airflow's decoder, and a
    reference to object storage must be the XCom's own reference.

    :param raw: the reference, as JSON.
    :param xcom: the XCom. Its time is part of the cache key, because the reference may stay the same.

    Why: as for :func:`values_of`. When it moves: likewise, and ``XComObjectStorageBackend`` of the provider common.io.
    """
    plain = json.loads(raw)
    if not _keeps_in_object_storage(backend):
        if _makes_objects(plain):
            raise ValueError("it would create an object of a class")
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
    """The attributes of a row that XCom backends read."""

    key: str
    value: Any


def _keeps_in_object_storage(backend: Any) -> bool:
    """
    Return whether an XCom backend reads values like the one of the provider common.io.

    Why: as for :func:`values_of`. When it moves: see ``airflow.providers.common.io.xcom.backend``.
    """
    try:
        from airflow.providers.common.io.xcom.backend import XComObjectStorageBackend
    except ImportError:
        return False
    return backend.deserialize_value is XComObjectStorageBackend.deserialize_value


def _plain(raw: Any) -> Any:
    """
    Return a value of the database without creating objects of classes.

    Why: tasks send values as JSON, so the column has JSON in JSON. When it moves: see
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
    Return whether Airflow's decoder would create an object of a class from a value.

    Why: any task may have written the value, so it must not be decoded. When it moves: see ``XComDecoder``.
    """
    if isinstance(value, dict):
        return any(str(key).startswith("__") for key in value) or any(map(_makes_objects, value.values()))
    return isinstance(value, list) and any(map(_makes_objects, value))
