"""Limit what a run may cost."""

from __future__ import annotations

from airflow.sdk import DAG

from klap_provider.operators import GenerateShortsOperator

with DAG("example_klap_budget", schedule=None, default_args={"retries": 3}, tags=["example", "klap"]) as dag:
    # [START howto_operator_klap_budget]
    GenerateShortsOperator(
        task_id="generate",
        source_video_url="https://example.com/talk.mp4",
        max_clip_count=3,
        budget=2.5,  # US dollars: covers the video, three generated shorts and two exports
        deferrable=True,
    )
    # [END howto_operator_klap_budget]
