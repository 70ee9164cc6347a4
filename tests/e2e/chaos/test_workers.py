"""Workers are killed around a paid POST and during a download."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.rig import first_attempt

if TYPE_CHECKING:
    from tests.support.rig import Rig

pytestmark = [pytest.mark.e2e, pytest.mark.chaos]

MOMENTS = ["before_post", "during_post", "after_answer", "after_record"]


def test_workers_killed_around_the_post_of_an_export_pay_once(rig: Rig) -> None:
    rig.arm(*(f"export.{moment}" for moment in MOMENTS))
    rig.sandbox.fault("POST", "/exports$", "delay", times=None, seconds=3)
    run_id = rig.start(limit=4)

    rig.check_run(run_id, due=(1, 4), delivered=4)


def test_a_worker_killed_after_the_task_was_recorded_pays_once(rig: Rig) -> None:
    rig.arm("task.after_record")
    run_id = rig.start()

    rig.check_run(run_id, due=(1, 2), delivered=2)


@pytest.mark.parametrize("moment", MOMENTS[:3])
def test_a_submission_of_a_killed_worker_is_decided_by_the_user(rig: Rig, moment: str) -> None:
    rig.arm(f"task.{moment}")
    if moment == "during_post":
        rig.sandbox.fault("POST", "^/tasks/", "delay", seconds=3)
    run_id = rig.start()

    rig.check_run(run_id, "failed", due=(0 if moment == "before_post" else 1, 0), delivered=0, unknown=True)
    rig.resolve_submission(run_id)
    rig.check_run(run_id, due=(1, 2), delivered=2)


def test_resend_of_a_submission_pays_once_even_if_a_worker_dies(rig: Rig) -> None:
    rig.arm("task.before_post")
    run_id = rig.start()
    rig.check_run(run_id, "failed", due=(0, 0), delivered=0, unknown=True)
    entry = first_attempt(run_id)
    rig.record_decision("resend", entry, value=True)
    rig.arm("task.after_answer")
    rig.clear(run_id)

    rig.check_run(run_id, "failed", due=(1, 0), delivered=0, unknown=True)
    rig.record_decision("adopt", f"{entry.removesuffix('.0')}.1", rig.sandbox.ledger("task")[0]["id"])
    rig.clear(run_id)
    rig.check_run(run_id, due=(1, 2), delivered=2)


def test_a_worker_killed_during_a_download_leaves_no_partial_file(rig: Rig) -> None:
    rig.arm("download.midway")
    run_id = rig.start()

    rig.check_run(run_id, due=(1, 2), delivered=2)
    fetched = sorted(request["path"] for request in rig.sandbox.requests("GET", "^/renders/"))
    assert len(fetched) == 3
    assert len(set(fetched)) == 2
