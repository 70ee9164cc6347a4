"""Start a run for each new video of a JSON document, with a source of your own."""

from __future__ import annotations

# [START howto_klap_watch_own_source]
# Airflow reads only files that contain the words "airflow" and "dag".
import requests

from klap_provider.dag_parts import klap_watch
from klap_provider.sources import Item


class CatalogueSource:
    def __init__(self, url: str) -> None:
        self.url = url

    def list(self) -> list[Item]:
        response = requests.get(self.url, timeout=30)
        response.raise_for_status()
        return [
            Item(id=str(video["id"]), title=video["title"], conf={"source_video_url": video["url"]})
            for video in response.json()
        ]


dag = klap_watch(
    "example_klap_watch_own_source", name="catalogue", source=CatalogueSource("https://media.example.com/videos.json")
)
# [END howto_klap_watch_own_source]
