"""10. The requests of the page Klap, with few and many runs, on SQLite and PostgreSQL."""

from __future__ import annotations

import contextlib
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import requests

from benchmarks.report import Bar, Section, Table, number
from demo.servers import PostgreSQL
from klap_provider.airflow_internals.runs import portions
from klap_provider.ui.facts import OF_A_RUN
from tests.support.api_server import ADMIN, ApiServer
from tests.support.many_runs import many_runs, run_id_in_batch

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Numbers of runs, and of the runs that are written at once.
FEW, MANY, AT_ONCE = 1_000, 50_000, 7_000
#: Number of videos in the batch of each night.
IN_BATCH = 100
#: Task instances of each run, of Klap's Dags and of another one, that the page does not show.
OTHER_TASKS = 5
ROUNDS = 5
#: Shorter requests, in milliseconds, are not compared: their times are those of the API server.
BRIEF = 30
ALL_TIME = "since=0001-01-01"
REQUESTS = {
    "the videos": "videos",
    "a search in the videos": "videos?search=batch",
    "the videos by cost": "videos?order_by=-cost",
    "the open reviews": "reviews",
    "the sources": "sources",
    "the shorts of 30 days": "shorts",
    "a search in the shorts of 30 days": "shorts?search=moment",
    "the shorts of all time": f"shorts?{ALL_TIME}",
    "the cost of 30 days": "spending",
    "the cost of all time": f"spending?{ALL_TIME}",
    "the payments of 30 days": "payments",
    "a search in the payments of 30 days": "payments?search=watermark",
    "the payments of all time": f"payments?{ALL_TIME}",
    "a search in the payments of all time": f"payments?{ALL_TIME}&search=watermark",
    "the tab of the oldest run": "dags/klap_generate_shorts/runs/{oldest}/shorts",
    "the payments of the oldest run": "payments?run_dag_id=klap_generate_shorts&run_id={oldest}",
}
PATHS = {"Airflow's list of Dags": "api/v2/dags", **{what: f"klap/api/{path}" for what, path in REQUESTS.items()}}


def run() -> Section:
    """Run the benchmark."""
    times: dict[tuple[str, str], dict[str, float]] = {}
    memory: dict[tuple[str, str], float] = {}
    few, many, busy = (f"{FEW:,} runs", f"{MANY:,} runs", f"{MANY:,} runs, busy Airflow")
    for database in ("SQLite", "PostgreSQL"):
        with serving(database) as server:

            def measure(stage: str, count: int, database: str = database, server: ApiServer = server) -> None:
                oldest = run_id_in_batch(count - 1)
                times[database, stage] = {
                    what: fastest(server, path.format(oldest=oldest)) for what, path in PATHS.items()
                }
                memory[database, stage] = megabytes(server)

            seed(server, range(FEW))
            measure(few, FEW)
            seed(server, range(FEW, MANY))
            measure(many, MANY)
            server.seed(other_tasks=OTHER_TASKS)
            measure(busy, MANY)
    columns = list(times)
    bars = []
    for database in ("SQLite", "PostgreSQL"):
        first, *later = ([times[database, stage][what] for what in REQUESTS] for stage in (few, many, busy))
        slowest = max(map(max, later))
        growth = max(time / then for column in later for time, then in zip(column, first, strict=True) if time > BRIEF)
        more = max(memory[database, stage] for stage in (many, busy)) - memory[database, few]
        bars += [
            Bar(f"slowest request of the *Klap* page, {database}, {MANY:,} runs", slowest, 300, " ms"),
            Bar(f"the largest growth of a request, {database}, {MANY:,} runs against {FEW:,}", growth, 2),
            Bar(f"growth of the API server's memory, {database}, {MANY:,} runs against {FEW:,}", more, 50, " MB"),
        ]
    return Section(
        name="page_requests",
        title="10. Requests of the page Klap",
        method=(
            f"The API server of a team with {IN_BATCH} videos a day, which a batch runs each night: after {FEW:,} runs "
            f"({FEW // IN_BATCH} days) and {MANY:,} runs ({MANY // IN_BATCH} days), with 12 rows of the ledger for "
            f"each. *Busy Airflow*: another Dag has {MANY:,} runs, too, and all runs together have "
            f"{2 * MANY * OTHER_TASKS:,} further task instances and XComs. The fastest of {ROUNDS} requests of one "
            f"client, in milliseconds. The growth is that of requests that take more than {BRIEF} ms."
        ),
        table=Table(
            ("", *(f"{database}, {stage}" for database, stage in columns)),
            [[what, *(number(times[column][what]) for column in columns)] for what in PATHS]
            + [["memory of the API server, MB", *(number(memory[column]) for column in columns)]],
        ),
        bars=bars,
    )


def seed(server: ApiServer, numbers: range) -> None:
    """Write runs, of which the oldest has task instances."""
    for part in portions(numbers, AT_ONCE):
        tables = many_runs(range(part[0], part[-1] + 1), in_batch=IN_BATCH)
        tables["runs"][-1]["tasks"] = [{"operator": each, "map_index": -1} for each in OF_A_RUN]
        server.seed(**tables)


@contextlib.contextmanager
def serving(database: str) -> Iterator[ApiServer]:
    """Start an API server with an empty database."""
    with contextlib.ExitStack() as stack:
        folder, env = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="klap-bench-"))), {}
        if database == "PostgreSQL":
            postgres = stack.enter_context(PostgreSQL(folder / "postgres.log"))
            env = {
                "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": postgres.address("psycopg2"),
                "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": postgres.address("asyncpg"),
            }
        yield stack.enter_context(ApiServer(folder, env=env))


def fastest(server: ApiServer, path: str) -> float:
    """Return the milliseconds of the fastest request."""
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        answer = requests.get(f"{server.url}/{path}", headers=server.token(ADMIN), timeout=120)
        times.append(1000 * (time.perf_counter() - started))
        answer.raise_for_status()
    return min(times)


def megabytes(server: ApiServer) -> float:
    """Return the resident memory of the API server's processes."""
    process = psutil.Process(server.airflow.processes["api-server"].pid)
    return sum(each.memory_info().rss for each in [process, *process.children(recursive=True)]) / 1e6
