"""Caption one whole video."""

from __future__ import annotations

from airflow.sdk import DAG

from klap_provider.operators import DeliverShortOperator, ExportShortOperator, SubmitVideoOperator

with DAG("example_klap_caption_video", schedule=None, default_args={"retries": 3}, tags=["example", "klap"]) as dag:
    # [START howto_operator_klap_submit_video]
    submit = SubmitVideoOperator(
        task_id="submit",
        source_video_url="https://example.com/talk.mp4",
        aspect_ratio="1:1",
        translate_to="en",
        wait_for_completion=True,
        deferrable=True,
    )
    export = ExportShortOperator(
        task_id="export",
        project_id="{{ ti.xcom_pull('submit').output_id }}",
        wait_for_completion=True,
        deferrable=True,
    )
    deliver = DeliverShortOperator(
        task_id="deliver",
        project_id="{{ ti.xcom_pull('submit').output_id }}",
        export_id="{{ ti.xcom_pull('export').export_id }}",
        short_name="talk",
    )
    submit >> export >> deliver
    # [END howto_operator_klap_submit_video]
