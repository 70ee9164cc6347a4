"""Fixtures of the chaos tests: one Airflow, one sandbox, and the report."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from demo.airflow import ROOT, LocalAirflow
from tests.support.report import TALLIES
from tests.support.rig import RARE_PARSING, SHORT_HEARTBEATS, Rig
from tests.support.sandbox import Sandbox
from tests.support.tcp_proxy import TcpProxy

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    failpoints, here = tmp_path_factory.mktemp("failpoints"), Path(__file__).parent
    api_key = f"kak_{secrets.token_hex(12)}"
    env = {
        **SHORT_HEARTBEATS,
        **RARE_PARSING,
        "KLAP_FAILPOINTS": str(failpoints),
        "PYTHONPATH": f"{here / 'failpoints'}:{ROOT / 'dags'}",
    }
    with Sandbox(render=False) as sandbox:
        wire = TcpProxy(sandbox.url)
        connection = {
            "conn_type": "klap",
            "host": wire.url,
            "password": api_key,
            "extra": {"connect_timeout": 2, "read_timeout": 5, "poke_interval": 2},
        }
        home = tmp_path_factory.mktemp("airflow")
        elsewhere = {**connection, "host": wire.url.replace("127.0.0.1", "localhost")}
        connections = {"klap_default": connection, "klap_elsewhere": elsewhere}
        with LocalAirflow(home, connections=connections, dags=here / "dags", env=env) as airflow:
            yield Rig(airflow, sandbox, wire, api_key, failpoints, tmp_path_factory.mktemp("shorts"))
        wire.cut()


@pytest.fixture
def rig(running: Rig, request: pytest.FixtureRequest) -> Iterator[Rig]:
    tally = running.begin(request.node.name.removeprefix("test_"))
    request.config.stash.setdefault(TALLIES, []).append(tally)
    yield running
    running.end()
