"""The sensors: wait until a task or an export is ready."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from klap_provider import triggers
from klap_provider.operators.arguments import rendered_ids, rendered_number
from klap_provider.rules.job_targets import ExportTarget, TaskTarget
from klap_provider.sensors.base import KlapJobSensor

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

#: Default timeouts in seconds.
TASK_TIMEOUT, EXPORT_TIMEOUT = 2 * 60 * 60, 60 * 60


class TaskStatusSensor(KlapJobSensor):
    """
    Wait until a task of Klap is ready: ``GET /tasks/{task_id}``.

    If the task generated shorts, the sensor then polls their list (``GET /projects/{folder_id}``) until it no longer
    changes, for at most five minutes. A list that cannot be read does not fail the wait.

    :param klap_task_id: id of the task, as the submitting operators return it. Templated.
    :param max_clip_count: a list with this number of shorts needs no second poll. Default: not known. Templated.
    :param project_ids: a list that has these shorts needs no second poll. Default: not known. Templated.
    :param timeout: seconds or a timedelta. Default two hours. Tasks take about 2 to 30 minutes.

    It also has the parameters of :class:`~klap_provider.sensors.base.KlapJobSensor`. It returns ``{"klap_task_id": str,
    "output_type": "folder" | "project", "output_id": str}``, and ``listed_ids``, the ids of the listed shorts, if the
    list could be read. Pass ``listed_ids`` to ``ListShortsOperator``.
    """

    template_fields: Sequence[str] = (
        "klap_task_id",
        "max_clip_count",
        "project_ids",
        "submitted_at",
        "klap_conn_id",
        "on_behalf_of",
    )

    def __init__(
        self,
        *,
        klap_task_id: str,
        max_clip_count: int | str | None = None,
        project_ids: list[str] | None = None,
        timeout: timedelta | float = TASK_TIMEOUT,
        **kwargs: Any,
    ) -> None:
        super().__init__(timeout=timeout, **kwargs)
        self.klap_task_id = klap_task_id
        self.max_clip_count = max_clip_count
        self.project_ids = project_ids

    @property
    def trigger_type(self) -> type[triggers.TaskStatusTrigger]:
        """The trigger that waits without a worker."""
        return triggers.TaskStatusTrigger

    def target(self) -> TaskTarget:
        """Return the task."""
        most, wanted = rendered_number(self.max_clip_count), rendered_ids(self.project_ids)
        return TaskTarget(self.klap_task_id, most=most, wanted=wanted)


class ExportStatusSensor(KlapJobSensor):
    """
    Wait until an export is ready: ``GET /projects/…/exports/{export_id}``.

    :param export_id: id of the export, as ``ExportShortOperator`` returns it. Templated.
    :param project_id: id of the short. Templated.
    :param folder_id: id of its folder; None after video-to-video. Templated.
    :param short_name: name of the short, shown as the map index. Templated.
    :param timeout: seconds or a timedelta. Default one hour. Exports take about 3 to 10 minutes.

    It also has the parameters of :class:`~klap_provider.sensors.base.KlapJobSensor`. It returns ``{"export_id": str,
    "project_id": str, "folder_id": str | None, "src_url": str | None}``.
    """

    template_fields: Sequence[str] = (
        "export_id",
        "project_id",
        "folder_id",
        "short_name",
        "submitted_at",
        "klap_conn_id",
        "on_behalf_of",
    )

    def __init__(
        self,
        *,
        export_id: str,
        project_id: str,
        folder_id: str | None = None,
        short_name: str | None = None,
        timeout: timedelta | float = EXPORT_TIMEOUT,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("map_index_template", "{{ task.shown_name }}")
        super().__init__(timeout=timeout, **kwargs)
        self.export_id = export_id
        self.project_id = project_id
        self.folder_id = folder_id
        self.short_name = short_name

    @property
    def trigger_type(self) -> type[triggers.ExportStatusTrigger]:
        """The trigger that waits without a worker."""
        return triggers.ExportStatusTrigger

    def target(self) -> ExportTarget:
        """Return the export."""
        return ExportTarget(self.export_id, self.project_id, self.folder_id)  # type: ignore[arg-type]  # a sensor always has its project_id
