"""An auth manager with users who may not see everything, which the simple auth manager does not have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

if TYPE_CHECKING:
    from airflow.api_fastapi.auth.managers.base_auth_manager import ResourceMethod
    from airflow.api_fastapi.auth.managers.models.resource_details import DagDetails
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

#: A Dag that only admins may see.
PRIVATE = "private_videos"
#: A Dag of which only admins may read the runs, and with them their conf. Others may start runs.
SETTINGS_HIDDEN = "hidden_settings"


class DiscreetAuthManager(SimpleAuthManager):
    """Hides XComs from viewers, and the private Dag and the runs of the other one from all but admins."""

    def is_authorized_dag(
        self,
        *,
        method: ResourceMethod,
        user: SimpleAuthManagerUser,
        access_entity: DagAccessEntity | None = None,
        details: DagDetails | None = None,
    ) -> bool:
        """Return whether the user has access."""
        if user.role == "viewer" and access_entity is DagAccessEntity.XCOM:
            return False
        if user.role != "admin" and details is not None and details.id == PRIVATE:
            return False
        is_read = method == "GET" and access_entity is DagAccessEntity.RUN
        if user.role != "admin" and details is not None and details.id == SETTINGS_HIDDEN and is_read:
            return False
        return super().is_authorized_dag(method=method, user=user, access_entity=access_entity, details=details)
