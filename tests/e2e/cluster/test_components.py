"""One of two components dies, a shared server restarts, or all components are restarted one by one."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from demo.cluster import MACHINE_COMPONENTS, MACHINES

if TYPE_CHECKING:
    from tests.support.machines import Machines

pytestmark = [pytest.mark.e2e, pytest.mark.cluster]

WAITS, COUNT = "klap_cluster_waits", 200


def scheduled(rig: Machines, run_id: str) -> int:
    """Return the number of tasks of a run that wait for a slot."""
    path, asked = f"/dags/{WAITS}/dagRuns/{run_id}/taskInstances", {"state": "scheduled", "limit": 1}
    return int(rig.airflow.api("GET", path, params=asked)["total_entries"])


def test_one_of_two_triggerers_dies_and_the_other_takes_over_200_waits(rig: Machines) -> None:
    rig.airflow.api("POST", "/pools", json={"name": "closed", "slots": 0})
    with rig.unfinished("task"):
        run_id = rig.airflow.trigger(WAITS, {})
        rig.airflow.wait_for(lambda: scheduled(rig, run_id) == COUNT, seconds=60, what="the tasks")
        script = Path(__file__).parent / "deferred.py"
        environment = {**rig.airflow.env, "KLAP_MACHINE": "head"}
        subprocess.run([rig.airflow.python, script, run_id], env=environment, check=True)
        rig.airflow.wait_for(lambda: sum(rig.waits().values()) == COUNT, seconds=60, what="all to be taken up")
        assert min(rig.waits().values()) > 0, "both triggerers have waits"

        rig.kill("triggerer@one")
        rig.airflow.wait_for(lambda: rig.waits() == {"two": COUNT}, seconds=60, what="the other one to have them all")
        before = len(rig.sandbox.requests("GET", "^/tasks/task-"))

        def polled() -> set[str]:
            return {each["path"] for each in rig.sandbox.requests("GET", "^/tasks/task-")[before:]}

        rig.airflow.wait_for(lambda: len(polled()) == COUNT, seconds=30, what="a poll of each task")
        rig.airflow.api("PATCH", f"/dags/{WAITS}/dagRuns/{run_id}", json={"state": "failed"})
    rig.revive()


def test_one_of_two_schedulers_dies_with_tasks_in_progress(rig: Machines) -> None:
    rig.hold("export")
    run_id = rig.start()
    rig.wait_until_held("export")
    rig.kill("scheduler@one")
    rig.release("export")

    rig.check_run(run_id, due=(1, 2), delivered=2)


def test_redis_restarts_empty(rig: Machines) -> None:
    with rig.unfinished("task"):
        run_id = rig.start()
        rig.wait_until(run_id, "wait_for_shorts", "deferred")
        rig.take_no_tasks(*MACHINES)
    rig.wait_until(run_id, "select_shorts", "queued")
    rig.cluster.redis.stop()
    rig.tally.kills += 1
    rig.cluster.redis.start()
    rig.take_tasks(*MACHINES)

    rig.check_run(run_id, due=(1, 2), delivered=2)


def test_postgresql_restarts_during_posts(rig: Machines) -> None:
    rig.sandbox.fault("POST", "/exports$", "delay", times=None, seconds=3)
    run_id = rig.start()
    rig.airflow.wait_for(lambda: rig.paid()[1] > 0, seconds=60, what="a POST")
    rig.cluster.postgres.stop()
    rig.tally.kills += 1
    rig.cluster.postgres.start()
    rig.wait_for_heartbeats()  # components that do not survive it have ended by then
    rig.revive()

    rig.check_run(run_id, due=(1, 2), delivered=2)


def test_all_components_are_restarted_one_by_one(rig: Machines) -> None:
    runs = []
    machines = [[f"{name}@{machine}" for name in MACHINE_COMPONENTS] for machine in MACHINES]
    for names in [["api-server"], ["dag-processor"], *machines]:
        runs.append(rig.start(limit=1))
        rig.restart_gently(*names)

    rig.check_runs(runs, due=(len(runs), len(runs)), delivered=1)
