"""ExportStatusSensor: wait until an export is ready."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from klap_provider import triggers
from klap_provider.rules import polling
from klap_provider.sensors.base import KlapJobSensor

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

#: Default timeout in seconds.
TIMEOUT = 60 * 60


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
        timeout: timedelta | float = TIMEOUT,
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

    def target(self) -> polling.ExportTarget:
        """Return the export."""
        return polling.ExportTarget(self.export_id, self.project_id, self.folder_id)  # type: ignore[arg-type]  # a sensor always has its project_id
