"""Reading the ledger for the Klap page: the days of a period, up to a maximum number of rows."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import create_engine, event
from sqlalchemy.orm import Session

from klap_provider.rules.ledger_keys import delivered_entry, limit_entry, month_log, payment_key
from klap_provider.ui import ledger_rows
from klap_provider.xcoms import LEDGER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DAG = "klap_generate_shorts"
TODAY = date(2026, 11, 30)
ALWAYS = {"since": "0001-01-01", "until": "9999-12-31"}


def day(back: int) -> str:
    return (TODAY - timedelta(days=back)).isoformat()


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    """A session of a database with an empty ledger, whose every row may be read."""
    from airflow.models import import_all_models
    from airflow.models.asset import AssetActive, AssetModel
    from airflow.models.asset_state_store import AssetStateStoreModel

    import_all_models()
    engine = create_engine("sqlite://")
    for model in (AssetModel, AssetActive, AssetStateStoreModel):
        model.__table__.create(engine)
    monkeypatch.setattr(ledger_rows, "permitted", lambda _user, dag_ids, _what: set(dag_ids))
    with Session(engine) as opened:
        opened.add_all(AssetModel(id=number, name=name, uri=name, group="asset", extra={}) for number, name in NAMES)
        yield opened


NAMES = ((1, LEDGER), (2, "another"))


def put(session: Session, key: str, value: Any, *, run_id: str = "r", asset_id: int = 1) -> None:
    from airflow.models.asset_state_store import AssetStateStoreModel

    writer = {"dag_id": DAG, "run_id": run_id, "task_id": "t", "map_index": -1}
    columns = {f"last_updated_by_{name}": fact for name, fact in writer.items()}
    at = datetime(2026, 11, 30, tzinfo=timezone.utc)
    session.add(AssetStateStoreModel(asset_id=asset_id, key=key, value=json.dumps(value), updated_at=at, **columns))


def pay(session: Session, back: int, job_id: str, *, run_id: str = "r", **more: Any) -> None:
    at = f"{day(back)}T10:00:00+00:00"
    put(session, payment_key(at, job_id), {"id": job_id, "at": at, "price": 1.0}, run_id=run_id, **more)


def read(session: Session, **days: str) -> tuple[list[str], str]:
    found, since = ledger_rows.payments(None, session, **{**ALWAYS, **days})
    return sorted(each.id for each in found), since


def cost_of(session: Session, ask: Callable[[], Any]) -> tuple[int, int]:
    """Return the number of statements, and the number of rows of the ledger that they return."""
    session.flush()
    statements: list[str] = []
    engine, rows = session.get_bind(), ledger_rows.state_store.StateRow
    made: list[Any] = []
    init = rows.__init__

    def noted(self: Any, *given: Any) -> None:
        made.append(self)
        init(self, *given)

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    rows.__init__ = noted  # type: ignore[method-assign]  # to count the rows
    try:
        ask()
    finally:
        rows.__init__ = init  # type: ignore[method-assign]  # as it was
        event.remove(engine, "before_cursor_execute", note)
    return len(statements), len(made)


def test_a_period_has_the_payments_of_its_days_and_no_others(session: Session) -> None:
    for back in range(40):
        pay(session, back, f"job{back:02}")
    pay(session, 1, "elsewhere", asset_id=2)
    put(session, "generated.x", {"id": "no payment"})
    assert read(session, since=day(2)) == (["job00", "job01", "job02"], day(2))
    assert read(session, since=day(5), until=day(4)) == (["job04", "job05"], day(5))
    assert len(read(session)[0]) == 40


def test_a_request_costs_the_same_however_old_the_ledger_is(session: Session) -> None:
    costs = []
    runs = {(day(3), day(1)): ["r"], (day(9), day(9)): ["other"]}
    for more in (range(30), range(30, 600)):
        for back in more:
            pay(session, back, f"job{back}")
            put(session, delivered_entry(DAG, f"r{back}", "short"), {})
            put(session, f"export.short{back}.0", {})
        costs.append(cost_of(session, lambda: ledger_rows.payments(None, session, since=day(29), until=day(0))))
        costs.append(cost_of(session, lambda: ledger_rows.deliveries(None, session, [(DAG, "r1"), (DAG, "r2")])))
        costs.append(cost_of(session, lambda: ledger_rows.payments_of_runs(None, session, runs)))
    assert costs[:3] == costs[3:] == [(4, 30), (2, 2), (4, 3)]


def test_only_the_newest_payments_are_read_at_once(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_rows, "MOST", 10)
    for back in range(12):
        for index in range(4):
            pay(session, back, f"job{back:02}-{index}")
    newest, since = read(session)
    assert (len(newest), since) == (8, day(1)), "whole days"
    assert cost_of(session, lambda: read(session))[1] == 8
    seen = [*newest]
    while since != ALWAYS["since"]:
        before = (date.fromisoformat(since) - timedelta(days=1)).isoformat()
        more, since = read(session, until=before)
        assert 0 < len(more) <= 10
        seen += more
    assert len(seen) == len(set(seen)) == 48


def test_a_day_is_read_completely(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_rows, "MOST", 10)
    for number in range(15):
        pay(session, 3, f"job{number:02}")
    pay(session, 4, "before")
    found, since = read(session)
    assert (len(found), since) == (15, day(3))
    assert read(session, until=day(4)) == (["before"], "0001-01-01")


@pytest.mark.parametrize("key", ["paid.2026-99-99.x", "paid.", "paid.x"])
def test_a_forged_key_does_not_fail_a_request(session: Session, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setattr(ledger_rows, "MOST", 1)
    put(session, key, "?")
    pay(session, 2, "job2")
    put(session, f"{key}2", "?")
    read(session)


def test_payments_of_runs_are_found_by_their_days(session: Session) -> None:
    pay(session, 3, "mine", run_id="r1")
    pay(session, 3, "other", run_id="r2")
    pay(session, 9, "early", run_id="r1")
    runs = {(day(4), day(3)): ["r1"], (day(3), day(1)): ["r1", "r3"]}
    assert [each.id for each in ledger_rows.payments_of_runs(None, session, runs)] == ["mine"], "once"


def test_the_limits_of_a_month_are_listed_with_their_use(session: Session) -> None:
    row = {"scope": "connection klap_default", "limit": "100", "total": "83.20", "next": 7, "warns": False}
    put(session, limit_entry("2026-11", "connection klap_default"), row)
    put(session, limit_entry("2026-11", "dag shorts"), {**row, "scope": "dag shorts", "warns": True})
    put(session, limit_entry("2026-10", "connection klap_default"), row)
    put(session, f"{month_log('2026-11', 'connection klap_default')}.0", {"amount": "1", "total": "1"})
    for number, wrong in enumerate((None, {**row, "total": "NaN"}, {**row, "limit": []}, {**row, "scope": "x"})):
        put(session, limit_entry("2026-11", str(number)), wrong)
    expected = {"limit": 100.0, "used": 83.2}
    assert ledger_rows.limits(None, session, "2026-11") == [
        {"kind": "connection", "name": "klap_default", **expected, "warns": False},
        {"kind": "dag", "name": "shorts", **expected, "warns": True},
    ]
