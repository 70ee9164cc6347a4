"""The payments that the page Klap shows: those of the Dags whose XComs a user may read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from klap_provider.airflow_internals import runs as database
from klap_provider.airflow_internals.api_server import may_read_xcoms
from klap_provider.rules.spending import spending, total
from klap_provider.ui import ledger_rows
from klap_provider.ui.runs import as_readable, batch_videos, has_words, names_of, parts_of, run_names

if TYPE_CHECKING:
    from klap_provider.rules.spending import Payment


def money(user: Any, *, since: str) -> dict[str, Any]:
    """Return what was paid, as :func:`~klap_provider.rules.spending.spending` sums it up."""
    return spending(ledger_rows.payments(user), since=since)


def payments(
    user: Any, *, search: str, dag_id: str | None, run: tuple[str, str] | None, limit: int, offset: int
) -> dict[str, Any]:
    """
    Return the requests that were paid for, the newest first.

    :param search: words that the video, what was ordered, the run's name, or its Dag must have.
    :param dag_id: only those of this Dag.
    :param run: Dag and id of a run: only what it has paid, or, since it began, the runs of its videos.
    :return: ``{"payments": [{"at", "video", "what", "settings", "dag_id", "run_id", "run_name", "cost",
        "estimated"}], "more": bool, "total": int, "cost": float, "estimated": bool, "dag_ids": [str],
        "run_name": str | None}``, the total and the cost being those of all that were found, of which ``payments`` is a
        page, the name of a run that is deleted None, and ``run_name`` that of ``run``.
    """
    lines = ledger_rows.payments(user)
    dag_ids = {line.dag_id for line in lines}
    words = search.lower().split()
    readable = may_read_xcoms(user, [run[0]]) if run else set()
    with database.reading() as session:
        whole = database.runs(session, [run]).get(run) if run and run[0] in readable else None
        batches = batch_videos(session, [whole.dag_id]) if whole else {}
        parts = parts_of(whole.key, batches, dag_ids) if whole else set()
        names = run_names(user, session, (line.run for line in (lines if words else ())))

    def is_wanted(line: Payment) -> bool:
        # What the run of a batch's video had paid before the batch began was not paid for that.
        is_of_run = run in (None, line.run) or (whole is not None and line.run in parts and line.at >= whole.at)
        if dag_id not in (None, line.dag_id) or not is_of_run:
            return False
        return has_words(words, line.video, line.what, line.settings, names.get(line.run), line.dag_id)

    found = sorted((line for line in lines if is_wanted(line)), key=lambda line: (line.video, line.id))
    found.sort(key=lambda line: line.at, reverse=True)
    page = found[offset : offset + limit]
    with database.reading() as session:
        names = names or run_names(user, session, (line.run for line in page))
        name = names_of(session, as_readable(user, [whole]), batches)[whole.key] if whole else None
    return {
        "payments": [
            {
                "at": line.at,
                "video": line.video,
                "what": line.what,
                "settings": line.settings,
                "dag_id": line.dag_id,
                "run_id": line.run_id,
                "run_name": names.get(line.run),
                "cost": line.price,
                "estimated": line.estimated,
            }
            for line in page
        ],
        "more": len(found) > offset + limit,
        "total": len(found),
        "cost": total(line.price for line in found),
        "estimated": any(line.estimated for line in found),
        "dag_ids": sorted(dag_ids),
        "run_name": name,
    }
