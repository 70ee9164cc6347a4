"""Changes between a run and its clear: the list, the run, the deployment, the time, and other runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.rig import DAG_ID, first_attempt

if TYPE_CHECKING:
    from tests.support.rig import Rig

pytestmark = [pytest.mark.e2e, pytest.mark.chaos]

LIST = "^/projects/[^/]+$"


def selected(rig: Rig, run_id: str) -> list[str]:
    return [short["project_id"] for short in rig.returned(run_id, "select_shorts")]


@pytest.mark.parametrize(
    "change", [{"grow": 1}, {"grow": 2, "rescore": True}, {"rescore": True}], ids=["grown", "both", "rescored"]
)
def test_a_changed_list_does_not_change_the_selection_of_a_cleared_run(rig: Rig, change: dict[str, Any]) -> None:
    run_id = rig.start()
    rig.check_run(run_id, due=(1, 2), delivered=2)
    before = selected(rig, run_id)
    rig.sandbox.fault("GET", LIST, "changed_list", **change)

    rig.clear(run_id)

    rig.check_run(run_id, due=(1, 2), delivered=2)
    assert selected(rig, run_id) == before


def test_a_short_that_was_deleted_at_klap_is_left_out_after_a_clear(rig: Rig) -> None:
    run_id = rig.start()
    rig.check_run(run_id, due=(1, 2), delivered=2)
    before = selected(rig, run_id)
    rig.sandbox.fault("GET", LIST, "changed_list", shrink=1)

    rig.clear(run_id)

    rig.check_run(run_id, due=(1, 2), delivered=1)
    assert selected(rig, run_id) == before[1:]


def test_a_clear_that_deletes_the_task_state_store_pays_nothing(rig: Rig) -> None:
    run_id = rig.start()
    rig.check_run(run_id, due=(1, 2), delivered=2)
    rig.forget_task_state(run_id)

    rig.clear(run_id)

    rig.check_run(run_id, due=(1, 2), delivered=2)


def test_more_shorts_of_an_existing_task_cost_only_their_exports(rig: Rig) -> None:
    first = rig.start(limit=1)
    rig.check_run(first, due=(1, 1), delivered=1)
    task = rig.sandbox.ledger("task")[0]["id"]
    listed = [short["project_id"] for short in rig.airflow.xcom(DAG_ID, first, "select_shorts", key="klap_shorts")]

    two_more = rig.start(klap_task_id=task, project_ids=listed[1:3])
    rig.check_run(two_more, due=(1, 3), delivered=2)
    assert selected(rig, two_more) == listed[1:3]

    the_best_three = rig.start(klap_task_id=task, limit=3)
    rig.check_run(the_best_three, due=(1, 3), delivered=3)

    unknown = rig.start(klap_task_id=task, project_ids=[listed[0], "nosuchshort1"])
    rig.check_run(unknown, "failed", due=(1, 3), delivered=0)
    assert "nosuchshort1" in rig.error_of(unknown, "select_shorts")["error"]

    bills = [json.loads(path.read_text()) for path in (rig.shorts / task / "runs").iterdir()]
    assert {bill["run_id"]: (bill["cost"]["input_videos"], bill["cost"]["exports"]) for bill in bills} == {
        first: (1, 1),
        two_more: (0, 2),
        the_best_three: (0, 0),
        unknown: (0, 0),
    }


def test_a_deleted_run_is_not_paid_again(rig: Rig) -> None:
    run_id = rig.start(run_id="the_talk")
    rig.check_run(run_id, due=(1, 2), delivered=2)

    rig.delete(run_id)
    rig.start(run_id="the_talk")
    rig.check_run(run_id, due=(1, 2), delivered=2)

    rig.delete(run_id)
    reusing = rig.start(reuse=True)
    rig.check_run(reusing, due=(1, 2), delivered=2)


def test_changed_settings_after_a_clear_are_decided_by_the_user(rig: Rig) -> None:
    run_id = rig.start()
    rig.check_run(run_id, due=(1, 2), delivered=2)
    entry, task = first_attempt(run_id), rig.sandbox.ledger("task")[0]["id"]
    rig.deploy(language="de", klap_conn_id="klap_elsewhere")

    rig.clear(run_id)
    assert rig.airflow.wait_for_run(DAG_ID, run_id, seconds=120) == "failed"
    assert rig.paid() == (1, 2)
    error = rig.error_of(run_id, "submit")
    assert error["type"] == "KlapChangedError"
    for difference in ('language was not set and is "de"', 'klap_conn_id was "klap_default"', 'host was "http://127.'):
        assert difference in error["error"]

    rig.record_decision("adopt", entry, task)
    rig.clear(run_id)
    rig.check_run(run_id, due=(1, 2), delivered=2)

    rig.delete_decision("adopt", entry)
    rig.record_decision("resend", entry, value=True)
    rig.clear(run_id)
    rig.check_run(run_id, due=(2, 4), delivered=2)
    rig.deploy()


@pytest.mark.parametrize("fault", ["late", "listed_late"])
def test_an_export_that_klap_processes_or_lists_late_is_paid_once(rig: Rig, fault: str) -> None:
    rig.sandbox.fault("POST", "/exports$", fault, seconds=9)
    if fault == "listed_late":
        rig.arm("export.after_answer")
    run_id = rig.start(limit=1)

    rig.check_run(run_id, due=(1, 1), delivered=1)


def test_two_runs_that_request_the_same_exports_pay_once(rig: Rig) -> None:
    with rig.unfinished("task"):
        first = rig.start()
        rig.wait_until(first, "wait_for_shorts", "deferred")
        rig.sandbox.fault("POST", "/exports$", "delay", times=2, seconds=3)
        second = rig.start(klap_task_id=rig.sandbox.ledger("task")[0]["id"])
        rig.wait_until(second, "wait_for_shorts", "deferred")
        rig.tally.faults = 0
    rig.sandbox.fault("POST", "/exports$", "delay", times=2, seconds=3)

    rig.check_run(first, due=(1, 2), delivered=2)
    rig.check_run(second, due=(1, 2), delivered=2)


def test_a_clear_while_a_post_is_in_flight_pays_once(rig: Rig) -> None:
    rig.sandbox.fault("POST", "/exports$", "delay", seconds=4)
    run_id = rig.start(limit=1)
    rig.airflow.wait_for(
        lambda: bool(rig.sandbox.requests("POST", "/exports$")), seconds=120, what="the POST of the export"
    )
    rig.airflow.api(
        "POST",
        f"/dags/{DAG_ID}/clearTaskInstances",
        json={"dry_run": False, "dag_run_id": run_id, "task_ids": ["short.export"], "only_failed": False},
    )

    rig.check_run(run_id, due=(1, 1), delivered=1)


def test_a_response_with_only_the_id_is_enough(rig: Rig) -> None:
    rig.sandbox.fault("POST", "^/tasks/", "reshape")
    rig.sandbox.fault("POST", "/exports$", "reshape")
    rig.sandbox.fault("POST", "/exports$", "reshape", shape="wrapped")
    run_id = rig.start()

    rig.check_run(run_id, due=(1, 2), delivered=2)
