"""The triggerer, the scheduler and the API server are killed during a run, and started again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.rig import Rig

pytestmark = [pytest.mark.e2e, pytest.mark.chaos]


def test_a_triggerer_killed_in_the_wait_for_the_shorts_costs_time_and_nothing_else(rig: Rig) -> None:
    with rig.unfinished("task"):
        run_id = rig.start()
        rig.wait_until_triggered(run_id, "wait_for_shorts")
        rig.kill("triggerer")
    rig.restart("triggerer")

    rig.check_run(run_id, due=(1, 2), delivered=2)


def test_a_triggerer_killed_in_the_wait_for_exports_while_klap_is_out_of_reach_costs_time_and_nothing_else(
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
            time.sleep(5)  # for some looks

    rig.check_run(run_id, due=(1, 2), delivered=2)


def test_a_scheduler_killed_with_its_workers_in_the_post_of_exports_costs_time_and_nothing_else(rig: Rig) -> None:
    rig.sandbox.fault("POST", "/exports$", "delay", times=2, seconds=4)
    run_id = rig.start()
    rig.airflow.wait_for(lambda: rig.paid() == (1, 2), seconds=60, what="both exports to be paid")
    rig.kill("scheduler")
    rig.restart("scheduler")

    rig.check_run(run_id, due=(1, 2), delivered=2)


def test_a_scheduler_killed_in_a_wait_costs_time_and_nothing_else(rig: Rig) -> None:
    with rig.unfinished("export"):
        run_id = rig.start()
        rig.wait_until(run_id, "short.wait_for_export", "deferred", count=2)
        rig.kill("scheduler")
    rig.wait_until(run_id, "short.wait_for_export", "success", count=2)  # the triggerer ends them by itself
    rig.restart("scheduler")

    rig.check_run(run_id, due=(1, 2), delivered=2)


def test_an_api_server_killed_in_a_wait_costs_time_and_nothing_else(rig: Rig) -> None:
    with rig.unfinished("task"):
        run_id = rig.start()
        rig.wait_until(run_id, "wait_for_shorts", "deferred")
        rig.kill("api-server")
        rig.restart("api-server")

    rig.check_run(run_id, due=(1, 2), delivered=2)
