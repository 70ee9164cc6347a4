"""Fixtures of the end-to-end tests: one Airflow, one sandbox that makes real clips, and one S3."""

from __future__ import annotations

import json
import secrets
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from demo.airflow import ROOT, LocalAirflow
from tests.support.example_dags import EXAMPLES
from tests.support.object_storage import ObjectStorage
from tests.support.report import hand_over, take_over, write_report
from tests.support.rig import RARE_PARSING
from tests.support.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAG_ID = "klap_generate_shorts"
BATCH_DAG_ID = "klap_quick_batch"

#: The Dag of the guide that starts when shorts were delivered to its destination.
CONSUMER = "example_klap_use_shorts"

# The shipped Dag polls its runs every 30 s, which is long for a test.
QUICK_BATCH = f"""
from klap_generate_shorts_batch import klap_generate_shorts_batch  # Airflow parses files with the words airflow and dag

dag = klap_generate_shorts_batch("{BATCH_DAG_ID}", at_a_time=4, poke_interval=1)
"""


@dataclass
class Stage:
    """The Airflow and the sandbox of the tests."""

    airflow: LocalAirflow
    sandbox: Sandbox
    s3: ObjectStorage
    secrets: tuple[bytes, ...]
    shorts: Path

    def trigger(self, dag_id: str = DAG_ID, **conf: Any) -> str:
        """Start a run with the sample video and small clips, and return its id."""
        small = {"width": 270, "height": 480, "destination": str(self.shorts)}
        return self.airflow.trigger(dag_id, {"source_video_url": self.sandbox.sample, **small, **conf})

    def end_of(self, run_id: str, dag_id: str = DAG_ID) -> str:
        """Return the final state of a run."""
        return self.airflow.wait_for_run(dag_id, run_id, seconds=180)

    def manifest_of(self, run_id: str, dag_id: str = DAG_ID) -> dict[str, Any]:
        """Return the manifest of a run."""
        folder = self.shorts / self.airflow.xcom(dag_id, run_id, "submit")["klap_task_id"]
        found: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
        return found

    def leaks(self) -> list[Path]:
        """Return the files of Airflow and of deliveries that contain a secret of the connection."""
        files = [file for file in [*self.airflow.home.rglob("*"), *self.shorts.rglob("*")] if file.is_file()]
        assert any(file.name == "airflow.db" for file in files)
        return [file for file in files if any(secret in file.read_bytes() for secret in self.secrets)]

    def consumers(self) -> list[str]:
        """Return the runs of the Dag that starts when shorts were delivered."""
        return [run["dag_run_id"] for run in self.airflow.api("GET", f"/dags/{CONSUMER}/dagRuns")["dag_runs"]]

    def worker_starts(self) -> int:
        """Return the number of tasks that workers have started since the Airflow started."""
        log = (self.airflow.home / "api-server.log").read_text(errors="replace")
        return sum(
            "method=PATCH path=/execution/task-instances/" in line and "/run " in line and "status_code=200" in line
            for line in log.splitlines()
        )


@pytest.fixture
def stage(standing: Stage) -> Stage:
    """The Airflow, with an empty sandbox."""
    standing.sandbox.reset(task_seconds=2, export_seconds=2)
    return standing


@pytest.fixture(scope="session")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    api_key, token = f"kak_{secrets.token_hex(12)}", f"eat_{secrets.token_hex(12)}"
    home = tmp_path_factory.mktemp("airflow")
    with (
        Sandbox(render=True, task_seconds=2, export_seconds=2) as sandbox,
        ObjectStorage(tmp_path_factory.mktemp("s3")) as s3,
    ):
        s3.reset()
        connections = {
            "klap_default": {
                "conn_type": "klap",
                "host": sandbox.url,
                "password": api_key,
                "extra": {"external_access_token": token, "poke_interval": 2},
            },
            "media_s3": s3.connection,
        }
        folder = dags(tmp_path_factory.mktemp("dags"))
        with LocalAirflow(home, connections=connections, dags=folder, env=RARE_PARSING) as airflow:
            yield Stage(airflow, sandbox, s3, (api_key.encode(), token.encode()), tmp_path_factory.mktemp("shorts"))


def dags(folder: Path) -> Path:
    """Return a Dag folder with the shipped Dags, a batch that polls often, and the Dag of the guide."""
    shutil.copytree(ROOT / "dags", folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(EXAMPLES / f"{CONSUMER}.py", folder)
    (folder / "quick_batch.py").write_text(QUICK_BATCH)
    return folder


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand over this process's part of the report to the process that prints it."""
    hand_over(session.config)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Take over another process's part of the report."""
    take_over(node)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what the chaos and the cluster tests did to Airflow and to Klap, and what that cost."""
    write_report(terminalreporter, config)
