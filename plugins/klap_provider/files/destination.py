"""Where shorts go when nobody has said it, and whether that place is one that all tasks see."""

from __future__ import annotations

import logging

from klap_provider.airflow_internals.tasks import runs_on_one_machine
from klap_provider.errors import KlapInputError
from klap_provider.files.allowlist import default_folder

log = logging.getLogger(__name__)


def is_local(destination: str) -> bool:
    """Whether it is a folder of the machine rather than object storage."""
    return destination.startswith("/") or destination.partition("://")[0].lower() in ("file", "local")


def resolve_destination(destination: str | None, *, klap_conn_id: str) -> str:
    """
    Return the folder to deliver to.

    :param destination: what the run says, or else the connection. Empty: ``klap_shorts`` in Airflow's home, where all
        tasks run on one machine.
    :param klap_conn_id: that connection, for messages.
    :raises KlapInputError: nobody has said it, and each worker has a home of its own, where the shorts of a run would
        lie scattered, or be gone with the container.
    """
    if destination:
        if is_local(destination) and not runs_on_one_machine():
            log.warning(
                "destination is %s, and tasks run on several machines or in containers: it must be a folder that all "
                "of them share, such as a mounted volume, or the shorts are scattered or lost.",
                destination,
            )
        return destination
    if not runs_on_one_machine():
        raise KlapInputError(
            "destination is empty, and with this executor each task may run on another machine, or in a container that "
            "is gone afterwards, so that a folder of the worker is no place for shorts. Give the run a destination, "
            f"such as s3://conn_id@bucket/shorts, or set one for all runs in the connection {klap_conn_id!r} (its "
            "field Destination, destination in its Extra), and clear the task. A path does as well if all workers "
            "share that folder."
        )
    return default_folder()
