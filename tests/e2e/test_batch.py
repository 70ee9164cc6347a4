"""A batch on a complete Airflow. A second batch with the same list pays nothing."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from klap_provider.rules.video_list import label
from tests.e2e.conftest import BATCH_DAG_ID, DAG_ID

if TYPE_CHECKING:
    from tests.e2e.conftest import Stage

pytestmark = pytest.mark.e2e

AT_A_TIME = 4


def play(stage: Stage, urls: list[str]) -> tuple[str, int]:
    """Run the batch to its end, and return its id and the highest number of concurrent runs."""
    run_id = stage.airflow.trigger(
        BATCH_DAG_ID,
        {
            "source_video_urls": urls,
            "limit": 1,
            "max_clip_count": 2,
            "width": 270,
            "height": 480,
            "destination": f"{stage.shorts}/batch",  # several concurrent runs deliver their first shorts there
        },
    )
    most = 0

    def ended() -> bool:
        nonlocal most
        runs = stage.airflow.api("GET", f"/dags/{DAG_ID}/dagRuns", params={"run_id_pattern": "klap__", "limit": 100})
        most = max(most, sum(run["state"] in ("queued", "running") for run in runs["dag_runs"]))
        return stage.airflow.run_state(BATCH_DAG_ID, run_id) in ("success", "failed")

    stage.airflow.wait_for(ended, seconds=600, what="the batch to end")
    return run_id, most


def videos_of(stage: Stage, run_id: str) -> list[dict[str, Any]]:
    instances = stage.airflow.task_instances(BATCH_DAG_ID, run_id)
    return sorted((ti for ti in instances if ti["task_id"] == "video"), key=lambda ti: ti["map_index"])


def test_a_batch_delivers_what_it_can_and_a_second_one_pays_nothing(stage: Stage) -> None:
    talks = [f"{stage.sandbox.sample}?talk={number}" for number in range(10)]
    gone = f"{stage.sandbox.root}/gone.mp4"
    urls = [*talks[:4], f" {talks[0]}#t=30", gone, *talks[4:]]
    assert len(urls) == 12
    stage.sandbox.reset(task_seconds=1, export_seconds=1)
    stage.sandbox.fault("POST", "/exports$", "job_error", error_code="render_failed", message="Out of colours")

    run_id, most = play(stage, urls)

    assert stage.airflow.run_state(BATCH_DAG_ID, run_id) == "failed"
    summary = stage.airflow.xcom(BATCH_DAG_ID, run_id, "summary")
    counts = {name: count for name, count in summary.items() if isinstance(count, int)}
    assert counts == {"videos": 11, "runs": 10, "complete": 9, "shorts": 9, "duplicates": 1}, summary["incomplete"]
    assert summary["left_out"] == [{"source_video_url": gone, "line": 6, "reason": "HTTP 404"}]
    [failed] = summary["incomplete"]
    assert failed["state"] == "failed"
    assert "render_failed" in failed["error"]
    assert "Out of colours" in failed["error"]
    error = stage.airflow.xcom(BATCH_DAG_ID, run_id, "summary", key="klap_error")["error"]
    assert failed["run_id"] in error
    assert gone in error
    ledger = stage.sandbox.ledger()
    assert Counter(entry["kind"] for entry in ledger) == {"task": 10, "export": 10}
    assert {entry["body"]["source_video_url"] for entry in ledger if entry["kind"] == "task"} == set(talks)
    assert most == AT_A_TIME

    before = stage.worker_starts()
    again, _ = play(stage, urls)

    assert stage.sandbox.ledger() == ledger
    assert stage.airflow.xcom(BATCH_DAG_ID, again, "summary") == summary
    assert stage.worker_starts() - before == 1 + 10 + 1, "read_list, one check of each run, and summary"

    for batch in (run_id, again):
        for talk, video in zip(talks, videos_of(stage, batch), strict=True):
            assert video["rendered_map_index"] == label(talk)
            path = f"/dags/{BATCH_DAG_ID}/dagRuns/{batch}/taskInstances/video"
            links = stage.airflow.api("GET", f"{path}/links", params={"map_index": video["map_index"]})["extra_links"]
            child = links["Run of this video"].rpartition("/runs/")[2]
            assert links["Run of this video"] == f"{stage.airflow.url}/dags/{DAG_ID}/runs/{child}"
            conf = stage.airflow.api("GET", f"/dags/{DAG_ID}/dagRuns/{child}")["conf"]
            assert conf["source_video_url"] == talk
