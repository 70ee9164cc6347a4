"""What was paid, summed up of the ledger's lines: by day and DAG, and against budgets. Pure."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def run_of_line(line: Mapping[str, Any]) -> tuple[str, str]:
    """Return the DAG and the run that paid."""
    dag_id, _, run_id = str(line["run"]).partition(" ")
    return dag_id, run_id


def paid_lines(values: Iterable[Any]) -> list[Any]:
    """Return those of some rows that say what was paid; a line that a person has spoiled does not spoil the sums."""
    rows = [value for value in values if isinstance(value, dict)]
    return [each for each in rows if isinstance(each.get("price"), int | float) and {"id", "run", "at"} <= each.keys()]


def total(prices: Iterable[float]) -> float:
    """Return an exact sum of US dollars."""
    return float(sum(Decimal(str(price)) for price in prices))


def spending(lines: Iterable[Mapping[str, Any]], *, since: str) -> dict[str, Any]:
    """
    Sum up what was paid.

    :param lines: of the ledger, as :func:`~klap_provider.rules.ledger.paid_entry` names them.
    :param since: the first day that counts, ``YYYY-MM-DD``. Days are those of UTC.
    :return: ``{"days": [{"day", "dag_id", "cost"}], "dags": [{"dag_id", "runs", "cost", "second_hand", "budget",
        "budgeted"}]}``, in US dollars: the first by day, the second the dearest first. ``second_hand``: whether a price
        is in it that nobody at Klap has confirmed. ``budget`` is what those runs might cost that have a budget, and
        ``budgeted`` what they did cost; None where none has one.
    """
    days: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    runs: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    budgets: dict[tuple[str, str], Decimal] = {}
    second_hand = set()
    for line in lines:
        day, run, price = str(line["at"])[:10], run_of_line(line), Decimal(str(line["price"]))
        if day < since:
            continue
        days[day, run[0]] += price
        runs[run] += price
        if line.get("budget") is not None:
            budgets[run] = Decimal(str(line["budget"]))
        if line.get("second_hand"):
            second_hand.add(run[0])
    dags = [
        {**_of_dag(dag_id, runs, budgets), "second_hand": dag_id in second_hand}
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
