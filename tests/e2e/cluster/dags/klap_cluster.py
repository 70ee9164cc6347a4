"""The Dag of the chaos tests, batches with a short poll interval, and waits for many tasks of Klap."""

from __future__ import annotations

from airflow.sdk import DAG
from klap_chaos import dag as shorts

from klap_generate_shorts_batch import klap_generate_shorts_batch
from klap_provider.sensors import TaskStatusSensor

__all__ = ["batch", "shorts", "waits"]

batch = klap_generate_shorts_batch(
    "klap_cluster_batch", form={"limit": 1}, at_a_time=2, poke_interval=1, trigger_dag_id="klap_chaos"
)

with DAG("klap_cluster_waits", schedule=None) as waits:
    TaskStatusSensor.partial(task_id="wait", pool="closed").expand(
        klap_task_id=[f"task-{number}" for number in range(200)]
    )
