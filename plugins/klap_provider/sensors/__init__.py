"""Sensors for the status of a task and of an export."""

from __future__ import annotations

from klap_provider.sensors.status import ExportStatusSensor, TaskStatusSensor

__all__ = ["ExportStatusSensor", "TaskStatusSensor"]
