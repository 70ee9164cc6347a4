"""Fixtures of the chaos tests: one Airflow, one sandbox, and the report."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from demo.airflow import ROOT, LocalAirflow
from tests.support.mail import mail_server
from tests.support.report import TALLIES
from tests.support.rig import RARE_PARSING, SHORT_HEARTBEATS, Rig
from tests.support.sandbox import Sandbox
from tests.support.tcp_proxy import TcpProxy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import Message as Mail

#: A notifier of ``klap_limited``, and the limit of its months, in US dollars.
MAIL = {
    "notifier": "airflow.providers.smtp.notifications.smtp.SmtpNotifier",
    "to": "media@example.com",
    "from_email": "airflow@example.com",
    "subject": "{{ klap.event }}",
    "html_content": "{{ klap.text }}",
}
MONTHLY_LIMIT = 24.8


@pytest.fixture(scope="session")
def mail() -> Iterator[tuple[dict[str, Any], list[Mail]]]:
    """Airflow's connection to a mail server, and the mails that it received."""
    with mail_server() as server:
        yield server


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory, mail: tuple[dict[str, Any], list[Mail]]) -> Iterator[Rig]:
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
        connection: dict[str, Any] = {
            "conn_type": "klap",
            "host": wire.url,
            "password": api_key,
            "extra": {"connect_timeout": 2, "read_timeout": 5, "poke_interval": 2},
        }
        home = tmp_path_factory.mktemp("airflow")
        elsewhere = {**connection, "host": wire.url.replace("127.0.0.1", "localhost")}
        limits = {"monthly_limit": MONTHLY_LIMIT, "notifiers": [MAIL]}
        limited = {**connection, "extra": {**connection["extra"], **limits}}
        connections = {"klap_default": connection, "klap_elsewhere": elsewhere, "klap_limited": limited}
        connections["smtp_default"] = mail[0]
        with LocalAirflow(home, connections=connections, dags=here / "dags", env=env) as airflow:
            yield Rig(airflow, sandbox, wire, api_key, failpoints, tmp_path_factory.mktemp("shorts"))
        wire.cut()


@pytest.fixture
def rig(running: Rig, request: pytest.FixtureRequest) -> Iterator[Rig]:
    tally = running.begin(request.node.name.removeprefix("test_"))
    request.config.stash.setdefault(TALLIES, []).append(tally)
    yield running
    running.end()
