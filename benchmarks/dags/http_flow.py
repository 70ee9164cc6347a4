"""The same flow with the HTTP provider only, as a user without this project would write it."""

from __future__ import annotations

import os
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

#: Poll intervals in seconds. Default: those in Klap's documentation.
INTERVAL = os.environ.get("HTTP_FLOW_POLL_INTERVAL")
TASK_INTERVAL, EXPORT_INTERVAL = (float(INTERVAL), float(INTERVAL)) if INTERVAL else (30.0, 15.0)


def is_ready(response: requests.Response) -> bool:
    """Return whether the job is ready."""
    return bool(response.json()["status"] == "ready")


def export_path(response: requests.Response) -> str:
    """Return the path of the export."""
    export = response.json()
    return f"projects/{export['folder_id']}/{export['project_id']}/exports/{export['id']}"


def http_flow(name: str, **sensor_mode: Any) -> DAG:
    """Return the Dag.

    :param sensor_mode: arguments of its sensors.
    """
    retries = {"retries": 3, "retry_delay": timedelta(seconds=30)}
    params = {"count": 1, "destination": ""}
    with DAG(f"http_flow_{name}", schedule=None, params=params, default_args={**CONNECTION, **retries}) as dag:
        submit = HttpOperator(
            task_id="submit",
            endpoint="tasks/video-to-shorts",
            data=VIDEO,
            headers=JSON,
            response_filter=lambda response: response.json()["id"],
        )
        wait = HttpSensor(
            task_id="wait", endpoint=TASK, response_check=is_ready, poke_interval=TASK_INTERVAL, **sensor_mode
        )
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
            task_id="wait_for_export",
            response_check=is_ready,
            poke_interval=EXPORT_INTERVAL,
            **sensor_mode,
            **CONNECTION,
        ).expand(endpoint=export.output)

        @task
        def deliver(path: str, destination: str) -> str:
            """Download the video, check it, and move it to the destination."""
            export = HttpHook("GET", "klap_http").run(path).json()
            file = Path(tempfile.mkdtemp()) / "short.mp4"
            with requests.get(export["src_url"], stream=True, timeout=60) as response, file.open("wb") as sink:
                response.raise_for_status()
                shutil.copyfileobj(response.raw, sink)
            size = file.stat().st_size
            with file.open("rb") as video:
                if size != int(response.headers["Content-Length"]) or video.read(12)[4:8] != b"ftyp":
                    raise ValueError(f"{path} is not a complete video: {size} bytes")
            target = ObjectStoragePath(destination) / f"{export['id']}.mp4"
            target.parent.mkdir(parents=True, exist_ok=True)
            ObjectStoragePath(str(file)).move(target)
            return str(target)

        delivered = deliver.partial(destination="{{ params.destination }}").expand(path=export.output)
        submit >> wait >> folder >> shorts
        wait_for_export >> delivered
    return dag


reschedule = http_flow("reschedule", mode="reschedule")
# Meant to free the worker, but with a response_check it occupies one.
deferrable = http_flow("deferrable", deferrable=True)
