"""A secrets backend and a host name for the configured Airflows. Airflow imports it by name, the tests do not."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from airflow.secrets import BaseSecretsBackend


class SlowSecrets(BaseSecretsBackend):
    """
    Read each connection from the file of its name, with a delay; raise an error if there is no file.

    A secrets manager in the cloud also has a round trip, and an error instead of None.
    """

    def __init__(self, folder: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.folder = Path(folder)

    def get_conn_value(self, conn_id: str, team_name: str | None = None) -> str | None:
        """Return the connection as JSON."""
        time.sleep(0.3)
        return (self.folder / conn_id).read_text()


def hostname() -> str:
    """Return a name that no machine of the network has."""
    return f"{os.environ.get('KLAP_COMPONENT', 'worker')}.media.invalid"
