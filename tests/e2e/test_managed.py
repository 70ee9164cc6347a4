"""The main DAG as a managed service runs it: Celery over SQS, one triggerer, and no disk that is shared."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from demo.cluster import DESTINATION, SHORTS_BUCKET, Cluster
from tests.e2e.conftest import DAG_ID
from tests.support.object_storage import ObjectStorage
from tests.support.sandbox import Sandbox

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.managed]


def test_a_run_over_sqs_with_one_triggerer_delivers_to_the_bucket(tmp_path: Path) -> None:
    with Sandbox(task_seconds=2, export_seconds=2) as sandbox, ObjectStorage(tmp_path) as s3:
        connection = {"conn_type": "klap", "host": sandbox.url, "password": "kak_sandbox"}
        with Cluster(tmp_path, s3=s3, connections={"klap_default": connection}, managed=True) as airflow:
            assert [name for name in airflow.components if name.startswith("triggerer")] == ["triggerer@one"]
            run_id = airflow.trigger(DAG_ID, {"source_video_url": sandbox.sample, "destination": DESTINATION})
            assert airflow.wait_for_run(DAG_ID, run_id, seconds=180) == "success"

            folder = airflow.xcom(DAG_ID, run_id, "submit")["klap_task_id"]
            manifest = json.loads(s3.get(f"{folder}/manifest.json", SHORTS_BUCKET))
            assert len(manifest["delivered"]) == 3
            assert len(sandbox.ledger("task")) == 1
            assert len(sandbox.ledger("export")) == 3
