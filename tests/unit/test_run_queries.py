"""What is asked of Airflow's database for one run costs the same however many other runs there are."""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import create_engine, event, text
from sqlalchemy.orm import Session

from klap_provider.airflow_internals import runs as database
from klap_provider.airflow_internals.api_server import rows_of_asset
from klap_provider.ui.facts import OF_A_RUN
from klap_provider.xcoms import LIST_KEY, RETURN_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEYS = [("d", "r1"), ("d", "r2"), ("e", "r1")]


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    """A session of an empty database with Airflow's tables and indexes."""
    from airflow.models import import_all_models
    from airflow.models.asset import AssetModel
    from airflow.models.asset_state_store import AssetStateStoreModel
    from airflow.models.dagrun import DagRun, DagRunNote
    from airflow.models.hitl import HITLDetail
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.xcom import XComModel

    import_all_models()  # the foreign keys lead to all of them
    engine = create_engine("sqlite://")
    for model in (DagRun, DagRunNote, TaskInstance, XComModel, HITLDetail, AssetModel, AssetStateStoreModel):
        model.__table__.create(engine)
    with Session(engine) as opened:
        yield opened


def plans(session: Session, ask: Callable[[Session], Any]) -> list[str]:
    """Return how the database goes about each statement of a function."""
    said: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        said.append((statement, parameters))

    engine = session.get_bind()
    event.listen(engine, "before_cursor_execute", note)
    try:
        ask(session)
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert said, "it asks something"
    connection = session.connection().connection
    return [
        str(row[3])
        for statement, parameters in said
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
        lambda session: database.xcoms(session, [1, 2, 3], (RETURN_KEY,), task_ids=["a", "b"]),
        lambda session: database.xcoms_of_key(session, ["d", "e"], LIST_KEY),
    ],
)
def test_no_statement_reads_a_whole_table(session: Session, ask: Callable[[Session], Any]) -> None:
    found = plans(session, ask)
    assert [step for step in found if step.startswith("SCAN") and "CONSTANT" not in step] == []
    assert any("INDEX" in step for step in found)


def test_no_statement_has_more_values_than_a_database_takes(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[int] = []

    def note(_connection: Any, _cursor: Any, _statement: str, parameters: Any, *_: Any) -> None:
        counts.append(len(parameters))

    @contextlib.contextmanager
    def create_session() -> Iterator[Session]:
        yield session

    monkeypatch.setattr("airflow.utils.session.create_session", create_session)
    many = [str(uuid.UUID(int=number)) for number in range(2500)]
    event.listen(session.get_bind(), "before_cursor_execute", note)
    try:
        rows_of_asset("ledger", keys=many)
        rows_of_asset("ledger", prefix="paid.", run_ids=many)
        database.questions(session, many)
        database.runs(session, [("d", run_id) for run_id in many])
        database.instances(session, [("d", run_id) for run_id in many], OF_A_RUN)
        database.xcoms(session, range(2500), (RETURN_KEY,))
    finally:
        event.remove(session.get_bind(), "before_cursor_execute", note)
    assert len(counts) == 6 * 3
    assert max(counts) < 1100


def test_it_can_fail(session: Session) -> None:
    steps = plans(session, lambda opened: opened.execute(text("SELECT * FROM task_instance WHERE run_id = 'r1'")).all())
    assert steps[0].startswith("SCAN")
