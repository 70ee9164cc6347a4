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
from tests.support.api_server import ADMIN, ApiServer
from tests.support.many_runs import many_runs

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Numbers of runs, and of the runs that are written at once.
FEW, MANY, AT_ONCE = 1_000, 50_000, 7_000
ROUNDS = 5
ALL_TIME = "since=0001-01-01"
REQUESTS = {
    "the videos": "videos",
    "the shorts of 30 days": "shorts",
    "a search in the shorts of 30 days": "shorts?search=moment",
    "the shorts of all time": f"shorts?{ALL_TIME}",
    "the cost of 30 days": "spending",
    "the cost of all time": f"spending?{ALL_TIME}",
    "the payments of 30 days": "payments",
    "a search in the payments of 30 days": "payments?search=watermark",
    "the payments of all time": f"payments?{ALL_TIME}",
    "a search in the payments of all time": f"payments?{ALL_TIME}&search=watermark",
}
PATHS = {"Airflow's list of Dags": "api/v2/dags", **{what: f"klap/api/{path}" for what, path in REQUESTS.items()}}


def run() -> Section:
    """Run the benchmark."""
    times: dict[tuple[str, int], dict[str, float]] = {}
    memory: dict[tuple[str, int], float] = {}
    for database in ("SQLite", "PostgreSQL"):
        for count in (FEW, MANY):
            with serving(database) as server:
                for first in range(count, 0, -AT_ONCE):  # the oldest first, because newer runs have greater ids
                    server.seed(**many_runs(range(max(0, first - AT_ONCE), first)))
                times[database, count] = {what: fastest(server, path) for what, path in PATHS.items()}
                memory[database, count] = megabytes(server)
    columns = list(times)
    slowest = {
        database: max(found[what] for what in REQUESTS) for (database, count), found in times.items() if count == MANY
    }
    growth = {
        database: max(times[database, MANY][what] / times[database, FEW][what] for what in REQUESTS)
        for database in slowest
    }
    return Section(
        name="page_requests",
        title="10. Requests of the page Klap",
        method=(
            "The API server with this number of runs in its database, and 12 rows of the ledger for each run. A run "
            f"starts every two hours. The fastest of {ROUNDS} requests of one client, in milliseconds."
        ),
        table=Table(
            ("", *(f"{database}, {count:,} runs" for database, count in columns)),
            [[what, *(number(times[column][what]) for column in columns)] for what in PATHS]
            + [["memory of the API server, MB", *(number(memory[column]) for column in columns)]],
        ),
        bars=[
            bar
            for database in slowest
            for bar in (
                Bar(f"slowest request of the *Klap* page, {database}, {MANY:,} runs", slowest[database], 300, " ms"),
                Bar(f"the largest growth of a request, {database}, {MANY:,} runs against {FEW:,}", growth[database], 2),
                Bar(
                    f"growth of the API server's memory, {database}, {MANY:,} runs against {FEW:,}",
                    memory[database, MANY] - memory[database, FEW],
                    50,
                    " MB",
                ),
            )
        ],
    )


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
