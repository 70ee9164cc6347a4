"""
Start, use and stop a whole Airflow: API server, scheduler with LocalExecutor, DAG processor and triggerer.

:mod:`demo.cluster` makes several machines of it.
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
    from collections.abc import Callable, Mapping

    from typing_extensions import Self

#: Python of Airflow's settings: tasks are forked from a process that has imported what they need.
LOCAL_SETTINGS = """import contextlib

with contextlib.suppress(ModuleNotFoundError):
    import klap_provider.dag_parts.preload
"""

ROOT = Path(__file__).resolve().parent.parent
COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
FINISHED = ("success", "failed")
#: Hosts that no proxy is asked for.
LOOPBACK = ("127.0.0.1", "localhost")


class ApiError(RuntimeError):
    """
    Airflow's REST API answered with an error.

    :param message: the request and the answer.
    :param status: the HTTP status code.
    """

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


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
    :param port: the port of its UI. Default: a free one.
    :param tell: called with a line of text at each step of the start. Default: nothing is told.
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
        tell: Callable[[str], None] | None = None,
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
        self._tell = tell or (lambda text: None)
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
            # Not this checkout's: the package is installed, and a plugin that is found twice is an error on the UI's
            # first page.
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(self.home / "plugins"),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{quote(str(self.home / 'airflow.db'))}",
            # Who triggers here is its admin: nothing is out of reach.
            "AIRFLOW__KLAP__ALLOWED_DESTINATIONS": "/, s3://",
            "AIRFLOW__KLAP__ALLOWED_LISTS": "/, s3://",
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(worker_log_port),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(trigger_log_port),
            "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
            # A task that was running when Airflow was stopped is tried again this long after the next start. With
            # Airflow's default, five minutes, it looks as if it hung.
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
            **without_proxy(os.environ),
            **{f"AIRFLOW_CONN_{name.upper()}": json.dumps(conn) for name, conn in connections.items()},
            **(env or {}),
        }

    def start(self) -> None:
        """Make the database, start every component, and return when all of them work."""
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
            raise RuntimeError(f"airflow db migrate failed: {self._last_words('migrate')}")
        self._tell("  database: ready")
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
                env={**self.env, **_places(component.home), **component.env},
                cwd=component.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _log_file(self, name: str) -> Path:
        return self.home / f"{name}.log"

    def _last_words(self, name: str) -> str:
        """Return the last error in a component's log, and where that log is."""
        lines = self._log_file(name).read_text(errors="replace").strip().splitlines()
        errors = [line.strip() for line in lines if re.match(r"[\w.]*(Error|Exception)\b", line)]
        return f"{(errors or lines or ['it printed nothing'])[-1]}\nIts log: {self._log_file(name)}"

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

    def require_alive(self) -> None:
        """
        Return if every component runs.

        :raises RuntimeError: one has ended. Says why, as far as its log tells.
        """
        for name, process in self.processes.items():
            if process.poll() is not None:
                raise RuntimeError(f"Airflow's {name} ended with {process.returncode}: {self._last_words(name)}")

    def healthy(self) -> bool:
        """Return whether every component reports to be healthy; raise if one has ended."""
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
                self._tell(f"  {'API server' if name == 'metadatabase' else name.replace('_', ' ')}: ready")
        return len(self._ready) == 4

    def api(self, method: str, path: str, **kwargs: Any) -> Any:
        """Call Airflow's public REST API below ``/api/v2`` and return the decoded answer."""
        if "Authorization" not in self._session.headers:
            token = self._session.get(f"{self.url}/auth/token", timeout=30).json()["access_token"]
            self._session.headers["Authorization"] = f"Bearer {token}"
        answer = self._session.request(method, f"{self.url}/api/v2{path}", timeout=60, **kwargs)
        if not answer.ok:
            raise ApiError(
                f"Airflow answered {method} {path} with {answer.status_code}: {answer.text[:1000]}",
                status=answer.status_code,
            )
        return answer.json() if answer.content else None

    def trigger(self, dag_id: str, conf: Mapping[str, Any], *, run_id: str | None = None) -> str:
        """Start a run as soon as the DAG is there, and return its run id: the given one, or one of Airflow's."""
        self.wait_for(lambda: self.has_dag(dag_id), seconds=300, what=f"the DAG {dag_id}")
        named = {} if run_id is None else {"dag_run_id": run_id}
        run = self.api("POST", f"/dags/{dag_id}/dagRuns", json={"conf": dict(conf), "logical_date": None, **named})
        return str(run["dag_run_id"])

    def has_dag(self, dag_id: str) -> bool:
        """
        Return whether Airflow has read the Dag.

        :raises RuntimeError: it has not, and a Dag file cannot be imported.
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
        """Return all task instances of a run, mapped ones included."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        found: list[dict[str, Any]] = []
        while True:  # Airflow gives no more than [api] maximum_page_limit at once, 100 by default
            # In an order that does not change while tasks start and end.
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


def _places(home: Path) -> dict[str, str]:
    """Return the settings for an AIRFLOW_HOME. Airflow does not find its log folders by itself if that has a ``%``."""
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": str(home / "logs" / "dag_processor"),
    }


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


def without_proxy(environ: Mapping[str, str]) -> dict[str, str]:
    """
    Return the environment variables that keep requests to this machine away from a proxy.

    Hosts that ``environ`` excepts already stay excepted. Programs differ in which of the two names they read.
    """
    named = [environ.get(name, "") for name in ("NO_PROXY", "no_proxy")]
    hosts = [host for names in named for host in re.split(r"[\s,]+", names) if host]
    # An asterisk means every host, but only if it stands alone.
    value = "*" if "*" in hosts else ",".join(dict.fromkeys([*hosts, *LOOPBACK]))
    return {"NO_PROXY": value, "no_proxy": value}


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


def listen_error(port: int) -> OSError | None:
    """Return why no server can listen on a port of the loopback interface; None if one can."""
    try:
        with socket.socket() as listener:
            # As servers do. Otherwise a port would count as taken for a minute after its last server has ended.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", port))
            listener.listen()
    except OSError as error:
        return error
    return None
