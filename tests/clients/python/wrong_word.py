"""A client that waits for a status that Klap does not have, and gives up."""

import os
import sys
import time

import requests

head = {"Authorization": "Bearer " + os.environ["KLAP_KEY"]}
url = os.environ["KLAP_URL"] + "/tasks/"
task = requests.post(url + "video-to-shorts", json={"source_video_url": os.environ["VIDEO_URL"]}, headers=head).json()
for _ in range(10):
    if requests.get(url + task["id"], headers=head).json()["status"] in ("done", "completed", "success"):
        sys.exit("such a word has come")
    time.sleep(0.05)
print("gave up")
