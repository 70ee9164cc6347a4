"""Payments by day and Dag, compared with budgets."""

from __future__ import annotations

from typing import Any

import pytest

from klap_provider.rules.spending import Payment, payment_of, spending

ROW = {"id": "job1", "run": "a r1", "at": "2026-03-01T10:00:00+00:00", "price": 0.48}
WRITER = {"dag_id": "a", "run_id": "r2"}


def line(day: str, run: str, price: float, **more: Any) -> Payment:
    dag_id, _, run_id = run.partition(" ")
    return Payment("job1", dag_id, run_id, f"{day}T10:00:00+00:00", price, **more)


def test_a_row_belongs_to_the_dag_that_wrote_it() -> None:
    runs = {
        run: found and found.run
        for run in ("a r1", "b r1", "a", "", "ab r1", None, 7)
        for found in [payment_of({**ROW, "run": run}, **WRITER)]
    }
    assert runs.pop("a r1") == ("a", "r1")
    assert set(runs.values()) == {("a", "r2")}, "a forged value attributes nothing to another Dag"


@pytest.mark.parametrize(
    "odd",
    [
        None,
        "text",
        ["list"],
        {},
        *({**ROW, "price": price} for price in (None, "0.48", True, -1, 1e400, float("nan"), 10**400, {})),
        *({**ROW, "at": at} for at in (None, 7, "", "yesterday", "2026-03-01", "2026-03-01T10:00:00")),
        {**ROW, "id": None},
        {name: value for name, value in ROW.items() if name != "at"},
    ],
)
def test_a_row_that_cannot_be_read_is_no_payment(odd: Any) -> None:
    assert payment_of(odd, **WRITER) is None


def test_malformed_fields_of_a_row_are_ignored() -> None:
    odd = {**ROW, "what": 7, "settings": {"a": 1}, "budget": "much", "video": ["v"], "estimated": "yes", "more": 1}
    found = payment_of(odd, **WRITER)
    assert found == Payment("job1", "a", "r1", ROW["at"], 0.48, estimated=True)


def test_lines_are_summed_by_day_and_dag_exactly() -> None:
    found = spending([line("2026-03-02", "a r1", 0.1)] * 3 + [line("2026-03-01", "b r2", 5)], since="2026-01-01")
    assert found["days"] == [
        {"day": "2026-03-01", "dag_id": "b", "cost": 5.0},
        {"day": "2026-03-02", "dag_id": "a", "cost": 0.3},
    ]
    assert [(dag["dag_id"], dag["runs"], dag["cost"]) for dag in found["dags"]] == [("b", 1, 5.0), ("a", 1, 0.3)]


def test_budgets_are_compared_with_the_cost_of_their_runs() -> None:
    lines = [
        line("2026-03-01", "a held", 0.44, budget=5.0),
        line("2026-03-01", "a held", 3.2),
        line("2026-03-01", "a free", 9),
        line("2026-03-01", "b free", 1),
    ]
    of_a, of_b = spending(lines, since="2026-01-01")["dags"]
    assert (of_a["budget"], of_a["budgeted"], of_a["cost"]) == (5.0, 3.64, 12.64)
    assert (of_b["budget"], of_b["budgeted"]) == (None, None)


def test_a_sum_with_an_estimated_price_is_estimated() -> None:
    lines = [line("2026-03-01", "a r", 1), line("2026-03-01", "a r", 1, estimated=True), line("2026-03-01", "b r", 1)]
    old = line("2026-01-01", "b r", 1, estimated=True)
    dags = spending([*lines, old], since="2026-03-01")["dags"]
    assert [(dag["dag_id"], dag["estimated"]) for dag in dags] == [("a", True), ("b", False)]


def test_earlier_payments_do_not_count() -> None:
    assert spending([line("2026-02-28", "a r", 1)], since="2026-03-01") == {"days": [], "dags": []}


def test_a_run_id_may_have_spaces() -> None:
    (dag,) = spending([line("2026-03-01", "a my run", 1), line("2026-03-01", "a my run", 1)], since="2026-03-01")[
        "dags"
    ]
    assert (dag["dag_id"], dag["runs"]) == ("a", 1)
