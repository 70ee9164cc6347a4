"""The runs and shorts that the page Klap shows: those of the Dags whose XComs a user may read."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from klap_provider.airflow_internals import runs as database
from klap_provider.airflow_internals.api_server import dags_of_asset, may_read_xcoms, refresh_interval
from klap_provider.rules.spending import total
from klap_provider.ui import ledger_rows
from klap_provider.ui.facts import REVIEW
from klap_provider.ui.runs import as_readable, batch_videos, has_words, names_of, parts_of, run_names
from klap_provider.xcoms import LEDGER

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from klap_provider.airflow_internals.runs import Run
    from klap_provider.rules.spending import Payment
    from klap_provider.ui.ledger_rows import Delivery
    from klap_provider.ui.runs import BatchVideo

#: What shorts may be sorted by, and what stands last where there is none.
ORDERS: Mapping[str, Any] = {"score": -1, "at": "", "name": "", "video": "", "dag_id": ""}


def videos(user: Any, *, batch: tuple[str, str] | None, limit: int, offset: int) -> dict[str, Any]:
    """
    Return runs, the newest first, each with what came of it.

    A batch has what came of the runs of its videos. These are listed where that batch is asked about, and nowhere else.
    It has cost what they have paid since it began: a list that is started again finds runs that have paid before.

    :param batch: Dag and id of the run of a batch: only the runs of its videos.
    :return: ``{"videos": [{"dag_id", "run_id", "name", "note", "state", "at", "by", "shorts", "best", "cost",
        "estimated", "budget", "batch"}], "more": bool, "dag_ids": [str], "refresh": int}``, ``batch`` being how
        many videos a run is a batch of, ``state`` Airflow's or ``awaiting_input``, ``dag_ids`` what there may be runs
        of, and ``refresh`` Airflow's own interval in seconds, 0 for none.
    """
    dag_ids = may_read_xcoms(user, dags_of_asset(LEDGER))
    with database.reading() as session:
        batches = batch_videos(session, dag_ids)
        since = ""
        if batch:
            whole = database.runs(session, [batch]).get(batch) if batch[0] in dag_ids else None
            since = whole.at if whole else ""
            keys = parts_of(batch, batches, dag_ids) - {batch} if whole else set()
            runs = sorted(database.runs(session, keys).values(), key=lambda run: (run.at, run.id), reverse=True)
            runs = runs[offset : offset + limit + 1]
        else:
            started = {part for key in batches for part in parts_of(key, batches, dag_ids) - {key}}
            runs = database.newest_runs(session, dag_ids, without=started, limit=limit + 1, offset=offset)
        page = rows_of(user, session, runs[:limit], batches, dag_ids, since=since)
    return {"videos": page, "more": len(runs) > limit, "dag_ids": sorted(dag_ids), "refresh": refresh_interval()}


def rows_of(
    user: Any,
    session: Any,
    runs: Sequence[Run],
    batches: Mapping[tuple[str, str], Sequence[BatchVideo]],
    dag_ids: Collection[str],
    *,
    since: str,
) -> list[dict[str, Any]]:
    """
    Return runs as :func:`videos` lists them.

    :param dag_ids: the Dags whose XComs the user may read.
    :param since: of what they have paid, only that from this moment on, in ISO 8601. A batch's own begins with it.
    """
    runs = as_readable(user, runs)
    asking = {
        (each.dag_id, each.run_id)
        for each in database.instances(session, [run.key for run in runs], (REVIEW,), state="awaiting_input")
    }
    parts = {run.key: parts_of(run.key, batches, dag_ids) for run in runs}
    run_ids = {run_id for each in parts.values() for _, run_id in each}
    shorts: dict[tuple[str, str], list[Delivery]] = defaultdict(list)
    for short in ledger_rows.deliveries(user, run_ids=run_ids):
        shorts[short["dag_id"], short["run_id"]].append(short)
    lines: dict[tuple[str, str], list[Payment]] = defaultdict(list)
    for line in ledger_rows.payments(user, run_ids=run_ids):
        lines[line.run].append(line)
    names = names_of(session, runs, batches)
    return [
        _video(
            run,
            [short for part in parts[run.key] for short in shorts[part]],
            _take(lines, parts[run.key], since=since or (run.at if batches.get(run.key) else "")),
            name=names[run.key],
            is_asking=run.key in asking,
            batch=len(batches.get(run.key, ())),
        )
        for run in runs
    ]


def _take(
    lines: dict[tuple[str, str], list[Payment]], parts: Iterable[tuple[str, str]], *, since: str
) -> list[Payment]:
    """Take out what runs have paid since then, so that a payment is in one sum alone, and return it."""
    taken = [line for part in parts for line in lines[part] if line.at >= since]
    for part in parts:
        lines[part] = [line for line in lines[part] if line.at < since]
    return taken


def _video(
    run: Run, shorts: Sequence[Delivery], lines: Sequence[Payment], *, name: str, is_asking: bool, batch: int
) -> dict[str, Any]:
    budgets = [] if batch else [line.budget for line in lines if line.budget is not None]
    return {
        "dag_id": run.dag_id,
        "run_id": run.run_id,
        "name": name,
        "note": run.note,
        "state": "awaiting_input" if is_asking else run.state,
        "at": run.at,
        "by": run.by,
        "shorts": len(shorts),
        "best": max((short["score"] for short in shorts if short["score"] is not None), default=None),
        "cost": total(line.price for line in lines) if lines else None,
        "estimated": any(line.estimated for line in lines),
        "budget": next(iter(budgets), None),
        "batch": batch,
    }


def shorts(
    user: Any, *, search: str, dag_id: str | None, since: str, until: str, order_by: str, limit: int, offset: int
) -> dict[str, Any]:
    """
    Return delivered shorts, those of deleted runs, too; one that several runs have delivered, and one has paid, once.

    :param search: words that the name, the video, the run's name or the DAG has to have.
    :param dag_id: only those of this DAG.
    :param since: only those whose export was paid on this day or later, ``YYYY-MM-DD``. Days are those of UTC.
    :param until: or earlier.
    :param order_by: a key of :data:`ORDERS`, with ``-`` before it for the other way round.
    :return: ``{"shorts": [{"dag_id", "run_id", "run_name", "id", "name", "score", "video", "at", "size", "path",
        "cost", "estimated", "settings"}], "total": int, "cost": float, "estimated": bool, "dag_ids": [str]}``, the
        cost being that of all that were found, of which ``shorts`` is a page, and the name of a run that is deleted
        None.
    """
    rows = ledger_rows.deliveries(user)
    words = search.lower().split()
    # The names of all runs take a while: they are read where something is searched for.
    names = _names(user, rows if words else ())
    wanted = [row for row in rows if dag_id in (None, row["dag_id"]) and has_words(words, *_words_of(row, names))]
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
    """Return the names of the runs that have delivered some shorts, as far as they are there."""
    with database.reading() as session:
        return run_names(user, session, ((row["dag_id"], row["run_id"]) for row in rows))


def _exports(user: Any, rows: Iterable[Delivery]) -> list[dict[str, Any]]:
    """Return the delivered exports, each as it was delivered last, of the day on which it was paid."""
    lines = {(line.dag_id, line.id): line for line in ledger_rows.payments(user)}
    of_any_dag = {job_id: line for (_, job_id), line in lines.items()}
    latest: dict[str, Delivery] = {}
    first: dict[str, str] = {}
    for row in sorted(rows, key=lambda row: (row["at"], row["dag_id"], row["run_id"], row["id"])):
        latest[row["export_id"]] = row
        first.setdefault(row["export_id"], row["at"])
    return [
        {
            **{name: fact for name, fact in row.items() if name != "export_id"},
            "at": line.at if line else first[export_id],
            "cost": line.price if line else None,
            "estimated": bool(line and line.estimated),
            "settings": line.settings if line else None,
        }
        for export_id, row in sorted(latest.items(), key=lambda item: item[1]["id"])
        for line in [lines.get((row["dag_id"], export_id)) or of_any_dag.get(export_id)]
    ]


def _words_of(row: Delivery, names: Mapping[tuple[str, str], str]) -> list[Any]:
    return [row["name"], row["video"], names.get((row["dag_id"], row["run_id"])), row["dag_id"]]


def _sortable(value: Any, last: Any) -> Any:
    return last if value is None else value.lower() if isinstance(value, str) else value
