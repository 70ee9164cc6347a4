"""
Limit what a connection, or a Dag, pays in a calendar month (UTC). Pure.

A run reserves the price of its next requests twice: before it submits its video (the video, the maximum number of
generated shorts, and one export), and after the selection (all exports). The second reservation replaces the first one
by what Klap has billed until then. An export that the run has not reserved in the present month reserves its own price.
What is reserved and then not paid, because the job exists already, is released.

A reservation is for one POST. It stays if the POST fails and is tried again, so that the retry uses it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from klap_provider.errors import KlapLimitError, KlapSubmitPendingError
from klap_provider.rules.cost import dollars
from klap_provider.rules.ledger import VERSION
from klap_provider.rules.ledger_keys import pause_entry, reserved_entry
from klap_provider.rules.month_log import MonthLog

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from klap_provider.rules.attempt_log import Clock
    from klap_provider.rules.ledger import Store

#: The part of a limit from which people are told that it is near.
NEAR = Decimal("0.8")


class Limit(NamedTuple):
    """
    A monthly limit.

    :param kind: ``connection`` or ``dag``.
    :param name: id of the connection or Dag.
    :param dollars: US dollars per month.
    :param warns: whether more may be paid, and the limit only warns.
    """

    kind: str
    name: str
    dollars: Decimal
    warns: bool = False

    @property
    def scope(self) -> str:
        """What is limited."""
        return f"{self.kind} {self.name}"

    def __str__(self) -> str:
        return f"The monthly limit of the {'Dag' if self.kind == 'dag' else self.kind} {self.name!r}"


class Reserved(NamedTuple):
    """
    What was granted.

    :param items: the granted items.
    :param used: what is reserved of each limit now.
    :param refused_by: the limit that refused further items.
    """

    items: list[str]
    used: Sequence[tuple[Limit, Decimal]]
    refused_by: Limit | None = None


@dataclass(frozen=True)
class MonthlyLimits:
    """
    The limits that apply to a run.

    :param limits: at least one.
    :param run: Dag id and run id, separated by a space.
    :param holder: unique id of this process.
    :param now: the time, with a time zone.
    """

    store: Store
    limits: Sequence[Limit]
    run: str
    holder: str
    clock: Clock
    now: datetime

    @property
    def month(self) -> str:
        """The present month, ``YYYY-MM``."""
        return f"{self.now.astimezone(timezone.utc):%Y-%m}"

    @property
    def end(self) -> datetime:
        """When the present month ends."""
        first = datetime.fromisoformat(f"{self.month}-01T00:00:00+00:00")
        return (first + timedelta(days=31)).replace(day=1)

    def covers(self, what: str, item: str) -> bool:
        """Return whether the run has reserved an item this month."""
        return item in self._reserved(what)

    def reserve(
        self,
        what: str,
        price: Decimal,
        items: Sequence[str],
        *,
        instead_of: str | None = None,
        spent: Decimal = Decimal(0),
    ) -> Reserved:
        """
        Reserve as many items as the limits cover, in their order. Items that the run has reserved are granted again.

        :param what: what the run reserves them for.
        :param price: US dollars for each item.
        :param instead_of: reservation to replace.
        :param spent: what Klap has billed of that reservation.
        :raises KlapSubmitPendingError: too many other runs reserve at the same time. Nothing is reserved.
        """
        reserved = self._reserved(what)
        wanted = [each for each in items if each not in reserved]
        granted, refused_by = len(wanted), None
        used: list[tuple[Limit, Decimal]] = []
        for number, limit in enumerate(self.limits):
            try:
                fits, total = self._append(limit, price, granted, instead_of, None, spent)
            except KlapSubmitPendingError:
                for earlier in self.limits[:number]:
                    self._append(earlier, -price, granted)
                raise
            if fits < granted:
                used = [(earlier, self._append(earlier, -price, granted - fits)[1]) for earlier in self.limits[:number]]
                granted, refused_by = fits, limit
            used.append((limit, total))
        new = wanted[:granted]
        for limit in self.limits if new else ():
            known = self._row(limit, what)
            row = {
                "version": VERSION,
                "month": self.month,
                "price": str(min(price, Decimal(known.get("price", price)))),
                "items": [*known.get("items", ()), *new],
            }
            self.store.set(self._key(limit, what), row)
        if refused_by is not None:
            pause(self.store, refused_by.scope, self.end, f"{refused_by} is reached.")
        return Reserved([each for each in items if each in reserved or each in new], used, refused_by)

    def release(self, what: str, items: Collection[str]) -> None:
        """Release items that the run does not pay for."""
        for limit in self.limits if items else ():
            self._append(limit, Decimal(0), 0, what, items)

    def used(self) -> list[tuple[Limit, Decimal]]:
        """Return what is paid or reserved of each limit this month."""
        return [(limit, self._log(limit).total()) for limit in self.limits]

    def error(self, reserved: Reserved, what: str, cost: Decimal) -> KlapLimitError:
        """Return the error for a run whose items were refused."""
        limit, used = next(each for each in reserved.used if each[0] == reserved.refused_by)
        where = f"connection {limit.name!r}" if limit.kind == "connection" else f"Dag file of {limit.name!r}"
        return KlapLimitError(
            f"Nothing was sent to Klap for {what}. {limit} is {dollars(limit.dollars)}. In {self.month}, "
            f"{dollars(used)} of it is paid or reserved, and {dollars(cost)} is needed. Clear this task after the "
            f"month ends, on {self.end:%Y-%m-%d} at 00:00 UTC. Or raise monthly_limit in the {where}, and clear this "
            "task now."
        )

    def resume(self) -> None:
        """
        End the pause of watched sources: the limit may have been raised.

        The row stays. It may be that only a cheaper video fits, so the sources start one item at a time for a while.
        """
        for limit in self.limits:
            row = self.store.get(pause_entry(limit.scope))
            if row is not None and (row["until"] or 0) > self.now.timestamp():
                pause(self.store, limit.scope, self.now, row["reason"])

    def _append(
        self,
        limit: Limit,
        price: Decimal,
        wanted: int,
        replaced: str | None = None,
        items: Collection[str] | None = None,
        spent: Decimal = Decimal(0),
    ) -> tuple[int, Decimal]:
        """
        Append as many items as fit, and take off what another reservation has of this limit.

        :param replaced: the other reservation.
        :param items: its items to take off. None: all.
        :param spent: what Klap has billed of these.
        :return: how many items fit, and the total.
        """
        fits = wanted

        def amount(total: Decimal) -> Decimal | None:
            nonlocal fits
            change, gone = Decimal(0), []
            if replaced is not None:
                row = self._row(limit, replaced)
                gone = [each for each in row.get("items", ()) if items is None or each in items]
                change = spent - len(gone) * Decimal(row["price"]) if gone else change
            left = limit.dollars - total - change
            is_refusable = price > 0 and not limit.warns
            fits = max(0, min(wanted, int(left // price))) if is_refusable else wanted
            added = change + fits * price
            return added if added or gone else None  # also 0, to revoke what is replaced

        def revoke() -> None:
            # Before the entry is written, so that nothing is taken off twice.
            if replaced is not None and (row := self._row(limit, replaced)):
                left = [each for each in row["items"] if items is not None and each not in items]
                self.store.set(self._key(limit, replaced), {**row, "items": left})

        total = self._log(limit).append(amount, run=self.run, on_claim=revoke)
        return fits, total

    def _log(self, limit: Limit) -> MonthLog:
        shown = {"scope": limit.scope, "limit": str(limit.dollars), "warns": limit.warns}
        return MonthLog(self.store, self.month, limit.scope, self.holder, self.clock, shown)

    def _reserved(self, what: str) -> list[str]:
        """Return the items that the run has reserved of each limit."""
        first, *others = [self._row(limit, what).get("items", ()) for limit in self.limits]
        return [each for each in first if all(each in other for other in others)]

    def _row(self, limit: Limit, what: str) -> Mapping[str, Any]:
        """Return a reservation of this run; empty without one in this month."""
        row = self.store.get(self._key(limit, what))
        return row if row is not None and row["month"] == self.month else {}

    def _key(self, limit: Limit, what: str) -> str:
        return reserved_entry(limit.scope, self.run, what)


def pause(store: Store, scope: str, until: datetime, reason: str) -> None:
    """
    Tell watchers not to start runs for new videos.

    :param scope: see :func:`~klap_provider.rules.ledger_keys.pause_entry`.
    """
    store.set(pause_entry(scope), {"reason": reason, "until": until.timestamp()})
