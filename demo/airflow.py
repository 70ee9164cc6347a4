"""
Start, use and stop a whole Airflow: API server, scheduler with LocalExecutor, DAG processor and triggerer.

:mod:`demo.cluster` makes several machines of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import requests

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from typing_extensions import Self

ROOT = Path(__file__).resolve().parent.parent
COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
FINISHED = ("success", "failed")


@dataclass(frozen=True)
class Component:
    """
    A process of Airflow's.

    :param command: what follows ``airflow`` on its command line.
    :param home: the AIRFLOW_HOME of the machine that it runs on.
    :param env: further environment variables, of this one alone.
    """

    command: tuple[str, ...]
    home: Path
    env: dict[str, str] = field(default_factory=dict)


class Running(ABC):
    """What is started, and ended whatever happens meanwhile. A context manager."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @abstractmethod
    def start(self) -> None:
        """Start it, and return when it works."""

    @abstractmethod
    def stop(self) -> None:
        """End it; does nothing if it does not run."""


class LocalAirflow(Running):
    """
    An Airflow with SQLite, all of whose files, logs included, lie in one folder.

    It needs no login: everybody who reaches its port, on the loopback interface only, is its admin. Use as a context
    manager.

    :param home: its folder; made if it is not there.
    :param connections: Airflow connections by id, as dictionaries.
    :param dags: the DAG folder.
    :param python: the Python that Airflow is installed for. Default: this one.
    :param env: further environment variables.
    """

    def __init__(
        self,
        home: Path,
        *,
        connections: Mapping[str, Mapping[str, Any]],
        dags: Path = ROOT / "dags",
        python: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.home = home.resolve()
        self.python = str(python or sys.executable)
        self.port, worker_log_port, trigger_log_port = free_ports(3)
        self.url = f"http://127.0.0.1:{self.port}"
        self.components = {name: Component((name,), self.home) for name in COMPONENTS}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._session = requests.Session()
        self._session.trust_env = False
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")},
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(16),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PARALLELISM": "4",
            # Not this checkout's: the package is installed, and a plugin that is found twice is an error on the UI's
            # first page.
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(self.home / "plugins"),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.home / 'airflow.db'}",
            # Who triggers here is its admin: nothing is out of reach.
            "AIRFLOW__KLAP__ALLOWED_DESTINATIONS": "/, s3://",
            "AIRFLOW__KLAP__ALLOWED_LISTS": "/, s3://",
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(worker_log_port),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(trigger_log_port),
            "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
            "NO_PROXY": "127.0.0.1,localhost",
            **{f"AIRFLOW_CONN_{name.upper()}": json.dumps(conn) for name, conn in connections.items()},
            **(env or {}),
        }

    def start(self) -> None:
        """Make the database, start every component, and return when all of them work."""
        for home in {component.home for component in self.components.values()}:
            home.mkdir(parents=True, exist_ok=True)
        self._log_file("migrate").unlink(missing_ok=True)
        migrate = self._spawn("migrate", Component(("db", "migrate"), self.home))
        try:
            migrated = migrate.wait() == 0
        finally:
            kill_group(migrate)
        if not migrated:
            raise RuntimeError(f"airflow db migrate failed, see {self._log_file('migrate')}")
        for name in self.components:
            self.start_component(name)
        self.wait_for(self.healthy, seconds=240, what="Airflow to be up")

    def start_component(self, name: str) -> None:
        """Start one of the components."""
        self.processes[name] = self._spawn(name, self.components[name])

    def _spawn(self, name: str, component: Component) -> subprocess.Popen[bytes]:
        with self._log_file(name).open("ab") as log:
            # A session of its own, so that its children can be signalled with it.
            return subprocess.Popen(
                [self.python, "-m", "airflow", *component.command],
                env={**self.env, "AIRFLOW_HOME": str(component.home), **component.env},
                cwd=component.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _log_file(self, name: str) -> Path:
        return self.home / f"{name}.log"

    def stop(self) -> None:
        """End every component, gently at first, and all that they started."""
        running = [process for process in self.processes.values() if process.poll() is None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + 10
        for process in self.processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, deadline - time.monotonic()))
            kill_group(process)
        self.processes.clear()

    def healthy(self) -> bool:
        """Whether every component reports to be healthy; raises if one has died."""
        for name, process in self.processes.items():
            if process.poll() is not None:
                raise RuntimeError(f"{name} ended with {process.returncode}, see {self._log_file(name)}")
        try:
            answer = self._session.get(f"{self.url}/api/v2/monitor/health", timeout=10)
        except requests.RequestException:
            return False
        parts = answer.json() if answer.ok else {}
        return bool(parts) and all(
            (parts.get(name) or {}).get("status") == "healthy"
            for name in ("metadatabase", "scheduler", "triggerer", "dag_processor")
        )

    def api(self, method: str, path: str, **kwargs: Any) -> Any:
        """Call Airflow's public REST API below ``/api/v2`` and return the decoded answer."""
        if "Authorization" not in self._session.headers:
            token = self._session.get(f"{self.url}/auth/token", timeout=30).json()["access_token"]
            self._session.headers["Authorization"] = f"Bearer {token}"
        answer = self._session.request(method, f"{self.url}/api/v2{path}", timeout=60, **kwargs)
        if not answer.ok:
            raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text[:1000]}")
        return answer.json() if answer.content else None

    def trigger(self, dag_id: str, conf: Mapping[str, Any], *, run_id: str | None = None) -> str:
        """Start a run as soon as the DAG is there, and return its run id: the given one, or one of Airflow's."""
        self.wait_for(lambda: self.has_dag(dag_id), seconds=300, what=f"the DAG {dag_id}")
        named = {} if run_id is None else {"dag_run_id": run_id}
        run = self.api("POST", f"/dags/{dag_id}/dagRuns", json={"conf": dict(conf), "logical_date": None, **named})
        return str(run["dag_run_id"])

    def has_dag(self, dag_id: str) -> bool:
        """
        Return whether Airflow knows the DAG.

        :raises RuntimeError: a DAG file has an error.
        """
        errors = self.api("GET", "/importErrors")["import_errors"]
        if errors:
            raise RuntimeError(errors[0]["stack_trace"])
        return any(dag["dag_id"] == dag_id for dag in self.api("GET", "/dags")["dags"])

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Return the state of a run."""
        return str(self.api("GET", f"/dags/{dag_id}/dagRuns/{run_id}")["state"])

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return the task instances of a run, mapped ones included."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        found: list[dict[str, Any]] = self.api("GET", path, params={"limit": 500})["task_instances"]
        return found

    def xcom(self, dag_id: str, run_id: str, task_id: str, *, key: str = "return_value", map_index: int = -1) -> Any:
        """Return an XCom value."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}"
        params: dict[str, Any] = {"map_index": map_index, "deserialize": "true"}
        return self.api("GET", path, params=params)["value"]

    def wait_for_run(self, dag_id: str, run_id: str, *, seconds: float) -> str:
        """Return the final state of a run."""
        # The API server reads all task instances of a run to say its state, so it is not asked too often.
        self.wait_for(
            lambda: self.run_state(dag_id, run_id) in FINISHED,
            seconds=seconds,
            what=f"{dag_id} {run_id} to end",
            every=1,
        )
        return self.run_state(dag_id, run_id)

    @staticmethod
    def wait_for(condition: Callable[[], bool], *, seconds: float, what: str, every: float = 0.5) -> None:
        """
        Return when the condition holds; raise ``TimeoutError`` if it does not in time.

        :param every: seconds between two looks.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {seconds:g} s for {what}")
            time.sleep(every)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that was started in a session of its own, with all that it started."""
    signal_session(process, signal.SIGKILL)
    process.wait()


def signal_session(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal to every process of the session of which this one is the first. Tasks have groups of their own."""
    for pid in psutil.pids():
        with contextlib.suppress(ProcessLookupError):
            if os.getsid(pid) == process.pid:
                os.kill(pid, number)


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback interface that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
