"""The main Dag on an Airflow like a managed service: Celery over SQS, one triggerer, no shared disk."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import boto3
import pytest

from demo.cluster import DESTINATION, MACHINES, SHORTS_BUCKET
from demo.managed import ManagedCluster
from demo.servers import ACCESS_KEY, SECRET_KEY
from tests.e2e.conftest import DAG_ID
from tests.support.object_storage import ObjectStorage
from tests.support.sandbox import Sandbox

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.managed]


def test_a_run_over_sqs_with_one_triggerer_pays_once_and_delivers(tmp_path: Path) -> None:
    with Sandbox(render=False, task_seconds=2, export_seconds=2) as sandbox, ObjectStorage(tmp_path) as s3:
        connection = {"conn_type": "klap", "host": sandbox.url, "password": "kak_sandbox"}
        with ManagedCluster(tmp_path, s3=s3, connections={"klap_default": connection}) as airflow:
            kinds = Counter(name.partition("@")[0] for name in airflow.processes)
            assert (kinds["triggerer"], kinds["scheduler"], kinds["worker"]) == (1, len(MACHINES), len(MACHINES))
            conf = {"source_video_url": sandbox.sample, "limit": 3, "destination": DESTINATION}
            run_id = airflow.trigger(DAG_ID, conf)
            assert airflow.wait_for_run(DAG_ID, run_id, seconds=240) == "success"

            folder = airflow.xcom(DAG_ID, run_id, "submit")["klap_task_id"]
            assert len(json.loads(s3.get(f"{folder}/manifest.json", SHORTS_BUCKET))["delivered"]) == 3
            assert (len(sandbox.ledger("task")), len(sandbox.ledger("export"))) == (1, 3)
            assert airflow.redis.pid is None
            keys = {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY}
            sqs = boto3.client("sqs", endpoint_url=s3.url, region_name="us-east-1", **keys)
            (queue,) = sqs.list_queues()["QueueUrls"]
            assert queue.endswith("/default")
