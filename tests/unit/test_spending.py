"""What was paid, by day and DAG, and against budgets."""

from __future__ import annotations

from typing import Any

from klap_provider.rules.spending import spending


def line(day: str, run: str, price: float, **more: Any) -> dict[str, Any]:
    return {"at": f"{day}T10:00:00+00:00", "run": run, "price": price, **more}


def test_lines_are_summed_by_day_and_dag_exactly() -> None:
    found = spending([line("2026-03-02", "a r1", 0.1)] * 3 + [line("2026-03-01", "b r2", 5)], since="2026-01-01")
    assert found["days"] == [
        {"day": "2026-03-01", "dag_id": "b", "cost": 5.0},
        {"day": "2026-03-02", "dag_id": "a", "cost": 0.3},
    ]
    assert [(dag["dag_id"], dag["runs"], dag["cost"]) for dag in found["dags"]] == [("b", 1, 5.0), ("a", 1, 0.3)]


def test_budgets_are_set_against_what_the_runs_cost_that_have_one() -> None:
    lines = [
        line("2026-03-01", "a held", 0.44, budget=5.0),
        line("2026-03-01", "a held", 3.2),
        line("2026-03-01", "a free", 9),
        line("2026-03-01", "b free", 1),
    ]
    of_a, of_b = spending(lines, since="2026-01-01")["dags"]
    assert (of_a["budget"], of_a["budgeted"], of_a["cost"]) == (5.0, 3.64, 12.64)
    assert (of_b["budget"], of_b["budgeted"]) == (None, None)


def test_a_sum_with_one_second_hand_price_in_it_says_so() -> None:
    lines = [line("2026-03-01", "a r", 1), line("2026-03-01", "a r", 1, second_hand=True), line("2026-03-01", "b r", 1)]
    old = line("2026-01-01", "b r", 1, second_hand=True)
    dags = spending([*lines, old], since="2026-03-01")["dags"]
    assert [(dag["dag_id"], dag["second_hand"]) for dag in dags] == [("a", True), ("b", False)]


def test_what_was_paid_before_does_not_count() -> None:
    assert spending([line("2026-02-28", "a r", 1)], since="2026-03-01") == {"days": [], "dags": []}


def test_a_run_whose_id_has_spaces_is_one_run() -> None:
    (dag,) = spending([line("2026-03-01", "a my run", 1), line("2026-03-01", "a my run", 1)], since="2026-03-01")[
        "dags"
    ]
    assert (dag["dag_id"], dag["runs"]) == ("a", 1)
