"""One Airflow and one sandbox that makes real clips, for all the tests here."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from demo.airflow import LocalAirflow
from tests.support.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAG_ID = "klap_generate_shorts"


@dataclass
class Stage:
    """What the tests play on."""

    airflow: LocalAirflow
    sandbox: Sandbox
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
        """Return what a run has published."""
        folder = self.shorts / self.airflow.xcom(dag_id, run_id, "submit")["klap_task_id"]
        found: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
        return found

    def leaks(self) -> list[Path]:
        """Return the files of Airflow's and of the delivery that have a secret of the connection in them."""
        files = [file for file in [*self.airflow.home.rglob("*"), *self.shorts.rglob("*")] if file.is_file()]
        assert any(file.name == "airflow.db" for file in files)
        return [file for file in files if any(secret in file.read_bytes() for secret in self.secrets)]

    def worker_starts(self) -> int:
        """Return how many tasks were started on workers since the stage was set."""
        log = (self.airflow.home / "api-server.log").read_text(errors="replace")
        return sum(
            "method=PATCH path=/execution/task-instances/" in line and "/run " in line and "status_code=200" in line
            for line in log.splitlines()
        )


@pytest.fixture
def stage(standing: Stage) -> Stage:
    """The stage, with a sandbox that has forgotten everything."""
    standing.sandbox.reset(task_seconds=2, export_seconds=2)
    return standing


@pytest.fixture(scope="session")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    api_key, token = f"kak_{secrets.token_hex(12)}", f"eat_{secrets.token_hex(12)}"
    home = tmp_path_factory.mktemp("airflow")
    with Sandbox(render=True, task_seconds=2, export_seconds=2) as sandbox:
        extra = {"external_access_token": token}
        connection = {"conn_type": "klap", "host": sandbox.url, "password": api_key, "extra": extra}
        with LocalAirflow(home, connections={"klap_default": connection}) as airflow:
            yield Stage(airflow, sandbox, (api_key.encode(), token.encode()), tmp_path_factory.mktemp("shorts"))
