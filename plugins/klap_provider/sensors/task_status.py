"""TaskStatusSensor: waits for a task of Klap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from klap_provider import triggers
from klap_provider.rules import polling
from klap_provider.sensors.base import KlapJobSensor

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta


class TaskStatusSensor(KlapJobSensor):
    """
    Wait until a Klap task is ready: ``GET /tasks/{task_id}``.

    :param klap_task_id: id of the task, as the submitting operators return it. Templated.
    :param timeout: seconds or a timedelta. Default two hours; tasks take about 2 to 30 minutes.

    The other parameters are those of :class:`KlapJobSensor`. Returns
    ``{"klap_task_id": str, "output_type": "folder" | "project", "output_id": str}``.
    """

    template_fields: Sequence[str] = ("klap_task_id", "submitted_at", "klap_conn_id", "on_behalf_of")

    def __init__(self, *, klap_task_id: str, timeout: timedelta | float = 2 * 60 * 60, **kwargs: Any) -> None:
        super().__init__(timeout=timeout, **kwargs)
        self.klap_task_id = klap_task_id

    @property
    def trigger_type(self) -> type[triggers.TaskStatusTrigger]:
        """The trigger for such jobs."""
        return triggers.TaskStatusTrigger

    def target(self) -> polling.TaskTarget:
        """Return the task."""
        return polling.TaskTarget(self.klap_task_id)
