"""The promises hold in Airflows with other configurations."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.conftest import BATCH_DAG_ID, DAG_ID

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.config.conftest import Configured

pytestmark = [pytest.mark.e2e, pytest.mark.config]


@pytest.fixture(autouse=True)
def _nothing_sent(configured: Configured) -> None:
    configured.sandbox.reset(task_seconds=2, export_seconds=2)


def manifest(configured: Configured, run_id: str) -> dict[str, Any]:
    folder = configured.xcom(DAG_ID, run_id, "submit")["klap_task_id"]
    found: dict[str, Any] = json.loads((configured.shorts / folder / "manifest.json").read_text())
    return found


def test_a_run_pays_once_delivers_and_a_clear_pays_nothing(configured: Configured) -> None:
    configured.sandbox.reset(task_seconds=15, export_seconds=15)  # longer than a worker needs to start
    run_id = configured.run(source_video_url=configured.sandbox.sample, limit=2)

    assert configured.end_of(run_id) == "success"
    assert configured.waited_in_triggerer(run_id) == {"wait_for_shorts", "short.wait_for_export"}
    first = manifest(configured, run_id)
    assert len(first["delivered"]) == 2
    for short in first["delivered"]:
        delivered = configured.shorts / short["path"].removeprefix("file://")
        assert delivered.stat().st_size == short["size"]
    assert configured.paid() == (1, 2)
    if configured.heard is not None:
        heard = configured.heard.read_text().splitlines()
        assert heard.count(f"{run_id} short.wait_for_export") == 2, "a wait ends on a worker if a plugin has a listener"
    assert first["delivered"][0]["project_id"] in configured.link(run_id, "short.deliver", "Preview short")

    path = f"/dags/{DAG_ID}/dagRuns/{run_id}/clear"
    configured.airflow.api("POST", path, json={"dry_run": False, "only_failed": False})
    configured.airflow.wait_for(
        lambda: configured.airflow.run_state(DAG_ID, run_id) in ("queued", "running"), seconds=30, what="the clear"
    )
    assert configured.end_of(run_id) == "success"
    assert [short["export_id"] for short in manifest(configured, run_id)["delivered"]] == [
        short["export_id"] for short in first["delivered"]
    ]
    assert configured.paid() == (1, 2)


def test_only_shorts_that_a_reviewer_selects_are_paid(configured: Configured) -> None:
    run_id = configured.run(source_video_url=f"{configured.sandbox.sample}?review=1", limit=2, review=True)
    question = f"/dags/{DAG_ID}/dagRuns/{run_id}/taskInstances/select_shorts/-1/hitlDetails"

    configured.airflow.wait_for(lambda: configured.is_asking(run_id), seconds=300, what="the question")
    second = configured.airflow.api("GET", question)["options"][1:2]
    configured.airflow.api("PATCH", question, json={"chosen_options": second, "params_input": {}})

    assert configured.end_of(run_id) == "success"
    found = manifest(configured, run_id)
    assert len(found["delivered"]) == 1
    assert found["review"]["selected"] == [found["delivered"][0]["project_id"]]
    assert configured.paid() == (1, 1)


def test_a_batch_pays_once_for_each_video_and_nothing_the_second_time(configured: Configured) -> None:
    talks = [f"{configured.sandbox.sample}?talk={number}" for number in range(2)]
    conf = {"source_video_urls": [*talks, talks[0]], "limit": 1}

    first = configured.run(BATCH_DAG_ID, **conf)
    assert configured.end_of(first, BATCH_DAG_ID) == "success"
    summary = configured.xcom(BATCH_DAG_ID, first, "summary")
    assert (summary["runs"], summary["complete"], summary["shorts"], summary["duplicates"]) == (2, 2, 2, 1)
    again = configured.run(BATCH_DAG_ID, **conf)
    assert configured.end_of(again, BATCH_DAG_ID) == "success"

    assert configured.xcom(BATCH_DAG_ID, again, "summary") == summary
    assert Counter(entry["kind"] for entry in configured.sandbox.ledger()) == {"task": 2, "export": 2}


def test_no_file_has_a_secret_and_the_package_folder_is_unchanged(configured: Configured) -> None:
    def with_a_secret(folder: Path) -> list[Path]:
        files = [file for file in folder.rglob("*") if file.is_file()]
        assert files
        return [file for file in files if any(secret in file.read_bytes() for secret in configured.secrets)]

    for folder in (configured.airflow.home, configured.shorts, *configured.outside):
        assert with_a_secret(folder) == []
    if configured.plugins is not None:
        assert [*configured.plugins.rglob("__pycache__")] == []
