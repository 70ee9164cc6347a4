"""Extra links to Klap. Airflow calls them on the worker when a task ends or defers, and stores the addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

from airflow.sdk import BaseOperatorLink

from klap_provider.errors import KlapError

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

    from klap_provider.hooks.client import KlapClient
    from klap_provider.xcoms import File


class KlapTask(Protocol):
    """The attributes of an operator that the links read."""

    project_id: str | None
    folder_id: str | None

    @property
    def client(self) -> KlapClient:
        """The client of the task's connection."""


class DeliveringTask(Protocol):
    """The attribute that the link to the video reads. The operator never defers."""

    delivered: File | None


class OpenInKlapLink(BaseOperatorLink):
    """Open the folder of the shorts in Klap's app, at the task's short if it has one."""

    name = "Open in Klap"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the address; empty while the folder is unknown, or if the connection cannot be read."""
        task = cast("KlapTask", operator)
        if not task.folder_id:
            return ""
        try:
            folder = f"{task.client.connection.app_url}/{task.folder_id}"
        except KlapError:
            return ""
        return f"{folder}#{task.project_id}" if task.project_id else folder


class PreviewShortLink(BaseOperatorLink):
    """Open the short in Klap's player."""

    name = "Preview short"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the address; empty if the connection cannot be read."""
        task = cast("KlapTask", operator)
        try:
            return f"{task.client.connection.player_url}/{task.project_id}"
        except KlapError:
            return ""


class ExportedVideoLink(BaseOperatorLink):
    """Open the exported video at Klap's public address."""

    name = "Exported video"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the address of the delivered file at Klap; empty before the delivery."""
        delivered = cast("DeliveringTask", operator).delivered
        return (delivered and delivered["src_url"]) or ""
