"""Lists runs for the Klap page: those of the Dags whose XComs the user may read."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from klap_provider.airflow_internals import runs as database
from klap_provider.airflow_internals.api_server import dags_of_asset, may_read_xcoms, refresh_interval
from klap_provider.rules.spending import total
from klap_provider.ui import ledger_rows
from klap_provider.ui.facts import REVIEW
from klap_provider.ui.runs import as_readable, batch_videos, names_of, parts_of
from klap_provider.xcoms import LEDGER

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from klap_provider.airflow_internals.runs import Run
    from klap_provider.rules.spending import Payment
    from klap_provider.ui.ledger_rows import Delivery
    from klap_provider.ui.runs import BatchVideo


def videos(user: Any, *, batch: tuple[str, str] | None, limit: int, offset: int) -> dict[str, Any]:
    """
    Return runs, newest first, each with its shorts and its cost.

    A batch has the shorts and the cost of the runs of its videos. These runs are listed only with ``batch``. The cost
    of a batch is what they paid since it started: a list that is started again finds runs that have paid before.

    :param batch: Dag and run id of a batch: only the runs of its videos. None: all other runs.
    :return: ``{"videos": [{"dag_id", "run_id", "name", "note", "state", "at", "by", "shorts", "best", "cost",
        "estimated", "budget", "batch"}], "more": bool, "dag_ids": [str], "refresh": int}``. ``batch`` is the number of
        videos of a batch, else 0. ``state`` is Airflow's or ``awaiting_input``. ``dag_ids`` are the Dags that the user
        may read. ``refresh`` is Airflow's own interval in seconds, 0 for none.
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
    :param since: only payments from this time on, ISO 8601. Empty: all, and those of a batch from its start on.
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
    payments: dict[tuple[str, str], list[Payment]] = defaultdict(list)
    for payment in ledger_rows.payments(user, run_ids=run_ids):
        payments[payment.run].append(payment)
    names = names_of(session, runs, batches)
    return [
        _video(
            run,
            [short for part in parts[run.key] for short in shorts[part]],
            _take(payments, parts[run.key], since=since or (run.at if batches.get(run.key) else "")),
            name=names[run.key],
            is_asking=run.key in asking,
            batch=len(batches.get(run.key, ())),
        )
        for run in runs
    ]


def _take(
    payments: dict[tuple[str, str], list[Payment]], parts: Iterable[tuple[str, str]], *, since: str
) -> list[Payment]:
    """Remove and return the payments of runs since a time, so that each payment counts in one sum only."""
    taken = [each for part in parts for each in payments[part] if each.at >= since]
    for part in parts:
        payments[part] = [each for each in payments[part] if each.at < since]
    return taken


def _video(
    run: Run, shorts: Sequence[Delivery], payments: Sequence[Payment], *, name: str, is_asking: bool, batch: int
) -> dict[str, Any]:
    budgets = [] if batch else [each.budget for each in payments if each.budget is not None]
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
        "cost": total(each.price for each in payments) if payments else None,
        "estimated": any(each.estimated for each in payments),
        "budget": next(iter(budgets), None),
        "batch": batch,
    }
