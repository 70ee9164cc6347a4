"""
An Airflow of several machines, on this one: CeleryExecutor with PostgreSQL and Redis, and two of everything.

.. code-block:: text

    head    API server, DAG processor
    one     scheduler, triggerer, Celery worker        PostgreSQL, Redis: what they share
    two     scheduler, triggerer, Celery worker        S3: shorts, and logs of tasks

Each machine has an AIRFLOW_HOME of its own, and none reads the disk of another. What deploy/ sets for Docker Compose is
what all of them are started with.
"""

from __future__ import annotations

import base64
import secrets
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import requests
from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import ConnectionError

from demo import shipped
from demo.airflow import ROOT, Component, LocalAirflow, free_ports
from demo.servers import S3, PostgreSQL, Redis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from demo.servers import Server

HEAD, MACHINES = "head", ("one", "two")
#: What each of them runs; the name of a component is ``scheduler@one``.
OF_A_MACHINE = ("scheduler", "triggerer", "worker")

#: The connection to the S3, and the buckets there.
S3_CONN_ID = "klap_s3"
SHORTS_BUCKET, LOGS_BUCKET = "shorts", "logs"
DESTINATION = f"s3://{S3_CONN_ID}@{SHORTS_BUCKET}"


class Cluster(LocalAirflow):
    """
    Two machines' worth of Airflow. Use as a context manager.

    :param home: the folder below which every machine has its own.
    :param s3: where shorts and the logs of tasks go.
    :param connections: Airflow connections by id, as dictionaries; that to the S3 is there by itself.
    :param dags: the DAG folder.
    :param env: further environment variables, of every machine.
    :param port: the port of its UI. Default: a free one.
    :param tell: called with a line of text at each step of the start. Default: nothing is told.
    :ivar connections: those of each machine, which it reads from a file of its own. May be changed before the start.
    :ivar shared: the servers that start before the machines.
    """

    def __init__(
        self,
        home: Path,
        *,
        s3: S3,
        connections: Mapping[str, Mapping[str, Any]],
        dags: Path = ROOT / "dags",
        env: Mapping[str, str] | None = None,
        port: int | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self._s3 = s3
        self.redis = Redis(home / "servers" / "redis.log")
        self.postgres = PostgreSQL(home / "servers" / "postgresql.log")
        self.shared: list[Server] = [self.postgres, self.redis]
        self._running = ExitStack()
        self.connections = {name: {**connections, S3_CONN_ID: s3.connection} for name in (HEAD, *MACHINES)}
        self._files = {name: home.resolve() / name / "connections.json" for name in self.connections}
        database = self.postgres.address("psycopg2")
        super().__init__(
            home / HEAD,
            connections={},  # they are in the files
            dags=dags,
            port=port,
            tell=tell,
            env={
                **shipped.environment(dags=dags, connections=self._files[HEAD]),
                "AIRFLOW__CELERY__BROKER_URL": f"{self.redis.url}/0",
                "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{database}",
                "AIRFLOW__CELERY__WORKER_CONCURRENCY": "3",
                "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
                "AIRFLOW__CORE__HOSTNAME_CALLABLE": "demo.machine.name",
                "AIRFLOW__CORE__PARALLELISM": "8",
                "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
                "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": self.postgres.address("asyncpg"),
                "AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER": f"s3://{LOGS_BUCKET}",
                "AIRFLOW__LOGGING__REMOTE_LOGGING": "True",
                "AIRFLOW__LOGGING__REMOTE_LOG_CONN_ID": S3_CONN_ID,
                "C_FORCE_ROOT": "1",  # or Celery refuses to run as root
                **(env or {}),
            },
        )
        path = self.env.get("PYTHONPATH")
        self.env["PYTHONPATH"] = f"{path}:{ROOT}" if path else str(ROOT)
        del self.env["AIRFLOW__CORE__DAGS_FOLDER"]  # a team's own, dags/ of each AIRFLOW_HOME; the bundle is ours
        self.components = {
            name: Component((name,), self.home, {"KLAP_MACHINE": HEAD}) for name in ("api-server", "dag-processor")
        }
        for machine in MACHINES:
            worker_log_port, trigger_log_port = free_ports(2)
            of_machine = {
                **shipped.environment(dags=dags, connections=self._files[machine]),
                "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(worker_log_port),
                "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(trigger_log_port),
                "KLAP_MACHINE": machine,
            }
            for name in OF_A_MACHINE:
                command = ("celery", "worker", "--celery-hostname", machine) if name == "worker" else (name,)
                self.components[f"{name}@{machine}"] = Component(command, home.resolve() / machine, of_machine)

    def start(self) -> None:
        """Start what the machines share, and then the machines; return when all of them work."""
        for machine, file in self._files.items():
            (file.parent / "dags").mkdir(parents=True, exist_ok=True)
            shipped.write_connections(file, self.connections[machine])
        for bucket in (SHORTS_BUCKET, LOGS_BUCKET):
            requests.put(f"{self._s3.url}/{bucket}", timeout=30).raise_for_status()
        for server in self.shared:
            self._running.enter_context(server)
        super().start()

    def stop(self) -> None:
        """End the machines, and then what they share."""
        super().stop()
        self._running.close()

    def healthy(self) -> bool:
        """Whether every component of every machine reports to be healthy; raises if one has died."""
        return super().healthy() and self._serves_tasks() and self._alive() >= self.processes.keys()

    def _serves_tasks(self) -> bool:
        """Whether the API that tasks talk to answers; it is built at the first request, which can take long."""
        try:
            return self._session.get(f"{self.url}/execution/health", timeout=30).ok
        except requests.RequestException:
            return False

    def _alive(self) -> set[str]:
        """Return the names of the components that have sent a sign of life of late."""
        try:
            jobs = self.api("GET", "/jobs", params={"is_alive": True, "limit": 100})["jobs"]
        except (RuntimeError, requests.RequestException):  # nobody answers, or PostgreSQL is only just back
            return set()
        found = {"api-server"}
        for job in jobs:
            name = {"SchedulerJob": "scheduler", "TriggererJob": "triggerer"}.get(job["job_type"])
            found.add(f"{name}@{job['hostname']}" if name else "dag-processor")
        return found | {f"worker@{machine}" for machine in self._answering_workers()}

    def _answering_workers(self) -> Iterable[str]:
        """Return the machines whose workers are ready."""
        return self.ask_workers("ping", limit=len(MACHINES))

    def ask_workers(self, question: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Put one of Celery's remote control commands to the workers, and return the answers by machine."""
        with Celery(broker=self.env["AIRFLOW__CELERY__BROKER_URL"]) as app:
            try:
                answers = app.control.broadcast(question, *args, reply=True, timeout=1, **kwargs)
            except (ConnectionError, OperationalError):  # Redis is not there, or was not
                return {}
        return {name.partition("@")[2]: said for answer in answers for name, said in answer.items()}
