"""Tasks and exports that fail at Klap, hang, or have an unknown status."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.rig import Rig

pytestmark = [pytest.mark.e2e, pytest.mark.chaos]


def test_failed_and_stuck_exports_do_not_stop_the_others(rig: Rig) -> None:
    rig.patience(30)
    rig.sandbox.fault("POST", "/exports$", "job_error", error_code="render_failed", message="Out of colours")
    rig.sandbox.fault("POST", "/exports$", "stuck")
    rig.sandbox.fault("POST", "/exports$", "unknown_status", word="daydreaming")
    run_id = rig.start(limit=4)

    manifest = rig.check_run(run_id, "failed", due=(1, 4), delivered=1, missing=3)
    assert {short["step"] for short in manifest["missing"]} == {"wait_for_export"}
    reasons = [short["error"] for short in manifest["missing"]]
    for words in ("Out of colours", "Gave up", "'daydreaming'"):
        assert sum(words in reason for reason in reasons) == 1

    rig.clear(run_id)  # pays again only for the failed export

    manifest = rig.check_run(run_id, "failed", due=(1, 5), delivered=2, missing=2)
    assert all("Gave up" in short["error"] for short in manifest["missing"]), "a clear extends no deadline"
    rig.patience(None)


def test_a_failed_task_reports_the_reason_and_a_clear_pays_for_another(rig: Rig) -> None:
    rig.sandbox.fault("POST", "^/tasks/", "job_error", error_code="video_too_long", message="Nine hours of talk")
    run_id = rig.start(limit=1)

    manifest = rig.check_run(run_id, "failed", due=(1, 0), delivered=0)
    assert "Nine hours of talk" in manifest["problem"]
    assert "video_too_long" in manifest["problem"]

    rig.clear(run_id)

    rig.check_run(run_id, due=(2, 1), delivered=1)


def test_a_stuck_task_fails_at_the_deadline_and_a_clear_continues_it(rig: Rig) -> None:
    rig.patience(6)
    response = {"code": 200, "body": {"id": "stuck", "status": "processing"}}
    rig.sandbox.fault("GET", "^/tasks/", "status", times=None, **response)
    run_id = rig.start(limit=1)

    manifest = rig.check_run(run_id, "failed", due=(1, 0), delivered=0)
    assert "Gave up" in manifest["problem"]
    assert "raise the timeout" in manifest["problem"]

    rig.clear(run_id, only_failed=True)  # which extends no deadline

    manifest = rig.check_run(run_id, "failed", due=(1, 0), delivered=0)
    assert "Gave up" in manifest["problem"]

    rig.patience(None)
    rig.sandbox.clear_faults()
    rig.clear(run_id, only_failed=True)

    rig.check_run(run_id, due=(1, 1), delivered=1)


def test_an_unknown_status_fails_by_name_and_a_clear_continues_the_wait(rig: Rig) -> None:
    response = {"code": 200, "body": {"id": "strange", "status": "daydreaming"}}
    rig.sandbox.fault("GET", "^/tasks/", "status", times=None, **response)
    run_id = rig.start(limit=1)

    manifest = rig.check_run(run_id, "failed", due=(1, 0), delivered=0)
    assert "'daydreaming'" in manifest["problem"]

    rig.sandbox.clear_faults()
    rig.sandbox.fault("GET", "^/tasks/", "status", times=2, **response)  # a transient error: the wait retries it
    rig.clear(run_id, only_failed=True)

    rig.check_run(run_id, due=(1, 1), delivered=1)
