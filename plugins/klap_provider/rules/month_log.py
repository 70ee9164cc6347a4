"""
Reserve parts of a month's limit, so that concurrent runs never reserve more than the limit. Pure.

Each limit has one log of entries per calendar month (UTC), numbered from 0. An entry adds an amount to the total, or
takes it off if it is negative, and has the total so far. To append entry ``n``:

.. code-block:: text

    find the end of the log ──► does the amount fit? ──► claim n ──► write entry n ──► is n void? ──► reserved

**The reserved amounts never exceed the limit.** Entry ``n`` has one writer at most, its claim holder
(:mod:`klap_provider.rules.claim`). The writer has calculated the total from the last entry before ``n``, which never
changes. So each total includes all amounts that were reserved before.

**A process that stops does not block the others.** If the door of ``n`` is closed and entry ``n`` is missing for
:data:`VOID_AFTER` seconds, another process writes ``void.n``, reads entry ``n`` again, and if that is still missing
continues with ``n + 1``. The claim holder may be slow instead of dead. It reads ``void.n`` after it has written entry
``n``. If it finds the row, the amount is not reserved, and it starts again at the end of the log. Each of the two
writes its own row before it reads the other's row, so at least one of them finds the other's. The time is therefore no
part of the proof.

A row with the end of the log saves reading all entries. The last writer wins. It may be old, but it always describes an
entry and its total, and the entries after that are read one by one.

What remains possible: an amount can count although nothing is paid for it, if a process ends between two steps, or is
slower than :data:`VOID_AFTER`. Less than the limit is paid then. As for every claim, each write must take effect once.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from klap_provider.errors import KlapSubmitPendingError
from klap_provider.rules.claim import Claim
from klap_provider.rules.in_doubt import SOON
from klap_provider.rules.ledger import VERSION
from klap_provider.rules.ledger_keys import limit_entry, month_log

if TYPE_CHECKING:
    from collections.abc import Callable

    from klap_provider.rules.attempt_log import Clock
    from klap_provider.rules.ledger import Store

#: Seconds after which the missing entry of a closed door is void.
VOID_AFTER = 2.0

#: Seconds until a process that cannot append an entry gives up, so that its task is retried later.
PATIENCE = 180.0

#: Average seconds between two polls of an entry, and the maximum after many collisions.
POLL, SPREAD = 1.0, 8.0


class _End(NamedTuple):
    """The end of the log: the number of the next entry, the total before it, and whether it can be claimed."""

    number: int
    total: Decimal
    is_open: bool


@dataclass(frozen=True)
class MonthLog:
    """
    The log of one limit in one month.

    :param store: the ledger.
    :param month: ``YYYY-MM``.
    :param scope: what is limited, such as ``connection klap_default``.
    :param holder: unique id of this process.
    :param shown: what the Klap page shows of the limit.
    """

    store: Store
    month: str
    scope: str
    holder: str
    clock: Clock
    shown: dict[str, object]

    @property
    def key(self) -> str:
        """The log. The keys of the entries start with it."""
        return month_log(self.month, self.scope)

    @property
    def end_key(self) -> str:
        """Key of the row with the end of the log."""
        return limit_entry(self.month, self.scope)

    def append(
        self, amount: Callable[[Decimal], Decimal | None], *, run: str, on_claim: Callable[[], None] = lambda: None
    ) -> Decimal:
        """
        Append an entry.

        :param amount: returns the amount for a total so far; None if nothing is to be appended. It is called again once
            this process is the only one that may append, so it can read what other entries depend on.
        :param run: Dag id and run id, for people who read the row.
        :param on_claim: called just before the entry is written. If the entry becomes void, both are called again.
        :return: the total.
        :raises KlapSubmitPendingError: too many other runs append entries at the same time.
        """
        give_up = self.clock.now() + PATIENCE
        spread = POLL
        number, total = self._end()
        while True:
            number, total, is_open = self._skip(number, total)
            added = amount(total)
            if added is None:
                return total
            claim = Claim(self.store, f"{self.key}.{number}", self.holder)
            # A late claim would overwrite that of the holder, so the door was read before.
            if is_open and claim.acquire():
                added = amount(total) or Decimal(0)
                on_claim()
                if self._write(number, added, total, run):
                    return total + added
                continue
            if self.clock.now() > give_up:
                raise KlapSubmitPendingError(
                    f"Many runs reserve parts of the monthly limit of the {self.scope} at this moment. Nothing was "
                    f"sent to Klap. The next try is in {SOON:.0f} s.",
                    retry_after=SOON,
                )
            self._wait_for(number)
            self.clock.sleep(spread)
            spread = min(spread * 2, SPREAD)

    def total(self) -> Decimal:
        """Return what is reserved. It may lack entries that are written at this moment."""
        return self._skip(*self._end()).total

    def _end(self) -> tuple[int, Decimal]:
        row = self.store.get(self.end_key) or {}
        return row.get("next", 0), Decimal(row.get("total", 0))

    def _skip(self, number: int, total: Decimal) -> _End:
        """Go to the end of the log."""
        while True:
            row = self.store.get(f"{self.key}.{number}")
            if row is None:
                if self.store.get(f"door.{self.key}.{number}") is None:
                    return _End(number, total, is_open=True)
                if self.store.get(self._void(number)) is None:
                    return _End(number, total, is_open=False)
                row = self.store.get(f"{self.key}.{number}")
            if row is not None:
                total = Decimal(row["total"])
            number += 1

    def _write(self, number: int, amount: Decimal, before: Decimal, run: str) -> bool:
        """Write an entry, and return whether it counts."""
        key, total = f"{self.key}.{number}", str(before + amount)
        row = {"version": VERSION, "amount": str(amount), "total": total, "run": run}
        self.store.set(key, row)
        if self.store.get(self._void(number)) is not None:
            self.store.set(key, {**row, "amount": "0", "total": str(before)})
            return False
        self.store.set(self.end_key, {**self.shown, "version": VERSION, "next": number + 1, "total": total})
        return True

    def _wait_for(self, number: int) -> None:
        """Wait until an entry exists or is void."""
        until = self.clock.now() + VOID_AFTER
        while self.store.get(f"{self.key}.{number}") is None and self.store.get(self._void(number)) is None:
            if self.clock.now() > until:
                self.store.set(self._void(number), {"version": VERSION})
                return
            self.clock.sleep(POLL)

    def _void(self, number: int) -> str:
        return f"void.{self.key}.{number}"
