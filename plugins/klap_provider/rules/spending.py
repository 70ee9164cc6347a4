"""Read payments from rows of the ledger, and sum them up by day and by Dag. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: Maximum price in US dollars. A row with a higher price is not a payment.
HIGHEST_PRICE = 1_000_000


class Payment(NamedTuple):
    """
    A request that Klap accepted and bills, as in :class:`~klap_provider.rules.ledger.Attempt`.

    :param id: Klap's id of the job.
    :param dag_id: Dag of the run that paid.
    :param at: when the request was sent, ISO 8601.
    """

    id: str
    dag_id: str
    run_id: str
    at: str
    price: float
    video: str = ""
    what: str | None = None
    settings: str | None = None
    budget: float | None = None
    estimated: bool = False

    @property
    def run(self) -> tuple[str, str]:
        """Dag id and run id of the run that paid."""
        return self.dag_id, self.run_id


def payment_of(value: Any, *, dag_id: str, run_id: str) -> Payment | None:
    """
    Return the payment in a row of the ledger; None if the row is not a readable payment.

    Any task can write any row. So the payment belongs to the Dag whose task wrote the row. The run is what the row
    names, if it is of the same Dag, because a run can record the payment of another run of its Dag.
    """
    if not isinstance(value, dict) or not isinstance(value.get("id"), str):
        return None
    price, at = _dollars(value.get("price")), str(value.get("at"))
    if price is None or not _is_moment(at):
        return None
    row_dag_id, _, row_run_id = str(value.get("run")).partition(" ")
    return Payment(
        id=value["id"],
        dag_id=dag_id,
        run_id=row_run_id if row_dag_id == dag_id and row_run_id else run_id,
        at=at,
        price=price,
        video=_text(value.get("video")) or "",
        what=_text(value.get("what")),
        settings=_text(value.get("settings")),
        budget=_dollars(value.get("budget")),
        estimated=bool(value.get("estimated")),
    )


def _dollars(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= HIGHEST_PRICE:
        return None
    return float(value) if math.isfinite(value) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _is_moment(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def total(prices: Iterable[float]) -> float:
    """Return the exact sum of prices in US dollars."""
    return float(sum(Decimal(str(price)) for price in prices))


def spending(payments: Iterable[Payment], *, since: str) -> dict[str, Any]:
    """
    Return the sums of payments by day and by Dag.

    :param since: first day to include, ``YYYY-MM-DD`` in UTC.
    :return: ``{"days": [{"day", "dag_id", "cost"}], "dags": [{"dag_id", "runs", "cost", "estimated", "budget",
        "budgeted"}]}``, in US dollars. ``days`` is sorted by day, ``dags`` by cost, highest first. ``estimated``:
        whether one of the prices is estimated. ``budget`` is the sum of the budgets of the runs that have one, and
        ``budgeted`` the cost of these runs; None if no run has a budget.
    """
    days: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    runs: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    budgets: dict[tuple[str, str], Decimal] = {}
    estimated = set()
    for payment in payments:
        day, price = payment.at[:10], Decimal(str(payment.price))
        if day < since:
            continue
        days[day, payment.dag_id] += price
        runs[payment.run] += price
        if payment.budget is not None:
            budgets[payment.run] = Decimal(str(payment.budget))
        if payment.estimated:
            estimated.add(payment.dag_id)
    dags = [
        {**_dag_sums(dag_id, runs, budgets), "estimated": dag_id in estimated}
        for dag_id in {dag_id for dag_id, _ in runs}
    ]
    return {
        "days": [{"day": day, "dag_id": dag_id, "cost": float(cost)} for (day, dag_id), cost in sorted(days.items())],
        "dags": sorted(dags, key=lambda dag: (-dag["cost"], dag["dag_id"])),
    }


def _dag_sums(
    dag_id: str, runs: Mapping[tuple[str, str], Decimal], budgets: Mapping[tuple[str, str], Decimal]
) -> dict[str, Any]:
    own = [run for run in runs if run[0] == dag_id]
    budgeted = [run for run in own if run in budgets]
    return {
        "dag_id": dag_id,
        "runs": len(own),
        "cost": float(sum(runs[run] for run in own)),
        "budget": float(sum(budgets[run] for run in budgeted)) if budgeted else None,
        "budgeted": float(sum(runs[run] for run in budgeted)) if budgeted else None,
    }
