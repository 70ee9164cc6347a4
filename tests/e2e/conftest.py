"""One Airflow and one sandbox that makes real clips, for all the tests here."""

from __future__ import annotations

import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from demo.airflow import ROOT, LocalAirflow
from tests.support.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

DAG_ID = "klap_generate_shorts"
BATCH_DAG_ID = "klap_quick_batch"

# The shipped DAG looks at its runs every 30 s, which is long for a test.
QUICK_BATCH = f"""
from klap_generate_shorts_batch import klap_generate_shorts_batch  # Airflow looks for the words airflow and dag

dag = klap_generate_shorts_batch("{BATCH_DAG_ID}", at_a_time=4, poke_interval=1)
"""


@dataclass
class Stage:
    """What the tests play on."""

    airflow: LocalAirflow
    sandbox: Sandbox
    api_key: str
    shorts: Path

    def trigger(self, **conf: Any) -> str:
        """Start a run with the sample video and small clips, and return its id."""
        small = {"width": 270, "height": 480, "destination": str(self.shorts)}
        return self.airflow.trigger(DAG_ID, {"source_video_url": self.sandbox.sample, **small, **conf})

    def end_of(self, run_id: str) -> str:
        """Return the final state of a run."""
        return self.airflow.wait_for_run(DAG_ID, run_id, seconds=180)

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
    api_key = f"kak_{secrets.token_hex(12)}"
    home = tmp_path_factory.mktemp("airflow")
    dags = Path(shutil.copytree(ROOT / "dags", tmp_path_factory.mktemp("bundle") / "dags"))
    (dags / "quick_batch.py").write_text(QUICK_BATCH)
    with Sandbox(render=True, task_seconds=2, export_seconds=2) as sandbox:
        connection = {"conn_type": "klap", "host": sandbox.url, "password": api_key}
        with LocalAirflow(home, connections={"klap_default": connection}, dags=dags) as airflow:
            yield Stage(airflow, sandbox, api_key, tmp_path_factory.mktemp("shorts"))
