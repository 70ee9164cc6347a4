"""A cluster and a sandbox for the scale benchmark, and its measurements."""

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

#: Limits above the number of runs and waits, so that only the two machines limit them.
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
    Resources that a cluster has used since its start, or between two readings.

    :param seconds: wall-clock time.
    :param cpu: CPU time of Airflow, its workers, PostgreSQL and Redis, in seconds.
    :param database: CPU time of PostgreSQL, in seconds.
    :param starts: number of worker starts.
    :param queries: number of database queries.
    """

    seconds: float
    cpu: float
    database: float
    starts: int
    queries: int

    def since(self, before: Reading, idle: Reading | None = None) -> Reading:
        """Return what was used since ``before``, minus what the idle cluster uses."""
        baseline, seconds = idle or Reading(1, 0, 0, 0, 0), self.seconds - before.seconds
        share = seconds / baseline.seconds
        return Reading(
            seconds,
            self.cpu - before.cpu - share * baseline.cpu,
            self.database - before.database - share * baseline.database,
            self.starts - before.starts,
            round(self.queries - before.queries - share * baseline.queries),
        )


class ClusterStage:
    """
    A cluster and a sandbox.

    :ivar idle: what the idle cluster uses.
    """

    def __init__(self, cluster: Cluster, sandbox: Sandbox) -> None:
        self.cluster, self.sandbox = cluster, sandbox
        self._run_once()
        before = self.read()
        time.sleep(15)
        self.idle = self.read().since(before)

    def _run_once(self) -> None:
        """Run every Dag once, with more shorts than a worker has processes, so that each process has loaded its "
        "modules.
        """
        self.sandbox.reset(task_seconds=1, export_seconds=1)
        for contender in CONTENDERS:
            run_id = self.cluster.trigger(DAGS[contender], self.conf(contender, 6))
            if self.cluster.wait_for_run(DAGS[contender], run_id, seconds=900) != "success":
                raise RuntimeError(f"{contender}: the first run failed, see {self.cluster.home}")

    def conf(self, contender: str, shorts: int) -> Mapping[str, Any]:
        """Return the conf of a run."""
        if contender != OURS:
            return {"count": shorts, "destination": DESTINATION}
        counts = {"max_clip_count": shorts, "target_clip_count": shorts, "limit": shorts, "max_duration": 1}
        return {"source_video_url": self.sandbox.sample, "destination": DESTINATION, **counts}

    def read(self) -> Reading:
        """Return what was used since the start."""
        server = self.cluster.postgres.pid
        airflow = [process.pid for process in self.cluster.processes.values()]
        servers = [pid for pid in (server, self.cluster.redis.pid) if pid is not None]
        ((queries,),) = self.query("SELECT sum(calls) FROM pg_stat_statements")
        database = cpu_of([server] if server else [])
        return Reading(time.monotonic(), cpu_of([*airflow, *servers]), database, self._worker_starts(), int(queries))

    def _worker_starts(self) -> int:
        """Return the number of worker starts. Each sends a request to the API server."""
        log = (self.cluster.home / "api-server.log").read_text(errors="replace")
        return sum(
            "method=PATCH path=/execution/task-instances/" in line and "/run " in line and "status_code=200" in line
            for line in log.splitlines()
        )

    def query(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        with closing(psycopg2.connect(self.cluster.postgres.address())) as database, database.cursor() as cursor:
            cursor.execute(sql, parameters)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows


@contextlib.contextmanager
def running_cluster() -> Iterator[ClusterStage]:
    """Run a cluster with all Dags, and a sandbox."""
    with tempfile.TemporaryDirectory(prefix="klap-bench-") as name, Sandbox() as sandbox:
        folder = Path(name)
        dags = folder / "dags"
        dags.mkdir()
        for file in DAG_FILES:
            shutil.copy(file, dags)
        connections: dict[str, dict[str, Any]] = {
            # The documented intervals are too long for the sandbox's jobs.
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
    """Let the database count its queries from its next start on."""
    cluster.postgres.start()
    try:
        execute(cluster, "ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'")
    finally:
        cluster.postgres.stop()


def execute(cluster: Cluster, sql: str) -> None:
    """Execute a statement."""
    with closing(psycopg2.connect(cluster.postgres.address())) as database:
        database.autocommit = True
        with database.cursor() as cursor:
            cursor.execute(sql)
