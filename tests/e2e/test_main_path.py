"""The main path on a complete Airflow: scheduler, workers, triggerer, Dag processor and API server."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from airflow import __version__ as airflow_version

from tests.e2e.conftest import CONSUMER, DAG_ID, Stage
from tests.support.videos import size_of

pytestmark = pytest.mark.e2e


def test_a_video_becomes_shorts_without_a_worker_waiting_for_klap(stage: Stage) -> None:
    stage.sandbox.reset(task_seconds=10, export_seconds=20)  # longer than a worker needs to start
    before = stage.worker_starts()
    run_id = stage.trigger(limit=3, watermark_src_url=f"{stage.sandbox.root}/nothing.png")
    seen: set[tuple[str, str]] = set()

    def ended() -> bool:
        seen.update((ti["task_id"], ti["state"]) for ti in stage.airflow.task_instances(DAG_ID, run_id))
        return stage.airflow.run_state(DAG_ID, run_id) in ("success", "failed")

    stage.airflow.wait_for(ended, seconds=180, what="the run to end")

    assert stage.airflow.run_state(DAG_ID, run_id) == "success"
    assert {("wait_for_shorts", "deferred"), ("short.wait_for_export", "deferred")} <= seen
    assert stage.worker_starts() - before == 4 + 3 * 3
    manifest = stage.manifest_of(run_id)
    assert manifest["missing"] == []
    scores = [short["virality_score"] for short in manifest["delivered"]]
    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)
    for short in manifest["delivered"]:
        video = Path(short["path"].removeprefix("file://"))
        assert size_of(video) == (270, 480)
        assert video.stat().st_size == short["size"]
    assert Counter(entry["kind"] for entry in stage.sandbox.ledger()) == {"task": 1, "export": 3}
    assert {entry["body"]["watermark"]["pos_x"] for entry in stage.sandbox.ledger("export")} == {0.5}


def test_a_wait_returns_the_same_from_the_trigger_and_from_a_worker(stage: Stage) -> None:
    stage.sandbox.reset(task_seconds=10, export_seconds=2)  # the task takes longer than a worker needs to start
    run_id = stage.trigger(limit=1)
    assert stage.end_of(run_id) == "success"
    folder_id = stage.manifest_of(run_id)["folder_id"]

    task = stage.airflow.xcom(DAG_ID, run_id, "wait_for_shorts")
    export = stage.airflow.xcom(DAG_ID, run_id, "short.wait_for_export", map_index=0)

    shorts = stage.airflow.xcom(DAG_ID, run_id, "select_shorts", key="klap_shorts")
    assert sorted(task.pop("listed_ids")) == sorted(short["project_id"] for short in shorts)
    assert task == {
        "klap_task_id": stage.airflow.xcom(DAG_ID, run_id, "submit")["klap_task_id"],
        "output_type": "folder",
        "output_id": folder_id,
    }
    assert export.keys() == {"export_id", "project_id", "folder_id", "src_url"}
    assert export["folder_id"] == folder_id


def test_a_failed_export_does_not_stop_others_and_a_clear_pays_only_for_it(stage: Stage) -> None:
    stage.sandbox.fault("POST", "/exports$", "job_error", error_code="render_failed", message="Out of colours")
    run_id = stage.trigger(limit=3)

    assert stage.end_of(run_id) == "failed"
    manifest = stage.manifest_of(run_id)
    assert len(manifest["delivered"]) == 2
    [missing] = manifest["missing"]
    assert missing["step"] == "wait_for_export"
    assert "render_failed" in missing["error"]
    assert "Out of colours" in missing["error"]
    assert len(stage.sandbox.ledger("export")) == 3

    clear_run(stage, run_id)  # every task, also those that pay

    assert stage.end_of(run_id) == "success"
    assert len(stage.manifest_of(run_id)["delivered"]) == 3
    assert Counter(entry["kind"] for entry in stage.sandbox.ledger()) == {"task": 1, "export": 4}


@pytest.mark.parametrize(
    ("field", "error"),
    [
        ({"min_duration": 100, "max_duration": 50}, "min_duration (100 s) is longer than max_duration (50 s)"),
        ({"source_video_url": "https://"}, "source_video_url"),
    ],
)
def test_input_that_the_form_cannot_check_fails_before_anything_is_paid(
    stage: Stage, field: dict[str, Any], error: str
) -> None:
    before = stage.worker_starts()
    run_id = stage.trigger(**field)

    assert stage.end_of(run_id) == "failed"
    failure = stage.airflow.xcom(DAG_ID, run_id, "submit", key="klap_error")
    assert error in failure["error"]
    assert stage.sandbox.ledger() == []
    assert stage.worker_starts() - before == 2, "submit without retries, and publish"


def test_mapped_tasks_have_the_names_and_links_of_their_shorts(stage: Stage) -> None:
    run_id = stage.trigger(limit=2)
    assert stage.end_of(run_id) == "success"
    names = {short["short_name"] for short in stage.manifest_of(run_id)["delivered"]}

    instances = stage.airflow.task_instances(DAG_ID, run_id)

    for step in ("export", "wait_for_export", "deliver"):
        assert {ti["rendered_map_index"] for ti in instances if ti["task_id"] == f"short.{step}"} == names
    links = stage.airflow.api(
        "GET", f"/dags/{DAG_ID}/dagRuns/{run_id}/taskInstances/short.export/links", params={"map_index": 0}
    )
    short = stage.airflow.xcom(DAG_ID, run_id, "short.export", map_index=0)
    assert links["extra_links"] == {
        "Open in Klap": f"https://klap.app/spaces/{short['folder_id']}#{short['project_id']}"
    }


def test_each_asset_event_reaches_the_consuming_dag(stage: Stage) -> None:
    known, airflow = stage.consumers(), stage.airflow
    (asset,) = airflow.api("GET", "/assets", params={"name_pattern": "s3://media/shorts"})["assets"]
    scheduler = airflow.processes["scheduler"].pid

    def record(name: str) -> None:
        short = {"project_id": name, "virality_score": 87, "path": f"/{name}.mp4", "publication_captions": None}
        airflow.api("POST", "/assets/events", json={"asset_id": asset["id"], "extra": {"shorts": [short]}})

    def received() -> list[list[str]]:
        runs = set(stage.consumers()).difference(known)
        ended = [run_id for run_id in runs if airflow.run_state(CONSUMER, run_id) == "success"]
        return [[short["project_id"] for short in airflow.xcom(CONSUMER, each, "collect")] for each in ended]

    os.kill(scheduler, signal.SIGSTOP)  # so that the events wait
    try:
        for name in ("a", "b", "c"):
            record(name)
    finally:
        os.kill(scheduler, signal.SIGCONT)
    airflow.wait_for(lambda: bool(received()), seconds=120, what="the first run")
    record("d")
    airflow.wait_for(lambda: sum(map(len, received())) >= 4, seconds=120, what="four events")
    is_old = airflow_version.startswith("3.3.")
    assert sorted(map(sorted, received())) == ([["a"], ["b", "c", "d"]] if is_old else [["a"], ["b"], ["c"], ["d"]])


def test_the_api_key_is_in_nothing_that_airflow_wrote(stage: Stage) -> None:
    api_key = stage.secrets[0].decode()
    stage.sandbox.fault("POST", "/tasks/", "status", code=422, body={"message": f"bad key {api_key}?"})
    assert stage.end_of(stage.trigger()) == "failed"
    assert stage.leaks() == []


def clear_run(stage: Stage, run_id: str) -> None:
    path = f"/dags/{DAG_ID}/dagRuns/{run_id}/clear"
    stage.airflow.api("POST", path, json={"dry_run": False, "only_failed": False})
    stage.airflow.wait_for(
        lambda: stage.airflow.run_state(DAG_ID, run_id) in ("queued", "running"), seconds=30, what="the clear"
    )
