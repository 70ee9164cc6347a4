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
    writers_of_asset,
)
from klap_provider.api.public_form import shown
from klap_provider.rules.ledger import DELIVERED, PAID, video_of_line
from klap_provider.rules.spending import run_of_line, spending
from klap_provider.rules.video_list import URL, label, read_lines
from klap_provider.xcoms import LEDGER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from klap_provider.airflow_internals.api_server import RunRow, StateRow

#: The operator of a batch's videos, and those that each have a video's name.
BATCH = "VideoRunOperator"
NAMED = (BATCH, "SubmitShortsOperator", "SubmitVideoOperator")

#: What shorts may be sorted by, and what stands last where there is none.
ORDERS: Mapping[str, Any] = {"score": -1, "at": "", "name": "", "video": "", "dag_id": ""}


def videos(user: Any, *, limit: int, offset: int) -> dict[str, Any]:
    """
    Return runs, the newest first, each with what came of it.

    :return: ``{"videos": [{"dag_id", "run_id", "name", "note", "state", "at", "by", "shorts", "best", "cost",
        "second_hand", "budget", "batch"}], "more": bool}``, ``batch`` being how many videos a run is a batch of. What
        came of a batch is what came of the runs of its videos.
    """
    dag_ids = may_read_xcoms(user, dags_of_asset(LEDGER))
    runs = latest_runs(dag_ids, limit=limit + 1, offset=offset, operators=NAMED)
    page = [(run, _parts(run, dag_ids)) for run in runs[:limit]]
    run_ids = {run_id for _, parts in page for _, run_id in parts}
    shorts: dict[tuple[str, str], list[StateRow]] = defaultdict(list)
    for row in rows_of_asset(LEDGER, prefix=f"{DELIVERED} ", run_ids=run_ids):
        shorts[str(row.dag_id), str(row.run_id)].append(row)
    lines: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for line in _lines(rows_of_asset(LEDGER, prefix=f"{PAID} ", run_ids=run_ids)):
        lines[run_of_line(line)].append(line)
    return {
        "videos": [
            _video(run, [s for part in parts for s in shorts[part]], [each for part in parts for each in lines[part]])
            for run, parts in page
        ],
        "more": len(runs) > limit,
    }


def _parts(run: RunRow, dag_ids: set[str]) -> set[tuple[str, str]]:
    """Return the runs that a run consists of: itself, and those of a batch's videos, as far as they may be read."""
    asked = [task.fields for task in run.tasks if task.operator == BATCH]
    videos = {(str(each.get("trigger_dag_id")), str(each.get("trigger_run_id"))) for each in asked}
    return {(run.dag_id, run.run_id)} | {video for video in videos if video[0] in dag_ids}


def _name(run: RunRow) -> str:
    """Return what people know a run by: what they have called it, or its video, or its videos."""
    url, name, path = (str(run.conf.get(field) or "") for field in (URL, "name", "list_path"))
    if name or run.note or url:
        return name or run.note or label(shown(url))
    pasted = run.conf.get("source_video_urls")
    listed = [row.source_video_url for row in read_lines(map(str, pasted))] if isinstance(pasted, list) else []
    begun = [task.name for task in run.tasks if task.name]
    videos = begun or [label(shown(each)) for each in listed]
    more = len(run.tasks if begun else videos) - 1
    if videos:
        return f"{videos[0]}{f' and {more} more' if more else ''}"
    return shown(path) if path else run.run_id


def _video(run: RunRow, shorts: list[StateRow], lines: list[Any]) -> dict[str, Any]:
    batch = sum(task.operator == BATCH for task in run.tasks)
    budgets = [] if batch else [line["budget"] for line in lines if line.get("budget") is not None]
    scores = [row.value["score"] for row in shorts if row.value["score"] is not None]
    return {
        "dag_id": run.dag_id,
        "run_id": run.run_id,
        "name": _name(run),
        "note": run.note,
        "state": run.state,
        "at": run.at,
        "by": run.by,
        "shorts": len(shorts),
        "best": max(scores, default=None),
        "cost": _sum(line["price"] for line in lines) if lines else None,
        "second_hand": any(line.get("second_hand") for line in lines),
        "budget": next(iter(budgets), None),
        "batch": batch,
    }


