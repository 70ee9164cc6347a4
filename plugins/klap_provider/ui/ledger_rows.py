"""Reads the payments and deliveries in the ledger that a user may see: those of Dags whose XComs the user may read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from klap_provider.airflow_internals.api_server import may_read_xcoms, rows_of_asset
from klap_provider.rules.ledger import DELIVERED, PAID, delivered_entry
from klap_provider.rules.spending import payment_of
from klap_provider.ui.facts import mapping, text
from klap_provider.xcoms import LEDGER

if TYPE_CHECKING:
    from collections.abc import Iterable

    from klap_provider.airflow_internals.api_server import StateRow
    from klap_provider.rules.spending import Payment


class Delivery(TypedDict):
    """A delivered short. ``at`` is the time that Airflow recorded for the row."""

    dag_id: str
    run_id: str
    id: str
    export_id: str
    name: str
    score: int | None
    video: str | None
    at: str
    size: int
    path: str


def payments(user: Any, *, run_ids: Iterable[str] | None = None) -> list[Payment]:
    """
    Return the payments of the Dags whose XComs a user may read.

    :param run_ids: only those of runs with these ids. None: all.
    """
    found = [
        payment_of(row.value, dag_id=str(row.dag_id), run_id=str(row.run_id)) for row in _readable(user, PAID, run_ids)
    ]
    return [payment for payment in found if payment is not None]


def deliveries(user: Any, *, run_ids: Iterable[str] | None = None) -> list[Delivery]:
    """
    Return the delivered shorts of the Dags whose XComs a user may read.

    :param run_ids: as for :func:`payments`.
    """
    return [found for row in _readable(user, DELIVERED, run_ids) if (found := _delivery(row)) is not None]


def _readable(user: Any, kind: str, run_ids: Iterable[str] | None) -> list[StateRow]:
    """Return the rows of a kind whose writer, as Airflow recorded it, is a task of a Dag that the user may read."""
    rows = [row for row in rows_of_asset(LEDGER, prefix=f"{kind}.", run_ids=run_ids) if row.dag_id and row.run_id]
    readable = may_read_xcoms(user, {str(row.dag_id) for row in rows})
    return [row for row in rows if row.dag_id in readable]


def _delivery(row: StateRow) -> Delivery | None:
    """Return the delivery in a row; None if the row is invalid, or its key names another run or short."""
    value, dag_id, run_id = mapping(row.value), str(row.dag_id), str(row.run_id)
    project_id, export_id, path = (text(value.get(name)) for name in ("project_id", "export_id", "path"))
    if not (project_id and export_id and path) or row.key != delivered_entry(dag_id, run_id, project_id):
        return None
    score, size = value.get("score"), value.get("size")
    return {
        "dag_id": dag_id,
        "run_id": run_id,
        "id": project_id,
        "export_id": export_id,
        "name": text(value.get("name")) or project_id,
        "score": score if isinstance(score, int) and not isinstance(score, bool) else None,
        "video": text(value.get("video")),
        "at": row.at.isoformat(),
        "size": size if isinstance(size, int) else 0,
        "path": path,
    }
