"""A Dag with only Airflow's operators: parameters, an operator, a sensor, a mapped task group. It is only parsed."""

from __future__ import annotations

from airflow.sdk import DAG, BaseOperator, BaseSensorOperator, Param, task_group
from airflow.sdk.execution_time.xcom import XCom
from airflow.triggers.base import BaseTrigger

__all__ = ["BaseTrigger", "XCom"]

with DAG("airflow_alone", schedule=None, params={"count": Param(1, type="integer")}) as dag:
    first = BaseOperator(task_id="first")

    @task_group
    def each(number: int) -> None:
        """Wait once for each number."""
        BaseSensorOperator(task_id="wait", doc=str(number))

    first >> each.expand(number=[1, 2])