def shorts(
    user: Any, *, search: str, dag_id: str | None, since: str, until: str, order_by: str, limit: int, offset: int
) -> dict[str, Any]:
    """
    Return delivered shorts, those of deleted runs, too; one that several runs have delivered, and one has paid, once.

    :param search: words that the name, the video or the DAG has to have.
    :param dag_id: only those of this DAG.
    :param since: only those whose export was paid on this day or later, ``YYYY-MM-DD``. Days are those of UTC.
    :param until: or earlier.
    :param order_by: a key of :data:`ORDERS`, with ``-`` before it for the other way round.
    :return: ``{"shorts": [{"dag_id", "run_id", "run_exists", "id", "name", "score", "video", "at", "size", "path",
        "cost", "second_hand", "settings"}], "total": int, "cost": float, "second_hand": bool, "dag_ids": [str]}``, the
        cost being that of all that were found, of which ``shorts`` is a page.
    """
    rows = _readable(user, rows_of_asset(LEDGER, prefix=f"{DELIVERED} "))
    words = search.lower().split()
    wanted = [row for row in rows if dag_id in (None, row.dag_id) and _has(words, row)]
    found = [short for short in _exports(wanted) if since <= short["at"][:10] <= until]
    key = order_by.removeprefix("-")
    last = ORDERS[key]
    found.sort(key=lambda short: short["at"], reverse=True)
    found.sort(key=lambda short: _sortable(short[key], last), reverse=order_by.startswith("-"))
    page = found[offset : offset + limit]
    runs = existing_runs((short["dag_id"], short["run_id"]) for short in page)
    return {
        "shorts": [{**short, "run_exists": (short["dag_id"], short["run_id"]) in runs} for short in page],
        "total": len(found),
        "cost": _sum(short["cost"] for short in found if short["cost"] is not None),
        "second_hand": any(short["second_hand"] for short in found),
        "dag_ids": sorted({str(row.dag_id) for row in rows}),
    }


def _exports(rows: Iterable[StateRow]) -> list[dict[str, Any]]:
    """Return the delivered exports, each as it was delivered last, of the day on which it was paid."""
    lines = {line["id"]: line for line in _lines(rows_of_asset(LEDGER, prefix=f"{PAID} "))}
    latest: dict[str, StateRow] = {}
    first: dict[str, str] = {}
    for row in sorted(rows, key=lambda row: (row.value["at"], row.key)):
        latest[row.value["export_id"]] = row
        first.setdefault(row.value["export_id"], row.value["at"])
    return [
        {
            "dag_id": row.dag_id,
            "run_id": row.run_id,
            "id": row.value["project_id"],
            **{name: row.value[name] for name in ("name", "score", "video", "size", "path")},
            "at": str(line.get("at", first[export_id])),
            "cost": line.get("price"),
            "second_hand": bool(line.get("second_hand")),
            "settings": line.get("settings"),
        }
        for export_id, row in sorted(latest.items(), key=lambda item: item[1].value["project_id"])
        for line in [lines.get(export_id, {})]
    ]


def money(user: Any, *, since: str) -> dict[str, Any]:
    """Return what was paid, as :func:`~klap_provider.rules.spending.spending` sums it up."""
    lines = _lines(rows_of_asset(LEDGER, prefix=f"{PAID} "))
    readable = may_read_xcoms(user, {run_of_line(line)[0] for line in lines})
    return spending((line for line in lines if run_of_line(line)[0] in readable), since=since)


def payments(user: Any, *, limit: int, offset: int) -> dict[str, Any]:
    """
    Return the requests that were paid for, the newest first.

    :return: ``{"payments": [{"at", "video", "what", "settings", "dag_id", "run_id", "run_exists", "cost",
        "second_hand"}], "more": bool}``
    """
    prefix = f"{PAID} "
    dag_ids = may_read_xcoms(user, writers_of_asset(LEDGER, prefix=prefix))
    rows = rows_of_asset(LEDGER, prefix=prefix, dag_ids=dag_ids, limit=limit + 1, offset=offset)
    page = [(row.key, *run_of_line(line), line) for row in rows[:limit] for line in _lines([row])]
    # Who wrote a line may have found what a run of another DAG had paid.
    readable = may_read_xcoms(user, {dag_id for _, dag_id, _, _ in page})
    runs = existing_runs((dag_id, run_id) for _, dag_id, run_id, _ in page)
    return {
        "payments": [
            {
                "at": str(line["at"]),
                "video": video_of_line(key),
                "what": line.get("what"),
                "settings": line.get("settings"),
                "dag_id": dag_id,
                "run_id": run_id,
                "run_exists": (dag_id, run_id) in runs,
                "cost": line["price"],
                "second_hand": bool(line.get("second_hand")),
            }
            for key, dag_id, run_id, line in page
            if dag_id in readable
        ],
        "more": len(rows) > limit,
    }


def _readable(user: Any, rows: Iterable[StateRow]) -> list[StateRow]:
    """Return the rows that tasks of DAGs wrote whose XComs the user may read."""
    by_tasks = [row for row in rows if row.dag_id is not None]
    readable = may_read_xcoms(user, {str(row.dag_id) for row in by_tasks})
    return [row for row in by_tasks if row.dag_id in readable]


def _lines(rows: Iterable[StateRow]) -> list[Any]:
    """Return what was paid; a line that a person has spoiled does not spoil the sums."""
    values = [row.value for row in rows if isinstance(row.value, dict)]
    return [
        each for each in values if isinstance(each.get("price"), int | float) and {"id", "run", "at"} <= each.keys()
    ]


def _sum(prices: Iterable[float]) -> float:
    return float(sum(Decimal(str(price)) for price in prices))


def _has(words: list[str], row: StateRow) -> bool:
    text = f"{row.value['name']} {row.value['video'] or ''} {row.dag_id}".lower()
    return all(word in text for word in words)


def _sortable(value: Any, last: Any) -> Any:
    return last if value is None else value.lower() if isinstance(value, str) else value
