"""A cluster has the environment that deploy/ sets in Docker Compose."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import yaml
from airflow.secrets.local_filesystem import LocalFilesystemBackend

from demo import compose
from demo.cluster import HEAD, MACHINES, S3_CONN_ID, Cluster
from demo.servers import S3

if TYPE_CHECKING:
    from pathlib import Path

SHIPPED: dict[str, str] = yaml.safe_load(compose.OVERRIDE.read_text())["x-klap"]["environment"]


def started_with(cluster: Cluster, name: str) -> dict[str, str]:
    return {**cluster.env, **cluster.components[name].env}


def test_every_process_has_the_settings_of_compose(tmp_path: Path) -> None:
    dags = tmp_path / "our-dags"
    cluster = Cluster(tmp_path, s3=S3(tmp_path / "s3.log"), connections={}, dags=dags)
    assert "AIRFLOW__CORE__EXECUTOR" in SHIPPED
    for name in cluster.components:
        home = tmp_path / (name.partition("@")[2] or HEAD)
        there = [(compose.DAGS, str(dags)), (compose.CONNECTIONS, str(home / "connections.json"))]
        for setting, value in SHIPPED.items():
            expected = value
            for container, machine in there:
                expected = expected.replace(container, machine)
            assert started_with(cluster, name)[setting] == expected, (name, setting)


def test_the_replaced_paths_are_those_of_the_compose_file() -> None:
    assert sum(compose.DAGS in value for value in SHIPPED.values()) == 1
    assert sum(compose.CONNECTIONS in value for value in SHIPPED.values()) == 1


def test_no_process_has_a_connection_in_its_environment(tmp_path: Path) -> None:
    klap = {"conn_type": "klap", "password": "kak_test"}
    cluster = Cluster(tmp_path, s3=S3(tmp_path / "s3.log"), connections={"klap_default": klap})
    for name in cluster.components:
        assert not [setting for setting in started_with(cluster, name) if setting.startswith("AIRFLOW_CONN_")]
    assert cluster.connections.keys() == {HEAD, *MACHINES}
    assert all(found.keys() == {"klap_default", S3_CONN_ID} for found in cluster.connections.values())


def test_the_file_of_connections_is_readable_by_its_backend_only(tmp_path: Path) -> None:
    file = tmp_path / "connections.json"
    compose.write_connections(file, {"k": {"conn_type": "klap", "password": "kak_test", "extra": {"first_poll": 9}}})
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    found = LocalFilesystemBackend(connections_file_path=str(file)).get_connection("k")
    assert found is not None
    assert (found.conn_type, found.password, found.extra_dejson) == ("klap", "kak_test", {"first_poll": 9})
