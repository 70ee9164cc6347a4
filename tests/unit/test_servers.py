"""The servers of a cluster need their programs only when they start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from demo import servers
from demo.cluster import Cluster
from demo.servers import S3, PostgreSQL, Redis, Server

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def machine_without_servers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(servers, "POSTGRESQL", f"{tmp_path}/*/bin")


def test_a_cluster_is_described_on_a_machine_that_has_no_servers(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, s3=S3(tmp_path / "s3.log"), connections={})
    assert str(cluster.postgres.port) in cluster.env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]


@pytest.mark.parametrize(("server", "program"), [(Redis, "redis-server"), (PostgreSQL, "initdb")])
def test_starting_a_server_that_is_not_installed_says_what_to_install(
    tmp_path: Path, server: type[Redis] | type[PostgreSQL], program: str
) -> None:
    described: Server = server(tmp_path / "server.log")
    with pytest.raises(RuntimeError, match=f"^{program} is missing. Run: apt-get install postgresql redis-server$"):
        described.start()
    assert described.pid is None
