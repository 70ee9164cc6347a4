"""The same flow with nothing but the HTTP provider: what a user would write who does not have this project."""

from __future__ import annotations

import shutil
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import requests
from airflow.providers.http.hooks.http import HttpHook
from airflow.providers.http.operators.http import HttpOperator
from airflow.providers.http.sensors.http import HttpSensor
from airflow.sdk import DAG, ObjectStoragePath, task

CONNECTION = {"http_conn_id": "klap_http"}
JSON = {"Content-Type": "application/json"}
VIDEO = """{"source_video_url": "https://example.com/talk.mp4", "max_duration": 1,
            "max_clip_count": {{ params.count }}, "target_clip_count": {{ params.count }}}"""
TASK = "tasks/{{ ti.xcom_pull('submit') }}"

#: Seconds between looks, as in Klap's documents.
TASK_INTERVAL, EXPORT_INTERVAL = 30, 15


def is_ready(response: requests.Response) -> bool:
    """Whether the job is done."""
    return bool(response.json()["status"] == "ready")


def export_path(response: requests.Response) -> str:
    """Return where to look at the export."""
    export = response.json()
    return f"projects/{export['folder_id']}/{export['project_id']}/exports/{export['id']}"


def http_flow(name: str, **how: Any) -> DAG:
    """Return the DAG, with sensors that wait so."""
    again = {"retries": 3, "retry_delay": timedelta(seconds=30)}
    params = {"count": 1, "destination": ""}
    with DAG(f"http_flow_{name}", schedule=None, params=params, default_args={**CONNECTION, **again}) as dag:
        submit = HttpOperator(
            task_id="submit",
            endpoint="tasks/video-to-shorts",
            data=VIDEO,
            headers=JSON,
            response_filter=lambda response: response.json()["id"],
        )
        wait = HttpSensor(task_id="wait", endpoint=TASK, response_check=is_ready, poke_interval=TASK_INTERVAL, **how)
        folder = HttpOperator(
            task_id="folder",
            method="GET",
            endpoint=TASK,
            response_filter=lambda response: response.json()["output_id"],
        )
        shorts = HttpOperator(
            task_id="shorts",
            method="GET",
            endpoint="projects/{{ ti.xcom_pull('folder') }}",
            response_filter=lambda response: [
                f"projects/{short['folder_id']}/{short['id']}/exports" for short in response.json()
            ],
        )
        export = HttpOperator.partial(
            task_id="export", data="{}", headers=JSON, response_filter=export_path, **CONNECTION
        ).expand(endpoint=shorts.output)
        wait_for_export = HttpSensor.partial(
            task_id="wait_for_export", response_check=is_ready, poke_interval=EXPORT_INTERVAL, **how, **CONNECTION
        ).expand(endpoint=export.output)

        @task
        def deliver(path: str, destination: str) -> str:
            """Fetch the video, see that it is one and whole, and put it under its name into the destination."""
            export = HttpHook("GET", "klap_http").run(path).json()
            file = Path(tempfile.mkdtemp()) / "short.mp4"
            with requests.get(export["src_url"], stream=True, timeout=60) as response, file.open("wb") as sink:
                response.raise_for_status()
                shutil.copyfileobj(response.raw, sink)
            size = file.stat().st_size
            with file.open("rb") as video:
                if size != int(response.headers["Content-Length"]) or video.read(12)[4:8] != b"ftyp":
                    raise ValueError(f"{path} is no whole video: {size} bytes")
            target = ObjectStoragePath(destination) / f"{export['id']}.mp4"
            target.parent.mkdir(parents=True, exist_ok=True)
            ObjectStoragePath(str(file)).move(target)
            return str(target)

        delivered = deliver.partial(destination="{{ params.destination }}").expand(path=export.output)
        submit >> wait >> folder >> shorts
        wait_for_export >> delivered
    return dag


reschedule = http_flow("reschedule", mode="reschedule")
# Written as one would who wants no worker to wait; with a response_check it holds one all the same.
deferrable = http_flow("deferrable", deferrable=True)
