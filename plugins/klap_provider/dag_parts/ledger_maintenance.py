"""Archive, export and restore the ledger. See docs/operations/ledger-maintenance.md."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG, Param

from klap_provider.dag_parts.dag import DEFAULT_ARGS
from klap_provider.hooks import AIRFLOW_CONN_ID, DEFAULT_CONN_ID
from klap_provider.operators.retry_policy import KlapRetryPolicy

MAINTENANCE = """
### Archive the ledger
Moves the rows of the ledger that nothing needs any more to `klap_ledger/archive-….jsonl` in your storage. Rows that are
needed to pay once stay.
"""
EXPORT = """
### Export the ledger
Writes the payments, or the whole ledger, to a file in `klap_ledger` in your storage. Removes nothing.
"""
RESTORE = """
### Restore the ledger
Reads the archives and exports in `klap_ledger` in your storage, and writes the rows that the ledger does not have.
After a move to a new database, nothing is paid for again.
"""


def klap_ledger_maintenance(
    dag_id: str = "klap_ledger_maintenance",
    *,
    older_than: timedelta = timedelta(days=90),
    forget_after: timedelta | None = None,
    destination: str | None = None,
    airflow_conn_id: str = AIRFLOW_CONN_ID,
    klap_conn_id: str = DEFAULT_CONN_ID,
    schedule: Any = None,
    **dag_arguments: Any,
) -> DAG:
    """
    Return a Dag that moves ledger rows that are no longer needed to your storage, as JSON lines.

    :param dag_id: id of the Dag.
    :param older_than: age of the rows, since they were last written. Default 90 days.
    :param forget_after: age after which the rows of paid requests are moved, too. **From then on, the same request is
        paid for again.** Default: never.
    :param destination: folder or URL for the archives, such as ``s3://media_s3@media/klap``. Default: the destination
        of the Klap connection.
    :param airflow_conn_id: connection of type HTTP with the address of the API server as its Host, and the Login and
        the Password of a user who may read and delete assets. Without a Login, the Password is a token.
    :param klap_conn_id: the Klap connection with the default destination.
    :param schedule: schedule, as for any Dag. Default: none.
    :param dag_arguments: arguments of ``airflow.sdk.DAG``, which replace those of this Dag.
    :raises ValueError: ``older_than`` is less than a day, or ``forget_after`` is less than ``older_than``.
    """
    if older_than < timedelta(days=1):
        raise ValueError(
            f"older_than is {older_than}; it must be at least a day, because runs in progress need new rows."
        )
    if forget_after is not None and forget_after < older_than:
        raise ValueError(f"forget_after is {forget_after}; it must be at least older_than, {older_than}.")
    arguments = {
        "destination": destination,
        "conn_id": airflow_conn_id,
        "klap_conn_id": klap_conn_id,
        "older_than": older_than,
        "forget_after": forget_after,
    }
    own = {"dag_display_name": "Klap: archive the ledger", "doc_md": MAINTENANCE, "schedule": schedule, **dag_arguments}
    return _dag(dag_id, "archive", arguments, own)


def klap_ledger_export(
    dag_id: str = "klap_ledger_export",
    *,
    destination: str | None = None,
    airflow_conn_id: str = AIRFLOW_CONN_ID,
    klap_conn_id: str = DEFAULT_CONN_ID,
    schedule: Any = None,
    **dag_arguments: Any,
) -> DAG:
    """
    Return a Dag that writes the payments of the ledger, or the whole ledger, to your storage, and removes nothing.

    For the parameters, see :func:`klap_ledger_maintenance`. The user of ``airflow_conn_id`` needs the permission to
    read XComs of the Dags for payments, and to read assets for the whole ledger.
    """
    params = {
        "format": Param(
            "csv",
            enum=["csv", "jsonl", "archive"],
            values_display={
                "csv": "Payments, CSV for a spreadsheet",
                "jsonl": "Payments, JSON lines for a warehouse",
                "archive": "The whole ledger, to restore it",
            },
            title="Format",
        ),
        "month": Param(
            None,
            type=["null", "string"],
            pattern=r"^\d{4}-(0[1-9]|1[0-2])$",
            title="Month",
            description="`YYYY-MM` in UTC. Empty: all.",
        ),
        "dag": Param(
            None, type=["null", "string"], pattern=r"^[\w.-]+$", title="Dag", description="Dag id. Empty: all."
        ),
    }
    arguments = {"destination": destination, "conn_id": airflow_conn_id, "klap_conn_id": klap_conn_id}
    own = {"dag_display_name": "Klap: export the ledger", "doc_md": EXPORT, "schedule": schedule, "params": params}
    return _dag(dag_id, "export", arguments, {**own, **dag_arguments})


def klap_ledger_restore(
    dag_id: str = "klap_ledger_restore",
    *,
    destination: str | None = None,
    airflow_conn_id: str = AIRFLOW_CONN_ID,
    klap_conn_id: str = DEFAULT_CONN_ID,
    **dag_arguments: Any,
) -> DAG:
    """
    Return a Dag that reads archives and exports of the whole ledger, and writes the rows that the ledger does not have.

    For the parameters, see :func:`klap_ledger_maintenance`. The user of ``airflow_conn_id`` needs the permission to
    edit assets, and to create XComs of the Dags whose tasks wrote the rows and of all Dags that use Klap.
    """
    arguments = {"destination": destination, "conn_id": airflow_conn_id, "klap_conn_id": klap_conn_id}
    own = {"dag_display_name": "Klap: restore the ledger", "doc_md": RESTORE, "schedule": None, **dag_arguments}
    return _dag(dag_id, "restore", arguments, own)


def _dag(dag_id: str, task: str, arguments: dict[str, Any], own: dict[str, Any]) -> DAG:
    """
    Return a Dag with one task.

    :param task: name of its function in :mod:`~klap_provider.dag_parts.ledger_tasks`.
    :param arguments: arguments of the function.
    :param own: arguments of the Dag.
    """
    default_args = {**DEFAULT_ARGS, "retry_policy": KlapRetryPolicy(), **(own.pop("default_args", None) or {})}
    tags = {"klap", *(own.pop("tags", None) or ())}
    fixed = {"catchup": False, "max_active_runs": 1, "auto_register": False}
    schedule = own.pop("schedule")
    with DAG(dag_id, schedule=schedule, default_args=default_args, tags=tags, **fixed | own) as dag:
        PythonOperator(task_id=task, python_callable=_run, op_kwargs={"task": task, **arguments})
    return dag


def _run(task: str, **arguments: Any) -> Any:
    """Run a function of the module with the tasks, which is not imported when the Dag file is parsed."""
    from klap_provider.dag_parts import ledger_tasks

    return getattr(ledger_tasks, task)(**arguments)
