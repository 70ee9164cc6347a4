"""Sensors for the status of a task and of an export."""

from __future__ import annotations

from typing import TYPE_CHECKING

from klap_provider import published

if TYPE_CHECKING:
    from klap_provider.sensors.export_status import ExportStatusSensor as ExportStatusSensor
    from klap_provider.sensors.task_status import TaskStatusSensor as TaskStatusSensor

__all__ = [
    "ExportStatusSensor",
    "TaskStatusSensor",
]

__getattr__ = published(
    __name__,
    {
        "ExportStatusSensor": "export_status",
        "TaskStatusSensor": "task_status",
    },
)
