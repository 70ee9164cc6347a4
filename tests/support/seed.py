"""
Fill an Airflow's database as runs would; a script that runs in that Airflow's environment.

Its standard input is JSON: ``runs`` (``dag_id``, ``run_id``, ``id`` of the row, ``state``, ``at``, ``conf``, ``by``,
``note``, and ``tasks``, each with ``operator``, ``state``, ``map_index``, ``name``, and
``xcoms`` by key, as the database has them, the ``question`` of a required action, and the ``length`` of a list that
other tasks are mapped over),
``other_tasks`` (another Dag gets as many runs, and each run of all Dags gets this number of further task instances and
XComs),
and ``rows`` of the ledger (``key``, ``value``, ``at``, and ``dag_id``, ``run_id``, ``task_id`` and ``map_index`` of the
task that wrote it, if it was a task).
"""

from __future__ import annotations

import json
import sys
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow.models.asset import AssetActive, AssetModel, TaskInletAssetReference
from airflow.models.asset_state_store import AssetStateStoreModel
from airflow.models.dag import DagModel
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun, DagRunNote
from airflow.models.hitl import HITLDetail
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from sqlalchemy import JSON, String, cast, delete, func, insert, literal, select, text, true, union_all

from klap_provider.airflow_internals.runs import portions
from klap_provider.xcoms import LEDGER, RETURN_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from sqlalchemy.orm import Session

#: A Dag that has nothing to do with Klap.
ANOTHER = "etl"
#: Columns of a task instance with the same value in all tests.
REST = {
    "map_index": -1,
    "try_number": 1,
    "max_tries": 0,
    "hostname": "",
    "pool": "default_pool",
    "pool_slots": 1,
    "priority_weight": 1,
    "span_status": "",
}


#: Airflow 3.4 has other columns and tables for task instances and XComs.
IS_3_4 = "region_index" in TaskInstance.__table__.columns


