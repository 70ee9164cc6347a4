"""One Airflow, one sandbox that makes real clips and one S3, for all the tests here."""

from __future__ import annotations

import re
import secrets
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from demo.airflow import ROOT, LocalAirflow
from tests.support.object_storage import ObjectStorage
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
    s3: ObjectStorage
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
    with (
        Sandbox(render=True, task_seconds=2, export_seconds=2) as sandbox,
        ObjectStorage(tmp_path_factory.mktemp("s3")) as s3,
    ):
        s3.reset()
        connections = {
            "klap_default": {"conn_type": "klap", "host": sandbox.url, "password": api_key},
            "media_s3": s3.connection,
        }
        with LocalAirflow(home, connections=connections, dags=dags(tmp_path_factory.mktemp("dags"))) as airflow:
            yield Stage(airflow, sandbox, s3, api_key, tmp_path_factory.mktemp("shorts"))


def dags(folder: Path) -> Path:
    """Return a DAG folder with the shipped DAGs, and the one of docs/storage.md that deliveries to S3 start."""
    shutil.copytree(ROOT / "dags", folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    examples = re.findall(
        r"^```python\n(.*?)^```", (ROOT / "docs" / "storage.md").read_text(), re.MULTILINE | re.DOTALL
    )
    (consumer,) = (example for example in examples if 'DAG("publish_shorts"' in example)
    (folder / "publish_shorts.py").write_text(consumer)
    return folder
