"""Airflows with unusual configurations, each with many settings at once."""

from __future__ import annotations

import base64
import json
import secrets
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from demo.airflow import ROOT, Component, LocalAirflow
from tests.e2e.conftest import BATCH_DAG_ID, DAG_ID, dags
from tests.support.rig import RARE_PARSING
from tests.support.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
TEAM = "media"
OBJECT_STORAGE = "airflow.providers.common.io"
STATE_STORE = f"{OBJECT_STORAGE}.state_store.backend.StateStoreObjectStorageBackend"


@dataclass
class Configured:
    """
    An Airflow, its sandbox, and its folders.

    :ivar secrets: the secrets of its connection.
    :ivar outside: folders that Airflow writes to, beside its home.
    :ivar plugins: the folder of the package, if Airflow has it as a copy.
    :ivar heard: the file of another plugin's listener, if there is one.
    """

    airflow: LocalAirflow
    sandbox: Sandbox
    shorts: Path
    secrets: tuple[bytes, ...]
    outside: list[Path] = field(default_factory=list)
    plugins: Path | None = None
    heard: Path | None = None

    def run(self, dag_id: str = DAG_ID, **conf: Any) -> str:
        """Start a run, and return its id."""
        return self.airflow.trigger(dag_id, {"destination": str(self.shorts), **conf})

    def end_of(self, run_id: str, dag_id: str = DAG_ID) -> str:
        """Return the final state of a run."""
        return self.airflow.wait_for_run(dag_id, run_id, seconds=600)

    def xcom(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """Return what a task returned, even if Airflow's database only has the address of its file."""
        value = self.airflow.xcom(dag_id, run_id, task_id)
        return json.loads(Path(value.removeprefix("file://")).read_text()) if isinstance(value, str) else value

    def waited_in_triggerer(self, run_id: str) -> set[str]:
        """Return the ids of the tasks of a run that the triggerer has written a log for."""
        logs = (self.airflow.home / "logs" / f"dag_id={DAG_ID}" / f"run_id={run_id}").rglob("*.trigger.*.log")
        return {part.partition("=")[2] for log in logs for part in log.parts if part.startswith("task_id=")}

    def link(self, run_id: str, task_id: str, name: str) -> str:
        """Return the address of a button of the first of some mapped tasks."""
        path = f"/dags/{DAG_ID}/dagRuns/{run_id}/taskInstances/{task_id}/links"
        return str(self.airflow.api("GET", path, params={"map_index": 0})["extra_links"][name])

    def is_asking(self, run_id: str) -> bool:
        """Whether a run waits for a review, and Airflow has noticed: it loses answers that come earlier."""
        (task,) = (ti for ti in self.airflow.task_instances(DAG_ID, run_id) if ti["task_id"] == "select_shorts")
        heard = (self.airflow.home / "scheduler.log").read_text(errors="replace").splitlines()
        return task["state"] == "awaiting_input" and any(
            "TaskInstance Finished" in line and f"ti_id={task['id']}," in line for line in heard
        )

    def paid(self) -> tuple[int, int]:
        """Return the paid POSTs: for tasks, for exports."""
        return len(self.sandbox.ledger("task")), len(self.sandbox.ledger("export"))


class Elsewhere(LocalAirflow):
    """
    An Airflow at an address that ends in a path, with values outside its database and one slot for all tasks.

    Each task starts in a new interpreter, in a time zone far from UTC. Only a slow secrets backend has the connection.
    """

    def __init__(self, home: Path, *, values: Path, connections: Path, **more: Any) -> None:
        super().__init__(home, connections={}, **more)
        self.url += "/media/airflow"
        self.env |= {
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__EXPOSE_CONFIG": "True",
            "AIRFLOW__COMMON_IO__STATE_STORE_OBJECTSTORAGE_PATH": f"file://{values}/state",
            "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH": f"file://{values}/xcoms",
            "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_THRESHOLD": "0",
            "AIRFLOW__CORE__COMPRESS_SERIALIZED_DAGS": "True",
            "AIRFLOW__CORE__DEFAULT_POOL_TASK_SLOT_COUNT": "1",
            "AIRFLOW__CORE__DEFAULT_TASK_EXECUTION_TIMEOUT": "60",
            "AIRFLOW__CORE__DEFAULT_TASK_RETRIES": "3",
            "AIRFLOW__CORE__DEFAULT_TIMEZONE": "Asia/Kolkata",
            "AIRFLOW__CORE__EXECUTE_TASKS_NEW_PYTHON_INTERPRETER": "True",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__NUM_DAG_RUNS_TO_RETAIN_RENDERED_FIELDS": "1",
            "AIRFLOW__CORE__PARALLELISM": "1",
            "AIRFLOW__CORE__XCOM_BACKEND": f"{OBJECT_STORAGE}.xcom.backend.XComObjectStorageBackend",
            "AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE": "True",
            "AIRFLOW__OPERATORS__DEFAULT_QUEUE": "elsewhere",
            "AIRFLOW__SECRETS__BACKEND": "elsewhere.SlowSecrets",
            "AIRFLOW__SECRETS__BACKEND_KWARGS": json.dumps({"folder": str(connections)}),
            "AIRFLOW__SENSORS__DEFAULT_TIMEOUT": "1",
            "AIRFLOW__STATE_STORE__CLEAR_ON_SUCCESS": "True",
            "AIRFLOW__WORKERS__STATE_STORE_BACKEND": STATE_STORE,
            "PYTHONPATH": str(HERE / "elsewhere"),
            "TZ": "Asia/Kolkata",
        }


class OfATeam(LocalAirflow):
    """
    An Airflow in multi-team mode. All Dags belong to one team, which has its own executor and triggerer.

    The package is a copy in a read-only plugins folder, and ignore files are regular expressions. Another plugin has a
    listener, and a cluster policy changes all tasks.
    """

    def __init__(self, home: Path, *, values: Path, dags: Path, plugins: Path, **more: Any) -> None:
        super().__init__(home, dags=dags, **more)
        bundle = {
            "name": "klap of media",
            "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
            "kwargs": {"path": str(dags)},
            "team_name": TEAM,
        }
        self.env |= {
            "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH": f"file://{values}/xcoms",
            "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_THRESHOLD": "1024",
            "AIRFLOW__CORE__ALLOWED_DESERIALIZATION_CLASSES": "airflow.sdk.*",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
            "AIRFLOW__CORE__DAG_IGNORE_FILE_SYNTAX": "regexp",
            "AIRFLOW__CORE__EXECUTOR": f"LocalExecutor;{TEAM}=LocalExecutor",
            "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "AIRFLOW__CORE__HIDE_SENSITIVE_VAR_CONN_FIELDS": "False",
            "AIRFLOW__CORE__HOSTNAME_CALLABLE": "elsewhere.hostname",
            "AIRFLOW__CORE__MAX_MAP_LENGTH": "5",
            "AIRFLOW__CORE__MP_START_METHOD": "spawn",
            "AIRFLOW__CORE__MULTI_TEAM": "True",
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(plugins),
            "AIRFLOW__CORE__XCOM_BACKEND": f"{OBJECT_STORAGE}.xcom.backend.XComObjectStorageBackend",
            "AIRFLOW__DAG_PROCESSOR__DAG_VERSION_INFLATION_CHECK_LEVEL": "error",
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle]),
            # A team's executor does not fall back to the general settings.
            f"AIRFLOW__{TEAM.upper()}___CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "KLAP_HEARD": str(values / "heard"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": f"{HERE / 'elsewhere'}:{HERE / 'policy'}",
        }
        self.components["triggerer"] = Component(("triggerer", "--team-name", TEAM), self.home)
        for name, component in self.components.items():
            component.env["KLAP_COMPONENT"] = name

    def start_component(self, name: str) -> None:
        """Start a component. Before the first one, create the team."""
        if not self.processes:
            subprocess.run(
                [self.python, "-m", "airflow", "teams", "create", TEAM],
                env=self.env,
                stdout=subprocess.DEVNULL,
                check=True,
                timeout=120,
            )
        super().start_component(name)


