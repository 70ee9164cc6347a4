"""Start a Dag when a run has delivered its shorts."""

from __future__ import annotations

# [START howto_klap_asset]
from typing import Any

from airflow.sdk import DAG, Asset, AssetAlias, task

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

# [START howto_klap_asset_alias]
ALL_SHORTS = AssetAlias("klap_shorts")

with DAG("example_klap_count_shorts", schedule=ALL_SHORTS, tags=["example", "klap"]):

    @task
    def count(triggering_asset_events: Any = None) -> int:
        return sum(len(event.extra["shorts"]) for event in triggering_asset_events[ALL_SHORTS])

    count()
# [END howto_klap_asset_alias]
