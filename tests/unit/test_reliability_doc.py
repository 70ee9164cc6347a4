"""Each row of docs/evidence/reliability.md names a test, and each chaos test has a row."""

from __future__ import annotations

from tests.support.doc_rows import TESTS, names_in, rows_of, unproved

E2E = TESTS / "e2e"
ROWS = rows_of("evidence/reliability.md")


def test_every_row_names_a_test_that_exists() -> None:
    assert len(ROWS) > 20
    assert unproved(ROWS, names_in(E2E)) == []


def test_every_chaos_test_is_named_by_a_row() -> None:
    chaos = names_in(E2E, *E2E.glob("chaos/test_*.py"), *E2E.glob("cluster/test_*.py"))
    chaos = {name for name in chaos if not name.startswith("chaos/test_demo.py")}  # of make demo and make up

    assert chaos - {name for names in ROWS.values() for name in names} == set()
