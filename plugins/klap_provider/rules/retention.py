"""
Which rows of the ledger nothing needs any more, and the lines of an archive. Pure.

==============================================  ============================================================
rows                                            not needed
==============================================  ============================================================
``claim``                                       when they are old: the closed door remains
``delivered``, ``notice``, ``reserved``         when they are old and their run is deleted
a month's log of a limit, and ``limit``         when they are old and the month is over
all rows of a log of attempts                   never, or when the whole log is older than ``forget_after``
``reuse``, ``generated``, ``selection``         the same, each row by its own age
``event``                                       never
==============================================  ============================================================

An open door allows the first POST without reading the log, and an attempt without its payment is in doubt. So the
rows of a log go together, the payments last.
"""

from __future__ import annotations

import json
from datetime import timezone
from typing import TYPE_CHECKING, Any

from klap_provider.rules.ledger import Attempt
from klap_provider.rules.ledger_keys import DELIVERED, LIMIT, PAID
from klap_provider.rules.manual_resolution import ADOPT, RESEND, decision_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

#: Version of the format of archives. Readers ignore unknown fields, and do not refuse a file because of its version.
FORMAT = 1
#: Name of the field that marks the first line of an archive, and that has the version.
HEADER = "klap_ledger"

#: Key prefixes of rows that are not needed once they are old, and once their run is deleted as well.
BY_AGE = ("claim",)
OF_DELETED_RUNS = (DELIVERED, "notice", "reserved")
#: Key prefixes of rows of a month. The month follows the prefix.
OF_MONTHS = (LIMIT, "month", "door.month", "void.month")
#: Key prefixes of attempts, and of other rows that are needed to pay once.
LOGS = ("export", "request", "submission")
BESIDE_LOGS = ("reuse", "generated", "selection")


def log_of(key: str) -> str:
    """Return the log of an attempt."""
    return key.rpartition(".")[0]


def keys_of_past_months(before: datetime) -> list[tuple[str, str]]:
    """Return a key before and a key after those of each kind of rows for the months that ended before a time."""
    return [(f"{prefix}.", f"{prefix}.{before.astimezone(timezone.utc):%Y-%m}") for prefix in OF_MONTHS]


def keys_beside(key: str, value: Any) -> tuple[list[str], list[str]]:
    """
    Return the keys of the rows that belong to an attempt: its door and the decisions about it, and its payment.

    An attempt with the id of its job continues with the payment of another log.
    """
    beside = [f"door.{key}", f"claim.{key}", decision_key(ADOPT, key), decision_key(RESEND, key)]
    try:
        attempt = Attempt.from_row(key, value)
        return beside, [] if attempt.job_id else [attempt.payment_key]
    except (KeyError, TypeError, ValueError, AttributeError):  # any task can write any row
        return beside, []


def payment_in(key: str, value: Any) -> list[str]:
    """Return the key of the payment that belongs to a row: only those of generated shorts are of no log."""
    found = value.get("payment") if key.startswith("generated.") and isinstance(value, dict) else None
    return [found] if isinstance(found, str) else []


def needed_by_row(key: str, value: Any) -> str | None:
    """
    Return the key of the row that needs a row of a log of attempts; None if no row can need it.

    A log is read from its first attempt on: an attempt needs those before it, its door and its payment.
    """
    kind, _, rest = key.partition(".")
    if kind in LOGS:
        log, _, number = key.rpartition(".")
        return f"{log}.{int(number) + 1}" if number.isdecimal() else None
    if kind in ("door", ADOPT, RESEND):
        return rest if rest.startswith(tuple(f"{log}." for log in LOGS)) else None
    entry = value.get("entry") if kind == PAID and isinstance(value, dict) else None
    return entry if isinstance(entry, str) else None


def header(kind: str, at: str) -> str:
    """Return the first line of an archive."""
    return json.dumps({HEADER: FORMAT, "kind": kind, "at": at}) + "\n"


def time_of(first_line: str) -> str:
    """Return the time of an archive by its first line; empty if it has none."""
    try:
        return str(json.loads(first_line)["at"])
    except (ValueError, KeyError, TypeError):
        return ""


def rows_in(lines: Iterable[str]) -> Iterable[Mapping[str, Any]]:
    """
    Yield the rows in the lines of an archive. Lines without a key, such as the first one, are ignored.

    :raises ValueError: a line is not JSON.
    """
    for line in lines:
        row = json.loads(line) if line.strip() else None
        if isinstance(row, dict) and isinstance(row.get("key"), str):
            yield row
