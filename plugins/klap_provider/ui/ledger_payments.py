"""Lists and sums up the payments in the ledger for the Klap page: those of the Dags whose XComs the user may read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from klap_provider.airflow_internals import runs as database
from klap_provider.airflow_internals.api_server import may_read_xcoms
from klap_provider.rules import spending as rules
from klap_provider.rules.spending import total
from klap_provider.ui import ledger_rows
from klap_provider.ui.runs import as_readable, batch_videos, has_words, names_of, parts_of, run_names

if TYPE_CHECKING:
    from klap_provider.rules.spending import Payment


def spending(user: Any, *, since: str) -> dict[str, Any]:
    """Return the sums of :func:`klap_provider.rules.spending.spending` from a day on, ``YYYY-MM-DD`` in UTC."""
    return rules.spending(ledger_rows.payments(user), since=since)


def payments(
    user: Any, *, search: str, dag_id: str | None, run: tuple[str, str] | None, limit: int, offset: int
) -> dict[str, Any]:
    """
    Return the paid requests, newest first.

    :param search: words that must be in the video, the request, its settings, the run's name or the Dag id.
    :param dag_id: only those of this Dag. None: all.
    :param run: Dag and run id: only the payments of this run and, since it started, of the runs of its videos.
    :return: ``{"payments": [{"at", "video", "what", "settings", "dag_id", "run_id", "run_name", "cost",
        "estimated"}], "more": bool, "total": int, "cost": float, "estimated": bool, "dag_ids": [str],
        "run_name": str | None}``. ``payments`` is a page of the payments found; ``total`` and ``cost`` are those of
        all. The name of a deleted run is None. ``run_name`` is the name of ``run``.
    """
    all_payments = ledger_rows.payments(user)
    dag_ids = {each.dag_id for each in all_payments}
    words = search.lower().split()
    readable_dags = may_read_xcoms(user, [run[0]]) if run else set()
    with database.reading() as session:
        whole = database.runs(session, [run]).get(run) if run and run[0] in readable_dags else None
        batches = batch_videos(session, [whole.dag_id]) if whole else {}
        parts = parts_of(whole.key, batches, dag_ids) if whole else set()
        names = run_names(user, session, (each.run for each in (all_payments if words else ())))

    def is_wanted(payment: Payment) -> bool:
        # Payments of a video's run from before the batch started do not belong to the batch.
        is_of_run = run in (None, payment.run) or (
            whole is not None and payment.run in parts and payment.at >= whole.at
        )
        if dag_id not in (None, payment.dag_id) or not is_of_run:
            return False
        return has_words(words, payment.video, payment.what, payment.settings, names.get(payment.run), payment.dag_id)

    found = sorted(filter(is_wanted, all_payments), key=lambda each: (each.video, each.id))
    found.sort(key=lambda each: each.at, reverse=True)
    page = found[offset : offset + limit]
    with database.reading() as session:
        names = names or run_names(user, session, (each.run for each in page))
        name = names_of(session, as_readable(user, [whole]), batches)[whole.key] if whole else None
    return {
        "payments": [
            {
                "at": payment.at,
                "video": payment.video,
                "what": payment.what,
                "settings": payment.settings,
                "dag_id": payment.dag_id,
                "run_id": payment.run_id,
                "run_name": names.get(payment.run),
                "cost": payment.price,
                "estimated": payment.estimated,
            }
            for payment in page
        ],
        "more": len(found) > offset + limit,
        "total": len(found),
        "cost": total(each.price for each in found),
        "estimated": any(each.estimated for each in found),
        "dag_ids": sorted(dag_ids),
        "run_name": name,
    }
