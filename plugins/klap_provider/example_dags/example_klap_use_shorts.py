"""Start a Dag when a run has delivered its shorts to one destination."""

from __future__ import annotations

# [START howto_klap_asset]
from typing import Any

from airflow.sdk import DAG, Asset, task

SHORTS = Asset("s3://media/shorts")

with DAG("example_klap_use_shorts", schedule=[SHORTS], tags=["example", "klap"]):

    @task
    def collect(triggering_asset_events: Any = None) -> list[dict[str, Any]]:
        shorts = [short for event in triggering_asset_events[SHORTS] for short in event.extra["shorts"]]
        for short in shorts:
            captions = short["publication_captions"] or {}
            print(short["virality_score"], short["path"], captions.get("tiktok"))
        return shorts

    collect()
# [END howto_klap_asset]
