"""The queries for one run cost the same, however many other runs exist."""

from __future__ import annotations

import uuid
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event, text

from klap_provider.airflow_internals import runs as database
from klap_provider.airflow_internals import state_store
from klap_provider.airflow_internals.state_store_archive import next_rows
from klap_provider.airflow_internals.xcoms import newest_xcoms, xcoms
from klap_provider.rules.ledger_keys import delivered_keys, keys_of, payment_keys
from klap_provider.ui.facts import OF_A_RUN
from klap_provider.xcoms import LEDGER, LIST_KEY, RETURN_KEY

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

KEYS = [("d", "r1"), ("d", "r2"), ("e", "r1")]
DAYS = payment_keys("2026-11-01", "2026-11-30")


@pytest.fixture(scope="module")
def session(empty_database: Session) -> Session:
    """A session of a database with the ledger's asset."""
    from airflow.models.asset import AssetModel

    empty_database.add(AssetModel(name=LEDGER, uri=LEDGER, group="asset", extra={}))
    empty_database.flush()
    return empty_database


def plans(session: Session, ask: Callable[[Session], Any]) -> list[str]:
    """Return the query plan of each statement of a function."""
    statements: list[tuple[str, Any]] = []

    def record(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        statements.append((statement, parameters))

    engine = session.get_bind()
    event.listen(engine, "before_cursor_execute", record)
    try:
        ask(session)
    finally:
        event.remove(engine, "before_cursor_execute", record)
    assert statements, "the function sends statements"
    connection = session.connection().connection
    return [
        str(row[3])
        for statement, parameters in statements
        for row in connection.cursor().execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
    ]


@pytest.mark.parametrize(
    "ask",
    [
        lambda session: database.runs(session, KEYS),
        lambda session: database.runs_with_prefix(session, "d", "more__task01__", limit=50),
        lambda session: database.instances(session, KEYS, OF_A_RUN),
        lambda session: database.instances(session, KEYS, OF_A_RUN, state="awaiting_input"),
        lambda session: database.instances_in_state(session, ["d", "e"], "ReviewShortsOperator", "awaiting_input"),
        lambda session: database.questions(session, ["00000000-0000-0000-0000-000000000001"] * 2),
        lambda session: database.newest_keys(session, ["d", "e"], limit=25),
        lambda session: xcoms(session, [1, 2, 3], (RETURN_KEY,), task_ids=["a", "b"]),
        lambda session: newest_xcoms(session, ["d", "e"], LIST_KEY, limit=50),
        lambda session: state_store.rows(session, LEDGER, keys=["export.a.0"]),
        lambda session: state_store.rows(session, LEDGER, ranges=[DAYS], run_ids=["r1"]),
    ],
)
def test_no_statement_reads_a_whole_table(session: Session, ask: Callable[[Session], Any]) -> None:
    found = plans(session, ask)
    assert [step for step in found if step.startswith("SCAN") and "CONSTANT" not in step] == []
    assert any("INDEX" in step for step in found)


def test_the_newest_runs_of_a_dag_are_found_by_an_index(session: Session) -> None:
    [step] = plans(session, lambda opened: database.newest_keys(opened, ["d"], limit=25))
    assert "INDEX" in step


def test_runs_are_found_by_their_ids(session: Session) -> None:
    steps = plans(session, lambda opened: database.runs(opened, KEYS))
    assert len([step for step in steps if "(dag_id=? AND run_id=?)" in step]) == 2
    [step, *_] = plans(session, lambda opened: database.runs_with_prefix(opened, "d", "more__task01__", limit=50))
    assert "(dag_id=? AND run_id>? AND run_id<?)" in step


@pytest.mark.parametrize("keys", [KEYS[:1], KEYS])
def test_task_instances_are_found_by_their_run(session: Session, keys: Any) -> None:
    steps = plans(session, lambda opened: database.instances(opened, keys, OF_A_RUN))
    assert all("dag_id=? AND run_id=?)" in step for step in steps)


@pytest.mark.parametrize("runs", [1, 5, 500])
def test_xcoms_are_found_by_their_run_and_not_among_all_with_their_key(session: Session, runs: int) -> None:
    for key, task_ids in ((RETURN_KEY, ["a"]), (LIST_KEY, None)):
        steps = plans(session, partial(xcoms, runs=range(runs), keys=[key], task_ids=task_ids))
        large = [step for step in steps if step.startswith(("SEARCH xcom ", "SEARCH task_instance "))]
        assert large
        assert all("run_id=?" in step for step in large)


def test_rows_of_the_ledger_are_found_by_the_range_of_their_keys(session: Session) -> None:
    delivered = [delivered_keys("d", f"r{number}") for number in range(150)]
    steps = plans(session, lambda opened: state_store.rows(opened, LEDGER, ranges=delivered))
    ranges = [step for step in steps if "asset_state_store" in step]
    assert len(ranges) == 150
    assert all("(asset_id=? AND key>? AND key<?)" in step for step in ranges)
    for skip in (0, 5000):
        step = plans(session, lambda opened, skip=skip: state_store.last_key(opened, LEDGER, DAYS, skip=skip))[-1]
        assert "COVERING INDEX" in step
        assert "(asset_id=? AND key>? AND key<?)" in step


def test_rows_to_archive_are_found_by_the_ranges_of_their_keys(session: Session) -> None:
    ranges, before = [DAYS, keys_of("claim")], datetime.now(timezone.utc)
    options: dict[str, Any] = {"ranges": ranges, "before": before, "of_deleted_runs": True}
    steps = plans(session, lambda opened: next_rows(opened, LEDGER, after="a", limit=10, **options))
    ranges_read = [step for step in steps if "SEARCH asset_state_store" in step]
    assert len(ranges_read) == 2
    assert all("(asset_id=? AND key>? AND key<?)" in step for step in ranges_read)
    assert not [step for step in steps if step.startswith("SCAN")]


def test_no_statement_has_more_values_than_a_database_takes(session: Session) -> None:
    counts: list[int] = []

    def note(_connection: Any, _cursor: Any, _statement: str, parameters: Any, *_: Any) -> None:
        counts.append(len(parameters))

    many = [str(uuid.UUID(int=number)) for number in range(2500)]
    event.listen(session.get_bind(), "before_cursor_execute", note)
    try:
        state_store.rows(session, LEDGER, keys=many)
        state_store.rows(session, LEDGER, ranges=[DAYS], run_ids=many)
        state_store.rows(session, LEDGER, ranges=[delivered_keys("d", run_id) for run_id in many])
        database.questions(session, many)
        database.runs(session, [("d", run_id) for run_id in many])
        database.instances(session, [("d", run_id) for run_id in many], OF_A_RUN)
        xcoms(session, range(2500), (RETURN_KEY,))
    finally:
        event.remove(session.get_bind(), "before_cursor_execute", note)
    assert len(counts) == 2 * (1 + 3) + (1 + 50) + 4 * 3
    assert max(counts) < 3_100, "SQLite takes 32,766"


def test_it_can_fail(session: Session) -> None:
    steps = plans(session, lambda opened: opened.execute(text("SELECT * FROM task_instance WHERE run_id = 'r1'")).all())
    assert steps[0].startswith("SCAN")


def test_the_ledger_is_the_active_asset_of_its_name(session: Session) -> None:
    from airflow.models.asset import AssetActive, AssetModel

    (ledger,) = session.query(AssetModel).filter_by(name=LEDGER)
    with session.begin_nested() as undo:
        session.add(AssetModel(name=LEDGER, uri="x://other", group="asset", extra={}))
        session.flush()
        newest = state_store.id_of(session, LEDGER)
        session.add(AssetActive.for_asset(ledger))
        session.flush()
        assert state_store.id_of(session, LEDGER) == ledger.id != newest
        undo.rollback()
