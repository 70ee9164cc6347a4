"""A cluster like Amazon's managed Airflow: Celery over SQS, and one triggerer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from demo.airflow import ROOT
from demo.cluster import MACHINES, Cluster
from demo.servers import ACCESS_KEY, S3, SECRET_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


class ManagedCluster(Cluster):
    """
    Two machines with one triggerer, like a managed service. Use as a context manager.

    :param home: the parent folder of each machine's AIRFLOW_HOME.
    :param s3: storage for shorts and task logs; its server is also the SQS.
    :param connections: Airflow connections by id, as dictionaries.
    :param dags: the Dag folder.
    """

    def __init__(
        self, home: Path, *, s3: S3, connections: Mapping[str, Mapping[str, Any]], dags: Path = ROOT / "dags"
    ) -> None:
        super().__init__(home, s3=s3, connections=connections, dags=dags, env=sqs_settings(s3))
        self.shared.remove(self.redis)
        del self.components[f"triggerer@{MACHINES[1]}"]

    def _ready_workers(self) -> Iterable[str]:
        """Return all machines. Over SQS, workers cannot be pinged, and messages wait until a worker is ready."""
        return MACHINES


def sqs_settings(aws: S3) -> dict[str, str]:
    """Return the settings of Celery for the SQS of this server."""
    options = "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__"
    return {
        "AIRFLOW__CELERY__BROKER_URL": f"sqs://{ACCESS_KEY}:{quote(SECRET_KEY)}@127.0.0.1:{aws.port}//",
        "AIRFLOW__CELERY__WORKER_ENABLE_REMOTE_CONTROL": "False",
        f"{options}IS_SECURE": "False",
        f"{options}REGION": "us-east-1",
        f"{options}VISIBILITY_TIMEOUT": "43200",  # seconds; the maximum of SQS
    }
