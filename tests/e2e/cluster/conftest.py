"""Fixtures of the cluster tests: one cluster, one sandbox, one S3, and proxies between them."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from demo.airflow import ROOT
from demo.cluster import MACHINES, Cluster
from tests.support.machines import Lines, Machines
from tests.support.object_storage import ObjectStorage
from tests.support.report import TALLIES
from tests.support.rig import SHORT_HEARTBEATS
from tests.support.sandbox import Sandbox
from tests.support.tcp_proxy import TcpProxy

if TYPE_CHECKING:
    from collections.abc import Iterator

CHAOS = Path(__file__).parent.parent / "chaos"

#: Seconds after which Airflow queues a task again that no worker took; minutes by default. Busy workers need less.
QUICK_QUEUE = {
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "30",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "3",
}

#: Dags do not change here, and nobody reads remote logs. Less parsing and logging leaves the CPU to the tests.
UNWATCHED = {
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",
    "AIRFLOW__LOGGING__REMOTE_LOGGING": "False",
}


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    failpoints, home = tmp_path_factory.mktemp("failpoints"), tmp_path_factory.mktemp("cluster")
    api_key = f"kak_{secrets.token_hex(12)}"
    with Sandbox(render=False) as sandbox, ObjectStorage(home) as s3:
        connection = {
            "conn_type": "klap",
            "host": sandbox.url,
            "password": api_key,
            "extra": {"connect_timeout": 2, "read_timeout": 5, "poke_interval": 2},
        }
        cluster = Cluster(
            home,
            s3=s3,
            connections={"klap_default": connection},
            dags=Path(__file__).parent / "dags",
            env={
                **SHORT_HEARTBEATS,
                **QUICK_QUEUE,
                **UNWATCHED,
                # Up to six tasks of a worker are frozen at a time.
                "AIRFLOW__CELERY__WORKER_CONCURRENCY": "8",
                "AIRFLOW__CORE__PARALLELISM": "12",
                "KLAP_FAILPOINTS": str(failpoints),
                "PYTHONPATH": f"{CHAOS / 'failpoints'}:{CHAOS / 'dags'}:{ROOT / 'dags'}",
            },
        )
        # All machines have the same connection, and each reaches Klap through its own proxy.
        lines: dict[str, Lines] = {}
        for number, machine in enumerate(MACHINES, start=2):
            port = next((line.klap.port for line in lines.values()), 0)
            lines[machine] = Lines(
                klap=TcpProxy(sandbox.url, host=f"127.0.0.{number}", port=port), api=TcpProxy(cluster.url)
            )
        host = urlsplit(sandbox.url)._replace(netloc=f"klap.localhost:{lines[MACHINES[0]].klap.port}").geturl()
        for name, component in cluster.components.items():
            if machine := name.partition("@")[2]:
                component.env["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] = f"{lines[machine].api.url}/execution/"
                component.env["KLAP_LINE"] = str(urlsplit(lines[machine].klap.url).hostname)
                cluster.connections[machine]["klap_default"] = {**connection, "host": host}
        with cluster:
            yield Machines(cluster, sandbox, lines["one"].klap, api_key, failpoints, home, s3=s3, lines=lines)
        for each in lines.values():
            for wire in each:
                wire.cut()


@pytest.fixture
def rig(running: Machines, request: pytest.FixtureRequest) -> Iterator[Machines]:
    tally = running.begin(request.node.name.removeprefix("test_"))
    request.config.stash.setdefault(TALLIES, []).append(tally)
    yield running
    running.end()
