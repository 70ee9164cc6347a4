"""A cluster in the shape of Amazon's managed Airflow: Celery over SQS, and one triggerer."""

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
    Two machines' worth of Airflow, as a managed service runs it. Use as a context manager.

    :param home: the folder below which every machine has its own.
    :param s3: where shorts and the logs of tasks go; moto's, which is an SQS, too.
    :param connections: Airflow connections by id, as dictionaries.
    :param dags: the DAG folder.
    """

    def __init__(
        self, home: Path, *, s3: S3, connections: Mapping[str, Mapping[str, Any]], dags: Path = ROOT / "dags"
    ) -> None:
        super().__init__(home, s3=s3, connections=connections, dags=dags, env=over_sqs(s3))
        self.shared.remove(self.redis)
        del self.components[f"triggerer@{MACHINES[1]}"]

    def _answering_workers(self) -> Iterable[str]:
        """Return all machines: over SQS no worker can be asked, and what is sent to one that is not ready waits."""
        return MACHINES


def over_sqs(aws: S3) -> dict[str, str]:
    """Return the settings for Celery over the SQS of this server."""
    options = "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__"
    return {
        "AIRFLOW__CELERY__BROKER_URL": f"sqs://{ACCESS_KEY}:{quote(SECRET_KEY)}@127.0.0.1:{aws.port}//",
        "AIRFLOW__CELERY__WORKER_ENABLE_REMOTE_CONTROL": "False",
        f"{options}IS_SECURE": "False",
        f"{options}REGION": "us-east-1",
        f"{options}VISIBILITY_TIMEOUT": "43200",  # seconds; SQS has no longer one
    }
