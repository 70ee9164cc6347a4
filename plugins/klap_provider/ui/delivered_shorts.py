"""List delivered shorts for the Klap page: those of the Dags whose XComs the user may read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from klap_provider.airflow_internals import runs as database
from klap_provider.airflow_internals.api_server import dags_of_asset, permitted
from klap_provider.rules.spending import total
from klap_provider.ui import ledger_rows
from klap_provider.ui.runs import has_words, run_names
from klap_provider.xcoms import LEDGER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from klap_provider.rules.spending import Payment
    from klap_provider.ui.ledger_rows import Delivery

#: The fields to sort shorts by, and the value that stands for a missing one.
ORDERS: Mapping[str, Any] = {"score": -1, "at": "", "name": "", "video": "", "dag_id": ""}

#: Number of runs of each Dag, the newest of the period, that are read although they paid nothing in the period.
MOST_RUNS = 500


def shorts(
    user: Any, *, search: str, dag_id: str | None, since: str, until: str, order_by: str, limit: int
) -> dict[str, Any]:
    """
    Return the delivered shorts of some UTC days, including those of deleted runs.

    A short belongs to the day on which its export was paid for; if that was on none of these days, to the day of its
    first delivery. An export that several runs delivered is one short.

    :param search: words that must be in the name, the video, the run's name or the Dag id.
    :param dag_id: only those of this Dag. None: all.
    :param since: first day, ``YYYY-MM-DD``.
    :param until: last day.
    :param order_by: a key of :data:`ORDERS`, ascending; descending after a ``-``.
    :return: ``{"shorts": [{"dag_id", "run_id", "run_name", "id", "name", "score", "video", "at", "size", "path",
        "cost", "estimated", "settings"}], "total": int, "cost": float, "estimated": bool, "dag_ids": [str], "since":
        str}``. ``shorts`` are the first of the shorts found; ``total`` and ``cost`` are those of all. The name of a
        deleted run is None. ``since`` is the first day that is included, see
        :func:`klap_provider.ui.ledger_rows.payments`.
    """
    words = search.lower().split()
    with database.reading() as session:
        payments, since = ledger_rows.payments(user, session, since=since, until=until)
        dag_ids = permitted(user, dags_of_asset(LEDGER), "XCOM")
        runs = database.newest_keys(session, dag_ids, since=since, until=until, limit=MOST_RUNS)
        rows = ledger_rows.deliveries(user, session, {*runs, *(payment.run for payment in payments)})
        # Reading the names of all runs is slow, so they are read only for a search.
        names = run_names(user, session, (row.run for row in rows)) if words else {}
        wanted = [
            row
            for row in rows
            if dag_id in (None, row.dag_id) and has_words(words, row.name, row.video, names.get(row.run), row.dag_id)
        ]
        found = [short for short in _exports(wanted, payments) if since <= short["at"][:10] <= until]
        key = order_by.removeprefix("-")
        found.sort(key=lambda short: short["at"], reverse=True)
        found.sort(key=lambda short: _sortable(short[key], ORDERS[key]), reverse=order_by.startswith("-"))
        page = found[:limit]
        names = names or run_names(user, session, ((short["dag_id"], short["run_id"]) for short in page))
    return {
        "shorts": [{**short, "run_name": names.get((short["dag_id"], short["run_id"]))} for short in page],
        "total": len(found),
        "cost": total(short["cost"] for short in found if short["cost"] is not None),
        "estimated": any(short["estimated"] for short in found),
        "dag_ids": sorted({row.dag_id for row in rows}),
        "since": since,
    }


def _exports(rows: Iterable[Delivery], payments: Sequence[Payment]) -> list[dict[str, Any]]:
    """Return the delivered exports, each as it was last delivered, with the time of its payment."""
    paid = {(each.dag_id, each.id): each for each in payments}
    of_any_dag = {each.id: each for each in payments}
    latest: dict[str, Delivery] = {}
    first: dict[str, str] = {}
    for row in sorted(rows, key=lambda row: (row.at, row.dag_id, row.run_id, row.id)):
        latest[row.export_id] = row
        first.setdefault(row.export_id, row.at)
    exports = []
    for export_id, row in sorted(latest.items(), key=lambda item: item[1].id):
        payment = paid.get((row.dag_id, export_id)) or of_any_dag.get(export_id)
        short = {name: fact for name, fact in vars(row).items() if name != "export_id"}
        short["at"] = payment.at if payment else first[export_id]
        short["cost"] = payment.price if payment else None
        short["estimated"] = bool(payment and payment.estimated)
        short["settings"] = payment.settings if payment else None
        exports.append(short)
    return exports


def _sortable(value: Any, last: Any) -> Any:
    return last if value is None else value.lower() if isinstance(value, str) else value
