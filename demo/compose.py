"""The environment that ``deploy/compose.override.yaml`` sets, for processes without containers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import yaml

from demo.airflow import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

OVERRIDE = ROOT / "deploy" / "compose.override.yaml"

#: Paths in a container.
DAGS, CONNECTIONS = "/opt/klap/dags", "/run/secrets/klap-connections.json"


def environment(*, dags: Path, connections: Path) -> dict[str, str]:
    """
    Return the environment of a container, with paths of this machine.

    :param dags: the folder of this project's Dags.
    :param connections: the file of :func:`write_connections`.
    """
    settings: dict[str, str] = yaml.safe_load(OVERRIDE.read_text())["x-klap"]["environment"]
    return {
        name: value.replace(DAGS, str(dags)).replace(CONNECTIONS, str(connections)) for name, value in settings.items()
    }


def write_connections(file: Path, connections: Mapping[str, Mapping[str, Any]]) -> None:
    """Write Airflow connections to a file, in the format of the secrets backend, readable by this account only."""
    found = {
        conn_id: {"extra_dejson" if name == "extra" else name: value for name, value in connection.items()}
        for conn_id, connection in connections.items()
    }
    file.touch(mode=0o600)
    file.write_text(json.dumps(found))
