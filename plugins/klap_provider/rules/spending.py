"""What was paid, read from the ledger's rows, and summed up by day and Dag and against budgets. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: US dollars beyond which a price is no price.
HIGHEST_PRICE = 1_000_000


@dataclass(frozen=True)
class Payment:
    """
    A request that Klap accepted, and so bills.

    :param id: Klap's id of the job.
    :param dag_id: of the run that paid.
    :param run_id: likewise.
    :param at: ISO 8601.
    :param price: US dollars.
    :param video: the video, as it may be shown.
    :param what: what was ordered.
    :param settings: with which settings.
    :param budget: US dollars that the run might cost; None: any number.
    :param second_hand: whether nobody at Klap has confirmed the price.
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
    second_hand: bool = False

    @property
    def run(self) -> tuple[str, str]:
        """The Dag and the id of the run that paid."""
        return self.dag_id, self.run_id


def payment_of(value: Any, *, dag_id: str, run_id: str) -> Payment | None:
    """
    Return the payment that a row of the ledger records; None if it records none that can be read.

    Any task can write any row, so that a row belongs to the Dag whose task wrote it, whatever the row says. Within
    that Dag the row names the run: one run may find the answer to another one's request.

    :param dag_id: of the task that wrote the row, as Airflow recorded it.
    :param run_id: likewise.
    """
    if not isinstance(value, dict) or not isinstance(value.get("id"), str):
        return None
    price, at = _dollars(value.get("price")), str(value.get("at"))
    if price is None or not _is_moment(at):
        return None
    said_dag_id, _, said_run_id = str(value.get("run")).partition(" ")
    return Payment(
        id=value["id"],
        dag_id=dag_id,
        run_id=said_run_id if said_dag_id == dag_id and said_run_id else run_id,
        at=at,
        price=price,
        video=_text(value.get("video")) or "",
        what=_text(value.get("what")),
        settings=_text(value.get("settings")),
        budget=_dollars(value.get("budget")),
        second_hand=bool(value.get("second_hand")),
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
    """Return an exact sum of US dollars."""
    return float(sum(Decimal(str(price)) for price in prices))


def spending(payments: Iterable[Payment], *, since: str) -> dict[str, Any]:
    """
    Sum up what was paid.

    :param since: the first day that counts, ``YYYY-MM-DD``. Days are those of UTC.
    :return: ``{"days": [{"day", "dag_id", "cost"}], "dags": [{"dag_id", "runs", "cost", "estimated", "budget",
        "budgeted"}]}``, in US dollars: the first by day, the second the most expensive first. ``estimated``: whether
        a price is in it that nobody at Klap has confirmed. ``budget`` is what those runs might cost that have a budget,
        and ``budgeted`` what they did cost; None where none has one.
    """
    days: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    runs: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    budgets: dict[tuple[str, str], Decimal] = {}
    second_hand = set()
    for payment in payments:
        day, price = payment.at[:10], Decimal(str(payment.price))
        if day < since:
            continue
        days[day, payment.dag_id] += price
        runs[payment.run] += price
        if payment.budget is not None:
            budgets[payment.run] = Decimal(str(payment.budget))
        if payment.second_hand:
            second_hand.add(payment.dag_id)
    dags = [
        {**_of_dag(dag_id, runs, budgets), "estimated": dag_id in second_hand}
        for dag_id in {dag_id for dag_id, _ in runs}
    ]
    return {
        "days": [{"day": day, "dag_id": dag_id, "cost": float(cost)} for (day, dag_id), cost in sorted(days.items())],
        "dags": sorted(dags, key=lambda dag: (-dag["cost"], dag["dag_id"])),
    }


def _of_dag(
    dag_id: str, runs: Mapping[tuple[str, str], Decimal], budgets: Mapping[tuple[str, str], Decimal]
) -> dict[str, Any]:
    own = [run for run in runs if run[0] == dag_id]
    held = [run for run in own if run in budgets]
    return {
        "dag_id": dag_id,
        "runs": len(own),
        "cost": float(sum(runs[run] for run in own)),
        "budget": float(sum(budgets[run] for run in held)) if held else None,
        "budgeted": float(sum(runs[run] for run in held)) if held else None,
    }
