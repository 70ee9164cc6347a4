"""Turn one video into shorts with one task for each step."""

from __future__ import annotations

# [START howto_klap_step_by_step]
from typing import Any

from airflow.sdk import DAG, task_group

from klap_provider.operators import (
    DeliverShortOperator,
    ExportShortOperator,
    ListShortsOperator,
    PublishShortsOperator,
    SubmitShortsOperator,
)
from klap_provider.sensors import ExportStatusSensor, TaskStatusSensor

VIDEO = "https://example.com/talk.mp4"
KLAP_TASK_ID = "{{ ti.xcom_pull('submit').klap_task_id }}"
PAID = "{{ ti.xcom_pull('submit').paid }}"

with DAG("example_klap_step_by_step", schedule=None, default_args={"retries": 3}, tags=["example", "klap"]) as dag:
    submit = SubmitShortsOperator(task_id="submit", source_video_url=VIDEO, max_clip_count=5, max_exports=3)
    wait = TaskStatusSensor(
        task_id="wait",
        klap_task_id=KLAP_TASK_ID,
        submitted_at="{{ ti.xcom_pull('submit').submitted_at }}",
        deferrable=True,
    )
    shorts = ListShortsOperator(
        task_id="list",
        folder_id="{{ ti.xcom_pull('wait').output_id }}",
        listed_ids="{{ ti.xcom_pull('wait').get('listed_ids') | tojson }}",
        limit=3,
        submissions=PAID,
    )

    @task_group
    def each(project_id: str, folder_id: str, short_name: str, virality_score: int | None) -> None:
        short: dict[str, Any] = {"project_id": project_id, "folder_id": folder_id, "short_name": short_name}
        export_id = "{{ ti.xcom_pull('each.export', map_indexes=ti.map_index).export_id }}"
        export = ExportShortOperator(task_id="export", **short)
        finish = ExportStatusSensor(
            task_id="finish",
            export_id=export_id,
            submitted_at="{{ ti.xcom_pull('each.export', map_indexes=ti.map_index).submitted_at }}",
            deferrable=True,
            **short,
        )
        deliver = DeliverShortOperator(
            task_id="deliver",
            export_id=export_id,
            virality_score=virality_score,
            subfolder=KLAP_TASK_ID,
            **short,
        )
        export >> finish >> deliver

    publish = PublishShortsOperator(
        task_id="publish",
        steps=["each.export", "each.finish", "each.deliver"],
        shorts=shorts.output,
        source_video_url=VIDEO,
        klap_task_id=KLAP_TASK_ID,
        subfolder=KLAP_TASK_ID,
        submissions=PAID,
        list_task_id="list",
        trigger_rule="all_done",
    )
    submit >> wait >> shorts >> each.expand_kwargs(shorts.output) >> publish
# [END howto_klap_step_by_step]
