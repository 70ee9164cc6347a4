"""Read the payments and deliveries in the ledger that a user may see: those of Dags whose XComs the user may read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from klap_provider.airflow_internals import state_store
from klap_provider.airflow_internals.api_server import permitted
from klap_provider.rules.ledger_keys import PAID, delivered_entry, delivered_keys, limit_keys, payment_keys
from klap_provider.rules.spending import payment_of
from klap_provider.ui.facts import mapping, text
from klap_provider.xcoms import LEDGER

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from klap_provider.airflow_internals.runs import Key
    from klap_provider.airflow_internals.state_store import StateRow
    from klap_provider.rules.spending import Payment

#: Maximum number of payments that a request reads, unless a single day has more.
MOST = 5_000


@dataclass(frozen=True)
class Delivery:
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

    @property
    def run(self) -> Key:
        """Dag id and run id of the run that delivered it."""
        return self.dag_id, self.run_id


def payments(user: Any, session: Any, *, since: str, until: str) -> tuple[list[Payment], str]:
    """
    Return the payments of some UTC days, and the first of these days that is included.

    If the days have more than :data:`MOST` payments, the oldest days are not included.

    :param since: first day, ``YYYY-MM-DD``.
    :param until: last day.
    """
    days = payment_keys(since, until)
    if cut := state_store.last_key(session, LEDGER, days, skip=MOST):
        newest = state_store.last_key(session, LEDGER, days) or cut
        since = min(_day_after(_day_of(cut)) or until, _day_of(newest))
    rows = state_store.rows(session, LEDGER, ranges=[payment_keys(since, until)])
    return _payments(user, rows), since


def payments_of_runs(user: Any, session: Any, run_ids: Mapping[tuple[str, str], Collection[str]]) -> list[Payment]:
    """
    Return the payments that runs recorded.

    :param run_ids: ids of runs by the first and the last UTC day of their payments, ``YYYY-MM-DD``.
    """
    rows = {
        row.key: row
        for days, ids in run_ids.items()
        for row in state_store.rows(session, LEDGER, ranges=[payment_keys(*days)], run_ids=ids)
    }
    return _payments(user, rows.values())


def limits(user: Any, session: Any, month: str) -> list[dict[str, Any]]:
    """
    Return the monthly limits of a month, ``YYYY-MM``, and what is paid or reserved of them.

    :return: ``{"kind": "connection" | "dag", "name": str, "limit": float, "used": float, "warns": bool}`` for each.
    """
    rows = state_store.rows(session, LEDGER, ranges=[limit_keys(month)])
    found = [_limit(mapping(row.value)) for row in readable(user, rows)]
    return sorted((each for each in found if each is not None), key=lambda each: (each["kind"], each["name"]))


def _limit(row: Mapping[str, Any]) -> dict[str, Any] | None:
    kind, _, name = (text(row.get("scope")) or "").partition(" ")
    most, used = (_dollars(row.get(field)) for field in ("limit", "total"))
    if kind not in ("connection", "dag") or not name or most is None or used is None:
        return None
    return {"kind": kind, "name": name, "limit": most, "used": used, "warns": bool(row.get("warns"))}


def _dollars(value: Any) -> float | None:
    """Return an amount that is stored as text; None if the text is not a finite number."""
    try:
        amount = float(str(value))
    except ValueError:
        return None
    return amount if math.isfinite(amount) else None


def deliveries(user: Any, session: Any, runs: Iterable[Key]) -> list[Delivery]:
    """Return the shorts that some runs delivered."""
    rows = state_store.rows(session, LEDGER, ranges=[delivered_keys(*run) for run in runs])
    return [found for row in readable(user, rows) if (found := _delivery(row)) is not None]


def _day_of(payment_key: str) -> str:
    return payment_key.removeprefix(f"{PAID}.")[:10]


def _day_after(day: str) -> str | None:
    try:
        return (date.fromisoformat(day) + timedelta(days=1)).isoformat()
    except ValueError:  # any task can write any key
        return None


def _payments(user: Any, rows: Iterable[StateRow]) -> list[Payment]:
    found = [payment_of(row.value, dag_id=str(row.dag_id), run_id=str(row.run_id)) for row in readable(user, rows)]
    return [payment for payment in found if payment is not None]


def readable(user: Any, rows: Iterable[StateRow]) -> list[StateRow]:
    """Return the rows whose writer, as Airflow recorded it, is a task of a Dag whose XComs the user may read."""
    by_tasks = [row for row in rows if row.dag_id and row.run_id]
    readable = permitted(user, {str(row.dag_id) for row in by_tasks}, "XCOM")
    return [row for row in by_tasks if row.dag_id in readable]


def _delivery(row: StateRow) -> Delivery | None:
    """Return the delivery in a row; None if the row is invalid, or its key names another run or short."""
    value, dag_id, run_id = mapping(row.value), str(row.dag_id), str(row.run_id)
    project_id, export_id, path = (text(value.get(name)) for name in ("project_id", "export_id", "path"))
    if not (project_id and export_id and path) or row.key != delivered_entry(dag_id, run_id, project_id):
        return None
    score, size = value.get("score"), value.get("size")
    return Delivery(
        dag_id=dag_id,
        run_id=run_id,
        id=project_id,
        export_id=export_id,
        name=text(value.get("name")) or project_id,
        score=score if isinstance(score, int) and not isinstance(score, bool) else None,
        video=text(value.get("video")),
        at=row.at.isoformat(),
        size=size if isinstance(size, int) else 0,
        path=path,
    )
