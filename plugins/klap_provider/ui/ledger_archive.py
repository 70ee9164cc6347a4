"""List the rows of the ledger for archives."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from klap_provider.airflow_internals import runs as database
from klap_provider.airflow_internals.state_store import rows as read_rows
from klap_provider.airflow_internals.state_store_archive import next_rows
from klap_provider.errors import KlapError
from klap_provider.rules import retention
from klap_provider.rules.ledger_keys import keys_of
from klap_provider.xcoms import LEDGER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from klap_provider.airflow_internals.state_store import KeyRange, StateRow


def every_row(*, after: str, limit: int) -> str:
    """
    Return rows in the order of their keys, as lines of an archive.

    :param after: only rows with a greater key. Empty: from the first one.
    :raises KlapError: the value of a row cannot be read.
    """
    with database.reading() as session:
        found = next_rows(session, LEDGER, after=after, limit=limit)
        unreadable = [row.key for row in found if row.value is None and row.stored != "null"]
        if unreadable:
            raise KlapError(
                f"The value of the row {unreadable[0]!r} of {LEDGER} cannot be read. Configure the same [workers] "
                "state_store_backend for the API server as for the workers, or restore the value in its storage."
            )
        return _lines(found)


def unneeded_rows(*, before: datetime, forget_before: datetime | None, limit: int) -> str:
    """
    Return rows that nothing needs any more, as lines of an archive, in the order in which they can be removed.

    :param before: only rows that were last written before.
    :param forget_before: also logs of attempts whose rows were all last written before. None: no logs.
    :param limit: maximum number of rows; a log more than that, because a log is removed as a whole.
    """
    with database.reading() as session:
        ranges = [keys_of(prefix) for prefix in retention.BY_AGE] + retention.keys_of_past_months(before)
        found = [*_old(session, ranges, before, limit)]
        if len(found) < limit:
            ranges = [keys_of(prefix) for prefix in retention.OF_DELETED_RUNS]
            found += _old(session, ranges, before, limit - len(found), of_deleted_runs=True)
        if len(found) < limit and forget_before is not None:
            found += _forgotten(session, forget_before, limit - len(found))
        # A row whose value cannot be read stays.
        return _lines(row for row in found if row.value is not None)


def _old(session: Any, ranges: Iterable[KeyRange], before: datetime, limit: int, **more: Any) -> list[StateRow]:
    return next_rows(session, LEDGER, after="", limit=limit, ranges=ranges, before=before, **more)


def _forgotten(session: Any, before: datetime, limit: int) -> list[StateRow]:
    """Return the rows of whole logs and the rows beside them, the payments last."""
    rows: list[StateRow] = []
    payments: list[str] = []
    for log, paid in _old_logs(session, before):
        rows += log
        payments += paid
        if len(rows) + len(payments) >= limit:
            break
    else:
        ranges = [keys_of(prefix) for prefix in retention.BESIDE_LOGS]
        beside = _old(session, ranges, before, limit - len(rows) - len(payments))
        rows += beside
        payments += [key for row in beside for key in retention.payment_in(row.key, row.value)]
    return [*rows, *read_rows(session, LEDGER, keys=payments)]


def _old_logs(session: Any, before: datetime) -> Iterator[tuple[list[StateRow], list[str]]]:
    """Yield the rows of each log of attempts if all of them are old, and the keys of its payments."""
    for prefix in retention.LOGS:
        after, seen = "", set[str]()
        while found := next_rows(session, LEDGER, after=after, limit=100, ranges=[keys_of(prefix)], before=before):
            after = found[-1].key
            for log in sorted({retention.log_of(row.key) for row in found} - seen):
                seen.add(log)
                attempts = read_rows(session, LEDGER, ranges=[keys_of(log)])
                attempts.sort(key=lambda row: (len(row.key), row.key), reverse=True)  # an attempt needs those before it
                beside = [retention.keys_beside(row.key, row.value) for row in attempts]
                rows = attempts + read_rows(session, LEDGER, keys=[key for keys, _ in beside for key in keys])
                if all(row.at < before for row in rows):
                    yield rows, [key for _, paid in beside for key in paid]


def _lines(rows: Iterable[StateRow]) -> str:
    return "".join(json.dumps(_line(row)) + "\n" for row in rows)


def _line(row: StateRow) -> dict[str, Any]:
    writer = {name: getattr(row, name) for name in ("dag_id", "run_id", "task_id", "map_index")}
    return {"key": row.key, "value": row.value, "at": row.at.isoformat(), **({"by": writer} if row.dag_id else {})}
