"""A Dag with the tasks of klap_generate_shorts, which do nothing, and waits that take as long."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, task_group

from benchmarks.alone import Select, Step, Wait

RETRIES = {"retries": 3, "retry_delay": timedelta(seconds=30), "retry_exponential_backoff": 2.0}
PARAMS = {"count": 1, "task_seconds": 0.0, "export_seconds": 0.0}

with DAG("airflow_alone_run", schedule=None, params=PARAMS, default_args=RETRIES) as dag:
    submit = Step(task_id="submit", item="{{ params.count }}")
    wait = Wait(
        task_id="wait_for_shorts", started_at="{{ ti.xcom_pull('submit') }}", seconds="{{ params.task_seconds }}"
    )
    select = Select(task_id="select_shorts", count="{{ params.count }}")

    @task_group(group_id="short")
    def short(item: int) -> None:
        """Export and deliver one short."""
        export = Step(task_id="export", item=item)
        wait_for_export = Wait(
            task_id="wait_for_export",
            started_at="{{ ti.xcom_pull('short.export', map_indexes=ti.map_index) }}",
            seconds="{{ params.export_seconds }}",
        )
        export >> wait_for_export >> Step(task_id="deliver", item=item)

    submit >> wait >> select
    short.expand(item=select.output) >> Step(task_id="publish", item=select.output, trigger_rule="all_done")