def of_task_instance(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a task instance, with the names of this Airflow and without those that it does not have."""
    named = {"region_index" if IS_3_4 and name == "map_index" else name: value for name, value in columns.items()}
    return {name: value for name, value in named.items() if name in TaskInstance.__table__.columns}


def write_xcoms(session: Session, task: Mapping[str, Any], identity: Mapping[str, Any], made: DagRun, ti: UUID) -> None:
    """Write the XComs of a task instance, and over how many items the tasks after it are mapped."""
    xcoms, length = task.get("xcoms", {}), task.get("length")
    if IS_3_4:
        from airflow.models.xcom import XComModelV2

        lengths = {} if length is None else {RETURN_KEY: length}
        for key, value in {**dict.fromkeys(lengths), **xcoms}.items():
            session.add(XComModelV2(task_instance_id=ti, key=key, value=value, mapped_length=lengths.get(key)))
        return
    for key, value in xcoms.items():
        xcom = {**identity, "dag_run_id": made.id, "key": key, "value": value}
        session.execute(insert(XComModel.__table__).values(xcom))
    if length is not None:
        from airflow.models.taskmap import TaskMap

        session.add(TaskMap(**identity, length=length, keys=None))


def main() -> None:
    """Write the tables on the standard input."""
    with create_session() as session:
        write(session, json.load(sys.stdin))


def write(session: Session, tables: Mapping[str, Any]) -> None:
    """Write tables to a database."""
    ledger = session.scalar(select(AssetModel).where(AssetModel.name == LEDGER))
    if session.get(DagBundleModel, "tests") is None:
        session.add(DagBundleModel(name="tests"))
        session.flush()
    if ledger is None:
        ledger = AssetModel(name=LEDGER, uri=LEDGER, group="asset", extra={})
        session.add(ledger)
        session.flush()
        session.add(AssetActive.for_asset(ledger))
    known = set(session.scalars(select(DagModel.dag_id)))
    for dag_id in sorted({run["dag_id"] for run in tables.get("runs", [])} - known):
        session.add(DagModel(dag_id=dag_id, bundle_name="tests", fileloc=f"/dags/{dag_id}.py", is_stale=False))
        session.flush()
        session.add(TaskInletAssetReference(asset_id=ledger.id, dag_id=dag_id, task_id="submit"))
    for run in sorted(tables.get("runs", []), key=lambda run: run["at"]):  # newer runs have greater ids
        at = datetime.fromisoformat(run["at"])
        state = run.get("state", "success")
        made = DagRun(
            dag_id=run["dag_id"],
            run_id=run["run_id"],
            run_type=DagRunType.MANUAL,
            triggered_by=DagRunTriggeredByType(run.get("triggered_by", "ui")),
            triggering_user_name=run.get("by"),
            state=state,
            run_after=at,
            queued_at=at,
            start_date=at,
            conf=run.get("conf", {}),
        )
        made.id = run.get("id")
        made.end_date = at if state in ("success", "failed") else None
        session.add(made)
        for task in run.get("tasks", []):
            session.flush()
            identity = {
                "dag_id": run["dag_id"],
                "run_id": run["run_id"],
                "task_id": task.get("task_id", task["operator"]),
                "map_index": task["map_index"],
            }
            own = {
                "operator": task["operator"],
                "rendered_map_index": task.get("name"),
                "state": task.get("state", "success"),
            }
            if "question" in task:  # it continues there after the answer
                own["next_method"] = "execute_complete"
            own |= {"try_number": task.get("try_number", 1), "start_date": at}
            made_task = insert(TaskInstance.__table__).values(**of_task_instance({**REST, **identity, **own}))
            task_id = session.execute(made_task.returning(TaskInstance.__table__.c.id)).scalar_one()
            write_xcoms(session, task, identity, made, task_id)
            if "question" in task:
                session.execute(insert(HITLDetail.__table__).values(ti_id=task_id, **question(task["question"])))
        if run.get("note"):
            session.flush()
            made.dag_run_note = DagRunNote(content=run["note"], user_id="tests")
    if tables.get("other_tasks"):
        write_other_tasks(session, tables["other_tasks"])
    rows = {row["key"]: columns(row, ledger.id) for row in tables.get("rows", [])}
    for part in portions(rows):
        of_part = AssetStateStoreModel.key.in_(part)
        session.execute(delete(AssetStateStoreModel).where(AssetStateStoreModel.asset_id == ledger.id, of_part))
        session.execute(insert(AssetStateStoreModel.__table__), [rows[key] for key in part])
    analyze(session)


def write_other_tasks(session: Session, tasks: int) -> None:
    """Copy the runs to a Dag that has nothing to do with Klap, and add a number of task instances to each run."""
    runs, instances = DagRun.__table__, TaskInstance.__table__
    session.add(DagModel(dag_id=ANOTHER, bundle_name="tests", fileloc=f"/dags/{ANOTHER}.py", is_stale=False))
    session.flush()
    same = [column for column in runs.columns if column.name not in ("id", "dag_id", "logical_date")]
    copied = select(runs.c.id + 2, literal(ANOTHER), *same)
    session.execute(insert(runs).from_select(["id", "dag_id", *(column.name for column in same)], copied))
    numbers = union_all(*(select(literal(number).label("number")) for number in range(tasks))).subquery()
    is_postgresql = session.get_bind().dialect.name == "postgresql"
    new_id = func.gen_random_uuid() if is_postgresql else func.lower(func.hex(func.randomblob(16)))
    of_both = {
        "dag_id": runs.c.dag_id,
        "run_id": runs.c.run_id,
        "task_id": literal("task").concat(cast(numbers.c.number, String)),
    }
    of_task = {"id": new_id, "operator": literal("PythonOperator"), "state": literal("success")}
    of_task |= {name: literal(value) for name, value in REST.items()}
    of_task = of_task_instance({**of_both, **of_task})
    analyze(session)
    each = select(*of_task.values()).select_from(runs.join(numbers, true()))
    session.execute(insert(instances).from_select([*of_task], each))
    value = {"key": literal("return_value"), "value": literal(1, JSON)}
    analyze(session)
    if IS_3_4:
        from airflow.models.xcom import XComModelV2

        of_xcom = {"id": new_id, "task_instance_id": instances.c.id, **value}
        each = select(*of_xcom.values()).where(instances.c.dag_id == ANOTHER)
        session.execute(insert(XComModelV2.__table__).from_select([*of_xcom], each))
        return
    of_xcom = {**of_both, "dag_run_id": runs.c.id, "map_index": literal(-1), **value}
    each = select(*of_xcom.values()).select_from(runs.join(numbers, true()))
    session.execute(insert(XComModel.__table__).from_select([*of_xcom], each))


def analyze(session: Session) -> None:
    """Update PostgreSQL's statistics, as its autovacuum would after a minute. SQLite has none in an Airflow."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("ANALYZE"))


def columns(row: dict[str, Any], asset_id: int) -> dict[str, Any]:
    """Return the columns of a row of the ledger."""
    is_by_task, at = "run_id" in row, row.get("at") or _time_of(row["value"])
    return {
        "asset_id": asset_id,
        "key": row["key"],
        "value": json.dumps(row["value"]),
        "updated_at": datetime.fromisoformat(at) if at else datetime.now(timezone.utc),
        "last_updated_by_kind": "task" if is_by_task else "api",
        "last_updated_by_dag_id": row["dag_id"] if is_by_task else None,
        "last_updated_by_run_id": row["run_id"] if is_by_task else None,
        "last_updated_by_task_id": row.get("task_id", "task") if is_by_task else None,
        "last_updated_by_map_index": row.get("map_index", -1) if is_by_task else None,
    }


def question(columns: dict[str, Any]) -> dict[str, Any]:
    """Return the columns of a required action with defaults for all but the ``options``."""
    answered = columns.get("responded_at")
    return {
        "subject": "Which shorts should be exported?",
        "multiple": True,
        "params": {},
        "params_input": {},
        **columns,
        "responded_at": answered and datetime.fromisoformat(answered),
    }


def _time_of(value: object) -> str | None:
    at = value.get("at") if isinstance(value, dict) else None
    return at if isinstance(at, str) else None


if __name__ == "__main__":
    main()
