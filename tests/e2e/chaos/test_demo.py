"""The commands of demo/ with a complete Airflow, stopped and killed as users do it."""

from __future__ import annotations

import http.server
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import requests

from demo.airflow import FINISHED, free_ports
from demo.state import kill_leftovers
from tests.support.checkout import Checkout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.chaos

DAG_ID = "klap_generate_shorts"


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    checkout = Checkout(tmp_path / "a check-out, #1 ünd 5% %20? more")
    yield checkout
    kill_leftovers(checkout.state / "sandbox")  # left over by a killed start, if the test failed after it


class Up:
    """
    A ``make up`` that runs.

    :param checkout: the checkout in which it runs.
    :param port: the port of its UI.
    """

    def __init__(self, checkout: Checkout, port: int) -> None:
        self.url, self._log = f"http://127.0.0.1:{port}", checkout.folder / "up.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "demo", "up"],
                cwd=checkout.folder,
                env=checkout.environ(PORT=str(port)),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            wait_for(lambda: "Ctrl+C stops it" in self.output, seconds=240, what="make up")
        except BaseException:
            self.end(signal.SIGTERM)
            raise
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {self._get('/auth/token')['access_token']}"

    @property
    def output(self) -> str:
        """Return what it has printed."""
        return self._log.read_text()

    def end(self, number: signal.Signals) -> int:
        """Send it a signal, and return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(60)

    def trigger(self, run_id: str) -> None:
        """Start a run."""
        conf = {"source_video_url": self.sample, "width": 270, "height": 480}
        body = {"logical_date": None, "dag_run_id": run_id, "conf": conf}
        wait_for(lambda: self._post(body) != 404, seconds=120, what="the Dag")

    def state_of(self, run_id: str) -> str:
        """Return the state of a run."""
        return str(self._get(f"/api/v2/dags/{DAG_ID}/dagRuns/{run_id}")["state"])

    def end_of(self, run_id: str) -> str:
        """Return the final state of a run."""
        wait_for(lambda: self.state_of(run_id) in FINISHED, seconds=240, what=run_id)
        return self.state_of(run_id)

    def states(self, run_id: str) -> list[tuple[str, str]]:
        """Return the task and the state of each task instance of a run."""
        found = self._get(f"/api/v2/dags/{DAG_ID}/dagRuns/{run_id}/taskInstances")["task_instances"]
        return [(ti["task_id"], ti["state"]) for ti in found]

    def ledger(self) -> list[str]:
        """Return the ids of the jobs that the ledger has payments for."""
        (asset,) = (each for each in self._get("/api/v2/assets")["assets"] if each["name"] == "klap_ledger")
        rows = self._get(f"/api/v2/assets/{asset['id']}/state-store?limit=100")["asset_state_store"]
        return sorted(row["value"]["id"] for row in rows if row["key"].startswith("paid."))

    def billed(self) -> dict[str, str]:
        """Return the kind of each job that the sandbox was paid for, by its id."""
        answer = requests.get(self.sample.replace("sample.mp4", "_sandbox/ledger"), timeout=30)
        return {entry["id"]: entry["kind"] for entry in answer.json()}

    @property
    def sample(self) -> str:
        """Return the address of the sandbox's video."""
        return self.output.partition("such as ")[2].split()[0]

    def _post(self, body: dict[str, Any]) -> int:
        return self._session.post(f"{self.url}/api/v2/dags/{DAG_ID}/dagRuns", json=body, timeout=30).status_code

    def _get(self, path: str) -> Any:
        answer = getattr(self, "_session", requests).get(f"{self.url}{path}", timeout=30)
        answer.raise_for_status()
        return answer.json()


def test_make_up_continues_interrupted_runs_with_their_ledger(checkout: Checkout) -> None:
    (port,) = free_ports(1)
    first = Up(checkout, port)
    try:
        first.trigger("whole")
        assert first.end_of("whole") == "success"
        first.trigger("interrupted")
        wait_for(
            lambda: any(task.endswith("wait_for_export") and state for task, state in first.states("interrupted")),
            seconds=120,
            what="exports",
        )
    finally:
        assert first.end(signal.SIGINT) == 128 + signal.SIGINT
    assert "Traceback" not in first.output
    videos = set(checkout.state.rglob("klap_shorts/*/*.mp4"))
    assert len(videos) >= 3

    second = Up(checkout, port)
    try:
        assert second.state_of("whole") == "success"
        assert second.end_of("interrupted") == "success"
        billed = second.billed()
        assert sorted(billed.values()) == ["export"] * 6 + ["task"] * 2
        paid = second.ledger()
        assert set(billed) <= set(paid)
        assert len(set(checkout.state.rglob("klap_shorts/*/*.mp4")) | videos) == 6
    finally:
        second.end(signal.SIGKILL)

    third = Up(checkout, port)  # ends the processes of the second one, and uses its port and database
    try:
        assert third.state_of("interrupted") == "success"
        assert third.ledger() == paid
        children = psutil.Process(third.process.pid).children()
        (scheduler,) = (child for child in children if "scheduler" in " ".join(child.cmdline()))
        scheduler.kill()
        assert third.process.wait(60) == 1
        assert "Airflow's scheduler exited with -9" in third.output
        assert "Traceback" not in third.output
    finally:
        third.end(signal.SIGTERM)
    with pytest.raises(requests.ConnectionError):
        requests.get(third.url, timeout=30)


def test_a_demo_of_a_missing_video_fails_with_the_reason_and_an_action(checkout: Checkout) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)  # 501 to all
    threading.Thread(target=server.serve_forever, daemon=True).start()
    (nobody,) = free_ports(1)
    # Without HOME, and with a proxy that does not answer.
    environ = checkout.environ(
        VIDEO_URL=f"http://127.0.0.1:{server.server_port}/talk.mp4", http_proxy=f"http://127.0.0.1:{nobody}"
    )
    environ.pop("HOME")
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "demo", "demo"],
            cwd=checkout.folder,
            env=environ,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
    finally:
        server.shutdown()
    assert ended.returncode == 1
    report = ended.stdout.partition("The run ended: failed")[2]
    assert "Nothing was delivered." in report
    assert "HTTP 501" in report
    assert "Fix the cause" in report
    logs = Path(report.partition("Task logs: ")[2].splitlines()[0])
    assert list(logs.rglob("*.log"))
    assert "score" not in report
    assert "Traceback" not in ended.stdout + ended.stderr


def wait_for(condition: Callable[[], bool], *, seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:g} s for {what}"
        time.sleep(0.5)
