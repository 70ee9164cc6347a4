"""The extra link from a batch to the run of a video."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

from airflow.sdk import BaseOperatorLink

from klap_provider.airflow_internals.tasks import run_address

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey


class RunningTask(Protocol):
    """The attributes of an operator that the link reads."""

    trigger_dag_id: str
    trigger_run_id: str


class VideoRunLink(BaseOperatorLink):
    """Open the run of a video of a batch."""

    name = "Run of this video"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the address of the run's page in Airflow."""
        task = cast("RunningTask", operator)
        return run_address(task.trigger_dag_id, task.trigger_run_id)
