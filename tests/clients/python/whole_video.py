"""A client that captions a whole video over one connection, without a content type."""

import http.client
import json
import os
import time
from urllib.parse import urlsplit

API = urlsplit(os.environ["KLAP_URL"])
connection = http.client.HTTPConnection(API.netloc, timeout=30)


def send(method, path, document=None):
    headers = {"Authorization": "bearer " + os.environ["KLAP_KEY"]}
    body = None
    if document is not None:
        body = json.dumps(document, ensure_ascii=False).encode()
    connection.request(method, API.path + path, body, headers)
    answer = connection.getresponse()
    text = answer.read()
    if answer.status // 100 != 2:
        raise SystemExit(f"{method} {path}: {answer.status} {text!r}")
    return json.loads(text)


def finished(path):
    while (job := send("GET", path))["status"] == "processing":
        time.sleep(0.05)
    assert job["status"] == "ready", job
    return job


task = send("POST", "/tasks/video-to-video", {"source_video_url": os.environ["VIDEO_URL"], "name": "Ärger"})
assert task["output_type"] == "project"
project = send("GET", "/projects/" + finished("/tasks/" + task["id"])["output_id"])
assert project["folder_id"] is None
assert project["name"] == "Ärger"
exports = f"/projects/{project['id']}/exports"
print("VIDEO", finished(f"{exports}/{send('POST', exports)['id']}")["src_url"])
