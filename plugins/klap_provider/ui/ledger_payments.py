"""List and sum up the payments in the ledger for the Klap page: those of the Dags whose XComs the user may read."""

from __future__ import annotations

import csv
import io
import json
import sys
from datetime import date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from klap_provider.airflow_internals import runs as database
from klap_provider.airflow_internals.api_server import permitted
from klap_provider.airflow_internals.xcoms import xcoms
from klap_provider.rules import spending as rules
from klap_provider.ui import ledger_rows
from klap_provider.ui.runs import as_readable, batch_videos, has_words, last_day, names_of, run_names
from klap_provider.xcoms import LIST_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from klap_provider.airflow_internals.runs import Key
    from klap_provider.rules.spending import Payment

#: The fields of a payment that the page shows.
SHOWN = ("at", "video", "what", "settings", "dag_id", "run_id", "estimated")
#: The columns of an export.
EXPORTED = ("at", "cost", "estimated", "video", "what", "settings", "dag_id", "run_id", "run_name")


def spending(user: Any, *, since: str, until: str) -> dict[str, Any]:
    """
    Return the sums of :func:`klap_provider.rules.spending.spending` for some UTC days, ``YYYY-MM-DD``.

    :return: also ``since``, see :func:`payments`, and ``limits``: the limits of the present month, see
        :func:`klap_provider.ui.ledger_rows.limits`.
    """
    with database.reading() as session:
        found, first = ledger_rows.payments(user, session, since=since, until=until)
        limits = ledger_rows.limits(user, session, f"{datetime.now(timezone.utc):%Y-%m}")
    return {**rules.spending(found, since=first), "since": first, "limits": limits}


def payments(
    user: Any, *, search: str, dag_id: str | None, run: Key | None, since: str, until: str, limit: int
) -> dict[str, Any]:
    """
    Return the paid requests of some UTC days, newest first.

    :param search: words that must be in the video, the request, its settings, the run's name or the Dag id.
    :param dag_id: only those of this Dag. None: all.
    :param run: Dag and run id: only the payments of this run and, since it started, of the runs of its videos, on any
        day if the run exists.
    :return: ``{"payments": [{"at", "video", "what", "settings", "dag_id", "run_id", "run_name", "cost",
        "estimated"}], "total": int, "cost": float, "estimated": bool, "dag_ids": [str], "run_name": str | None,
        "since": str}``. ``payments`` are the newest of the payments found; ``total`` and ``cost`` are those of all. The
        name of a deleted run is None. ``run_name`` is the name of ``run``. ``since`` is the first day that is included,
        see :func:`klap_provider.ui.ledger_rows.payments`.
    """
    words = search.lower().split()
    with database.reading() as session:
        whole = database.runs(session, [run]).get(run) if run and permitted(user, [run[0]], "XCOM") else None
        videos = batch_videos(session, xcoms(session, [whole.id], (LIST_KEY,))).get(whole.key, []) if whole else []
        parts = {video.key for video in videos}
        if whole:
            since, until = whole.at[:10], last_day([whole, *database.runs(session, parts).values()])
        everything, first = ledger_rows.payments(user, session, since=since, until=until)
        names = run_names(user, session, (each.run for each in (everything if words else ())))

        def is_wanted(payment: Payment) -> bool:
            # Payments of a video's run from before the batch started do not belong to the batch.
            is_of_batch = whole is not None and payment.run in parts and payment.at >= whole.at
            if dag_id not in (None, payment.dag_id) or not (run in (None, payment.run) or is_of_batch):
                return False
            searched = (payment.video, payment.what, payment.settings, names.get(payment.run), payment.dag_id)
            return has_words(words, *searched)

        found = sorted(filter(is_wanted, everything), key=lambda each: (each.video, each.id))
        found.sort(key=lambda each: each.at, reverse=True)
        page = found[:limit]
        names = names or run_names(user, session, (each.run for each in page))
        name = names_of(session, as_readable(user, [whole]), {whole.key: videos})[whole.key] if whole else None
    return {
        "payments": [
            {name: getattr(payment, name) for name in SHOWN}
            | {"cost": payment.price, "run_name": names.get(payment.run)}
            for payment in page
        ],
        "total": len(found),
        "cost": rules.total(each.price for each in found),
        "estimated": any(each.estimated for each in found),
        "dag_ids": sorted({each.dag_id for each in everything}),
        "run_name": name,
        "since": first,
    }


def exported(
    user: Any, *, as_csv: bool, search: str, dag_id: str | None, run: Key | None, since: str, until: str
) -> Iterator[str]:
    """
    Yield the payments of :func:`payments` in portions, newest first, as CSV with a header or as JSON lines.

    However many there are, at most :data:`~klap_provider.ui.ledger_rows.MOST` are read at once.
    """
    if as_csv:
        yield _csv([EXPORTED])
    while True:
        found = payments(user, search=search, dag_id=dag_id, run=run, since=since, until=until, limit=sys.maxsize)
        if as_csv:
            yield _csv([_plain(each[name]) for name in EXPORTED] for each in found["payments"])
        else:
            yield "".join(json.dumps(each) + "\n" for each in found["payments"])
        if run or found["since"] <= since:
            return
        until = (date.fromisoformat(found["since"]) - timedelta(days=1)).isoformat()


def _csv(rows: Any) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _plain(value: Any) -> Any:
    """Return a value that no spreadsheet takes for a formula. Names of videos are other people's text."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
