"""After 50,000 runs in 500 days, and with an archive each month, everything costs and behaves as in the first month."""

from __future__ import annotations

import json
import time
from collections.abc import MutableMapping
from datetime import datetime, timedelta, timezone
from functools import partial
from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import requests

from klap_provider.airflow_internals.runs import portions
from klap_provider.dag_parts import ledger_tasks
from klap_provider.hooks import AIRFLOW_CONN_ID
from klap_provider.operators import SubmitShortsOperator
from klap_provider.ui.facts import OF_A_RUN
from tests.support.api_server import ADMIN, ApiServer
from tests.support.many_runs import SHORTS, many_runs, run_id_in_batch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tests.support.airflow_context import Played, Supervisor
    from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.long

DAG = "klap_generate_shorts"
FEW, MANY, PER_DAY = 2_500, 50_000, 100
#: Days after which rows of the ledger are archived, and after which runs are deleted.
ROWS_STAY, RUNS_STAY = 90, 180
#: How many days ago the ledger was archived.
ARCHIVES = range(390, -1, -30)
PAGE = ("videos", "videos?search=episode", "videos?order_by=-cost", "shorts", "shorts?search=moment", "spending")
PAGE += ("payments", "payments?search=watermark", "reviews", "sources")
PAGE += ("payments?since=0001-01-01", "shorts?since=0001-01-01")


class Ledger(MutableMapping[str, str]):
    """The ledger in the database of an API server, in which tasks find and write rows by their keys."""

    def __init__(self, server: ApiServer) -> None:
        self._headers, self.requests = server.token(ADMIN), 0
        assets = requests.get(f"{server.url}/api/v2/assets", headers=self._headers, timeout=60).json()["assets"]
        self._url = f"{server.url}/api/v2/assets/{assets[0]['id']}/state-store"

    def _send(self, method: str, key: str, **more: Any) -> requests.Response:
        self.requests += 1
        answer = requests.request(method, f"{self._url}/{key}", headers=self._headers, timeout=60, **more)
        if answer.status_code == 404:
            raise KeyError(key)
        answer.raise_for_status()
        return answer

    def __getitem__(self, key: str) -> str:
        return json.dumps(self._send("GET", key).json()["value"])

    def __setitem__(self, key: str, value: str) -> None:
        self._send("PUT", key, json={"value": json.loads(value)})

    def __delitem__(self, key: str) -> None:
        self._send("DELETE", key)

    def __iter__(self) -> Iterator[str]:
        raise NotImplementedError("tasks cannot list the rows")

    def __len__(self) -> int:
        raise NotImplementedError("tasks cannot list the rows")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with ApiServer(tmp_path_factory.mktemp("airflow")) as running:
        yield running


