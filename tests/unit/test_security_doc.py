"""Each statement about security in docs/evidence/tests.md names a test."""

from __future__ import annotations

from tests.support.doc_rows import TESTS, names_in, rows_of, unproved


def test_every_row_names_a_test_that_exists() -> None:
    rows = rows_of("evidence/tests.md", section="Security")
    assert len(rows) > 25
    assert unproved(rows, names_in(TESTS)) == []
