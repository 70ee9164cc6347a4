"""One Airflow to kill, one sandbox to spoil, and the report of what was done to them."""

from __future__ import annotations

import secrets
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from demo.airflow import ROOT, LocalAirflow
from tests.support.rig import QUICK_EYES, Rig, Tally
from tests.support.sandbox import Sandbox
from tests.support.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator

TALLIES = pytest.StashKey[list[Tally]]()
COLUMNS = ["faults", "kills", "outages", "tasks due", "paid", "exports due", "paid", "fate unknown"]
COLUMNS += ["selected", "delivered", "missing"]


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    failpoints, here = tmp_path_factory.mktemp("failpoints"), Path(__file__).parent
    api_key = f"kak_{secrets.token_hex(12)}"
    env = {
        **QUICK_EYES,
        "KLAP_FAILPOINTS": str(failpoints),
        "PYTHONPATH": f"{here / 'failpoints'}:{ROOT / 'dags'}",
    }
    with Sandbox(render=False) as sandbox:
        wire = Wire(sandbox.url)
        connection = {
            "conn_type": "klap",
            "host": wire.url,
            "password": api_key,
            "extra": {"connect_timeout": 2, "read_timeout": 5},
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


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand what this process did to the one that prints the report, if that is another one."""
    if output := getattr(session.config, "workeroutput", None):
        output["tallies"] = [asdict(tally) for tally in session.config.stash.get(TALLIES, [])]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Take what a process did that has ended; one that died has left nothing."""
    done = [Tally(**tally) for tally in (getattr(node, "workeroutput", None) or {}).get("tallies", [])]
    node.config.stash.setdefault(TALLIES, []).extend(done)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what was done to Airflow and to Klap, and what that cost."""
    tallies = config.stash.get(TALLIES, [])
    if not tallies:
        return
    lines = [tally.figures() for tally in tallies]
    lines.append([sum(figures) for figures in zip(*lines, strict=True)])
    terminalreporter.section("chaos report")
    terminalreporter.write_line("  ".join(COLUMNS))
    for name, figures in zip([*(tally.test for tally in tallies), "in all"], lines, strict=True):
        cells = "  ".join(f"{figure:>{len(column)}}" for figure, column in zip(figures, COLUMNS, strict=True))
        terminalreporter.write_line(f"{cells}  {name}")
