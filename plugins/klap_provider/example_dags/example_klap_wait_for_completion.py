"""Turn one video into shorts with operators that wait for what they submit."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, task_group

from klap_provider.operators import (
    DeliverShortOperator,
    ExportShortOperator,
    ListShortsOperator,
    SubmitShortsOperator,
)

with DAG(
    "example_klap_wait_for_completion", schedule=None, default_args={"retries": 3}, tags=["example", "klap"]
) as dag:
    # [START howto_operator_klap_wait_for_completion]
    submit = SubmitShortsOperator(
        task_id="submit",
        source_video_url="https://example.com/talk.mp4",
        max_clip_count=5,
        wait_for_completion=True,
        deferrable=True,
    )
    shorts = ListShortsOperator(
        task_id="list",
        folder_id="{{ ti.xcom_pull('submit').output_id }}",
        listed_ids="{{ ti.xcom_pull('submit').get('listed_ids') | tojson }}",
        limit=2,
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

    submit >> shorts >> each.expand_kwargs(shorts.output)
    # [END howto_operator_klap_wait_for_completion]
