"""A machine dies, or loses Klap or the API server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.machines import Machines

pytestmark = [pytest.mark.e2e, pytest.mark.cluster]


def test_a_machine_dies_during_submit_export_and_delivery(
    rig: Machines,
) -> None:
    moments = ["task.after_record", "export.after_answer", "download.midway"]
    with rig.all_work_on("one"):
        rig.arm_to_freeze(*moments)
        runs = [rig.start(limit=1) for _ in moments]
        rig.kill_machine(rig.wait_until_frozen(*moments))
    rig.revive()

    rig.check_runs(runs, due=(3, 3), delivered=1)


def about_to_post_on_one(rig: Machines) -> str:
    """Start a run, and return its id when the first machine is about to send the POST of its export."""
    with rig.all_work_on("one"):
        rig.hold("export")
        run_id = rig.start(limit=1)
        rig.wait_until_held("export")
    return run_id


def test_a_worker_without_the_api_server_pays_once(rig: Machines) -> None:
    run_id = about_to_post_on_one(rig)
    with (
        rig.all_work_on("two"),
        rig.cut_off(rig.lines["one"].api),
    ):  # otherwise this worker takes each retry and fails it at once
        rig.release("export")
        rig.airflow.wait_for(lambda: rig.paid() == (1, 1), seconds=30, what="the POST")
        rig.check_run(run_id, due=(1, 1), delivered=1)

    assert rig.machine_of(run_id, "short.export", 0) == "two"


def test_a_worker_without_klap_leaves_the_post_to_a_retry(rig: Machines) -> None:
    run_id = about_to_post_on_one(rig)
    with rig.all_work_on("two"), rig.cut_off(rig.lines["one"].klap):
        rig.release("export")
        rig.wait_until(run_id, "short.export", "success")
    rig.check_run(run_id, due=(1, 1), delivered=1)  # whose wait may be in that machine's triggerer

    assert rig.machine_of(run_id, "short.export", 0) == "two"
