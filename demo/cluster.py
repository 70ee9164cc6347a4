"""
A cluster of several machines, simulated on one: CeleryExecutor, PostgreSQL, Redis.

.. code-block:: text

    head    API server, DAG processor
    one     scheduler, triggerer, Celery worker        shared: PostgreSQL, Redis
    two     scheduler, triggerer, Celery worker        shared: S3 for shorts and task logs

Each machine has its own AIRFLOW_HOME and does not read that of another. All have the environment of
``deploy/compose.override.yaml``.
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

from demo import compose
from demo.airflow import ROOT, Component, LocalAirflow, allowlists, free_ports
from demo.servers import S3, PostgreSQL, Redis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from demo.servers import Server

HEAD, MACHINES = "head", ("one", "two")
#: Components of each of these machines; their names are like ``scheduler@one``.
MACHINE_COMPONENTS = ("scheduler", "triggerer", "worker")

#: The connection to S3, and its buckets.
S3_CONN_ID = "klap_s3"
SHORTS_BUCKET, LOGS_BUCKET = "shorts", "logs"
DESTINATION = f"s3://{S3_CONN_ID}@{SHORTS_BUCKET}"


class Cluster(LocalAirflow):
    """
    A cluster of two machines and a head. Use as a context manager.

    :param home: the parent folder of each machine's AIRFLOW_HOME.
    :param s3: storage for shorts and task logs.
    :param connections: Airflow connections by id, as dictionaries; the one to S3 is added.
    :param dags: the Dag folder.
    :param env: further environment variables of every machine.
    :param port: the port of the UI. Default: a free one.
    :param on_progress: called with a line of text for each step of the start.
    :ivar connections: connections of each machine, which it reads from a file. Can be changed before the start.
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
        on_progress: Callable[[str], None] | None = None,
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
            on_progress=on_progress,
            env={
                **compose.environment(dags=dags, connections=self._files[HEAD]),
                "AIRFLOW__CELERY__BROKER_URL": f"{self.redis.url}/0",
                "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{database}",
                "AIRFLOW__CELERY__WORKER_CONCURRENCY": "3",
                "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
                "AIRFLOW__CORE__HOSTNAME_CALLABLE": "demo.hostname.machine_name",
                "AIRFLOW__CORE__PARALLELISM": "8",
                "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
                "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": self.postgres.address("asyncpg"),
                "AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER": f"s3://{LOGS_BUCKET}",
                "AIRFLOW__LOGGING__REMOTE_LOGGING": "True",
                "AIRFLOW__LOGGING__REMOTE_LOG_CONN_ID": S3_CONN_ID,
                **allowlists([*connections, S3_CONN_ID]),
                "C_FORCE_ROOT": "1",  # or Celery refuses to run as root
                **(env or {}),
            },
        )
        path = self.env.get("PYTHONPATH")
        self.env["PYTHONPATH"] = f"{path}:{ROOT}" if path else str(ROOT)
        del self.env[
            "AIRFLOW__CORE__DAGS_FOLDER"
        ]  # dags/ of each AIRFLOW_HOME is for the team's Dags; ours are a bundle
        self.components = {
            name: Component((name,), self.home, {"KLAP_MACHINE": HEAD}) for name in ("api-server", "dag-processor")
        }
        for machine in MACHINES:
            worker_log_port, trigger_log_port = free_ports(2)
            machine_env = {
                **compose.environment(dags=dags, connections=self._files[machine]),
                "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(worker_log_port),
                "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(trigger_log_port),
                "KLAP_MACHINE": machine,
            }
            for name in MACHINE_COMPONENTS:
                command = ("celery", "worker", "--celery-hostname", machine) if name == "worker" else (name,)
                self.components[f"{name}@{machine}"] = Component(command, home.resolve() / machine, machine_env)

    def start(self) -> None:
        """Start the shared servers, then the machines; return when all are healthy."""
        for machine, file in self._files.items():
            (file.parent / "dags").mkdir(parents=True, exist_ok=True)
            compose.write_connections(file, self.connections[machine])
        for bucket in (SHORTS_BUCKET, LOGS_BUCKET):
            requests.put(f"{self._s3.url}/{bucket}", timeout=30).raise_for_status()
        for server in self.shared:
            self._running.enter_context(server)
        super().start()

    def stop(self) -> None:
        """Stop the machines, then the shared servers."""
        super().stop()
        self._running.close()

    def healthy(self) -> bool:
        """Return whether every component of every machine is healthy; raise if one has exited."""
        return (
            super().healthy() and self._execution_api_responds() and self._alive_components() >= self.processes.keys()
        )

    def _execution_api_responds(self) -> bool:
        """Return whether the API for tasks responds. Its first response takes long."""
        try:
            return self._session.get(f"{self.url}/execution/health", timeout=30).ok
        except requests.RequestException:
            return False

    def _alive_components(self) -> set[str]:
        """Return the names of the components that have a recent heartbeat."""
        try:
            jobs = self.api("GET", "/jobs", params={"is_alive": True, "limit": 100})["jobs"]
        except (RuntimeError, requests.RequestException):  # the API server or PostgreSQL is not ready
            return set()
        found = {"api-server"}
        for job in jobs:
            name = {"SchedulerJob": "scheduler", "TriggererJob": "triggerer"}.get(job["job_type"])
            found.add(f"{name}@{job['hostname']}" if name else "dag-processor")
        return found | {f"worker@{machine}" for machine in self._ready_workers()}

    def _ready_workers(self) -> Iterable[str]:
        """Return the machines whose workers are ready."""
        return self.control_workers("ping", limit=len(MACHINES))

    def control_workers(self, command: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Send a remote control command of Celery to the workers, and return their responses by machine."""
        with Celery(broker=self.env["AIRFLOW__CELERY__BROKER_URL"]) as app:
            try:
                responses = app.control.broadcast(command, *args, reply=True, timeout=1, **kwargs)
            except (ConnectionError, OperationalError):  # Redis does not run
                return {}
        return {name.partition("@")[2]: value for response in responses for name, value in response.items()}
