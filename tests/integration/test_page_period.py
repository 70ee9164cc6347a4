"""The period of the Klap page, 30 days by default, and its counts and sums."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.support.api_server import ADMIN, ApiServer
from tests.support.many_runs import EXPORT, FOLDER, SHORTS, VIDEO, many_runs

if TYPE_CHECKING:
    from collections.abc import Iterator

#: One run in 40 hours, over 66 days.
NUMBERS = range(0, 800, 20)
TODAY = datetime.now(timezone.utc).date()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ApiServer, list[str]]]:
    """Return an API server, and the day of each of its runs."""
    with ApiServer(tmp_path_factory.mktemp("airflow")) as running:
        tables = many_runs(NUMBERS, every=timedelta(hours=2))
        running.seed(**tables)
        yield running, [run["at"][:10] for run in tables["runs"]]


def day(back: int) -> str:
    return (TODAY - timedelta(days=back)).isoformat()


def ask(server: ApiServer, what: str, **query: Any) -> Any:
    answer = requests.get(f"{server.url}/klap/api/{what}", params=query, headers=server.token(ADMIN), timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize(
    ("query", "since", "until"),
    [
        ({}, day(29), day(0)),
        ({"since": day(89)}, day(89), day(0)),
        ({"since": "0001-01-01"}, "0001-01-01", day(0)),
        ({"since": day(50), "until": day(40)}, day(50), day(40)),
    ],
)
def test_a_period_has_the_shorts_and_the_cost_of_its_days(
    server: tuple[ApiServer, list[str]], query: dict[str, str], since: str, until: str
) -> None:
    api, days = server
    runs = sum(since <= each <= until for each in days)
    assert runs > 1
    shorts, payments, spending = (ask(api, what, **query) for what in ("shorts", "payments", "spending"))
    assert (shorts["total"], payments["total"]) == (runs * SHORTS, runs * (SHORTS + 2))
    assert shorts["cost"] == pytest.approx(runs * SHORTS * EXPORT)
    assert payments["cost"] == pytest.approx(runs * (VIDEO + FOLDER + SHORTS * EXPORT))
    assert sum(dag["cost"] for dag in spending["dags"]) == pytest.approx(payments["cost"])
    assert {each["since"] for each in (shorts, payments, spending)} == {since}


def test_a_search_covers_the_period(server: tuple[ApiServer, list[str]]) -> None:
    api, _ = server
    oldest = f"Episode {NUMBERS[-1]}"
    for what, found in (("shorts", SHORTS), ("payments", SHORTS + 2)):
        assert ask(api, what, search="episode 0")["total"] > 0
        assert ask(api, what, search=oldest)["total"] == 0
        assert ask(api, what, search=oldest, since="0001-01-01")["total"] == found


def test_the_payments_of_a_run_are_listed_however_old_it_is(server: tuple[ApiServer, list[str]]) -> None:
    api, _ = server
    run = ask(api, "videos", limit=1000)["videos"][-1]
    paid = ask(api, "payments", run_dag_id=run["dag_id"], run_id=run["run_id"])
    assert (run["name"], paid["run_name"]) == (f"Episode {NUMBERS[-1]}",) * 2
    assert paid["cost"] == run["cost"] == pytest.approx(VIDEO + FOLDER + SHORTS * EXPORT)
