"""Triggers, which wait without a worker. Airflow stores these class paths, so they must not change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from klap_provider import published

if TYPE_CHECKING:
    from klap_provider.triggers.source import SourceTrigger as SourceTrigger
    from klap_provider.triggers.status import ExportStatusTrigger as ExportStatusTrigger
    from klap_provider.triggers.status import ShortsListTrigger as ShortsListTrigger
    from klap_provider.triggers.status import TaskStatusTrigger as TaskStatusTrigger
    from klap_provider.triggers.video_run import VideoRunTrigger as VideoRunTrigger

__all__ = [
    "ExportStatusTrigger",
    "ShortsListTrigger",
    "SourceTrigger",
    "TaskStatusTrigger",
    "VideoRunTrigger",
]

__getattr__ = published(
    __name__,
    {
        "ExportStatusTrigger": "status",
        "ShortsListTrigger": "status",
        "SourceTrigger": "source",
        "TaskStatusTrigger": "status",
        "VideoRunTrigger": "video_run",
    },
)
