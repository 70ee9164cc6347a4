"""Captioning a whole video on a complete Airflow, for a managed user."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.videos import size_of

if TYPE_CHECKING:
    from tests.e2e.conftest import Stage

pytestmark = pytest.mark.e2e

DAG_ID = "klap_caption_video"


def test_a_video_is_captioned_without_a_worker_waiting_for_klap(stage: Stage) -> None:
    stage.sandbox.reset(task_seconds=10, export_seconds=20)  # longer than a worker needs to start
    before = stage.worker_starts()
    user = stage.sandbox.call("POST", "/users").json()["id"]
    run_id = stage.trigger(DAG_ID, name="Town hall", width=480, height=270, on_behalf_of=user)

    assert stage.end_of(run_id, DAG_ID) == "success"
    assert stage.worker_starts() - before == 4 + 3
    manifest = stage.manifest_of(run_id, DAG_ID)
    assert (manifest["folder_id"], manifest["missing"], manifest["problem"]) == (None, [], None)
    [video] = manifest["delivered"]
    assert (video["virality_score"], video["folder_id"]) == (None, None)
    file = Path(video["path"].removeprefix("file://"))
    assert file.name == f"town-hall_{video['export_id']}.mp4"
    assert (size_of(file), file.stat().st_size) == ((480, 270), video["size"])
    assert [file.name for file in file.parent.glob("*.mp4")] == [file.name]
    paid = [(entry["kind"], entry["on_behalf_of"]) for entry in stage.sandbox.ledger()]
    assert paid == [("task", user), ("export", user)]
    assert len(stage.sandbox.requests("POST", "^/(tasks|projects)/")) == 2

    assert stage.leaks() == [], "no key and no token in XComs, rendered fields, triggers or logs"
    links = stage.airflow.api(
        "GET", f"/dags/{DAG_ID}/dagRuns/{run_id}/taskInstances/video.deliver/links", params={"map_index": 0}
    )
    assert links["extra_links"] == {
        "Exported video": stage.airflow.xcom(DAG_ID, run_id, "video.deliver", map_index=0)["src_url"],
        "Preview short": f"https://klap.app/player/{video['project_id']}",
    }
