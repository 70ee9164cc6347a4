"""Let a reviewer select the shorts to export."""

from __future__ import annotations

# [START howto_operator_klap_review_shorts]
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task_group

from klap_provider.operators import (
    DeliverShortOperator,
    ExportShortOperator,
    ReviewShortsOperator,
    SubmitShortsOperator,
)

with DAG("example_klap_review", schedule=None, default_args={"retries": 3}, tags=["example", "klap"]) as dag:
    submit = SubmitShortsOperator(
        task_id="submit",
        source_video_url="https://example.com/talk.mp4",
        max_clip_count=5,
        wait_for_completion=True,
        deferrable=True,
    )
    review = ReviewShortsOperator(
        task_id="review",
        folder_id="{{ ti.xcom_pull('submit').output_id }}",
        listed_ids="{{ ti.xcom_pull('submit').get('listed_ids') | tojson }}",
        limit=3,  # the best three are selected in advance
        response_timeout=timedelta(hours=12),
    )

    @task_group
    def each(project_id: str, folder_id: str, short_name: str) -> None:
        short: dict[str, Any] = {"project_id": project_id, "folder_id": folder_id, "short_name": short_name}
        export = ExportShortOperator(task_id="export", wait_for_completion=True, deferrable=True, **short)
        deliver = DeliverShortOperator(
            task_id="deliver",
            export_id="{{ ti.xcom_pull('each.export', map_indexes=ti.map_index).export_id }}",
            **short,
        )
        export >> deliver

    submit >> review >> each.expand_kwargs(review.output)
# [END howto_operator_klap_review_shorts]
