"""A cluster and a sandbox that scale is measured on, and what is read off them."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg2

from benchmarks.report import HERE
from benchmarks.stage import DAGS, OURS, RESCHEDULE, cpu_of
from demo.airflow import ROOT
from demo.cluster import DESTINATION, Cluster
from demo.servers import S3
from tests.support.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CONTENDERS = (OURS, RESCHEDULE)

DAG_FILES = [
    ROOT / "dags" / "klap_generate_shorts.py",
    *(HERE / "dags" / f"{name}.py" for name in ("http_flow", "waits")),
]

#: More than there are runs, or waits of a triggerer, and nothing beside them: what is measured is what two machines do.
SETTINGS = {
    "AIRFLOW__CORE__MAX_ACTIVE_RUNS_PER_DAG": "200",
    "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "200",
    "AIRFLOW__CORE__MAX_MAP_LENGTH": "2000",
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",
    "AIRFLOW__LOGGING__REMOTE_LOGGING": "False",
    "AIRFLOW__TRIGGERER__CAPACITY": "2000",
}


@dataclass(frozen=True)
class Reading:
    """
    What a cluster has used so far; or, of two readings, between them.

    :param seconds: of a clock.
    :param cpu: seconds, of Airflow with its workers, PostgreSQL and Redis.
    :param database: seconds of it that PostgreSQL has taken.
    :param starts: of workers.
    :param queries: of the database.
    """

    seconds: float
    cpu: float
    database: float
    starts: int
    queries: int

    def since(self, before: Reading, idle: Reading | None = None) -> Reading:
        """Return what was used since then, less what is used for nothing."""
        rest, seconds = idle or Reading(1, 0, 0, 0, 0), self.seconds - before.seconds
        share = seconds / rest.seconds
        return Reading(
            seconds,
            self.cpu - before.cpu - share * rest.cpu,
            self.database - before.database - share * rest.database,
            self.starts - before.starts,
            round(self.queries - before.queries - share * rest.queries),
        )


class ClusterStage:
    """
    A cluster and a sandbox.

    :ivar idle: what the cluster uses when it has nothing to do, for some seconds.
    """

    def __init__(self, cluster: Cluster, sandbox: Sandbox) -> None:
        self.cluster, self.sandbox = cluster, sandbox
        self._run_once()
        before = self.read()
        time.sleep(15)
        self.idle = self.read().since(before)

    def _run_once(self) -> None:
        """Let every DAG run, with more shorts than a worker has processes, so that what each loads once is loaded."""
        self.sandbox.reset(task_seconds=1, export_seconds=1)
        for contender in CONTENDERS:
            run_id = self.cluster.trigger(DAGS[contender], self.conf(contender, 6))
            if self.cluster.wait_for_run(DAGS[contender], run_id, seconds=900) != "success":
                raise RuntimeError(f"{contender}: the first run failed, see {self.cluster.home}")

    def conf(self, contender: str, shorts: int) -> Mapping[str, Any]:
        """Return what to trigger a run with."""
        if contender != OURS:
            return {"count": shorts, "destination": DESTINATION}
        counts = {"max_clip_count": shorts, "target_clip_count": shorts, "limit": shorts, "max_duration": 1}
        return {"source_video_url": self.sandbox.sample, "destination": DESTINATION, **counts}

    def read(self) -> Reading:
        """Return what was used so far."""
        server = self.cluster.postgres.pid
        airflow = [process.pid for process in self.cluster.processes.values()]
        servers = [pid for pid in (server, self.cluster.redis.pid) if pid is not None]
        ((queries,),) = self.query("SELECT sum(calls) FROM pg_stat_statements")
        database = cpu_of([server] if server else [])
        return Reading(time.monotonic(), cpu_of([*airflow, *servers]), database, self._worker_starts(), int(queries))

    def _worker_starts(self) -> int:
        """Return how many tasks were started on workers so far: each asks the API server for it."""
        log = (self.cluster.home / "api-server.log").read_text(errors="replace")
        return sum(
            "method=PATCH path=/execution/task-instances/" in line and "/run " in line and "status_code=200" in line
            for line in log.splitlines()
        )

    def query(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Ask the database."""
        with closing(psycopg2.connect(self.cluster.postgres.address())) as database, database.cursor() as cursor:
            cursor.execute(sql, parameters)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows


@contextlib.contextmanager
def standing() -> Iterator[ClusterStage]:
    """Start a cluster with all DAGs, and a sandbox; end both."""
    with tempfile.TemporaryDirectory(prefix="klap-bench-") as name, Sandbox() as sandbox:
        folder = Path(name)
        dags = folder / "dags"
        dags.mkdir()
        for file in DAG_FILES:
            shutil.copy(file, dags)
        connections: dict[str, dict[str, Any]] = {
            # Klap's documented intervals are made for longer jobs than the sandbox's.
            "klap_default": {
                "conn_type": "klap",
                "host": sandbox.url,
                "password": "kak_bench",
                "extra": {"poke_interval": 5},
            },
            "klap_http": {"conn_type": "http", "host": sandbox.url, "extra": {"Authorization": "Bearer kak_bench"}},
        }
        with S3(folder / "s3.log") as s3:
            cluster = Cluster(folder / "cluster", s3=s3, connections=connections, dags=dags, env=SETTINGS)
            count_queries(cluster)
            with cluster:
                execute(cluster, "CREATE EXTENSION pg_stat_statements")
                yield ClusterStage(cluster, sandbox)


def count_queries(cluster: Cluster) -> None:
    """Have the database, whenever it is started from now on, count its queries."""
    cluster.postgres.start()
    try:
        execute(cluster, "ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'")
    finally:
        cluster.postgres.stop()


def execute(cluster: Cluster, sql: str) -> None:
    """Have the database do something."""
    with closing(psycopg2.connect(cluster.postgres.address())) as database:
        database.autocommit = True
        with database.cursor() as cursor:
            cursor.execute(sql)
