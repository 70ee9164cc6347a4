"""What ``deploy/compose.override.yaml`` gives every container of Airflow's, on a machine without containers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import yaml

from demo.airflow import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

OVERRIDE = ROOT / "deploy" / "compose.override.yaml"

#: Where a container has its DAGs and its connections.
DAGS, CONNECTIONS = "/opt/klap/dags", "/run/secrets/klap-connections.json"


def environment(*, dags: Path, connections: Path) -> dict[str, str]:
    """
    Return the environment that the file sets, with these places instead of a container's.

    :param dags: the folder of this project's DAGs, a bundle beside ``[core] dags_folder``.
    :param connections: the file that :func:`write_connections` writes.
    """
    shipped: dict[str, str] = yaml.safe_load(OVERRIDE.read_text())["x-klap"]["environment"]
    return {
        name: value.replace(DAGS, str(dags)).replace(CONNECTIONS, str(connections)) for name, value in shipped.items()
    }


def write_connections(file: Path, connections: Mapping[str, Mapping[str, Any]]) -> None:
    """Write Airflow connections to a file that only this account may read, as the secret of a container has them."""
    found = {
        conn_id: {"extra_dejson" if name == "extra" else name: value for name, value in connection.items()}
        for conn_id, connection in connections.items()
    }
    file.touch(mode=0o600)
    file.write_text(json.dumps(found))
