"""The quick part of the chaos tests: what passes at Klap, on the DAG as it is shipped. The others: make test-chaos."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.conftest import Stage

pytestmark = pytest.mark.e2e


def test_what_passes_at_klap_neither_fails_a_run_nor_is_paid_for_twice(stage: Stage) -> None:
    for method, path, action, more in [
        ("POST", "^/tasks/", "status", {"code": 429, "headers": {"Retry-After": "1"}}),
        ("GET", "^/tasks/", "status", {"code": 500}),
        ("GET", "^/tasks/", "drop", {}),
        ("GET", "^/tasks/", "html", {}),
        ("GET", "^/projects/[^/]+$", "late_list", {"polls": 2}),
        ("POST", "/exports$", "accept_then_drop", {}),
    ]:
        stage.sandbox.fault(method, path, action, **more)
    run_id = stage.trigger(limit=1)

    assert stage.end_of(run_id) == "success"
    assert Counter(entry["kind"] for entry in stage.sandbox.ledger()) == {"task": 1, "export": 1}
    assert len(stage.manifest_of(run_id)["delivered"]) == 1
    met = {request["fault"] for request in stage.sandbox.requests()}
    assert met >= {"status", "drop", "html", "late_list", "accept_then_drop"}
