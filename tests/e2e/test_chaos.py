"""
A whole Airflow, really killed, against a Klap that misbehaves: what is paid, what is delivered, what is said.

Each run is of two shorts; everything that differs from that is in its test.
"""

from __future__ import annotations

import json
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from demo.airflow import ROOT, LocalAirflow, kill_group
from tests.support.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.e2e, pytest.mark.chaos]

DAG_ID = "klap_chaos"
MOMENTS = ["before_post", "during_post", "after_answer", "after_record"]

#: So that Airflow notices within seconds what usually takes it minutes.
QUICK_EYES = {
    "AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC": "1",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "5",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "2",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "15",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "5",
}


@dataclass
class Rig:
    """An Airflow to kill, a sandbox to spoil, and the places to look at afterwards."""

    airflow: LocalAirflow
    sandbox: Sandbox
    failpoints: Path
    shorts: Path
    started: list[str] = field(default_factory=list)

    def start(self, **conf: Any) -> str:
        run_id = self.airflow.trigger(
            DAG_ID,
            {"source_video_url": self.sandbox.sample, "limit": 2, "destination": str(self.shorts), **conf},
        )
        self.started.append(run_id)
        return run_id

    def end_of(self, run_id: str) -> str:
        return self.airflow.wait_for_run(DAG_ID, run_id, seconds=120)

    def wait_until(self, run_id: str, task_id: str, state: str) -> None:
        self.airflow.wait_for(
            lambda: any(
                ti["task_id"] == task_id and ti["state"] == state for ti in self.airflow.task_instances(DAG_ID, run_id)
            ),
            seconds=60,
            what=f"{task_id} to be {state}",
        )

    def kill(self, component: str) -> None:
        kill_group(self.airflow.processes[component])

    def manifest(self, run_id: str) -> dict[str, Any]:
        folder = self.shorts / self.airflow.xcom(DAG_ID, run_id, "submit")["klap_task_id"]
        found: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
        assert {path.name for path in folder.iterdir()} == {
            "manifest.json",
            *(Path(short["path"]).name for short in found["delivered"]),
        }, "nothing but whole files"
        return found

    def paid(self) -> tuple[int, int]:
        """Return the paid POSTs: for tasks, for exports."""
        return len(self.sandbox.ledger("task")), len(self.sandbox.ledger("export"))

    def error_of(self, run_id: str, task_id: str) -> dict[str, Any]:
        said: dict[str, Any] = self.airflow.xcom(DAG_ID, run_id, task_id, key="klap_error")
        return said


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    failpoints = tmp_path_factory.mktemp("failpoints")
    here = Path(__file__).parent
    env = {
        **QUICK_EYES,
        "KLAP_FAILPOINTS": str(failpoints),
        "PYTHONPATH": f"{here / 'failpoints'}:{ROOT / 'dags'}",
    }
    with Sandbox(render=False) as sandbox:
        connection = {"conn_type": "klap", "host": sandbox.url, "password": "kak_chaos", "extra": {"read_timeout": 5}}
        home = tmp_path_factory.mktemp("airflow")
        with LocalAirflow(home, connections={"klap_default": connection}, dags=here / "dags", env=env) as airflow:
            yield Rig(airflow, sandbox, failpoints, tmp_path_factory.mktemp("shorts"))


@pytest.fixture
def rig(running: Rig) -> Iterator[Rig]:
    running.sandbox.reset(task_seconds=1, export_seconds=1)
    yield running
    assert list(running.failpoints.iterdir()) == [], "armed, but it never went off"


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_worker_killed_around_the_post_of_an_export_pays_once(rig: Rig, moment: str) -> None:
    (rig.failpoints / f"export.{moment}").touch()
    if moment == "during_post":
        rig.sandbox.fault("POST", "/exports$", "delay", seconds=3)
    run_id = rig.start()

    assert rig.end_of(run_id) == "success"
    assert rig.paid() == (1, 2)
    assert len(rig.manifest(run_id)["delivered"]) == 2


def test_a_worker_killed_after_the_task_was_recorded_pays_once(rig: Rig) -> None:
    (rig.failpoints / "task.after_record").touch()
    run_id = rig.start()

    assert rig.end_of(run_id) == "success"
    assert rig.paid() == (1, 2)


