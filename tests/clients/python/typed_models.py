"""A client that parses every response into models of Klap's object formats."""

import os
import time
from datetime import datetime
from typing import Literal
from uuid import UUID

import httpx
from pydantic import BaseModel


class Job(BaseModel):
    id: str
    status: Literal["processing", "ready", "error"]
    created_at: datetime


class Task(Job):
    type: Literal["video-to-shorts", "video-to-video"]
    output_type: Literal["folder", "project"]
    output_id: str


class Project(BaseModel):
    id: str
    author_id: UUID
    folder_id: str | None
    name: str
    created_at: datetime
    virality_score: float | None
    virality_score_explanation: str | None


class Export(Job):
    src_url: str | None
    project_id: str
    folder_id: str | None
    finished_at: datetime | None
    name: str
    author_id: UUID
    descriptions: str


klap = httpx.Client(
    base_url=os.environ["KLAP_URL"], headers={"Authorization": f"Bearer {os.environ['KLAP_KEY']}"}, timeout=30
)


def wait(kind, path):
    while (job := kind.model_validate(klap.get(path).raise_for_status().json())).status == "processing":
        time.sleep(0.05)
    assert job.status == "ready"
    return job


request = {
    "source_video_url": os.environ["VIDEO_URL"],
    "max_clip_count": 2,
    "dimensions": {"width": 720, "height": 1280},
}
task = Task.model_validate(klap.post("/tasks/video-to-shorts", json=request).raise_for_status().json())
folder = wait(Task, f"/tasks/{task.id}").output_id
assert folder == task.output_id
best = max(map(Project.model_validate, klap.get(f"/projects/{folder}").json()), key=lambda each: each.virality_score)
mark = {"src_url": "https://example.com/logo.png", "pos_x": 1, "pos_y": 0.0, "scale": 0.4}
posted = klap.post(f"/projects/{folder}/{best.id}/exports", json={"watermark": mark}).raise_for_status().json()
print("VIDEO", wait(Export, f"/projects/{folder}/{best.id}/exports/{Export.model_validate(posted).id}").src_url)
