"""A cluster policy for all Dags."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator


def task_policy(task: BaseOperator) -> None:
    """Limit the execution time of all tasks, and lower their priority."""
    task.retries = min(task.retries, 2)
    task.execution_timeout = timedelta(minutes=2)
    task.priority_weight = 1
