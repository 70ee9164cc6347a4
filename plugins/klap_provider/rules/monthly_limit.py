"""
Limit what a connection, or a Dag, pays in a calendar month (UTC). Pure.

A run reserves what it is about to pay, at two places: before it submits its video (the video, the maximum number of
generated shorts, and one export), and after the selection (all exports). The second reservation replaces the first one
by what Klap has billed until then. An export that the run has not reserved in the present month reserves its own price.
What is reserved and then not paid, because the job exists already, is released.

A reservation is for one POST. It stays when the POST fails, so that a retry uses it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from klap_provider.errors import KlapLimitError
from klap_provider.rules.cost import dollars
from klap_provider.rules.ledger import VERSION, pause_entry, reserved_entry
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
    """The granted items, what is reserved of each limit now, and the limit that refused further items."""

    items: list[str]
    used: Sequence[tuple[Limit, Decimal]]
    refused_by: Limit | None = None


@dataclass(frozen=True)
class MonthlyLimits:
    """
    The limits that apply to a run.

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
        return item in self._row(what).get("items", ())

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
        """
        known, replaced = self._row(what), self._row(instead_of) if instead_of else {}
        reserved = list(known.get("items", ()))
        wanted = [each for each in items if each not in reserved]
        granted, refused_by = len(wanted), None
        used: list[tuple[Limit, Decimal]] = []

        def revoke() -> None:
            if replaced:  # before the entry is written: it must not be replaced twice
                self.store.delete(reserved_entry(self.run, str(instead_of)))

        for number, limit in enumerate(self.limits):
            is_replaced = limit.scope in replaced.get("scopes", ())
            change = spent - _amount(replaced) if is_replaced else Decimal(0)
            fits, total = self._append(limit, change, price, granted, revoke)
            if fits < granted:
                used = [self._take_off(earlier, (granted - fits) * price) for earlier in self.limits[:number]]
                granted, refused_by = fits, limit
            used.append((limit, total))
        reserved += wanted[:granted]
        if granted:
            scopes = [limit.scope for limit in self.limits]
            row = {"version": VERSION, "month": self.month, "price": str(price), "items": reserved, "scopes": scopes}
            self.store.set(reserved_entry(self.run, what), row)
        if refused_by is not None:
            pause(self.store, refused_by.scope, self.end, f"{refused_by} is reached.")
        return Reserved([each for each in items if each in reserved], used, refused_by)

    def release(self, what: str, items: Collection[str]) -> None:
        """Release items that the run does not pay for."""
        row = self._row(what)
        if not (released := [each for each in row.get("items", ()) if each in items]):
            return
        left = [each for each in row["items"] if each not in items]
        self.store.set(reserved_entry(self.run, what), {**row, "items": left})
        for limit in self.limits:
            if limit.scope in row["scopes"]:
                self._take_off(limit, len(released) * Decimal(row["price"]))

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
        """Tell watchers that new videos may be submitted: the limit may have been raised."""
        for limit in self.limits:
            self.store.delete(pause_entry(limit.scope))

    def _append(
        self, limit: Limit, change: Decimal, price: Decimal = Decimal(0), wanted: int = 0, on_claim: Any = lambda: None
    ) -> tuple[int, Decimal]:
        """Append a change and as many items as fit. Return their number, and the total."""
        fits = wanted

        def amount(total: Decimal) -> Decimal | None:
            nonlocal fits
            room = limit.dollars - total - change
            fits = wanted if limit.warns or not price else max(0, min(wanted, int(room // price)))
            return change + fits * price or None

        total = self._log(limit).append(amount, run=self.run, on_claim=on_claim)
        return fits, total

    def _take_off(self, limit: Limit, amount: Decimal) -> tuple[Limit, Decimal]:
        return limit, self._append(limit, -amount)[1]

    def _log(self, limit: Limit) -> MonthLog:
        shown = {"scope": limit.scope, "limit": str(limit.dollars), "warns": limit.warns}
        return MonthLog(self.store, self.month, limit.scope, self.holder, self.clock, shown)

    def _row(self, what: str) -> Mapping[str, Any]:
        """Return a reservation of this run; empty without one in this month."""
        row = self.store.get(reserved_entry(self.run, what))
        return row if row is not None and row["month"] == self.month else {}


def pause(store: Store, scope: str, until: datetime, reason: str) -> None:
    """
    Tell watchers not to start runs for new videos.

    :param scope: see :func:`~klap_provider.rules.ledger.pause_entry`.
    """
    store.set(pause_entry(scope), {"version": VERSION, "until": until.isoformat(timespec="seconds"), "reason": reason})


def _amount(row: Mapping[str, Any]) -> Decimal:
    return len(row["items"]) * Decimal(row["price"])
