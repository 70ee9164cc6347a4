"""The ledger's rows for the page Klap: each read on its own, and shown only to who may read the Dag that wrote it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from klap_provider.airflow_internals.api_server import may_read_xcoms, rows_of_asset
from klap_provider.rules.ledger import DELIVERED, PAID
from klap_provider.rules.spending import payment_of
from klap_provider.xcoms import LEDGER

if TYPE_CHECKING:
    from collections.abc import Iterable

    from klap_provider.airflow_internals.api_server import StateRow
    from klap_provider.rules.spending import Payment


class Delivery(TypedDict):
    """Where a run has delivered a short."""

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
    Return what was paid by the Dags whose XComs a user may read.

    :param run_ids: only what tasks of runs of these ids recorded; None: all.
    """
    found = [
        payment_of(row.value, dag_id=str(row.dag_id), run_id=str(row.run_id)) for row in _readable(user, PAID, run_ids)
    ]
    return [payment for payment in found if payment is not None]


def deliveries(user: Any, *, run_ids: Iterable[str] | None = None) -> list[Delivery]:
    """
    Return what was delivered by the Dags whose XComs a user may read.

    :param run_ids: as for :func:`payments`.
    """
    return [found for row in _readable(user, DELIVERED, run_ids) if (found := _delivery(row)) is not None]


def _readable(user: Any, kind: str, run_ids: Iterable[str] | None) -> list[StateRow]:
    """Return the rows of a kind that tasks wrote whose Dags the user may read; who wrote a row, Airflow records."""
    rows = [row for row in rows_of_asset(LEDGER, prefix=f"{kind}.", run_ids=run_ids) if row.dag_id and row.run_id]
    readable = may_read_xcoms(user, {str(row.dag_id) for row in rows})
    return [row for row in rows if row.dag_id in readable]


def _delivery(row: StateRow) -> Delivery | None:
    """Return what a row says; None if it cannot be read."""
    value = row.value if isinstance(row.value, dict) else {}
    texts = [value.get(name) for name in ("project_id", "export_id", "at", "path")]
    if not all(isinstance(text, str) and text for text in texts):
        return None
    project_id, export_id, at, path = map(str, texts)
    name, score, video, size = (value.get(field) for field in ("name", "score", "video", "size"))
    return {
        "dag_id": str(row.dag_id),
        "run_id": str(row.run_id),
        "id": project_id,
        "export_id": export_id,
        "name": name if isinstance(name, str) and name else project_id,
        "score": score if isinstance(score, int) and not isinstance(score, bool) else None,
        "video": video if isinstance(video, str) and video else None,
        "at": at,
        "size": size if isinstance(size, int) else 0,
        "path": path,
    }
