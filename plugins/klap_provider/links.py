"""Buttons on a task instance."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from airflow.sdk import BaseOperatorLink

from klap_provider.errors import KlapError

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

    from klap_provider.base import KlapOperator


class PreviewShortLink(BaseOperatorLink):
    """Opens the short in Klap's player; absent where the connection cannot be read."""

    name = "Preview short"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the player's address. Airflow calls this on the worker, and keeps the result for the UI."""
        task = cast("KlapOperator", operator)
        try:
            return f"{task.hook.connection.player_url}/{task.project_id}"
        except KlapError:
            return ""
