"""The triggerer, the scheduler and the API server are killed during a run, and started again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.rig import Rig

pytestmark = [pytest.mark.e2e, pytest.mark.chaos]


def test_the_triggerer_is_killed_during_a_wait(rig: Rig) -> None:
    with rig.unfinished("task"):
        run_id = rig.start()
        rig.wait_until_triggered(run_id, "wait_for_shorts")
        rig.kill("triggerer")
    rig.restart("triggerer")

    rig.check_run(run_id, due=(1, 2), delivered=2)


def test_the_triggerer_is_killed_while_klap_cannot_be_reached(
    rig: Rig,
) -> None:
    with rig.unfinished("export"):
        run_id = rig.start()
        rig.wait_until(run_id, "short.wait_for_export", "deferred", count=2)
        rig.wait_until_triggered(run_id, "short.wait_for_export")
        with rig.outage():
            rig.kill("triggerer")
            rig.restart("triggerer")
            rig.wait_until_triggered(run_id, "short.wait_for_export", triggerers=2)
            time.sleep(5)  # for some polls

    rig.check_run(run_id, due=(1, 2), delivered=2)


def test_the_scheduler_and_its_workers_are_killed_during_posts_of_exports(rig: Rig) -> None:
    rig.sandbox.fault("POST", "/exports$", "delay", times=2, seconds=4)
    run_id = rig.start()
    rig.airflow.wait_for(lambda: rig.paid() == (1, 2), seconds=60, what="both exports to be paid")
    rig.kill("scheduler")
    rig.restart("scheduler")

    rig.check_run(run_id, due=(1, 2), delivered=2)


def test_the_scheduler_is_killed_during_a_wait(rig: Rig) -> None:
    with rig.unfinished("export"):
        run_id = rig.start()
        rig.wait_until(run_id, "short.wait_for_export", "deferred", count=2)
        rig.kill("scheduler")
    rig.wait_until(
        run_id, "short.wait_for_export", "success", count=2
    )  # the triggerer ends the waits without a scheduler
    rig.restart("scheduler")

    rig.check_run(run_id, due=(1, 2), delivered=2)


def test_the_api_server_is_killed_during_a_wait(rig: Rig) -> None:
    with rig.unfinished("task"):
        run_id = rig.start()
        rig.wait_until(run_id, "wait_for_shorts", "deferred")
        rig.kill("api-server")
        rig.restart("api-server")

    rig.check_run(run_id, due=(1, 2), delivered=2)
