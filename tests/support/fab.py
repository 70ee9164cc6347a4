"""
Make users and roles of FabAuthManager: a script for a separate Airflow.

The roles are Flask-AppBuilder's own and what a team makes of them: its Viewer and User see no plugin at all, so each
has the right to that, too.
"""

from __future__ import annotations

from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder
from airflow.providers.fab.auth_manager.security_manager.override import FabAirflowSecurityManagerOverride as Roles
from airflow.providers.fab.www.security import permissions as fab

#: Users, whose passwords are their names, and the names of their roles.
USERS = {
    "ada": ["Admin"],
    "vic": ["Viewer", "Plugins"],
    "uma": ["User", "Plugins"],
    "tom": ["One Dag"],
    "wim": ["No XComs"],
    "new": ["Viewer"],
}
#: The one Dag of the role of that name.
ONE_DAG = "klap_generate_shorts"

READ = fab.ACTION_CAN_READ
PLUGINS = (READ, fab.RESOURCE_PLUGIN)


def main() -> None:
    """Make them."""
    one = fab.resource_name(ONE_DAG, fab.RESOURCE_DAG)
    user = [each for each in (*Roles.VIEWER_PERMISSIONS, *Roles.USER_PERMISSIONS) if each[1] != fab.RESOURCE_DAG]
    roles = {
        "Plugins": [PLUGINS],
        "One Dag": [PLUGINS, *user, (READ, one), (fab.ACTION_CAN_EDIT, one)],
        "No XComs": [PLUGINS, *(each for each in Roles.VIEWER_PERMISSIONS if each != (READ, fab.RESOURCE_XCOM))],
    }
    with get_application_builder() as builder:
        manager = builder.sm
        manager.sync_roles()
        manager.bulk_sync_roles([{"role": name, "perms": granted} for name, granted in roles.items()])
        for name, own in USERS.items():
            made = manager.add_user(
                name, name, name, f"{name}@example.com", [manager.find_role(each) for each in own], password=name
            )
            assert made, name


if __name__ == "__main__":
    main()
