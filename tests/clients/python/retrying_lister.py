"""A client that needs only the standard library. It reads the list of shorts until the list is not empty."""

import json
import os
import time
import urllib.request


def klap(path, data=None):
    request = urllib.request.Request(os.environ["KLAP_URL"] + path)
    request.add_header("Authorization", "Bearer " + os.environ["KLAP_KEY"])
    if data is not None:
        request.add_header("Content-Type", "application/json")
        request.data = json.dumps(data).encode()
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def wait(path):
    while True:
        job = klap(path)
        if job["status"] == "ready":
            return job
        if job["status"] == "error":
            raise SystemExit("failed: " + str(job.get("message")))
        time.sleep(0.05)


body = {"source_video_url": os.environ["VIDEO_URL"], "max_clip_count": 1.0, "target_duration": 30.0}
folder = wait("/tasks/" + klap("/tasks/video-to-shorts", body)["id"])["output_id"]
shorts = []
for _ in range(20):
    shorts = klap("/projects/" + folder)
    if shorts:
        break
    time.sleep(0.05)
assert shorts, "no shorts"
path = "/projects/{}/{}/exports".format(folder, shorts[0]["id"])
print("VIDEO", wait(path + "/" + klap(path, {})["id"])["src_url"])
