"""The API key is in nothing that the chaos tests wrote. By its name, this module runs last."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.rig import DAG_ID
from tests.support.xdist_groups import AIRFLOWS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.rig import Rig

pytestmark = [pytest.mark.e2e, pytest.mark.chaos]


@pytest.mark.parametrize("where", AIRFLOWS)
def test_the_api_key_is_in_nothing_that_the_chaos_tests_wrote(rig: Rig, where: str) -> None:
    marker = f"marker-{secrets.token_hex(8)}"
    rig.sandbox.fault("POST", "/exports$", "job_error", message=f"{marker}: who is {rig.api_key}?")
    run_id = rig.start(limit=1, name=marker)
    rig.check_run(run_id, "failed", due=(1, 1), delivered=0, missing=1)

    places = {"airflow.db", "*.log", "manifest.json", "dagRuns", "taskInstances", "xcomEntries", "logs", "eventLogs"}
    assert places_with(rig, run_id, marker) >= places, "the search finds what is there"
    assert places_with(rig, run_id, rig.api_key) == set()


def places_with(rig: Rig, run_id: str, needle: str) -> set[str]:
    """Return where this text occurs: files of all runs, and responses of Airflow's REST API about this run."""
    files = [file for file in [*rig.airflow.home.rglob("*"), *rig.shorts.rglob("*")] if file.is_file()]
    found = {
        "*.log" if file.suffix == ".log" else file.name.removesuffix("-wal")
        for file in files
        if needle.encode() in file.read_bytes()
    }
    return found | {kind for kind, answer in rest_answers(rig, run_id) if needle in json.dumps(answer)}


def rest_answers(rig: Rig, run_id: str) -> Iterator[tuple[str, Any]]:
    """Give the run, its tasks with their rendered fields and triggers, their XComs and logs, and the events."""
    run, get = f"/dags/{DAG_ID}/dagRuns/{run_id}", rig.airflow.api
    yield "dagRuns", get("GET", run)
    yield "eventLogs", get("GET", "/eventLogs", params={"dag_id": DAG_ID, "order_by": "-when"})
    for ti in rig.airflow.task_instances(DAG_ID, run_id):
        yield "taskInstances", ti
        task = f"{run}/taskInstances/{ti['task_id']}"
        if ti["try_number"]:
            yield "logs", get("GET", f"{task}/logs/{ti['try_number']}", params={"map_index": ti["map_index"]})
    for entry in get("GET", f"{run}/taskInstances/~/xcomEntries")["xcom_entries"]:
        path = f"{run}/taskInstances/{entry['task_id']}/xcomEntries/{entry['key']}"
        yield "xcomEntries", get("GET", path, params={"map_index": entry["map_index"]})