def connection_to(sandbox: Sandbox, api_key: str, token: str) -> dict[str, Any]:
    """Return the connection of all these Airflows."""
    extra = {"external_access_token": token, "poke_interval": "1.5", "owner": None, "tags": ["media"]}
    return {"conn_type": "klap", "host": sandbox.url, "password": api_key, "extra": extra}


def without_the_package(folder: Path) -> Path:
    """Return a Python with all packages of this one except klap_provider, as for a copy of its files."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (theirs,) = folder.glob("lib/python*/site-packages")
    (ours,) = Path(sys.prefix).glob("lib/python*/site-packages")
    for entry in ours.iterdir():
        if "airflow_provider_klap" not in entry.name:
            (theirs / entry.name).symlink_to(entry)
    return folder / "bin" / "python"


@pytest.fixture(scope="session", params=["elsewhere", "of-a-team"])
def configured(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Configured]:
    """Each of the Airflows, with a quick sandbox."""
    api_key, token = f"kak_{secrets.token_hex(12)}", f"eat_{secrets.token_hex(12)}"
    home, values, shorts, folder = (
        tmp_path_factory.mktemp(name) for name in ("airflow", "values", "shorts", "connections")
    )
    credentials = (api_key.encode(), token.encode())
    with Sandbox(render=False, task_seconds=2, export_seconds=2) as sandbox:
        connection = connection_to(sandbox, api_key, token)
        dag_folder = dags(tmp_path_factory.mktemp("dags"))
        if request.param == "elsewhere":
            (folder / "klap_default").write_text(json.dumps(connection))
            with Elsewhere(home, values=values, connections=folder, dags=dag_folder, env=RARE_PARSING) as airflow:
                yield Configured(airflow, sandbox, shorts, credentials, [values])
        else:
            plugins = tmp_path_factory.mktemp("read only") / "plugins"
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / "plugins", plugins, ignore=ignored)
            shutil.copy(HERE / "elsewhere" / "listener.py", plugins)
            team = OfATeam(
                home,
                values=values,
                dags=dag_folder,
                plugins=plugins,
                connections={f"_{TEAM}___klap_default": connection},
                python=without_the_package(tmp_path_factory.mktemp("python")),
                env=RARE_PARSING,
            )
            with team:
                for dag_id in (DAG_ID, BATCH_DAG_ID):
                    team.wait_for(lambda dag_id=dag_id: team.has_dag(dag_id), seconds=300, what=dag_id)  # type: ignore[misc]  # mypy cannot infer a lambda with a default
                    team.api("PATCH", f"/dags/{dag_id}", json={"is_paused": False})
                yield Configured(team, sandbox, shorts, credentials, [values], plugins, values / "heard")
