"""Read the video from object storage, and deliver the shorts there."""

from __future__ import annotations

from airflow.sdk import DAG

from klap_provider.operators import GenerateShortsOperator

with DAG("example_klap_object_storage", schedule=None, default_args={"retries": 3}, tags=["example", "klap"]) as dag:
    # [START howto_operator_klap_object_storage]
    GenerateShortsOperator(
        task_id="generate",
        source_video_url="s3://aws_default@media/talk.mp4",
        destination="s3://aws_default@media/shorts",
        max_clip_count=5,
        limit=1,
        deferrable=True,
    )
    # [END howto_operator_klap_object_storage]
