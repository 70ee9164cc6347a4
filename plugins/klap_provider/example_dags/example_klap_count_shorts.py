"""Start a Dag when a run has delivered its shorts to any destination."""

from __future__ import annotations

# [START howto_klap_asset_alias]
from typing import Any

from airflow.sdk import DAG, AssetAlias, task

SHORTS = AssetAlias("klap_shorts")

with DAG("example_klap_count_shorts", schedule=SHORTS, tags=["example", "klap"]):

    @task
    def count(triggering_asset_events: Any = None) -> int:
        return sum(len(event.extra["shorts"]) for event in triggering_asset_events[SHORTS])

    count()
# [END howto_klap_asset_alias]
