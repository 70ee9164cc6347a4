"""Extra links. Airflow calls them on the worker when a task ends or defers, and stores the addresses."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperatorLink

from klap_provider.airflow_internals.tasks import run_address
from klap_provider.errors import KlapError

if TYPE_CHECKING:
    from airflow.sdk.types import TaskInstanceKey


class KlapLink(BaseOperatorLink):
    """Base of the links."""

    @abstractmethod
    def address(self, operator: Any) -> str:
        """Return the address for the operator of a task instance."""

    def get_link(self, operator: Any, *, ti_key: TaskInstanceKey) -> str:
        """Return the address. It is empty for a mapped task with wrong arguments, which has no operator of its own."""
        return "" if operator.is_mapped else self.address(operator)


class OpenInKlapLink(KlapLink):
    """Open the folder of the shorts in Klap's app, at the task's short if it has one."""

    name = "Open in Klap"

    def address(self, operator: Any) -> str:
        """Return the address; empty while the folder is unknown, or if the connection cannot be read."""
        if not operator.folder_id:
            return ""
        try:
            folder = f"{operator.client.connection.app_url}/{operator.folder_id}"
        except KlapError:
            return ""
        return f"{folder}#{operator.project_id}" if operator.project_id else folder


class PreviewShortLink(KlapLink):
    """Open the short in Klap's player."""

    name = "Preview short"

    def address(self, operator: Any) -> str:
        """Return the address; empty if the connection cannot be read."""
        try:
            return f"{operator.client.connection.player_url}/{operator.project_id}"
        except KlapError:
            return ""


class ExportedVideoLink(KlapLink):
    """Open the exported video at Klap's public address."""

    name = "Exported video"

    def address(self, operator: Any) -> str:
        """Return the address of the delivered file at Klap; empty before the delivery."""
        return (operator.delivered and operator.delivered["src_url"]) or ""


class VideoRunLink(KlapLink):
    """Open the run of a video of a batch."""

    name = "Run of this video"

    def address(self, operator: Any) -> str:
        """Return the address of the run's page in Airflow."""
        return run_address(operator.trigger_dag_id, operator.trigger_run_id)