@pytest.mark.parametrize("moment", MOMENTS[:3])
def test_a_worker_killed_around_the_post_of_a_task_leaves_the_decision_to_a_person(rig: Rig, moment: str) -> None:
    (rig.failpoints / f"task.{moment}").touch()
    if moment == "during_post":
        rig.sandbox.fault("POST", "^/tasks/", "delay", seconds=3)
    run_id = rig.start()

    assert rig.end_of(run_id) == "failed"
    paid = 0 if moment == "before_post" else 1
    assert rig.paid() == (paid, 0)
    said = rig.error_of(run_id, "submit")
    assert said["type"] == "KlapSubmitUncertainError"
    assert "klap_task_id" in said["error"]
    assert "allow_new_submission" in said["error"]

    found = [entry["id"] for entry in rig.sandbox.ledger("task")]
    again = rig.start(klap_task_id=found[0]) if found else rig.start(allow_new_submission=True)
    assert rig.end_of(again) == "success"
    assert rig.paid() == (1, 2)


@pytest.mark.parametrize("waiting", ["wait_for_shorts", "short.wait_for_export"])
def test_a_killed_triggerer_costs_time_and_nothing_else(rig: Rig, waiting: str) -> None:
    rig.sandbox.reset(task_seconds=12 if waiting == "wait_for_shorts" else 1, export_seconds=12)
    run_id = rig.start()
    rig.wait_until(run_id, waiting, "deferred")
    rig.kill("triggerer")
    rig.airflow.start_component("triggerer")

    assert rig.end_of(run_id) == "success"
    assert rig.paid() == (1, 2)
    assert len(rig.manifest(run_id)["delivered"]) == 2


def test_a_killed_scheduler_with_its_workers_costs_time_and_nothing_else(rig: Rig) -> None:
    rig.sandbox.fault("POST", "/exports$", "delay", times=2, seconds=4)
    run_id = rig.start()
    rig.airflow.wait_for(lambda: rig.paid() == (1, 2), seconds=60, what="both exports to be paid")
    rig.kill("scheduler")
    rig.airflow.start_component("scheduler")

    assert rig.end_of(run_id) == "success"
    assert rig.paid() == (1, 2)
    assert len(rig.manifest(run_id)["delivered"]) == 2


def test_a_network_that_goes_and_comes_back_costs_time_and_nothing_else(rig: Rig) -> None:
    rig.sandbox.reset(task_seconds=6, export_seconds=3)
    run_id = rig.start()
    rig.wait_until(run_id, "wait_for_shorts", "deferred")
    rig.sandbox.process.send_signal(signal.SIGSTOP)  # connections are made, and nobody answers
    rig.airflow.wait_for(lambda: True, seconds=1, what="nothing")
    rig.sandbox.process.send_signal(signal.SIGCONT)

    assert rig.end_of(run_id) == "success"
    assert rig.paid() == (1, 2)


def test_a_rough_day_at_klap_is_ridden_out(rig: Rig) -> None:
    for method, path, action, more in [
        ("POST", "^/tasks/", "status", {"code": 429, "headers": {"Retry-After": "1"}}),
        ("POST", "^/tasks/", "status", {"code": 503, "headers": {"Retry-After": "1"}}),
        ("GET", "^/tasks/", "status", {"code": 500}),
        ("GET", "^/tasks/", "drop", {}),
        ("GET", "^/tasks/", "html", {}),
        ("GET", "^/projects/[^/]+$", "late_list", {"looks": 2}),
        ("POST", "/exports$", "accept_then_drop", {}),
        ("POST", "/exports$", "status", {"code": 500}),
        ("GET", "^/renders/", "truncate", {"bytes": 1000}),
        ("GET", "^/renders/", "status", {"code": 403}),
    ]:
        rig.sandbox.fault(method, path, action, **more)
    run_id = rig.start()

    assert rig.end_of(run_id) == "success"
    assert rig.paid() == (1, 2)
    assert len(rig.manifest(run_id)["delivered"]) == 2


def test_a_cleared_run_pays_nothing_and_fetches_nothing_again(rig: Rig) -> None:
    run_id = rig.start()
    assert rig.end_of(run_id) == "success"
    before = rig.manifest(run_id)["delivered"]
    fetched = len(rig.sandbox.requests("GET", "^/renders/"))

    rig.airflow.api("POST", f"/dags/{DAG_ID}/dagRuns/{run_id}/clear", json={"dry_run": False, "only_failed": False})
    rig.airflow.wait_for(
        lambda: rig.airflow.run_state(DAG_ID, run_id) in ("queued", "running"), seconds=30, what="the clear"
    )

    assert rig.end_of(run_id) == "success"
    assert rig.paid() == (1, 2)
    assert rig.manifest(run_id)["delivered"] == before
    assert len(rig.sandbox.requests("GET", "^/renders/")) == fetched
