"""Resolve the destination of a run, and check that all tasks can share it."""

from __future__ import annotations

import logging

from klap_provider.airflow_internals.tasks import runs_on_one_machine
from klap_provider.errors import KlapInputError
from klap_provider.files.allowlist import default_folder

log = logging.getLogger(__name__)


def is_local(destination: str) -> bool:
    """Whether a destination is a local folder rather than object storage."""
    return destination.startswith("/") or destination.partition("://")[0].lower() in ("file", "local")


def resolve_destination(destination: str | None, *, klap_conn_id: str) -> str:
    """
    Return the destination of a run. If it is empty: ``klap_shorts`` in Airflow's home.

    :raises KlapInputError: the destination is empty, and tasks run on several machines or in containers, which do not
        share Airflow's home.
    """
    if destination:
        if is_local(destination) and not runs_on_one_machine():
            log.warning(
                "destination is the local folder %s, and tasks run on several machines or in containers. All of them "
                "must share this folder, for example as a mounted volume. Otherwise shorts are lost.",
                destination,
            )
        return destination
    if not runs_on_one_machine():
        raise KlapInputError(
            "destination is empty, and with this executor tasks may run on several machines or in containers, which do "
            f"not share a local folder. Set Destination in the connection {klap_conn_id!r} (destination in its Extra) "
            "to a URL such as s3://conn_id@bucket/shorts, or to the path of a folder that all workers share. Then "
            "clear the task."
        )
    return default_folder()
