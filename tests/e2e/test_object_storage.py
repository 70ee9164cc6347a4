"""A video in S3 becomes shorts in S3, and starts a Dag that is scheduled on the asset."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import requests

from demo.servers import SECRET_KEY
from klap_provider.api.redaction import shown
from tests.e2e.conftest import CONSUMER, DAG_ID, Stage
from tests.support.videos import size_of

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.e2e


def test_a_video_in_s3_becomes_shorts_in_s3_and_starts_the_consumer(stage: Stage, tmp_path: Path) -> None:
    stage.s3.put("talks/talk.mp4", requests.get(stage.sandbox.sample, timeout=60).content)
    talk, before, known = "s3://media_s3@media/talks/talk.mp4", stage.worker_starts(), stage.consumers()
    run_id = stage.trigger(source_video_url=talk, destination="s3://media_s3@media/shorts", limit=3)
    assert stage.end_of(run_id) == "success"

    submitted = stage.airflow.xcom(DAG_ID, run_id, "submit")["klap_task_id"]
    manifest = json.loads(stage.s3.get(f"shorts/{submitted}/manifest.json"))
    assert manifest["source_video_url"] == shown(talk)
    assert len(manifest["delivered"]) == 3
    own = stage.airflow.xcom(DAG_ID, run_id, "publish")["manifest"]
    names = {"manifest.json", own.rpartition(f"{submitted}/")[2]}
    for short in manifest["delivered"]:
        key, beside = (short[name].removeprefix("s3://media_s3@media/") for name in ("path", "sidecar"))
        names |= {key.rpartition("/")[2], beside.rpartition("/")[2]}
        video = tmp_path / "short.mp4"
        video.write_bytes(stage.s3.get(key))
        assert size_of(video) == (270, 480)
        sidecar = json.loads(stage.s3.get(beside))
        assert (sidecar["sha256"], sidecar["virality_score"]) == (short["sha256"], short["virality_score"])
        assert (sidecar["source_video_url"], sidecar["klap_task_id"]) == (shown(talk), submitted)
        assert sidecar["publication_captions"].keys() == {"tiktok", "youtube", "linkedin", "instagram"}
    assert set(stage.s3.keys()) == {"talks/talk.mp4", *(f"shorts/{submitted}/{name}" for name in names)}

    stage.airflow.wait_for(lambda: len(stage.consumers()) > len(known), seconds=60, what="the consumer's run")
    (started,) = set(stage.consumers()).difference(known)
    assert stage.airflow.wait_for_run(CONSUMER, started, seconds=120) == "success"
    heard = stage.airflow.xcom(CONSUMER, started, "collect")
    assert [(short["project_id"], short["path"], short["sha256"]) for short in heard] == [
        (short["project_id"], short["path"], short["sha256"]) for short in manifest["delivered"]
    ]
    assert all(short["publication_captions"] and short["transcript"] for short in heard)
    assert stage.worker_starts() - before == 4 + 3 * 3 + 1, "the consumer's task and those of the run"
    assert len(stage.sandbox.ledger("task")) == 1

    (paid,) = stage.sandbox.ledger("task")
    signature = paid["body"]["source_video_url"].partition("Signature=")[2].partition("&")[0]
    assert signature
    files = [file for file in stage.airflow.home.rglob("*") if file.is_file()]
    secrets = (signature.encode(), SECRET_KEY.encode())
    assert [file for file in files if any(secret in file.read_bytes() for secret in secrets)] == []
