"""What the page Klap shows: runs, shorts and money of the DAGs whose XComs a user may read, and of no other."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from klap_provider.airflow_internals.api_server import (
    dags_of_asset,
    existing_runs,
    latest_runs,
    may_read_xcoms,
    rows_of_asset,
)
from klap_provider.api.public_form import shown
from klap_provider.rules.ledger import DELIVERED, PAID, paid_entry
from klap_provider.rules.spending import run_of_line, spending
from klap_provider.rules.video_list import URL, label
from klap_provider.xcoms import LEDGER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from klap_provider.airflow_internals.api_server import RunRow, StateRow

#: What shorts may be sorted by, and what stands last where there is none.
ORDERS: Mapping[str, Any] = {"score": -1, "at": "", "name": "", "video": "", "dag_id": ""}


def videos(user: Any, *, limit: int, offset: int) -> dict[str, Any]:
    """
    Return runs, the newest first, each with what came of it.

    :return: ``{"videos": [{"dag_id", "run_id", "name", "note", "state", "at", "by", "shorts", "best", "cost",
        "second_hand", "budget", "batch"}], "more": bool}``, ``batch`` being how many videos a run is a batch of.
    """
    dag_ids = may_read_xcoms(user, dags_of_asset(LEDGER))
    runs = latest_runs(dag_ids, limit=limit + 1, offset=offset, operator="VideoRunOperator")
    page = runs[:limit]
    run_ids = [run.run_id for run in page]
    shorts: dict[tuple[str, str], list[StateRow]] = defaultdict(list)
    for row in rows_of_asset(LEDGER, prefix=f"{DELIVERED} ", run_ids=run_ids):
        shorts[str(row.dag_id), str(row.run_id)].append(row)
    lines: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for line in _lines(rows_of_asset(LEDGER, prefix=f"{PAID} ", run_ids=run_ids)):
        lines[run_of_line(line)].append(line)
    return {
        "videos": [_video(run, shorts[run.dag_id, run.run_id], lines[run.dag_id, run.run_id]) for run in page],
        "more": len(runs) > limit,
    }


def _video(run: RunRow, shorts: list[StateRow], lines: list[Any]) -> dict[str, Any]:
    url, name = (str(run.conf.get(field) or "") for field in (URL, "name"))
    scores = [row.value["score"] for row in shorts if row.value["score"] is not None]
    return {
        "dag_id": run.dag_id,
        "run_id": run.run_id,
        "name": name or run.note or (label(shown(url)) if url else run.run_id),
        "note": run.note,
        "state": run.state,
        "at": run.at,
        "by": run.by,
        "shorts": len(shorts),
        "best": max(scores, default=None),
        "cost": float(sum(Decimal(str(line["price"])) for line in lines)) if lines else None,
        "second_hand": any(line.get("second_hand") for line in lines),
        "budget": next((line["budget"] for line in lines if line.get("budget") is not None), None),
        "batch": run.mapped,
    }


def shorts(user: Any, *, search: str, dag_id: str | None, order_by: str, limit: int, offset: int) -> dict[str, Any]:
    """
    Return delivered shorts, those of deleted runs, too.

    :param search: words that the name, the video or the DAG has to have.
    :param dag_id: only those of this DAG.
    :param order_by: a key of :data:`ORDERS`, with ``-`` before it for the other way round.
    :return: ``{"shorts": [{"dag_id", "run_id", "run_exists", "id", "name", "score", "video", "at", "size", "path",
        "cost", "second_hand"}], "total": int, "dag_ids": [str]}``
    """
    rows = _readable(user, rows_of_asset(LEDGER, prefix=f"{DELIVERED} "))
    words = search.lower().split()
    found = [
        {"dag_id": row.dag_id, "run_id": row.run_id, **row.value}
        for row in sorted(rows, key=lambda row: row.key)
        if dag_id in (None, row.dag_id) and _has(words, row)
    ]
    key = order_by.removeprefix("-")
    last = ORDERS[key]
    found.sort(key=lambda short: short["at"], reverse=True)
    found.sort(key=lambda short: _sortable(short[key], last), reverse=order_by.startswith("-"))
    page = found[offset : offset + limit]
    lines, runs = _lines_of(page), existing_runs((short["dag_id"], short["run_id"]) for short in page)
    return {
        "shorts": [
            {
                **{name: short[name] for name in ("dag_id", "run_id", "name", "score", "video", "at", "size", "path")},
                "id": short["project_id"],
                "cost": lines.get(short["export_id"], {}).get("price"),
                "second_hand": bool(lines.get(short["export_id"], {}).get("second_hand")),
                "run_exists": (short["dag_id"], short["run_id"]) in runs,
            }
            for short in page
        ],
        "total": len(found),
        "dag_ids": sorted({str(row.dag_id) for row in rows}),
    }


def money(user: Any, *, since: str) -> dict[str, Any]:
    """Return what was paid, as :func:`~klap_provider.rules.spending.spending` sums it up."""
    lines = _lines(rows_of_asset(LEDGER, prefix=f"{PAID} "))
    readable = may_read_xcoms(user, {run_of_line(line)[0] for line in lines})
    return spending((line for line in lines if run_of_line(line)[0] in readable), since=since)


def _readable(user: Any, rows: Iterable[StateRow]) -> list[StateRow]:
    """Return the rows that tasks of DAGs wrote whose XComs the user may read."""
    by_tasks = [row for row in rows if row.dag_id is not None]
    readable = may_read_xcoms(user, {str(row.dag_id) for row in by_tasks})
    return [row for row in by_tasks if row.dag_id in readable]


def _lines(rows: Iterable[StateRow]) -> list[Any]:
    """Return what was paid; a line that a person has spoiled does not spoil the sums."""
    values = [row.value for row in rows if isinstance(row.value, dict)]
    return [each for each in values if isinstance(each.get("price"), int | float) and {"run", "at"} <= each.keys()]


def _has(words: list[str], row: StateRow) -> bool:
    text = f"{row.value['name']} {row.value['video'] or ''} {row.dag_id}".lower()
    return all(word in text for word in words)


def _sortable(value: Any, last: Any) -> Any:
    return last if value is None else value.lower() if isinstance(value, str) else value


def _lines_of(shorts: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return by export what was paid for it."""
    keys = [paid_entry(short["video"], short["export_id"]) for short in shorts if short["video"]]
    return {row.value["id"]: row.value for row in rows_of_asset(LEDGER, keys=keys)} if keys else {}
