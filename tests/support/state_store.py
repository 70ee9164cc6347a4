"""A state store backend for tests: values are files, and Airflow's database has their names."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.state.metastore import MetastoreBackend

if TYPE_CHECKING:
    from airflow.sdk._shared.state import AssetScope, TaskScope

#: Environment variable with the folder.
FOLDER = "KLAP_TEST_STATE_STORE"
#: Value of ``[workers] state_store_backend``.
NAME = f"{__name__}.FolderStore"


class FolderStore(MetastoreBackend):
    """Keeps values outside Airflow's database."""

    def serialize_asset_state_store_to_ref(self, *, value: Any, key: str, scope: AssetScope) -> str:
        """Write a row of an asset."""
        return write(f"asset {scope.name} {key}", value)

    def deserialize_asset_state_store_from_ref(self, stored: str) -> Any:
        """Read a row of an asset."""
        return read(stored)

    def serialize_task_state_store_to_ref(self, *, value: Any, key: str, scope: TaskScope) -> str:
        """Write a row of a task."""
        return write(f"task {scope.dag_id} {scope.run_id} {scope.task_id} {scope.map_index} {key}", value)

    def deserialize_task_state_store_from_ref(self, stored: str) -> Any:
        """Read a row of a task."""
        return read(stored)


def write(name: str, value: Any) -> str:
    """Write a value, and return its reference."""
    file = Path(os.environ[FOLDER], quote(name, safe="")[:200])
    file.write_text(json.dumps(value))
    return str(file)


def read(reference: str) -> Any:
    """Return a value."""
    return json.loads(Path(reference).read_text())
