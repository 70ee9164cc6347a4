"""The list of runs on the Klap page, of a team that runs its videos in batches."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event

from klap_provider.airflow_internals import runs as database
from klap_provider.ui import ledger_rows, run_list, runs
from tests.support import seed
from tests.support.many_runs import BATCH, SHORTS, many_runs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.orm import Session

EACH = 30
REQUESTS: dict[str, dict[str, Any]] = {
    "the newest": {},
    "a search": {"search": "batch"},
    "by name": {"order_by": "name"},
    "by cost": {"order_by": "-cost"},
    "in a state": {"state": "awaiting_input"},
}


@pytest.fixture
def session(empty_database: Session, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    """A session of a database of which everything may be read."""
    monkeypatch.setattr(database, "reading", lambda: contextlib.nullcontext(empty_database))
    monkeypatch.setattr(run_list, "dags_of_asset", lambda _: ["klap_generate_shorts", BATCH])
    for module in (run_list, runs, ledger_rows):
        monkeypatch.setattr(module, "permitted", lambda _user, dag_ids, _what: set(dag_ids))
    yield empty_database
    empty_database.rollback()


def listed(limit: int = 25, **asked: Any) -> dict[str, Any]:
    return run_list.videos(None, limit=limit, **asked)


def values_read(session: Session, **asked: Any) -> int:
    """Return the number of values that the statements of a request return."""
    read = 0

    def count(_connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        nonlocal read
        read += len(session.connection().connection.cursor().execute(statement, parameters).fetchall())

    event.listen(session.get_bind(), "after_cursor_execute", count)
    try:
        listed(**asked)
    finally:
        event.remove(session.get_bind(), "after_cursor_execute", count)
    return read


def test_a_page_of_large_batches_has_fewer_rows_with_all_their_videos(session: Session) -> None:
    seed.write(session, many_runs(range(10 * EACH), in_batch=EACH))
    for limit, rows, is_more in ((1, 1, True), (5, 3, True), (10, 6, True), (15, 10, False)):
        found = listed(limit)
        assert [each["name"] for each in found["videos"]] == [f"Batch {EACH * place}" for place in range(rows)]
        assert {(each["batch"], each["shorts"]) for each in found["videos"]} == {(EACH, EACH * SHORTS)}
        assert (found["more"], found["searched"]) == (is_more, None)


def test_a_batch_with_more_videos_than_fit_on_a_page_is_listed(session: Session) -> None:
    seed.write(session, many_runs(range(2 * EACH), in_batch=EACH))
    assert [each["batch"] for each in listed(1)["videos"]] == [EACH]


def test_a_search_covers_the_newest_runs_with_a_number_of_videos(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_list, "VIDEOS_SEARCHED", 4 * EACH)
    monkeypatch.setattr(run_list, "VIDEOS_SUMMED_UP", 2 * EACH)
    seed.write(session, many_runs(range(9 * EACH), in_batch=EACH))
    found = listed(search="batch", limit=3)
    assert ([each["name"] for each in found["videos"]], found["searched"]) == (["Batch 0", f"Batch {EACH}"], 4)
    assert found["more"] is True
    assert listed(search=f"batch {3 * EACH}")["videos"][0]["name"] == f"Batch {3 * EACH}"
    assert listed(search=f"batch {4 * EACH}")["videos"] == []
    assert [each["name"] for each in listed(order_by="at", limit=1)["videos"]] == [f"Batch {3 * EACH}"]
    by_cost = listed(order_by="-cost")
    assert (len(by_cost["videos"]), by_cost["searched"], by_cost["more"]) == (2, 2, False)


@pytest.mark.parametrize("in_batch", [0, EACH])
def test_a_request_hardly_reads_more_if_there_are_four_times_the_runs(
    session: Session, monkeypatch: pytest.MonkeyPatch, in_batch: int
) -> None:
    monkeypatch.setattr(run_list, "SEARCHED", 40)
    monkeypatch.setattr(run_list, "VIDEOS_SEARCHED", 10 * EACH)
    monkeypatch.setattr(run_list, "VIDEOS_SUMMED_UP", 4 * EACH)
    seed.write(session, many_runs(range(40 * EACH), in_batch=in_batch))
    few = {what: values_read(session, limit=5, **asked) for what, asked in REQUESTS.items()}
    seed.write(session, many_runs(range(40 * EACH, 160 * EACH), in_batch=in_batch))
    many = {what: values_read(session, limit=5, **asked) for what, asked in REQUESTS.items()}
    # The keys of a batch's runs are read as far back as those of its videos could be.
    assert {what: read for what, read in many.items() if read > 1.25 * few[what]} == {}
