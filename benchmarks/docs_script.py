"""
The example of Klap's documentation, in Python, for all shorts.

``python -m benchmarks.docs_script API COUNT TASK_INTERVAL EXPORT_INTERVAL``

It works sequentially. Like the original, it sleeps after each poll, also after the last one. Prints the CPU time in
seconds.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from typing import Any

import requests


def main() -> None:
    """Run the command line."""
    api, count = sys.argv[1], int(sys.argv[2])
    task_interval, export_interval = map(float, sys.argv[3:])
    session = requests.Session()
    session.headers["Authorization"] = "Bearer kak_bench"

    def call(method: str, path: str, **more: Any) -> Any:
        answer = session.request(method, api + path, timeout=60, **more)
        answer.raise_for_status()
        return answer.json()

    def poll(path: str, interval: float) -> Any:
        while True:
            job = call("GET", path)
            time.sleep(interval)
            if job["status"] != "processing":
                return job

    counts = {"max_clip_count": count, "target_clip_count": count}
    video = {"source_video_url": "https://example.com/talk.mp4", "max_duration": 1, **counts}
    task = call("POST", "/tasks/video-to-shorts", json=video)
    folder = poll(f"/tasks/{task['id']}", task_interval)["output_id"]
    for short in call("GET", f"/projects/{folder}"):
        path = f"/projects/{folder}/{short['id']}/exports"
        export = call("POST", path, json={})
        address = poll(f"{path}/{export['id']}", export_interval)["src_url"]
        with requests.get(address, stream=True, timeout=60) as response, tempfile.TemporaryFile() as sink:
            shutil.copyfileobj(response.raw, sink)
    print(time.process_time())


if __name__ == "__main__":
    main()
