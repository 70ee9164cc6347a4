"""Actions of users on a run in Airflow's UI."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from klap_provider.rules.ledger_keys import export_log
from tests.support.rig import DAG_ID

if TYPE_CHECKING:
    from tests.support.rig import Rig

pytestmark = [pytest.mark.e2e, pytest.mark.chaos]


def test_a_short_marked_failed_does_not_stop_others_and_its_clear_is_free(rig: Rig) -> None:
    with rig.unfinished("export"):
        run_id = rig.start()
        rig.wait_until(run_id, "short.wait_for_export", "deferred", count=2)
        path = f"/dags/{DAG_ID}/dagRuns/{run_id}/taskInstances/short.wait_for_export/0"
        rig.airflow.api("PATCH", path, json={"new_state": "failed"})

    manifest = rig.check_run(run_id, "failed", due=(1, 2), delivered=1, missing=1)
    assert "wait_for_export" in manifest["missing"][0]["step"]
    assert "failed without an error" in manifest["missing"][0]["error"]

    rig.clear(run_id, only_failed=True)

    rig.check_run(run_id, due=(1, 2), delivered=2)


def test_a_cleared_run_pays_and_downloads_nothing_again(rig: Rig) -> None:
    run_id = rig.start()
    before = rig.check_run(run_id, due=(1, 2), delivered=2)

    rig.clear(run_id)

    after = rig.check_run(run_id, due=(1, 2), delivered=2)
    assert after["delivered"] == before["delivered"]
    assert len(rig.sandbox.requests("GET", "^/renders/")) == 2


def test_resend_of_an_export_pays_once_even_if_a_worker_dies(rig: Rig) -> None:
    run_id = rig.start()
    rig.check_run(run_id, due=(1, 2), delivered=2)
    short = rig.returned(run_id, "select_shorts")[0]["project_id"]
    rig.record_decision("resend", f"{export_log(short)}.0", value=True)
    rig.arm("export.after_answer")

    rig.clear(run_id)

    rig.check_run(run_id, due=(1, 3), delivered=2)


def test_a_damaged_file_is_downloaded_again_after_a_clear(rig: Rig) -> None:
    run_id = rig.start()
    before = rig.check_run(run_id, due=(1, 2), delivered=2)
    spoiled, _ = rig.shorts.glob(f"{before['klap_task_id']}/*.mp4")
    whole = spoiled.read_bytes()
    spoiled.write_bytes(b"")

    rig.clear(run_id)

    rig.check_run(run_id, due=(1, 2), delivered=2)
    assert spoiled.read_bytes() == whole
    assert len(rig.sandbox.requests("GET", "^/renders/")) == 3


def test_a_misspelt_name_in_conf_is_refused_before_anything_is_paid(rig: Rig) -> None:
    run_id = rig.start(limt=1)

    rig.check_run(run_id, "failed", due=(0, 0), delivered=0)
    assert "'limt' (did you mean 'limit'?)" in rig.error_of(run_id, "submit")["error"]
    assert rig.sandbox.requests("POST") == []
