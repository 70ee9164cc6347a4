"""Lists delivered shorts for the Klap page: those of the Dags whose XComs the user may read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from klap_provider.airflow_internals import runs as database
from klap_provider.rules.spending import total
from klap_provider.ui import ledger_rows
from klap_provider.ui.runs import has_words, run_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from klap_provider.ui.ledger_rows import Delivery

#: The fields to sort shorts by, and the value that stands for a missing one.
ORDERS: Mapping[str, Any] = {"score": -1, "at": "", "name": "", "video": "", "dag_id": ""}


def shorts(
    user: Any, *, search: str, dag_id: str | None, since: str, until: str, order_by: str, limit: int, offset: int
) -> dict[str, Any]:
    """
    Return delivered shorts, including those of deleted runs. An export that several runs delivered is one short.

    :param search: words that must be in the name, the video, the run's name or the Dag id.
    :param dag_id: only those of this Dag. None: all.
    :param since: only those whose export was paid on this UTC day or later, ``YYYY-MM-DD``.
    :param until: only those whose export was paid on this UTC day or earlier.
    :param order_by: a key of :data:`ORDERS`, ascending; descending after a ``-``.
    :return: ``{"shorts": [{"dag_id", "run_id", "run_name", "id", "name", "score", "video", "at", "size", "path",
        "cost", "estimated", "settings"}], "total": int, "cost": float, "estimated": bool, "dag_ids": [str]}``.
        ``shorts`` is a page of the shorts found; ``total`` and ``cost`` are those of all. The name of a deleted run is
        None.
    """
    rows = ledger_rows.deliveries(user)
    words = search.lower().split()
    # Reading the names of all runs is slow, so they are read only for a search.
    names = _names(user, rows if words else ())
    wanted = [row for row in rows if dag_id in (None, row["dag_id"]) and has_words(words, *_searched(row, names))]
    found = [short for short in _exports(user, wanted) if since <= short["at"][:10] <= until]
    key = order_by.removeprefix("-")
    last = ORDERS[key]
    found.sort(key=lambda short: short["at"], reverse=True)
    found.sort(key=lambda short: _sortable(short[key], last), reverse=order_by.startswith("-"))
    page = found[offset : offset + limit]
    names = names or _names(user, page)
    return {
        "shorts": [{**short, "run_name": names.get((short["dag_id"], short["run_id"]))} for short in page],
        "total": len(found),
        "cost": total(short["cost"] for short in found if short["cost"] is not None),
        "estimated": any(short["estimated"] for short in found),
        "dag_ids": sorted({row["dag_id"] for row in rows}),
    }


def _names(user: Any, rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], str]:
    """Return the names of the runs that delivered the shorts, except deleted runs."""
    with database.reading() as session:
        return run_names(user, session, ((row["dag_id"], row["run_id"]) for row in rows))


def _exports(user: Any, rows: Iterable[Delivery]) -> list[dict[str, Any]]:
    """Return the delivered exports, each as it was last delivered, with the time of its payment."""
    payments = {(each.dag_id, each.id): each for each in ledger_rows.payments(user)}
    of_any_dag = {job_id: payment for (_, job_id), payment in payments.items()}
    latest: dict[str, Delivery] = {}
    first: dict[str, str] = {}
    for row in sorted(rows, key=lambda row: (row["at"], row["dag_id"], row["run_id"], row["id"])):
        latest[row["export_id"]] = row
        first.setdefault(row["export_id"], row["at"])
    return [
        {
            **{name: fact for name, fact in row.items() if name != "export_id"},
            "at": payment.at if payment else first[export_id],
            "cost": payment.price if payment else None,
            "estimated": bool(payment and payment.estimated),
            "settings": payment.settings if payment else None,
        }
        for export_id, row in sorted(latest.items(), key=lambda item: item[1]["id"])
        for payment in [payments.get((row["dag_id"], export_id)) or of_any_dag.get(export_id)]
    ]


def _searched(row: Delivery, names: Mapping[tuple[str, str], str]) -> list[Any]:
    return [row["name"], row["video"], names.get((row["dag_id"], row["run_id"])), row["dag_id"]]


def _sortable(value: Any, last: Any) -> Any:
    return last if value is None else value.lower() if isinstance(value, str) else value
