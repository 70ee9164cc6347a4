"""Many waits for tasks of Klap, in a closed pool."""

from __future__ import annotations

from airflow.sdk import DAG

from klap_provider.sensors import TaskStatusSensor

with DAG("klap_waits", schedule=None) as dag:
    TaskStatusSensor.partial(task_id="wait", pool="closed").expand(
        klap_task_id=[f"task-{number}" for number in range(2000)]
    )
