"""
For the API server: runs, task instances and required actions.

Why: with Airflow's API, the API server would send itself hundreds of requests for a run. When it moves: see
``dag_run.py``, ``task_instances.py`` and ``hitl.py`` in ``core_api/routes/public``.
"""

from __future__ import annotations

import functools
import logging
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.models.dagrun import DagRun, DagRunNote
from airflow.models.hitl import HITLDetail
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
from sqlalchemy import select
from sqlalchemy.orm import lazyload

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy.orm import Session

log = logging.getLogger(__name__)

#: The context manager of a session, for the functions that read.
reading = create_session

#: Dag id and run id.
Key = tuple[str, str]


@dataclass(frozen=True)
class Run:
    """
    A run.

    :param id: id of the row. A newer run has a greater one.
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
    def key(self) -> Key:
        """Dag id and run id."""
        return self.dag_id, self.run_id


@dataclass(frozen=True)
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


@dataclass(frozen=True)
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


def runs(session: Session, keys: Iterable[Key]) -> dict[Key, Run]:
    """Return the existing runs among some pairs of Dag id and run id."""
    found = [
        run
        for dag_id, run_ids in _by_dag(keys)
        for run in _runs(session, DagRun.dag_id == dag_id, DagRun.run_id.in_(run_ids))
    ]
    return {run.key: run for run in found}


def runs_with_prefix(session: Session, dag_id: str, prefix: str, *, limit: int) -> list[Run]:
    """
    Return the runs of a Dag whose ids start with a prefix, newest first.

    :param prefix: ends in a character other than a letter or digit. In an id, no ``~`` follows it.
    """
    # Databases find a range with the index. Not all of them do so for a LIKE.
    in_range = DagRun.run_id.between(prefix, prefix + 60 * "z")
    found = _runs(session, DagRun.dag_id == dag_id, in_range, DagRun.run_id.startswith(prefix, autoescape=True))
    return sorted(found, key=lambda run: run.id, reverse=True)[:limit]


def _runs(session: Session, *wanted: Any) -> list[Run]:
    """
    Return the runs that match SQL clauses.

    They are not sorted by the database, which would read all runs of a Dag in the order of an index instead.
    """
    columns = (
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
    found = session.execute(select(*columns).outerjoin(DagRun.dag_run_note).where(*wanted))
    return [
        Run(
            id=row_id,
            dag_id=dag_id,
            run_id=run_id,
            state=str(state),
            at=at.isoformat(),
            ended_at=_iso(end),
            by=by,
            note=note,
            conf=conf if isinstance(conf, dict) else {},
        )
        for row_id, dag_id, run_id, state, at, end, by, note, conf in found
    ]


def newest_keys(
    session: Session, dag_ids: Iterable[str], *, limit: int, since: str = "", until: str | None = None
) -> list[Key]:
    """
    Return the newest runs of some Dags, newest first.

    :param limit: maximum number of runs of each Dag.
    :param since: only runs that were due on this UTC day or later, ``YYYY-MM-DD``. Empty: all.
    :param until: only runs that were due on this UTC day or earlier. None: all.
    """
    keys = select(DagRun.id, DagRun.dag_id, DagRun.run_id, DagRun.run_after).order_by(DagRun.id.desc()).limit(limit)
    if until is not None:
        keys = keys.where(DagRun.run_after <= datetime.fromisoformat(f"{until}T23:59:59.999999+00:00"))
    # A statement for each Dag reads only these rows, because the index of the Dag ids has them in the order of the ids.
    found = [row for dag_id in dag_ids for row in session.execute(keys.where(DagRun.dag_id == dag_id))]
    return [(row.dag_id, row.run_id) for row in sorted(found, reverse=True) if row.run_after.isoformat() >= since]


def instances(
    session: Session, keys: Iterable[Key], operators: Collection[str], *, state: str | None = None
) -> list[Instance]:
    """
    Return the task instances of some operators in some runs, sorted by run, task and map index.

    :param state: only task instances in this state; None: all.
    """
    more = () if state is None else (TaskInstance.state == state,)
    return [
        each
        for dag_id, run_ids in _by_dag(keys)
        for each in _instances(
            session, operators, TaskInstance.dag_id == dag_id, TaskInstance.run_id.in_(run_ids), *more
        )
    ]


def instances_in_state(session: Session, dag_ids: Iterable[str], operator: str, state: str) -> list[Instance]:
    """Return the task instances of an operator in a state, in all runs."""
    return _instances(session, (operator,), TaskInstance.state == state, TaskInstance.dag_id.in_(list(dag_ids)))


def _instances(session: Session, operators: Collection[str], *wanted: Any) -> list[Instance]:
    """
    Return the task instances of some operators that match SQL clauses.

    They are not sorted by the database. SQLite would read all task instances of a Dag in the order of an index instead.
    """
    place = (TaskInstance.dag_id, TaskInstance.run_id, TaskInstance.task_id, TaskInstance.map_index)
    more = (TaskInstance.operator, TaskInstance.state, TaskInstance.try_number)
    found = session.execute(
        select(TaskInstance.id, *place, *more, TaskInstance.start_date, TaskInstance.next_method).where(
            TaskInstance.operator.in_(list(operators)), *wanted
        )
    )
    instances = [
        Instance(
            id=str(row_id),
            dag_id=dag_id,
            run_id=run_id,
            task_id=task_id,
            map_index=map_index,
            operator=str(operator),
            state=state and str(state),
            try_number=tries,
            started_at=_iso(start),
            resumes=bool(method),
        )
        for row_id, dag_id, run_id, task_id, map_index, operator, state, tries, start, method in found
    ]
    return sorted(instances, key=lambda each: (each.dag_id, each.run_id, each.task_id, each.map_index))


def questions(session: Session, instance_ids: Iterable[str]) -> list[Question]:
    """Return the required actions of some task instances, oldest first."""
    wanted = select(HITLDetail).options(lazyload("*"))  # without their task instances
    found = [
        each
        for part in portions(map(uuid.UUID, instance_ids))
        for each in session.scalars(wanted.where(HITLDetail.ti_id.in_(part)))
    ]
    return [
        Question(
            str(each.ti_id),
            each.subject,
            list(each.options or ()),
            each.created_at.isoformat(),
            _iso(each.responded_at),
            list(each.chosen_options or ()),
            (each.responded_by or {}).get("name") or (each.responded_by or {}).get("id"),
        )
        for each in sorted(found, key=lambda each: each.created_at)
    ]


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _by_dag(keys: Iterable[Key]) -> Iterator[tuple[str, list[str]]]:
    """Yield run ids by Dag, in portions, because only PostgreSQL uses an index for pairs of Dag id and run id."""
    dags: dict[str, list[str]] = {}
    for dag_id, run_id in sorted(set(keys)):
        dags.setdefault(dag_id, []).append(run_id)
    for dag_id, run_ids in dags.items():
        for part in portions(run_ids):
            yield dag_id, part


def portions(values: Iterable[Any], size: int = 1000) -> Iterator[list[Any]]:
    """Yield values in lists of at most ``size``, because databases limit the number of values in a statement."""
    whole = list(values)
    for start in range(0, len(whole), size):
        yield whole[start : start + size]


@functools.lru_cache(maxsize=1_000)
def log_once(words: str) -> None:
    """Log a warning once, although each request finds the problem again."""
    log.warning(words)