@pytest.fixture(scope="module")
def young(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """Return an API server that stays as after 25 days, when each request reads as much as it may."""
    with ApiServer(tmp_path_factory.mktemp("young")) as running:
        seed(running, range(FEW))
        yield running


def seed(server: ApiServer, numbers: range) -> None:
    """Write runs with a claim each. The first run of a day has task instances."""
    for part in portions(numbers, 5_000):
        tables = many_runs(range(part[0], part[-1] + 1), in_batch=PER_DAY)
        for number, run in zip(part, (run for run in tables["runs"] if run["dag_id"] == DAG), strict=True):
            if number % PER_DAY == PER_DAY - 1:
                run["tasks"] = [{"operator": each, "map_index": -1} for each in OF_A_RUN]
            who = {"dag_id": run["dag_id"], "run_id": run["run_id"]}
            claim = {"key": f"claim.submission.{number}.0", "value": "holder", "at": run["at"]}
            tables["rows"].append({**claim, **who})
        server.seed(**tables)


def ask(server: ApiServer, path: str) -> Any:
    answer = requests.get(f"{server.url}/klap/api/{path}", headers=server.token(ADMIN), timeout=60)
    assert answer.status_code == 200, f"{path}: {answer.text}"
    return answer.json()


def slower(compared: Mapping[str, tuple[Callable[[], Any], Callable[[], Any]]]) -> dict[str, list[float]]:
    """
    Return the requests that take more than twice the time: the seconds of the fastest of some tries, then and now.

    Both are measured in turn, because the machine may be busy. Less than 30 ms more do not count.
    """
    found = {}
    for what, both in compared.items():
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(7):
            for action, own in zip(both, times, strict=True):
                started = time.perf_counter()
                action()
                own.append(time.perf_counter() - started)
        then, now = map(min, times)
        if now > 2 * then + 0.03:
            found[what] = [then, now]
    return found


def requests_of_page(server: ApiServer, ledger: Ledger, oldest: str) -> dict[str, Callable[[], Any]]:
    """Return the requests of the page and of the tab, and one of a task for the ledger."""
    return {
        **{path: partial(ask, server, path) for path in PAGE},
        "the tab of the oldest run": partial(ask, server, f"dags/{DAG}/runs/{oldest}/shorts"),
        "its payments": partial(ask, server, f"payments?run_dag_id={DAG}&run_id={oldest}"),
        "a row of the ledger": partial(ledger.get, "export.unknown.0"),
    }


def ago(days: float) -> str:
    return f"{datetime.now(timezone.utc) - timedelta(days=days):%Y-%m-%d %H:%M:%S.000000}"


def test_everything_costs_and_behaves_as_in_the_first_month(
    server: ApiServer,
    young: ApiServer,
    airflow: Callable[..., Played],
    supervisor: Supervisor,
    klap: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    conn = {"conn_type": "http", "host": server.url, "login": ADMIN, "password": ADMIN}
    monkeypatch.setenv(f"AIRFLOW_CONN_{AIRFLOW_CONN_ID.upper()}", json.dumps(conn))

    numbers = count()

    def submit(video: str) -> tuple[str, int]:
        """Submit a video in a new run, and return Klap's task and the number of requests for the ledger."""
        before = ledger.requests
        monkeypatch.setattr("tests.support.airflow_context.RUN_ID", f"run {next(numbers)}")
        url = f"https://example.com/{video}.mp4"
        made = airflow(lambda: SubmitShortsOperator(task_id="submit", source_video_url=url, reuse=True))
        return made.run()["klap_task_id"], ledger.requests - before

    seed(server, range(FEW))
    supervisor.ledger = ledger = Ledger(server)  # type: ignore[assignment]  # instead of a dict
    old, new_requests = submit("old")
    old_again, again_requests = submit("old")
    paid = klap.ledger()
    assert (old_again, len(paid)) == (old, 1)
    newest = ask(server, "videos")["videos"]

    age = f"UPDATE asset_state_store SET updated_at = '{ago(450)}' WHERE last_updated_by_run_id IS NULL"
    server.run("-c", f"from airflow import settings\nwith settings.engine.begin() as c: c.exec_driver_sql({age!r})")
    seed(server, range(FEW, MANY))
    ti, costs, moved = SimpleNamespace(dag_id="m", run_id="r", task_id="t", map_index=-1, try_number=1), {}, 0
    for back in ARCHIVES:
        if back % 90 == 0:
            clean = ("db", "clean", "--tables", "dag_run,task_instance,xcom", "--skip-archive", "--yes")
            server.run("-m", "airflow", *clean, "--clean-before-timestamp", ago(back + RUNS_STAY))
        started = time.perf_counter()
        older_than = timedelta(days=back + ROWS_STAY)
        month = ledger_tasks.archive(str(tmp_path), AIRFLOW_CONN_ID, "", older_than, None, ti=ti)["rows"]
        costs[back] = (time.perf_counter() - started) / month
        moved += month
    claims, deliveries = MANY - ROWS_STAY * PER_DAY, SHORTS * (MANY - RUNS_STAY * PER_DAY)
    assert moved == pytest.approx(claims + deliveries, rel=0.01), "what nothing needs any more, and nothing else"
    assert max(costs.values()) < 5 * min(costs.values()), "each row of each month, about the same"

    assert ask(server, "videos")["videos"] == newest
    assert ask(server, "payments?since=0001-01-01&until=" + ago(490)[:10])["total"] > 0, "of deleted runs, too"
    oldest = run_id_in_batch(PER_DAY * (RUNS_STAY - 1) - 1)
    assert ask(server, f"dags/{DAG}/runs/{oldest}/shorts")["details"] is not None
    then = requests_of_page(young, Ledger(young), run_id_in_batch(FEW - 1))
    now = requests_of_page(server, ledger, oldest)
    assert slower({what: (then[what], now[what]) for what in then}) == {}

    assert submit("old") == (old, again_requests), "it is not paid again, after more than a year"
    assert klap.ledger() == paid
    new, requests_now = submit("new")
    assert (new != old, requests_now) == (True, new_requests)
    assert submit("new") == (new, again_requests)
    assert len(klap.ledger()) == 2
