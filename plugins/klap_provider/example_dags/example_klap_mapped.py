"""Turn several videos into shorts, one mapped task for each video."""

from __future__ import annotations

from airflow.sdk import DAG

from klap_provider.operators import GenerateShortsOperator

with DAG("example_klap_mapped", schedule=None, default_args={"retries": 3}, tags=["example", "klap"]) as dag:
    # [START howto_operator_klap_generate_shorts_mapped]
    GenerateShortsOperator.partial(
        task_id="generate",
        max_clip_count=5,
        limit=1,
        deferrable=True,
        max_active_tis_per_dagrun=2,
    ).expand(
        source_video_url=[
            "https://example.com/monday.mp4",
            "https://example.com/tuesday.mp4",
            "https://example.com/wednesday.mp4",
        ]
    )
    # [END howto_operator_klap_generate_shorts_mapped]
