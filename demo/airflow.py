"""
Start, use and stop an Airflow: API server, scheduler with LocalExecutor, Dag processor and triggerer.

:mod:`demo.cluster` does the same for several machines.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
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
from urllib.parse import quote

import psutil
import requests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from typing_extensions import Self

#: Python of Airflow's settings: tasks are forked from a process that has imported what they need.
LOCAL_SETTINGS = """import contextlib

with contextlib.suppress(ModuleNotFoundError):
    import klap_provider.dag_parts.preload
"""

ROOT = Path(__file__).resolve().parent.parent
COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
FINISHED = ("success", "failed")
#: Hosts that need no proxy.
LOOPBACK = ("127.0.0.1", "localhost")


class ApiError(RuntimeError):
    """
    Airflow's REST API returned an error.

    :param message: the request and the response.
    :param status: the HTTP status code.
    """

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Component:
    """
    A process of Airflow.

    :param command: its command line after ``airflow``.
    :param home: the AIRFLOW_HOME of its machine.
    :param env: further environment variables of this process.
    """

    command: tuple[str, ...]
    home: Path
    env: dict[str, str] = field(default_factory=dict)


class Service(ABC):
    """Something that is started and always stopped. A context manager."""

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
        """Start, and return when it is ready."""

    @abstractmethod
    def stop(self) -> None:
        """Stop; do nothing if it does not run."""


def allowlists(connections: Iterable[str]) -> dict[str, str]:
    """
    Return settings for an Airflow whose users are all admins: every path, and these connections.

    :param connections: ids. Airflow's default connections to object storage are added.
    """
    ids = [*connections, "aws_default", "google_cloud_default", "wasb_default"]
    connected = ["", *(f"{each}@" for each in ids)]
    stores = ", ".join(f"{scheme}://{at}" for scheme in ("s3", "gs", "abfs") for at in connected)
    return {
        "AIRFLOW__KLAP__ALLOWED_CONNECTIONS": ", ".join(ids),
        "AIRFLOW__KLAP__ALLOWED_DESTINATIONS": f"/, {stores}",
        "AIRFLOW__KLAP__ALLOWED_LISTS": f"/, {stores}",
        "AIRFLOW__KLAP__ALLOWED_SOURCES": f"https://, http://, {stores}",
    }


class LocalAirflow(Service):
    """
    An Airflow with SQLite, with all files in one folder. Use as a context manager.

    It listens on the loopback interface only and has no login: every user is an admin.

    :param home: its folder; created if it is missing.
    :param connections: Airflow connections by id, as dictionaries.
    :param dags: the Dag folder.
    :param python: the Python that has Airflow. Default: this one.
    :param env: further environment variables.
    :param port: the port of the UI. Default: a free one.
    :param on_progress: called with a line of text for each step of the start.
    """

    def __init__(
        self,
        home: Path,
        *,
        connections: Mapping[str, Mapping[str, Any]],
        dags: Path = ROOT / "dags",
        python: Path | None = None,
        env: Mapping[str, str] | None = None,
        port: int | None = None,
        on_progress: Callable[[str], None] | None = None,
    ) -> None:
        self.home = home.resolve()
        self.python = str(python or sys.executable)
        free_port, worker_log_port, trigger_log_port = free_ports(3)
        self.port = port or free_port
        self.url = f"http://127.0.0.1:{self.port}"
        self.components = {name: Component((name,), self.home) for name in COMPONENTS}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._session = requests.Session()
        self._session.trust_env = False
        self._on_progress = on_progress or (lambda text: None)
        self._ready: set[str] = set()
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
            # Not this checkout's: the package is installed, and the UI reports a plugin that is found twice.
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(self.home / "plugins"),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{quote(str(self.home / 'airflow.db'))}",
            **allowlists(connections),
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(worker_log_port),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(trigger_log_port),
            "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
            # After a restart, this check resets the tasks of the previous scheduler. At Airflow's default of five
            # minutes, an interrupted run seems to hang if the restart took less than 30 seconds.
            "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "20",
            **without_proxy(os.environ),
            **{f"AIRFLOW_CONN_{name.upper()}": json.dumps(conn) for name, conn in connections.items()},
            **(env or {}),
        }

    def start(self) -> None:
        """Create the database, start every component, and return when all are healthy."""
        for home in {component.home for component in self.components.values()}:
            (home / "config").mkdir(parents=True, exist_ok=True)
            (home / "config" / "airflow_local_settings.py").write_text(LOCAL_SETTINGS)
        self._log_file("migrate").unlink(missing_ok=True)
        migrate = self._spawn("migrate", Component(("db", "migrate"), self.home))
        try:
            migrated = migrate.wait() == 0
        finally:
            kill_group(migrate)
        if not migrated:
            raise RuntimeError(f"airflow db migrate failed: {self._last_error('migrate')}")
        self._on_progress("  database: ready")
        for name in self.components:
            self.start_component(name)
        self.wait_for(self.healthy, seconds=240, what="Airflow to be up")

    def start_component(self, name: str) -> None:
        """Start a component."""
        self.processes[name] = self._spawn(name, self.components[name])

    def _spawn(self, name: str, component: Component) -> subprocess.Popen[bytes]:
        with self._log_file(name).open("ab") as log:
            # A new session, so that kill_group finds its children.
            return subprocess.Popen(
                [self.python, "-m", "airflow", *component.command],
                env={**self.env, **_home_settings(component.home), **component.env},
                cwd=component.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _log_file(self, name: str) -> Path:
        return self.home / f"{name}.log"

    def _last_error(self, name: str) -> str:
        """Return the last error in a component's log, and where that log is."""
        lines = self._log_file(name).read_text(errors="replace").strip().splitlines()
        errors = [line.strip() for line in lines if re.match(r"[\w.]*(Error|Exception)\b", line)]
        return f"{(errors or lines or ['its log is empty'])[-1]}\nIts log: {self._log_file(name)}"

    def stop(self) -> None:
        """Terminate every component, and kill those that do not exit, with their children."""
        running = [process for process in self.processes.values() if process.poll() is None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + 10
        for process in self.processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, deadline - time.monotonic()))
            kill_group(process)
        self.processes.clear()

    def require_alive(self) -> None:
        """
        Check that every component runs.

        :raises RuntimeError: one has exited; with the last error of its log.
        """
        for name, process in self.processes.items():
            if process.poll() is not None:
                raise RuntimeError(f"Airflow's {name} exited with {process.returncode}: {self._last_error(name)}")

    def healthy(self) -> bool:
        """Return whether every component is healthy; raise if one has exited."""
        self.require_alive()
        try:
            answer = self._session.get(f"{self.url}/api/v2/monitor/health", timeout=10)
        except requests.RequestException:
            return False
        parts = answer.json() if answer.ok else {}
        for name in ("metadatabase", "scheduler", "triggerer", "dag_processor"):
            if (parts.get(name) or {}).get("status") != "healthy":
                self._ready.discard(name)
            elif name not in self._ready:
                self._ready.add(name)
                self._on_progress(f"  {'API server' if name == 'metadatabase' else name.replace('_', ' ')}: ready")
        return len(self._ready) == 4

    def api(self, method: str, path: str, **kwargs: Any) -> Any:
        """Call Airflow's public REST API below ``/api/v2`` and return the decoded response."""
        if "Authorization" not in self._session.headers:
            token = self._session.get(f"{self.url}/auth/token", timeout=30).json()["access_token"]
            self._session.headers["Authorization"] = f"Bearer {token}"
        answer = self._session.request(method, f"{self.url}/api/v2{path}", timeout=60, **kwargs)
        if not answer.ok:
            raise ApiError(
                f"Airflow returned {answer.status_code} for {method} {path}: {answer.text[:1000]}",
                status=answer.status_code,
            )
        return answer.json() if answer.content else None

    def trigger(self, dag_id: str, conf: Mapping[str, Any], *, run_id: str | None = None) -> str:
        """Trigger a run as soon as Airflow has the Dag, and return its run id. Default: an id of Airflow."""
        self.wait_for(lambda: self.has_dag(dag_id), seconds=300, what=f"the Dag {dag_id}")
        named = {} if run_id is None else {"dag_run_id": run_id}
        run = self.api("POST", f"/dags/{dag_id}/dagRuns", json={"conf": dict(conf), "logical_date": None, **named})
        return str(run["dag_run_id"])

    def has_dag(self, dag_id: str) -> bool:
        """
        Return whether Airflow has the Dag.

        :raises RuntimeError: it does not, and a Dag file has an import error.
        """
        self.require_alive()
        try:
            self.api("GET", f"/dags/{dag_id}")
        except ApiError as error:
            if error.status != 404:
                raise
        else:
            return True
        errors = self.api("GET", "/importErrors")["import_errors"]
        if errors:
            raise RuntimeError(f"{errors[0]['filename']} cannot be imported:\n{errors[0]['stack_trace'].strip()}")
        return False

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Return the state of a run."""
        return str(self.api("GET", f"/dags/{dag_id}/dagRuns/{run_id}")["state"])

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return all task instances of a run, with mapped ones."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        found: list[dict[str, Any]] = []
        while True:  # a page has at most [api] maximum_page_limit, 100 by default
            # The order must not change while tasks start and end.
            page = self.api("GET", path, params={"limit": 500, "offset": len(found), "order_by": "id"})
            found += page["task_instances"]
            if not page["task_instances"] or len(found) >= page["total_entries"]:
                return found

    def xcom(self, dag_id: str, run_id: str, task_id: str, *, key: str = "return_value", map_index: int = -1) -> Any:
        """Return an XCom value."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}"
        params: dict[str, Any] = {"map_index": map_index, "deserialize": "true"}
        return self.api("GET", path, params=params)["value"]

    def wait_for_run(self, dag_id: str, run_id: str, *, seconds: float) -> str:
        """Return the final state of a run."""
        # Not more often, as the API server reads all task instances of the run for its state.
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
        Return when the condition is true.

        :param what: name of the condition, for the error.
        :param every: seconds between two checks.
        :raises TimeoutError: it is not true in time.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {seconds:g} s for {what}")
            time.sleep(every)


