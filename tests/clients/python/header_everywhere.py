"""A client with one session, which names its managed user in every request and searches the list of all exports."""

import os
import time

import requests

API = os.environ["KLAP_URL"]
session = requests.Session()
session.headers["Authorization"] = f"Bearer {os.environ['KLAP_KEY']}"


def api(method, path, **more):
    answer = session.request(method, API + path, timeout=30, **more)
    answer.raise_for_status()
    return answer.json()


session.headers["X-On-Behalf-Of"] = api("POST", "/users", json={})["id"]
task = api("POST", "/tasks/video-to-shorts", json={"source_video_url": os.environ["VIDEO_URL"], "max_clip_count": 2})
while task["status"] == "processing":
    time.sleep(0.05)
    task = api("GET", f"/tasks/{task['id']}")
assert task["status"] == "ready", task

for short in api("GET", f"/projects/{task['output_id']}/"):
    api("POST", f"/projects/{task['output_id']}/{short['id']}/exports", json={"watermark": None})

waiting = True
while waiting:
    time.sleep(0.05)
    exports = api("GET", "/exports", params={"folder_id": task["output_id"]})
    waiting = any(export["status"] == "processing" for export in exports)
for export in exports:
    print("VIDEO", export["src_url"])
