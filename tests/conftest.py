"""Fixtures that all tests share: an Airflow home, a sandbox, a connection to it, and a fake supervisor."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import network
from tests.support.network import loopback_only as loopback_only
from tests.support.sandbox import Sandbox
from tests.support.xdist_groups import AirflowScheduling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow.sdk import BaseOperator

    from tests.support.airflow_context import Played, Supervisor

REPOSITORY = Path(__file__).resolve().parents[1]
#: Seconds that a test with one of these marks may take. The first test of a suite starts a whole Airflow.
LIMITS = {
    "browser": 600,
    "storage": 600,
    "e2e": 900,
    "chaos": 1200,
    "cluster": 1800,
    "config": 1800,
    "managed": 1800,
    "long": 3600,
}

AIRFLOW_HOME = tempfile.mkdtemp(prefix="klap-tests-airflow-")

# Airflow reads these when it is imported. Another Airflow of this machine is not used.
os.environ |= {
    # Most tests of sensors are about waiting without a worker.
    "AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE": "True",
    "AIRFLOW_HOME": AIRFLOW_HOME,
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(REPOSITORY / "plugins"),
    "AIRFLOW__CORE__DAGS_FOLDER": str(REPOSITORY / "dags"),
    # Without credentials in the connection, boto requests those of a cloud machine over the network.
    "AWS_EC2_METADATA_DISABLED": "true",
}
for _name in [name for name in os.environ if name.startswith(("AIRFLOW_CONN_", "AIRFLOW__DATABASE__"))]:
    del os.environ[_name]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> AirflowScheduling:
    """Distribute the tests of ``make test`` and ``make test-chaos``."""
    return AirflowScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of the larger suites their time limits."""
    for item in items:
        limits = [LIMITS[mark.name] for mark in item.iter_markers() if mark.name in LIMITS]
        if limits and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(max(limits)))


def pytest_unconfigure() -> None:
    """Remove the shared files of the tests."""
    shutil.rmtree(AIRFLOW_HOME, ignore_errors=True)
    network.RECORD.remove()


@pytest.fixture(scope="session")
def running_sandbox() -> Iterator[Sandbox]:
    """One sandbox for all tests: jobs are ready at once, every export is the same tiny MP4."""
    with Sandbox(render=False) as running:
        yield running


@pytest.fixture
def sandbox(running_sandbox: Sandbox) -> Sandbox:
    """The sandbox, empty."""
    running_sandbox.reset()
    return running_sandbox


@pytest.fixture(scope="session")
def running_lenient_sandbox() -> Iterator[Sandbox]:
    """A lenient sandbox for all tests, as users start it: it ignores fields that Klap's docs do not name."""
    with Sandbox(strict=False) as running:
        yield running


@pytest.fixture
def lenient_sandbox(running_lenient_sandbox: Sandbox) -> Sandbox:
    """The lenient sandbox, empty."""
    running_lenient_sandbox.reset()
    return running_lenient_sandbox


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set the Airflow connection ``klap_default``: ``connect(host, password=…, **extra)``."""
    from tests.support.airflow_context import ACCESS_TOKEN, API_KEY

    def set_connection(host: str | None, password: str | None = API_KEY, **more: Any) -> None:
        extra = {"external_access_token": ACCESS_TOKEN, **more}
        conn = {"conn_type": "klap", "host": host, "password": password, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_KLAP_DEFAULT", json.dumps(conn))

    return set_connection


@pytest.fixture
def klap(sandbox: Sandbox, connect: Callable[..., None]) -> Sandbox:
    """The sandbox, and the connection ``klap_default`` to it."""
    connect(sandbox.url)
    return sandbox


@pytest.fixture
def make_shorts(klap: Sandbox) -> Callable[..., list[dict[str, Any]]]:
    """Let Klap make this number of shorts of a video, and return them as its API does."""

    def shorts(count: int = 1) -> list[dict[str, Any]]:
        body = {"source_video_url": "https://example.com/talk.mp4", "target_clip_count": count}
        task = klap.call("POST", "/tasks/video-to-shorts", json=body).json()
        time.sleep(0.02)  # until the task is ready
        folder_id = klap.outcome(f"/tasks/{task['id']}")["output_id"]
        made: list[dict[str, Any]] = klap.call("GET", f"/projects/{folder_id}").json()
        assert len(made) == count
        return made

    return shorts


@pytest.fixture
def make_video(klap: Sandbox) -> Callable[[], dict[str, Any]]:
    """Let Klap caption a video, and return it as its API does: a project without a folder."""

    def video() -> dict[str, Any]:
        body = {"source_video_url": "https://example.com/talk.mp4", "name": "Talk"}
        task = klap.call("POST", "/tasks/video-to-video", json=body).json()
        time.sleep(0.02)  # until the task is ready
        project_id = klap.outcome(f"/tasks/{task['id']}")["output_id"]
        made: dict[str, Any] = klap.call("GET", f"/projects/{project_id}").json()
        return made

    return video


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    """
    The supervisor that tasks and triggers talk to.

    At the end, no message may contain a secret, and no XCom may have another shape than in xcoms.py.
    """
    from airflow.sdk.execution_time import task_runner

    from tests.support.airflow_context import ACCESS_TOKEN, API_KEY, Supervisor

    stand_in = Supervisor()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", stand_in, raising=False)
    yield stand_in
    assert not [message for message in stand_in.messages if API_KEY in message or ACCESS_TOKEN in message]
    assert stand_in.misshapen == []


@pytest.fixture
def in_doubt_window_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """The in-doubt window of every request is over at once: no lost POST can still take effect."""
    from klap_provider.rules import in_doubt

    monkeypatch.setattr(in_doubt, "LATE_ARRIVAL", -3600.0)
    monkeypatch.setattr("klap_provider.operators.ledger.WRITE_RETRY_DELAYS", ())


@pytest.fixture
def airflow(supervisor: Supervisor) -> Callable[..., Played]:
    """Make a task instance of an operator: ``airflow(lambda: Operator(…), map_index=-1)``."""
    from tests.support.airflow_context import Played

    def instance(make: Callable[[], BaseOperator], **more: Any) -> Played:
        return Played(supervisor, make, **more)

    return instance
