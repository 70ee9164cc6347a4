"""A third-party plugin with a listener that records which tasks succeeded."""

from __future__ import annotations

import os
from typing import Any

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin


class Listener:
    """Write the id of each task that succeeds to the file of ``KLAP_HEARD``."""

    @hookimpl
    def on_task_instance_success(self, previous_state: Any, task_instance: Any) -> None:
        """Write the id."""
        with open(os.environ["KLAP_HEARD"], "a") as file:
            file.write(f"{task_instance.run_id} {task_instance.task_id}\n")


class ListenerPlugin(AirflowPlugin):
    """The plugin that Airflow loads."""

    name = "listener"
    listeners = [Listener()]  # noqa: RUF012  # as declared
