"""Unexpected responses of Klap."""

from __future__ import annotations

import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.support.rig import Rig

pytestmark = [pytest.mark.e2e, pytest.mark.chaos]


def test_transient_errors_of_klap_are_retried(rig: Rig) -> None:
    for method, path, action, more in [
        ("POST", "^/tasks/", "status", {"code": 503, "headers": {"Retry-After": "1"}, "body": {"message": "busy"}}),
        ("GET", "^/tasks/", "status", {"code": 500}),
        ("GET", "^/tasks/", "status", {"code": 429, "headers": {"Retry-After": "1"}}),
        ("GET", "^/tasks/", "drop", {}),
        ("GET", "^/tasks/", "html", {}),
        ("GET", "^/tasks/", "html", {"code": 403}),
        ("GET", "^/tasks/", "empty", {}),
        ("GET", "^/projects/[^/]+$", "late_list", {"polls": 2}),
        ("GET", "/exports/", "status", {"code": 500}),
        ("GET", "/exports/", "drop", {}),
        ("GET", "/exports/", "html", {}),
        ("GET", "/exports/", "html", {"code": 401}),
        ("GET", "/exports/", "html", {"code": 404}),
        ("GET", "^/renders/", "truncate", {"bytes": 1000}),
        ("GET", "^/renders/", "status", {"code": 403}),
        ("GET", "^/renders/", "not_a_video", {}),
    ]:
        rig.sandbox.fault(method, path, action, **more)
    run_id = rig.start()

    rig.check_run(run_id, due=(1, 2), delivered=2)
    assert {request["fault"] for request in rig.sandbox.requests()} >= {"status", "drop", "html", "empty", "late_list"}


def test_a_post_is_repeated_no_sooner_than_retry_after(rig: Rig) -> None:
    moment = int(time.time()) + 20  # a date has whole seconds only
    for asked in ("3", formatdate(moment, usegmt=True)):
        rig.sandbox.fault("POST", "^/tasks/", "status", code=429, headers={"Retry-After": asked})
    run_id = rig.start(limit=1)

    rig.check_run(run_id, due=(1, 1), delivered=1)
    first, second, third = (request["at"] for request in rig.sandbox.requests("POST", "^/tasks/"))
    assert second - first >= 3
    assert moment <= third


def test_a_lost_response_to_an_export_is_resolved_and_paid_once(rig: Rig) -> None:
    for action, more in [
        ("accept_then_drop", {}),
        ("drop", {}),
        ("status", {"code": 500}),
        ("html", {}),
        ("status", {"code": 429, "headers": {"Retry-After": "1"}}),
    ]:
        rig.sandbox.fault("POST", "/exports$", action, **more)
    run_id = rig.start(limit=5)

    rig.check_run(run_id, due=(1, 5), delivered=5)


@pytest.mark.parametrize(
    ("action", "more"),
    [("accept_then_drop", {}), ("drop", {}), ("status", {"code": 500}), ("html", {})],
    ids=["accept_then_drop", "drop", "500", "html"],
)
def test_a_lost_response_to_a_submission_is_decided_by_the_user(rig: Rig, action: str, more: dict[str, Any]) -> None:
    rig.sandbox.fault("POST", "^/tasks/", action, **more)
    run_id = rig.start()

    rig.check_run(run_id, "failed", due=(1 if action == "accept_then_drop" else 0, 0), delivered=0, unknown=True)
    rig.resolve_submission(run_id)
    rig.check_run(run_id, due=(1, 2), delivered=2)