def _home_settings(home: Path) -> dict[str, str]:
    """Return the settings for an AIRFLOW_HOME. Without the log folders, Airflow fails if its path contains a ``%``."""
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": str(home / "logs" / "dag_processor"),
    }


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that has a session of its own, with its children."""
    signal_session(process, signal.SIGKILL)
    process.wait()


def signal_session(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal to each process of this one's session. A process group would not include tasks."""
    for pid in psutil.pids():
        with contextlib.suppress(ProcessLookupError):
            if os.getsid(pid) == process.pid:
                os.kill(pid, number)


def without_proxy(environ: Mapping[str, str]) -> dict[str, str]:
    """
    Return ``NO_PROXY`` with this machine and the hosts that ``environ`` has in it.

    Programs read the variable in upper or lower case.
    """
    named = [environ.get(name, "") for name in ("NO_PROXY", "no_proxy")]
    hosts = [host for names in named for host in re.split(r"[\s,]+", names) if host]
    # An asterisk means every host only if there is nothing else.
    value = "*" if "*" in hosts else ",".join(dict.fromkeys([*hosts, *LOOPBACK]))
    return {"NO_PROXY": value, "no_proxy": value}


def free_ports(count: int) -> list[int]:
    """Return free ports of the loopback interface."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def port_error(port: int) -> OSError | None:
    """Return why a server cannot listen on a port of the loopback interface; None if it can."""
    try:
        with socket.socket() as listener:
            # Otherwise a port counts as in use for a minute after its last server has exited.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", port))
            listener.listen()
    except OSError as error:
        return error
    return None
