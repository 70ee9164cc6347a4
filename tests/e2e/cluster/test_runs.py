"""The Dags on several machines that share no disk."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import requests

from demo.cluster import MACHINES
from tests.support.rig import DAG_ID

if TYPE_CHECKING:
    from tests.support.machines import Machines

pytestmark = [pytest.mark.e2e, pytest.mark.cluster]

BATCH = "klap_cluster_batch"


def from_plugin(rig: Machines, path: str) -> dict[str, Any]:
    """Return a response of the plugin, which queries the database directly: PostgreSQL in this test."""
    token = requests.get(f"{rig.airflow.url}/auth/token", timeout=30).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    answer = requests.get(f"{rig.airflow.url}/klap/api/{path}", headers=headers, timeout=30)
    answer.raise_for_status()
    return dict(answer.json())


def test_a_run_a_review_and_a_batch_deliver_from_every_machine(rig: Machines) -> None:
    reviewed = rig.start(review=True, source_video_url=rig.talk(0))
    plain = rig.start(limit=3)
    talks = [rig.talk(number) for number in (1, 2)]
    batch = rig.airflow.trigger(BATCH, {"source_video_urls": talks, "destination": rig.destination})
    rig.wait_until(reviewed, "select_shorts", "awaiting_input")

    assert rig.airflow.wait_for_run(BATCH, batch, seconds=180) == "success"
    rig.submit_review(reviewed, 1)  # Airflow loses an answer that comes right after the question
    assert rig.airflow.wait_for_run(DAG_ID, reviewed, seconds=300) == "success"
    summary = rig.airflow.xcom(BATCH, batch, "summary")
    assert (summary["runs"], summary["complete"], summary["shorts"]) == (2, 2, 2)
    rig.check_run(plain, due=(4, 6), delivered=3)
    rig.check_run(reviewed, due=(4, 6), delivered=1)
    assert Counter(ti["hostname"] for ti in rig.airflow.task_instances(DAG_ID, plain)).keys() == set(MACHINES)

    videos = from_plugin(rig, f"dags/{BATCH}/runs/{batch}/shorts")["batch"]["videos"]
    assert [(video["state"], video["cost"] > 0) for video in videos] == [("success", True)] * 2
    runs = {run["run_id"]: run for run in from_plugin(rig, "videos?limit=100")["videos"]}
    assert (runs[batch]["batch"], runs[batch]["shorts"]) == (2, 2)
    assert {plain, reviewed, batch} <= runs.keys()
    assert not {video["run_id"] for video in videos} & runs.keys()
    assert from_plugin(rig, "shorts")["total"] >= 6
    spent = from_plugin(rig, "spending")["dags"]
    assert from_plugin(rig, "payments")["cost"] == pytest.approx(sum(dag["cost"] for dag in spent))
